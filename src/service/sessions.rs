//! Signing in and out, sessions, passwords, API tokens.

use ekho_storage::tables::fleet::{self, Fleet};
use ekho_storage::tables::login::{self, Source};
use ekho_storage::tables::operator::{self, Operator, Scope, Scopes};
use ekho_storage::tables::session::{self, Session};
use ekho_storage::tables::{FleetNo, TimeMs};
use zeroize::Zeroizing;

use super::operators::Caller;
use super::totp::{Judged, Shown};
use super::{Service, ServiceError};
use crate::clock::now_ms;
use crate::id;
use crate::ingress::password;
use crate::machine::SESSIONS_LISTED_MAX;
use crate::machine::access::{self, Need, Principal};
use crate::machine::command::{
    Command, CreateSession, LoginFailed, OperatorRequest, Proof, SecondFactor,
};
use crate::machine::outcome::{Outcome, Refusal};

/// A hash of no password, so that an unknown account, or one without a password, takes as long as a
/// wrong password.
const NO_PASSWORD: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A try to sign in.
pub struct SignIn {
    /// Name of the fleet.
    pub fleet_name: String,
    /// The account.
    pub email: String,
    /// Its password.
    pub password: Zeroizing<String>,
    /// The second factor.
    pub shown: Shown,
    /// The address it comes from.
    pub address: String,
    /// The program used, as it names itself.
    pub user_agent: String,
}

/// A signed-in operator.
pub struct SignedIn {
    /// The bearer token, told once.
    pub token: Zeroizing<String>,
    /// The fleet.
    pub fleet_id: String,
    /// When the session ends.
    pub expires_ms: TimeMs,
}

/// A new API token.
pub struct ApiToken {
    /// The bearer token, told once.
    pub token: Zeroizing<String>,
    /// Its public id.
    pub id: String,
}

impl Service {
    /// Signs an operator in.
    pub async fn sign_in(&self, sign_in: SignIn) -> Result<SignedIn, ServiceError> {
        self.node.read_point().await?;
        let email = sign_in.email.to_lowercase();
        let fleet = fleet::by_name(&self.view(), &sign_in.fleet_name)?;
        let fleet = fleet.filter(|fleet| fleet.archived_ms.is_none());
        let fleet_no = fleet.as_ref().map(|fleet| fleet.no);
        let address = sign_in.address;
        // Few at a time: each takes memory and tens of milliseconds of a core. The lock is looked at
        // once the turn has come, and the turn ends when a failure is counted, so that those who
        // wait together cannot all try.
        let turn = self.hashing_turn().await?;
        self.refuse_locked_out(fleet_no, &email, &address)?;
        let found = match fleet_no {
            Some(fleet) => operator::by_email(&self.view(), fleet, &email)?,
            None => None,
        };
        let checked = password_hash(found.as_ref());
        let matches = verify(sign_in.password, checked).await?;
        let known = fleet.zip(found).filter(|_| matches);
        let second = match &known {
            Some((fleet, found)) => self.judge_second(fleet.no, &found.id, &sign_in.shown)?,
            None => Judged::Wrong,
        };
        if matches!(second, Judged::Missing) {
            return Err(Refusal::TotpRequired.into());
        }
        let (Some((fleet, found)), Some(second)) = (known, second.into_second()) else {
            return Err(self.count_failure(fleet_no, email, address).await);
        };
        drop(turn);
        let proof = Proof::Password {
            operator_id: found.id,
            password_hash: found.password_hash,
            second,
        };
        self.begin_session(fleet, proof, address, sign_in.user_agent)
            .await
    }

    /// Signs in the operator whom the tailnet names.
    pub async fn sign_in_by_tailnet(
        &self,
        fleet_name: Option<&str>,
        login: String,
        address: String,
        user_agent: String,
    ) -> Result<SignedIn, ServiceError> {
        self.node.read_point().await?;
        let fleet = self.fleet_for(fleet_name)?.ok_or(Refusal::NoOperator)?;
        let proof = Proof::Tailnet { email: login };
        self.begin_session(fleet, proof, address, user_agent).await
    }

