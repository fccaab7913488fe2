//! The provider over HTTP: what it says of itself, its keys, codes for tokens.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::Jwk;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Certificate, Client, StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;
use tokio::sync::{Mutex, Semaphore};

use super::claims::{self, Person};
use super::flow::Flow;
use super::http;
use super::token::{self, Claims, Expected};
use super::{Oidc, OidcError};

/// How long what the provider says of itself, and its keys, are taken for true.
const FRESH: Duration = Duration::from_secs(3600);
/// Keys are not asked for more often, whatever keys tokens name.
const KEYS_PAUSE: Duration = Duration::from_secs(10);
/// Keys of a provider.
const KEYS_MAX: usize = 100;
/// Sign-ins that may be asking the provider at once.
const AT_ONCE: usize = 16;

/// An OpenID provider.
pub struct Provider {
    config: Oidc,
    http: Client,
    // Locked while they are asked for, so that those who sign in at the same time ask once. Nothing
    // but sign-in waits for them.
    metadata: Mutex<Option<(Metadata, Instant)>>,
    keys: Mutex<Option<(Vec<Jwk>, Instant)>>,
    turns: Semaphore,
}

/// Why a provider's client cannot be made.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The file with certificates.
    #[error("EKHO_OIDC_CA_PATH: {path}: {why}", path = path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The client itself.
    #[error("a client for the OpenID provider cannot be made: {0}")]
    Client(reqwest::Error),
}

/// What a provider says of itself (OpenID Connect Discovery 1.0, section 3).
#[derive(Clone, Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: Endpoint,
    token_endpoint: Endpoint,
    jwks_uri: Endpoint,
    userinfo_endpoint: Option<Endpoint>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// An address of the provider.
#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
struct Endpoint(Url);

impl TryFrom<String> for Endpoint {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parsed = text.parse().map(Endpoint);
        parsed.map_err(|error| format!("an endpoint that is no URL: {error}"))
    }
}

/// The answer to a code (RFC 6749, section 5.1).
#[derive(Deserialize)]
struct Tokens {
    id_token: String,
    access_token: Option<String>,
}

/// Why a code was not taken (RFC 6749, section 5.2).
#[derive(Deserialize)]
struct TokenError {
    error: String,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

impl Provider {
    /// A client of the provider. Nothing is asked yet: a provider that is down must not keep the
    /// relay from starting.
    pub fn new(config: &Oidc) -> Result<Self, BuildError> {
        let mut certificates = Vec::new();
        if let Some(path) = &config.ca_path {
            let refuse = |why: String| BuildError::Certificates {
                path: path.clone(),
                why,
            };
            let pem = std::fs::read(path).map_err(|error| refuse(error.to_string()))?;
            certificates =
                Certificate::from_pem_bundle(&pem).map_err(|error| refuse(error.to_string()))?;
            if certificates.is_empty() {
                return Err(refuse("no certificate in PEM form".into()));
            }
        }
        // An issuer without TLS is on this machine; the configuration allows no other.
        let is_loopback = config.issuer.starts_with("http:");
        Ok(Provider {
            config: config.clone(),
            http: http::client(is_loopback, certificates).map_err(BuildError::Client)?,
            metadata: Mutex::new(None),
            keys: Mutex::new(None),
            turns: Semaphore::new(AT_ONCE),
        })
    }

    /// The fleet that it is for.
    pub fn fleet(&self) -> Option<&str> {
        self.config.fleet.as_deref()
    }

    /// Where the browser goes to sign in.
    pub async fn authorization_url(
        &self,
        flow: &Flow,
        redirect_uri: &str,
    ) -> Result<Url, OidcError> {
        let mut url = self.metadata().await?.authorization_endpoint.0;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.config.client_id)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("scope", &self.config.scopes)
            .append_pair("state", &flow.state)
            .append_pair("nonce", &flow.nonce)
            .append_pair("code_challenge", &flow.challenge())
            .append_pair("code_challenge_method", "S256");
        Ok(url)
    }

    /// Whom the provider vouches for with a code that it gave the browser.
    pub async fn person(
        &self,
        flow: &Flow,
        code: &str,
        redirect_uri: &str,
    ) -> Result<Person, OidcError> {
        let Ok(_turn) = self.turns.try_acquire() else {
            return Err(OidcError::Overloaded);
        };
        let metadata = self.metadata().await?;
        let tokens = self.redeem(&metadata, flow, code, redirect_uri).await?;
        let header = token::header(&tokens.id_token)?;
        let key = self.key(&metadata, &header).await?;
        let expected = Expected {
            issuer: &self.config.issuer,
            client_id: &self.config.client_id,
            nonce: &flow.nonce,
        };
        let mut told = token::verify(&tokens.id_token, &key, &header, &expected)?;
        if !claims::is_complete(&self.config, &told) {
            self.ask_for_more(&metadata, &tokens, &mut told).await?;
        }
        claims::person(&self.config, &told)
    }

    /// Whether an answer that names its issuer (RFC 9207) names this one.
    pub fn is_issuer(&self, named: Option<&str>) -> bool {
        named.is_none_or(|named| named == self.config.issuer)
    }

