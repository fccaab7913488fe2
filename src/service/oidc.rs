//! Sign-in by an OpenID provider: begun here, ended here or on another node.

use super::sessions::SignedIn;
use super::{Service, ServiceError};
use crate::clock::now_ms;
use crate::id;
use crate::ingress::oidc::{Flow, OidcError, Provider};
use crate::machine::command::Proof;

/// Where the provider sends the browser back to, after the base URL.
const CALLBACK: &str = "/v1/operator/oidc/callback";

/// Where a sign-in goes on.
pub struct Begun {
    /// The provider's page.
    pub url: String,
    /// What the browser keeps until it comes back.
    pub cookie: String,
}

/// What the browser brought back.
pub struct Returned {
    /// What it kept.
    pub cookie: Option<String>,
    /// As sent along.
    pub state: String,
    /// What the provider gave it.
    pub code: String,
    /// What the provider calls itself, where it says so.
    pub issuer: Option<String>,
    /// The address it comes from.
    pub address: String,
    /// The program used, as it names itself.
    pub user_agent: String,
}

impl Service {
    fn provider(&self) -> Result<&Provider, OidcError> {
        self.oidc.as_ref().ok_or(OidcError::NotConfigured)
    }

    fn redirect_uri(&self) -> String {
        format!("{}{CALLBACK}", self.base_url)
    }

    /// Begins a sign-in that ends at `return_to`; none where that is no path on this relay.
    pub async fn begin_oidc(&self, return_to: &str) -> Result<Option<Begun>, ServiceError> {
        let Some(flow) = Flow::new(return_to, now_ms()) else {
            return Ok(None);
        };
        let provider = self.provider()?;
        let url = provider
            .authorization_url(&flow, &self.redirect_uri())
            .await?;
        Ok(Some(Begun {
            url: url.into(),
            cookie: flow.seal(&self.sealer, &self.key_in_force()?)?,
        }))
    }

    /// Whether what came back belongs to a sign-in that this browser began.
    pub fn check_oidc(&self, cookie: Option<&str>, state: &str) -> Result<(), ServiceError> {
        self.provider()?;
        Flow::open(cookie, state, &self.sealer, now_ms())?;
        Ok(())
    }

    /// Signs in whom the provider vouches for; where to go then.
    pub async fn end_oidc(&self, returned: Returned) -> Result<(SignedIn, String), ServiceError> {
        let provider = self.provider()?;
        let cookie = returned.cookie.as_deref();
        let flow = Flow::open(cookie, &returned.state, &self.sealer, now_ms())?;
        if !provider.is_issuer(returned.issuer.as_deref()) {
            let why = "the answer is that of another provider";
            return Err(OidcError::Refused(why.into()).into());
        }
        let person = provider
            .person(&flow, &returned.code, &self.redirect_uri())
            .await?;
        self.node.read_point().await?;
        let fleet = self.fleet_for(provider.fleet())?.ok_or_else(|| {
            let why = "EKHO_OIDC_FLEET does not say which fleet, and there is not exactly one";
            OidcError::Unavailable(why.into())
        })?;
        let proof = Proof::Oidc {
            email: person.email,
            subject: person.subject,
            role: person.role,
            first: person.first_role.map(|role| (id::new_id("opr_"), role)),
        };
        let signed_in = self
            .begin_session(fleet, proof, returned.address, returned.user_agent)
            .await?;
        Ok((signed_in, flow.return_to.clone()))
    }
}
