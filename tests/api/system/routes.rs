//! Every endpoint, and what it says to those who may not use it

use crate::support::{Http, shared};

/// The agent API of contract.md (without attachments) and what goes beyond it.
const AGENT: [(&str, &str); 22] = [
    ("POST", "/v1/messages"),
    ("POST", "/v1/messages/batch"),
    ("GET", "/v1/messages/msg_00000000000000000000000000000000"),
    (
        "DELETE",
        "/v1/messages/msg_00000000000000000000000000000000",
    ),
    ("GET", "/v1/inbox"),
    ("GET", "/v1/inbox?wait=60"),
    ("GET", "/v1/inbox/stream"),
    ("POST", "/v1/acks"),
    ("POST", "/v1/nacks"),
    ("POST", "/v1/leases"),
    ("POST", "/v1/heartbeats"),
    ("POST", "/v1/actions/propose"),
    ("GET", "/v1/actions/apr_00000000000000000000000000000000"),
    ("POST", "/v1/actions/result"),
    ("POST", "/v1/rooms"),
    ("POST", "/v1/notices"),
    ("POST", "/v1/conversations/c/floor"),
    ("DELETE", "/v1/conversations/c/floor"),
    ("POST", "/v1/identity-key"),
    ("PUT", "/v1/encryption-key"),
    ("DELETE", "/v1/encryption-key"),
    ("POST", "/v1/credentials/rotate"),
];

const OPERATOR: [(&str, &str); 12] = [
    ("POST", "/v1/operator/logout"),
    ("POST", "/v1/operator/enrollment-tokens"),
    ("GET", "/v1/operator/agents"),
    ("GET", "/v1/operator/agents/agent_1"),
    ("POST", "/v1/operator/agents/agent_1/pause"),
    ("POST", "/v1/operator/agents/agent_1/resume"),
    ("POST", "/v1/operator/agents/agent_1/quarantine"),
    ("POST", "/v1/operator/agents/agent_1/revoke"),
    (
        "POST",
        "/v1/operator/approvals/apr_00000000000000000000000000000000/approve",
    ),
    (
        "POST",
        "/v1/operator/approvals/apr_00000000000000000000000000000000/reject",
    ),
    ("GET", "/v1/operator/settings"),
    ("PUT", "/v1/operator/settings"),
];

#[tokio::test]
async fn no_agent_endpoint_answers_without_a_signature() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let http = Http::new();
    for (method, target) in AGENT {
        let url = format!("{}{target}", relay.url());
        let bare = http.send(method, &url, &[], "{}".into()).await;
        bare.refused(401, "missing auth headers", "missing_auth_headers");
        // An operator is not an agent.
        let as_operator = operator.call(method, target, None).await;
        as_operator.refused(401, "missing auth headers", "missing_auth_headers");
    }
}

#[tokio::test]
async fn no_operator_endpoint_answers_without_a_session() {
    let relay = shared().await;
    let [agent] = relay.agents(["agent"]).await;
    let http = Http::new();
    for (method, target) in OPERATOR {
        let url = format!("{}{target}", relay.url());
        let bare = http.send(method, &url, &[], "{}".into()).await;
        assert_eq!(
            (bare.status, bare.code().as_str()),
            (401, "not_signed_in"),
            "{method} {target}"
        );
        // An agent is not an operator.
        let as_agent = agent.request(method, target).body("{}").send().await;
        assert_eq!(
            (as_agent.status, as_agent.code().as_str()),
            (401, "not_signed_in"),
            "{method} {target}"
        );
    }
}

#[tokio::test]
async fn what_is_not_there_is_told_as_json() {
    let relay = shared().await;
    let http = Http::new();
    for target in [
        "/nothing",
        "/v1",
        "/v1/",
        "/v1/messages/",
        "/v1//messages",
        "/v2/messages",
        "/v1/operator",
    ] {
        http.get(&format!("{}{target}", relay.url())).await.refused(
            404,
            "no such endpoint",
            "not_found",
        );
    }
    for (method, target) in [
        ("GET", "/v1/messages"),
        ("PUT", "/v1/inbox"),
        ("DELETE", "/healthz"),
        ("PATCH", "/"),
    ] {
        let answer = http
            .send(method, &format!("{}{target}", relay.url()), &[], "".into())
            .await;
        answer.refused(405, "method not allowed here", "method_not_allowed");
    }
}

/// A path that is not text names nothing, and says so like everything else.
#[tokio::test]
async fn a_path_that_is_not_text_is_refused_as_json() {
    let relay = shared().await;
    let [agent] = relay.agents(["agent"]).await;
    let operator = relay.operator().await;
    for (method, target) in [
        ("POST", "/v1/conversations/%FF/floor"),
        ("DELETE", "/v1/conversations/%FF/floor"),
        ("GET", "/v1/messages/%FF"),
        ("DELETE", "/v1/messages/%FF"),
        ("GET", "/v1/actions/%FF"),
    ] {
        let answer = agent.call(method, target, "").await;
        assert!(
            matches!(answer.status, 400 | 404),
            "{method} {target}: {}",
            answer.text()
        );
        assert!(
            !answer.code().is_empty(),
            "{method} {target}: {}",
            answer.text()
        );
        let bare = agent
            .http
            .send(method, &format!("{}{target}", relay.url()), &[], "".into())
            .await;
        assert_eq!(
            bare.status,
            401,
            "unsigned {method} {target}: {}",
            bare.text()
        );
    }
    let answer = operator.get("/v1/operator/agents/%FF").await;
    assert!(
        matches!(answer.status, 400 | 404) && !answer.code().is_empty(),
        "{}",
        answer.text()
    );
    let answer = operator.get("/v1/operator/agents?search=%FF").await;
    assert!(matches!(answer.status, 200 | 400), "{}", answer.text());
    answer.json();
}
