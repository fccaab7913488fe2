//! The first use of a relay that was just set up, on a port of this machine that nobody else knows:
//! a first enrolment token, and a test agent that sends, receives, acks and is revoked again.

use std::net::Ipv4Addr;
use std::sync::Arc;

use ekho_client::{
    AckItem, DeliveryStatus, EkhoAgentClient, EnrollRequest, InboxQuery, MessageType, Recipient,
    SendMessage,
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::cli::client::{Client, under};
use crate::cli::credentials::Credentials;
use crate::cli::{CliError, say};
use crate::config::{Config, Tailnet};
use crate::id;
use crate::metrics::Metrics;
use crate::relay::Relay;
use crate::server::Server;

const TOKENS: &str = "/v1/operator/enrollment-tokens";
const AGENTS: &str = "/v1/operator/agents";
const AGENT: &str = "setup-test";
const WAIT_SECONDS: u32 = 10;

/// What is to be done with the relay.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wishes {
    /// A first enrolment token is to be made.
    pub token: bool,
    /// A test agent is to use it.
    pub smoke_test: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Tried {
    pub token: Option<String>,
    pub smoke_test: bool,
}

/// Serves the relay on a free port of this machine for as long as its owner uses it.
pub(super) async fn run(
    relay: &Relay,
    config: &Config,
    metrics: Arc<Metrics>,
    owner: &Credentials,
    wishes: Wishes,
) -> Result<Tried, CliError> {
    let mut tried = Tried::default();
    if !wishes.token && !wishes.smoke_test {
        return Ok(tried);
    }
    let config = Config {
        host: Ipv4Addr::LOCALHOST.to_string(),
        port: 0,
        tls: None,
        // Nobody comes from the tailnet to this port; the password decides.
        tailnet: Tailnet::default(),
        ..config.clone()
    };
    let server = Server::bind(&config).await?;
    let url = format!("http://{}", server.address());
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(server.run(relay.router(&config), metrics, shutdown.clone()));
    let used = use_it(&url, owner, wishes, &mut tried).await;
    shutdown.cancel();
    if let Err(error) = serving.await {
        tracing::error!(%error, "the listener failed");
    }
    used.map(|()| tried)
}

async fn use_it(
    url: &str,
    owner: &Credentials,
    wishes: Wishes,
    tried: &mut Tried,
) -> Result<(), CliError> {
    let mut operator = Client::new(url, None)?;
    let signed_in = operator.sign_in(owner).await?;
    if wishes.smoke_test {
        let token = token(&operator).await?;
        smoke_test(url, &operator, &signed_in.fleet_id, token).await?;
        tried.smoke_test = true;
    }
    if wishes.token {
        tried.token = Some(token(&operator).await?);
    }
    Ok(operator.sign_out().await?)
}

async fn token(operator: &Client) -> Result<String, CliError> {
    let made = operator.post(TOKENS, &json!({})).await?;
    let token = made["token"].as_str().map(str::to_string);
    token.ok_or_else(|| CliError::Trial("the relay made no enrolment token".into()))
}

/// A test agent comes, uses the relay and goes.
async fn smoke_test(
    url: &str,
    operator: &Client,
    fleet_id: &str,
    token: String,
) -> Result<(), CliError> {
    let request = EnrollRequest::new(fleet_id, token, AGENT);
    let enrolled = EkhoAgentClient::enroll(url, &request).await?;
    let client = EkhoAgentClient::builder(&enrolled.agent_id, &enrolled.secret)
        .relay(url)
        .build()?;
    let used = exchange(&client).await;
    // Whatever came of it, no agent is left behind.
    let path = under(AGENTS, &enrolled.agent_id, "/revoke");
    let revoked = operator
        .post(
            &path,
            &json!({ "reason": "the test of `ekho setup` is over" }),
        )
        .await;
    if let (Err(_), Err(error)) = (&used, &revoked) {
        say(&format!("warning: the test agent is still there: {error}"));
    }
    used?;
    revoked?;
    match client.get_inbox(&InboxQuery::default()).await {
        Err(error) if error.status_code() == Some(401) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => Err(CliError::Trial("a revoked agent still gets in".into())),
    }
}

/// It sends itself a message, receives it, and acks it.
async fn exchange(client: &EkhoAgentClient) -> Result<(), CliError> {
    let body = json!({ "text": id::new_id("setup_") });
    let sent = client
        .send_message(&SendMessage::new(
            Recipient::agent(client.agent_id()),
            MessageType::Direct,
            id::new_id("conv_"),
            body.clone(),
        ))
        .await?;
    let query = InboxQuery {
        wait_seconds: Some(WAIT_SECONDS),
        ..InboxQuery::default()
    };
    let inbox = client.get_inbox(&query).await?;
    let received = inbox
        .messages
        .iter()
        .find(|message| message.message_id == sent.message_id)
        .ok_or_else(|| CliError::Trial("a message did not arrive".into()))?;
    if received.body != body {
        return Err(CliError::Trial("a message arrived changed".into()));
    }
    client
        .ack_messages(vec![AckItem::now(&sent.message_id)])
        .await?;
    let state = client.get_message(&sent.message_id).await?;
    match state
        .deliveries
        .iter()
        .all(|one| one.status == DeliveryStatus::Acked)
    {
        true => Ok(()),
        false => Err(CliError::Trial(format!(
            "an acked message is {}",
            state.status
        ))),
    }
}