    /// The fleet of that name; without a name the one that there is, where it is one.
    pub(super) fn fleet_for(&self, name: Option<&str>) -> Result<Option<Fleet>, ServiceError> {
        let view = self.view();
        match name {
            Some(name) => Ok(fleet::by_name(&view, name)?),
            None => {
                let mut fleets = fleet::list(&view, 2)?;
                Ok(fleets.pop().filter(|_| fleets.is_empty()))
            }
        }
    }

    /// Begins a session for somebody who has shown who they are.
    pub(super) async fn begin_session(
        &self,
        fleet: Fleet,
        proof: Proof,
        address: String,
        user_agent: String,
    ) -> Result<SignedIn, ServiceError> {
        let token = Zeroizing::new(id::new_secret("ekho_"));
        let command = Command::CreateSession(CreateSession {
            fleet: fleet.no,
            proof,
            token_hash: self.tokens.hash(&token),
            session_id: id::new_id("ses_"),
            address,
            user_agent,
        });
        match self.propose(&command).await? {
            Outcome::SessionCreated { expires_ms } => Ok(SignedIn {
                token,
                fleet_id: fleet.id,
                expires_ms,
            }),
            outcome => Err(ServiceError::unexpected(&outcome)),
        }
    }

    /// Counts a failed try, and says what whoever tried is told.
    async fn count_failure(
        &self,
        fleet: Option<FleetNo>,
        email: String,
        address: String,
    ) -> ServiceError {
        let failed = Command::LoginFailed(LoginFailed {
            fleet,
            email,
            address,
        });
        match self.propose(&failed).await {
            Ok(_) => Refusal::InvalidCredentials.into(),
            Err(error) => error,
        }
    }

    /// Refuses tries after too many failed ones, without looking at the password.
    fn refuse_locked_out(
        &self,
        fleet: Option<FleetNo>,
        email: &str,
        address: &str,
    ) -> Result<(), ServiceError> {
        let view = self.view();
        let settings = self.settings()?;
        let account = fleet.map(|fleet| Source::Account(fleet, email.into()));
        for (source, limit) in [
            (account, settings.login_failures_per_account),
            (
                Some(Source::Address(address.into())),
                settings.login_failures_per_address,
            ),
        ] {
            let Some(source) = source else { continue };
            let failures = login::get(&view, &source)?;
            let retry_after_ms = failures.until_ms.saturating_sub(now_ms());
            if failures.count >= limit && retry_after_ms > 0 {
                return Err(Refusal::LockedOut { retry_after_ms }.into());
            }
        }
        Ok(())
    }

    /// Who a bearer token stands for.
    pub async fn principal(&self, token: &str) -> Result<Principal, ServiceError> {
        let hash = self.tokens.hash(token);
        let mut found = access::principal(&self.view(), hash, now_ms())?;
        if found.is_none() {
            // It may have begun on another node a moment ago.
            self.node.read_point().await?;
            found = access::principal(&self.view(), hash, now_ms())?;
        }
        found.ok_or(ServiceError::NotSignedIn)
    }

    /// Whether a caller still may read, as far as this node knows.
    pub fn is_signed_in(&self, by: &Caller) -> bool {
        let found = access::principal(&self.view(), by.principal.token_hash, now_ms());
        found.is_ok_and(|found| {
            found.is_some_and(|found| found.require(Need::Scope(Scope::Read)).is_ok())
        })
    }

    /// Sessions and API tokens of an operator, newest first.
    pub async fn sessions(
        &self,
        fleet: FleetNo,
        operator_id: &str,
    ) -> Result<Vec<Session>, ServiceError> {
        let view = self.operator_view().await?;
        if operator::get(&view, fleet, operator_id)?.is_none() {
            return Err(Refusal::NotFound.into());
        }
        let found = session::list(&view, fleet, operator_id, SESSIONS_LISTED_MAX)?;
        let mut sessions: Vec<Session> = found.into_iter().map(|(_, session)| session).collect();
        sessions.sort_by_key(|session| std::cmp::Reverse(session.created_ms));
        Ok(sessions)
    }