    async fn metadata(&self) -> Result<Metadata, OidcError> {
        let mut known = self.metadata.lock().await;
        if let Some((metadata, since)) = &*known
            && since.elapsed() < FRESH
        {
            return Ok(metadata.clone());
        }
        let issuer = self.config.issuer.as_str();
        let url = format!(
            "{}/.well-known/openid-configuration",
            issuer.trim_end_matches('/')
        );
        let metadata: Metadata = http::json(&url, self.http.get(&url)).await?;
        if metadata.issuer != issuer {
            let why = format!("{url} is that of another issuer, {:?}", metadata.issuer);
            return Err(OidcError::Unavailable(why));
        }
        let endpoints = [
            Some(&metadata.authorization_endpoint),
            Some(&metadata.token_endpoint),
            Some(&metadata.jwks_uri),
            metadata.userinfo_endpoint.as_ref(),
        ];
        let is_safe = |url: &Endpoint| url.0.scheme() == "https" || issuer.starts_with("http:");
        if !endpoints.into_iter().flatten().all(is_safe) {
            let why = format!("{url} names an endpoint without TLS");
            return Err(OidcError::Unavailable(why));
        }
        *known = Some((metadata.clone(), Instant::now()));
        Ok(metadata)
    }

    /// Gives a code and gets tokens for it.
    async fn redeem(
        &self,
        metadata: &Metadata,
        flow: &Flow,
        code: &str,
        redirect_uri: &str,
    ) -> Result<Tokens, OidcError> {
        let client_id = self.config.client_id.as_str();
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri),
            ("code_verifier", flow.verifier.as_str()),
        ];
        let mut request = self.http.post(metadata.token_endpoint.0.clone());
        let methods = metadata.token_endpoint_auth_methods_supported.as_deref();
        // The default where a provider says nothing.
        let takes_basic = methods
            .is_none_or(|methods| methods.iter().any(|method| method == "client_secret_basic"));
        match &self.config.client_secret {
            Some(secret) if takes_basic => {
                let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
                request = request.basic_auth(encoded(client_id), Some(encoded(secret)));
            }
            Some(secret) => {
                form.push(("client_id", client_id));
                form.push(("client_secret", secret));
            }
            None => form.push(("client_id", client_id)),
        }
        let (status, body) = http::send(request.form(&form)).await?;
        if status.is_client_error() {
            let why: Result<TokenError, _> = serde_json::from_slice(&body);
            let why = why.map_or_else(|_| status.to_string(), |why| shown(&why.error));
            return Err(OidcError::Refused(format!(
                "the provider did not take the code: {why}"
            )));
        }
        if status != StatusCode::OK {
            return Err(OidcError::Unavailable(format!("token endpoint: {status}")));
        }
        serde_json::from_slice(&body)
            .map_err(|error| OidcError::Unavailable(format!("token endpoint: {error}")))
    }

    /// The key that a token is signed with. One that is not known may be new: then the keys are
    /// asked for again, but not more often than now and then.
    async fn key(
        &self,
        metadata: &Metadata,
        header: &jsonwebtoken::Header,
    ) -> Result<Jwk, OidcError> {
        let mut known = self.keys.lock().await;
        let age = known.as_ref().map(|(_, since)| since.elapsed());
        if let Some((keys, _)) = &*known
            && age.is_some_and(|age| age < FRESH)
            && let Some(key) = token::pick(keys, header)
        {
            return Ok(key.clone());
        }
        let unknown = || OidcError::refused("the ID token is signed with an unknown key");
        if age.is_some_and(|age| age < KEYS_PAUSE) {
            return Err(unknown());
        }
        let url = metadata.jwks_uri.0.clone();
        let set: KeySet = http::json("keys", self.http.get(url)).await?;
        // Kinds of keys that are not known here are nobody's fault.
        let parse = |key: Value| serde_json::from_value::<Jwk>(key).ok();
        let keys: Vec<Jwk> = set
            .keys
            .into_iter()
            .filter_map(parse)
            .take(KEYS_MAX)
            .collect();
        let found = token::pick(&keys, header).cloned();
        *known = Some((keys, Instant::now()));
        found.ok_or_else(unknown)
    }

    /// Adds what the userinfo endpoint tells and the ID token does not.
    async fn ask_for_more(
        &self,
        metadata: &Metadata,
        tokens: &Tokens,
        told: &mut Claims,
    ) -> Result<(), OidcError> {
        let (Some(url), Some(access_token)) = (&metadata.userinfo_endpoint, &tokens.access_token)
        else {
            return Ok(());
        };
        let request = self.http.get(url.0.clone()).bearer_auth(access_token);
        let more: Claims = http::json("userinfo", request).await?;
        // OpenID Connect Core 1.0, section 5.3.2: it may be about somebody else.
        if more.get("sub") != told.get("sub") {
            return Err(OidcError::refused(
                "the userinfo endpoint tells of somebody else",
            ));
        }
        for (name, value) in more {
            told.entry(name).or_insert(value);
        }
        Ok(())
    }
}

/// A word that the provider, or whoever stands for it, sent: shortened, and nothing but plain
/// letters.
pub fn shown(word: &str) -> String {
    let plain = word
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    plain.take(64).collect()
}
