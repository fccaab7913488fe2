//! Extensions over HTTP: a signed POST, and an answer of bounded size. Redirects are not followed:
//! what is signed for one address goes to no other.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use ekho_storage::tables::TimeMs;
use ekho_storage::tables::hook::{Hook, HookDraft, HookEvent, OnFailure};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::sign::{self, Key};
use crate::clock::{Iso, now_ms};
use crate::extension::{Answer, Call, Decision, Extension, Failure, Message, NewFleet};
use crate::ingress::seal::Sealer;
use crate::loopback::is_loopback;
use crate::outward;

/// Longest way to a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Connections that lie idle are kept that long.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Of an answer.
const ANSWER_MAX_BYTES: usize = 256 << 10;

/// The HTTP clients of all hooks, made when first needed.
#[derive(Default)]
pub struct Clients {
    /// By whether a proxy may be used.
    made: [OnceLock<Result<Client, String>>; 2],
}

impl Clients {
    fn of(&self, url: &str) -> Result<Client, String> {
        let is_near = Url::parse(url).is_ok_and(|url| is_loopback(&url));
        let client = self.made[usize::from(is_near)].get_or_init(|| build(is_near));
        client.clone()
    }
}

fn build(is_near: bool) -> Result<Client, String> {
    // Fails only where a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(concat!("ekho/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .redirect(Policy::none());
    if is_near {
        // A proxy for the rest of the world cannot reach what runs beside the relay.
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| error.to_string())
}

/// A hook that an operator registered.
pub struct HttpHook {
    draft: HookDraft,
    /// What requests are signed with, and until when.
    keys: Vec<(Key, Option<TimeMs>)>,
    client: Result<Client, String>,
}

/// The body of a request.
#[derive(Serialize)]
struct Payload<'a, T> {
    r#type: &'a str,
    timestamp: Iso,
    fleet_id: &'a str,
    data: T,
}

/// The answer before a message is accepted.
#[derive(Deserialize)]
struct Given<'a> {
    action: Action,
    reason: Option<String>,
    tags: Option<Vec<String>>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Allow,
    Block,
}

impl HttpHook {
    /// A hook, its secrets opened.
    pub fn new(hook: &Hook, sealer: &Sealer, clients: &Clients) -> Self {
        let mut keys = Vec::with_capacity(hook.secrets.len());
        for secret in &hook.secrets {
            match sealer.open(&hook.id, &secret.sealed) {
                Ok(key) => keys.push((key, secret.valid_until_ms)),
                Err(error) => tracing::error!(%error, hook = hook.id, "a hook's secret"),
            }
        }
        HttpHook {
            client: clients.of(&hook.draft.url),
            draft: hook.draft.clone(),
            keys,
        }
    }

    /// Sends a signed request that asks nothing; the status of the answer.
    pub async fn ping(&self, call: &Call) -> Result<u16, Failure> {
        let (status, _) = self.send(call, "ping", json!({})).await?;
        Ok(status)
    }

    async fn post(&self, call: &Call, kind: &str, data: impl Serialize) -> Result<Bytes, Failure> {
        let (_, answer) = self.send(call, kind, data).await?;
        Ok(answer)
    }

    async fn send(
        &self,
        call: &Call,
        kind: &str,
        data: impl Serialize,
    ) -> Result<(u16, Bytes), Failure> {
        let client = self.client.as_ref();
        let client = client.map_err(|error| Failure::Failed(error.clone()))?;
        let body = serde_json::to_vec(&Payload {
            r#type: kind,
            timestamp: Iso(call.at_ms),
            fleet_id: &call.fleet_id,
            data,
        })
        .map_err(|error| Failure::Failed(error.to_string()))?;
        let now = now_ms();
        let valid = |until: &Option<TimeMs>| until.is_none_or(|until| now < until);
        let keys: Vec<&Key> = self
            .keys
            .iter()
            .filter(|(_, until)| valid(until))
            .map(|(key, _)| key)
            .collect();
        if keys.is_empty() {
            let why = "its secret cannot be opened with this master secret";
            return Err(Failure::Failed(why.into()));
        }
        let seconds = now / 1000;
        let mut response = client
            .post(&self.draft.url)
            .header("content-type", "application/json")
            .header("webhook-id", &call.id)
            .header("webhook-timestamp", seconds)
            .header(
                "webhook-signature",
                sign::signatures(&keys, &call.id, seconds, &body),
            )
            .body(body)
            .send()
            .await
            .map_err(|error| unreachable_because(&error))?;
        let status = response.status();
        if !status.is_success() {
            return Err(Failure::Status(status.as_u16()));
        }
        let mut answer = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| unreachable_because(&error))?
        {
            if answer.len() + chunk.len() > ANSWER_MAX_BYTES {
                let why = format!("more than {ANSWER_MAX_BYTES} bytes");
                return Err(Failure::BadAnswer(why));
            }
            answer.extend_from_slice(&chunk);
        }
        Ok((status.as_u16(), answer.into()))
    }
}