    /// Ends the session that a request came with.
    pub async fn sign_out(&self, by: &Caller) -> Result<(), ServiceError> {
        by.principal.require(Need::Login)?;
        let token_hash = by.principal.token_hash;
        self.propose(&Command::DeleteSession { token_hash })
            .await
            .map(|_| ())
    }

    /// Changes the caller's password; their other logins end.
    pub async fn change_password(
        &self,
        by: &Caller,
        current: Zeroizing<String>,
        new: Zeroizing<String>,
    ) -> Result<(), ServiceError> {
        self.prove_again(by, current, None).await?;
        let request = OperatorRequest::ChangePassword {
            current_hash: by.principal.operator.password_hash.clone(),
            new_hash: self.hash_password(new).await?,
        };
        self.order(by, request).await.map(|_| ())
    }

    /// Checks the caller's password once more and, where `shown` is given, their second factor if
    /// they have one: whoever found a session open must neither get further with it nor guess
    /// through it.
    pub(super) async fn prove_again(
        &self,
        by: &Caller,
        password: Zeroizing<String>,
        shown: Option<Shown>,
    ) -> Result<Option<SecondFactor>, ServiceError> {
        by.principal.require(Need::Login)?;
        let (fleet, operator) = (by.principal.fleet, &by.principal.operator);
        let address = by.address().to_string();
        let _turn = self.hashing_turn().await?;
        self.refuse_locked_out(Some(fleet), &operator.email, &address)?;
        let checked = password_hash(Some(operator));
        let matches = verify(password, checked).await?;
        let second = match (matches, &shown) {
            (false, _) => Judged::Wrong,
            (true, None) => Judged::NotAsked,
            (true, Some(shown)) => self.judge_second(fleet, &operator.id, shown)?,
        };
        if matches!(second, Judged::Missing) {
            return Err(Refusal::TotpRequired.into());
        }
        match second.into_second() {
            Some(second) => Ok(second),
            None => {
                let email = operator.email.clone();
                Err(self.count_failure(Some(fleet), email, address).await)
            }
        }
    }

    /// Makes an API token that acts for the caller, within these scopes.
    pub async fn create_api_token(
        &self,
        by: &Caller,
        name: String,
        scopes: Scopes,
        expires_ms: Option<TimeMs>,
    ) -> Result<ApiToken, ServiceError> {
        let token = Zeroizing::new(id::new_secret("ekho_"));
        let id = id::new_id("tok_");
        let request = OperatorRequest::CreateApiToken {
            token_hash: self.tokens.hash(&token),
            id: id.clone(),
            name,
            scopes,
            expires_ms,
        };
        self.order(by, request).await?;
        Ok(ApiToken { token, id })
    }

    async fn hashing_turn(&self) -> Result<tokio::sync::SemaphorePermit<'_>, ServiceError> {
        let turn = self.hashing.acquire().await;
        turn.map_err(|_| ServiceError::Stopping)
    }

    /// The hash of a password of which only the SHA-256 is known.
    pub(super) async fn hash_digest(&self, digest: [u8; 32]) -> Result<String, ServiceError> {
        let _turn = self.hashing_turn().await?;
        tokio::task::spawn_blocking(move || password::hash_sha256(&digest))
            .await
            .map_err(|error| ServiceError::Internal(error.to_string()))?
            .map_err(|error| ServiceError::Internal(error.to_string()))
    }

    pub(super) async fn hash_password(
        &self,
        password: Zeroizing<String>,
    ) -> Result<String, ServiceError> {
        let _turn = self.hashing_turn().await?;
        tokio::task::spawn_blocking(move || password::hash(&password))
            .await
            .map_err(|error| ServiceError::Internal(error.to_string()))?
            .map_err(|error| ServiceError::Internal(error.to_string()))
    }
}

/// What a password is checked against.
fn password_hash(operator: Option<&Operator>) -> String {
    let hash = operator.map_or("", |operator| operator.password_hash.as_str());
    match hash {
        "" => NO_PASSWORD.into(),
        hash => hash.into(),
    }
}

async fn verify(password: Zeroizing<String>, hash: String) -> Result<bool, ServiceError> {
    tokio::task::spawn_blocking(move || password::verify(&password, &hash))
        .await
        .map_err(|error| ServiceError::Internal(error.to_string()))
}