/// What went wrong on the way.
fn unreachable_because(error: &reqwest::Error) -> Failure {
    match error.is_timeout() {
        true => Failure::Timeout,
        false => Failure::Unreachable(outward::because(error)),
    }
}

/// Reads the answer before a message is accepted. An empty one has nothing against it.
fn decision(bytes: &[u8]) -> Result<Decision, Failure> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Decision::allow());
    }
    let given: Given<'_> =
        serde_json::from_slice(bytes).map_err(|error| Failure::BadAnswer(error.to_string()))?;
    Ok(match given.action {
        Action::Allow => Decision::Allow {
            tags: given.tags.unwrap_or_default(),
            metadata: given.metadata.map(|raw| raw.get().to_string()),
        },
        Action::Block => Decision::Block {
            reason: given.reason.unwrap_or_else(|| "no reason given".into()),
        },
    })
}

impl Extension for HttpHook {
    fn name(&self) -> &str {
        &self.draft.name
    }

    fn wants(&self, event: HookEvent) -> bool {
        self.draft.events.contains(&event)
    }

    fn timeout(&self) -> Duration {
        Duration::from_millis(self.draft.timeout_ms)
    }

    fn on_failure(&self) -> OnFailure {
        self.draft.on_failure
    }

    fn retry_for(&self) -> Duration {
        Duration::from_millis(self.draft.retry_ms)
    }

    fn on_before_message<'a>(
        &'a self,
        call: &'a Call,
        message: &'a Message,
    ) -> Answer<'a, Decision> {
        Box::pin(async move {
            let kind = HookEvent::BeforeMessage.as_str();
            let answer = self.post(call, kind, About { message }).await?;
            decision(&answer)
        })
    }

    fn on_after_message<'a>(&'a self, call: &'a Call, message: &'a Message) -> Answer<'a, ()> {
        Box::pin(async move {
            let kind = HookEvent::AfterMessage.as_str();
            self.post(call, kind, About { message }).await.map(|_| ())
        })
    }

    fn on_fleet_created<'a>(&'a self, call: &'a Call, fleet: &'a NewFleet) -> Answer<'a, ()> {
        Box::pin(async move {
            let kind = HookEvent::FleetCreated.as_str();
            let data = json!({ "fleet": fleet });
            self.post(call, kind, data).await.map(|_| ())
        })
    }

    fn on_overview<'a>(&'a self, call: &'a Call) -> Answer<'a, Value> {
        Box::pin(async move {
            let kind = HookEvent::Overview.as_str();
            let answer = self.post(call, kind, json!({})).await?;
            if answer.is_empty() {
                return Ok(Value::Null);
            }
            serde_json::from_slice(&answer).map_err(|error| Failure::BadAnswer(error.to_string()))
        })
    }
}

/// `data` of events about a message, whose body is passed on as it is.
#[derive(Serialize)]
struct About<'a> {
    message: &'a Message,
}

/// What is wrong with an address for a hook, if anything is.
pub fn check_url(text: &str) -> Result<(), &'static str> {
    let Ok(url) = Url::parse(text) else {
        return Err("expected http://HOST… or https://HOST…");
    };
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err("expected http://HOST… or https://HOST…");
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err("without user, password and fragment; requests are signed");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_strictly() {
        assert_eq!(decision(b""), Ok(Decision::allow()));
        assert_eq!(decision(b"{\"action\":\"allow\"}"), Ok(Decision::allow()));
        assert_eq!(
            decision(br#"{"action":"allow","tags":["a"],"metadata":{"k":1},"more":2}"#),
            Ok(Decision::Allow {
                tags: vec!["a".into()],
                metadata: Some(r#"{"k":1}"#.into()),
            })
        );
        assert_eq!(
            decision(br#"{"action":"block","reason":"secrets"}"#),
            Ok(Decision::block("secrets"))
        );
        for bad in [
            "{}",
            "ok",
            "null",
            r#"{"action":"maybe"}"#,
            r#"{"action":"allow","tags":"a"}"#,
        ] {
            let read = decision(bad.as_bytes());
            assert!(
                matches!(read, Err(Failure::BadAnswer(_))),
                "{bad}: {read:?}"
            );
        }
    }

    #[test]
    fn addresses_are_checked() {
        for good in ["http://127.0.0.1:4100/", "https://hooks.example.org/a?b=c"] {
            assert_eq!(check_url(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "hooks.example.org",
            "ftp://hooks.example.org/",
            "http://",
            "https://user:password@hooks.example.org/",
            "https://hooks.example.org/#part",
            "file:///etc/passwd",
        ] {
            assert!(check_url(bad).is_err(), "{bad}");
        }
    }
}
