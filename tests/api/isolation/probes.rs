//! What is asked with ids of another fleet: a method, a target and a body in which names in braces
//! stand for ids. `{own …}` is the asker's.

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The owner of a fleet.
    Operator,
    /// An agent of a fleet.
    Agent,
}

/// One question.
pub struct Probe {
    /// Who asks.
    pub who: Who,
    /// Method.
    pub method: &'static str,
    /// Path and query.
    pub target: &'static str,
    /// JSON; empty for none.
    pub body: &'static str,
}

const fn operator(method: &'static str, target: &'static str, body: &'static str) -> Probe {
    Probe {
        who: Who::Operator,
        method,
        target,
        body,
    }
}

const fn agent(method: &'static str, target: &'static str, body: &'static str) -> Probe {
    Probe {
        who: Who::Agent,
        method,
        target,
        body,
    }
}

/// Everything that is asked.
pub fn all() -> Vec<&'static Probe> {
    let all = AGENT_API.iter().chain(TASKS).chain(OPERATOR_API);
    all.collect()
}

/// Tasks, to those who work on them and in the bindings of A2A. The cards that anybody sees without
/// asking for anything else are not secret.
const TASKS: &[Probe] = &[
    agent("GET", "/v1/tasks/{task}", ""),
    agent(
        "POST",
        "/v1/tasks/{task}/status",
        r#"{"state":"completed"}"#,
    ),
    agent(
        "POST",
        "/v1/tasks/{task}/artifacts",
        r#"{"artifact":{"artifactId":"a","parts":[{"text":"t"}]}}"#,
    ),
    agent("GET", "/a2a/v1/tasks/{task}?a2a-version=1.0", ""),
    agent("POST", "/a2a/v1/tasks/{task}:cancel?a2a-version=1.0", "{}"),
    agent("GET", "/a2a/v1/tasks/{task}:subscribe?a2a-version=1.0", ""),
    agent(
        "GET",
        "/a2a/v1/tasks/{task}/pushNotificationConfigs?a2a-version=1.0",
        "",
    ),
    agent(
        "GET",
        "/a2a/v1/tasks/{task}/pushNotificationConfigs/{push}?a2a-version=1.0",
        "",
    ),
    agent(
        "DELETE",
        "/a2a/v1/tasks/{task}/pushNotificationConfigs/{push}?a2a-version=1.0",
        "",
    ),
    agent("GET", "/agents/{agent}/a2a/v1/tasks?a2a-version=1.0", ""),
    agent("GET", "/a2a/v1/{agent2}/tasks?a2a-version=1.0", ""),
    agent(
        "GET",
        "/a2a/v1/tasks?contextId={context}&a2a-version=1.0",
        "",
    ),
    agent(
        "GET",
        "/agents/{agent}/a2a/v1/extendedAgentCard?a2a-version=1.0",
        "",
    ),
    agent(
        "POST",
        "/agents/{agent}/a2a/v1/message:send?a2a-version=1.0",
        r#"{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":"t"}]}}"#,
    ),
    agent(
        "POST",
        "/a2a?a2a-version=1.0",
        r#"{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{"tenant":"{fleet}/{agent}","message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":"t"}]}}}"#,
    ),
    agent(
        "POST",
        "/agents/{own agent2}/a2a?a2a-version=1.0",
        r#"{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{"message":{"messageId":"m","role":"ROLE_USER","taskId":"{task}","parts":[{"text":"t"}]}}}"#,
    ),
    agent(
        "POST",
        "/a2a",
        r#"{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"id":"{task}"}}"#,
    ),
    agent(
        "POST",
        "/a2a",
        r#"{"jsonrpc":"2.0","id":1,"method":"tasks/cancel","params":{"id":"{task}"}}"#,
    ),
    agent(
        "POST",
        "/a2a",
        r#"{"jsonrpc":"2.0","id":1,"method":"tasks/resubscribe","params":{"id":"{task}"}}"#,
    ),
];

const AGENT_API: &[Probe] = &[
    agent("GET", "/v1/attachments/{attachment}", ""),
    agent(
        "POST",
        "/v1/messages",
        r#"{"recipient":{"kind":"agent","id":"{own agent2}"},"message_type":"direct","body":{},"conversation_id":"c","correlation_id":"r","attachment_ids":["{attachment}"]}"#,
    ),
    agent("GET", "/v1/messages/{message}", ""),
    agent("DELETE", "/v1/messages/{waiting}", ""),
    agent(
        "POST",
        "/v1/messages",
        r#"{"recipient":{"kind":"agent","id":"{agent}"},"message_type":"direct","body":{},"conversation_id":"c","correlation_id":"r"}"#,
    ),
    agent(
        "POST",
        "/v1/messages",
        r#"{"recipient":{"kind":"group","id":"{room}"},"message_type":"direct","body":{},"conversation_id":"c","correlation_id":"r"}"#,
    ),
    agent(
        "POST",
        "/v1/messages",
        r#"{"recipient":{"kind":"agent","id":"{own agent2}"},"message_type":"direct","body":{},"conversation_id":"{room}","correlation_id":"r"}"#,
    ),
    agent(
        "POST",
        "/v1/messages/batch",
        r#"{"messages":[{"recipient":{"kind":"agent","id":"{agent}"},"message_type":"direct","body":{},"conversation_id":"c","correlation_id":"{message}"}]}"#,
    ),
    agent(
        "POST",
        "/v1/acks",
        r#"{"acks":[{"message_id":"{message}","status":"received","received_at":"2026-01-01T00:00:00.000Z"}]}"#,
    ),
    agent(
        "POST",
        "/v1/nacks",
        r#"{"nacks":[{"message_id":"{message}"}]}"#,
    ),
    agent(
        "POST",
        "/v1/leases",
        r#"{"leases":[{"message_id":"{message}","extend_seconds":60}]}"#,
    ),
    agent("GET", "/v1/agents/{agent}/identity-keys", ""),
    agent("GET", "/v1/agents/{agent}/encryption-keys", ""),
    agent("GET", "/v1/conversations/{conversation}/messages", ""),
    agent("GET", "/v1/agents?search={agent}", ""),
    agent("GET", "/v1/actions/{approval}", ""),
    agent(
        "POST",
        "/v1/actions/result",
        r#"{"approval_id":"{approval}","result":"executed","completed_at":"2026-01-01T00:00:00.000Z"}"#,
    ),
    agent(
        "POST",
        "/v1/actions/propose",
        r#"{"conversation_id":"{conversation}","action_type":"a","summary":"s","risk_level":"low","payload":{}}"#,
    ),
    agent(
        "POST",
        "/v1/rooms",
        r#"{"name":"n","member_agent_ids":["{agent}"]}"#,
    ),
    agent(
        "POST",
        "/v1/notices",
        r#"{"conversation_id":"{conversation}","reason":"r","pending_count":1}"#,
    ),
    agent(
        "POST",
        "/v1/conversations/{conversation}/floor",
        r#"{"ttl_seconds":60}"#,
    ),
    agent(
        "POST",
        "/v1/conversations/{room}/floor",
        r#"{"ttl_seconds":60}"#,
    ),
    agent("DELETE", "/v1/conversations/{conversation}/floor", ""),
    agent(
        "POST",
        "/v1/heartbeats",
        r#"{"status":"healthy","active_conversation_ids":["{conversation}"]}"#,
    ),
];

const OPERATOR_API: &[Probe] = &[
    operator("GET", "/v1/operator/attachments/{attachment}", ""),
    operator(
        "POST",
        "/v1/operator/messages",
        r#"{"recipient_agent_id":"{own agent2}","text":"t","attachment_ids":["{attachment}"]}"#,
    ),
    operator("GET", "/v1/operator/events?resource_id={attachment}", ""),
    operator("GET", "/v1/operator/agents/{agent}", ""),
    operator("GET", "/v1/operator/agents/{agent}/rate-limits", ""),
    operator(
        "PUT",
        "/v1/operator/agents/{agent}/labels",
        r#"{"labels":["a"]}"#,
    ),
    operator("POST", "/v1/operator/agents/{agent}/secret", ""),
    operator(
        "POST",
        "/v1/operator/import",
        r#"{"rows":[{"kind":"room","id":"room_x","name":"n","member_agent_ids":["{agent}"]},{"kind":"approval","id":"apr_0199aaaabbbb7cccddddeeee00000001","agent_id":"{agent}","action_type":"a","summary":"s","risk_level":"high","status":"pending"}]}"#,
    ),
    operator(
        "POST",
        "/v1/operator/import",
        r#"{"rows":[{"kind":"message","id":"{message}","sender_agent_id":"{own agent}","recipient":{"kind":"agent","id":"{agent}"},"message_type":"direct","body":{},"conversation_id":"c","correlation_id":"c","created_at":"2026-01-01T00:00:00.000Z","expires_at":"2099-01-01T00:00:00.000Z","deliveries":[{"agent_id":"{agent}"}]}]}"#,
    ),
    operator(
        "POST",
        "/v1/operator/agents/{agent}/pause",
        r#"{"reason":"r"}"#,
    ),
    operator(
        "POST",
        "/v1/operator/agents/{own agent}/pause",
        r#"{"reason":"r","redirect_agent_id":"{agent}"}"#,
    ),
    operator(
        "POST",
        "/v1/operator/agents/{agent}/quarantine",
        r#"{"reason":"r"}"#,
    ),
    operator(
        "POST",
        "/v1/operator/agents/{own agent}/quarantine",
        r#"{"reason":"r","redirect_agent_id":"{agent}"}"#,
    ),
    operator(
        "POST",
        "/v1/operator/agents/{agent}/resume",
        r#"{"reason":"r"}"#,
    ),
    operator(
        "POST",
        "/v1/operator/agents/{agent}/revoke",
        r#"{"reason":"r"}"#,
    ),
    operator(
        "POST",
        "/v1/operator/agents/{agent}/redirect",
        r#"{"to_agent_id":"{own agent}","reason":"r"}"#,
    ),
    operator(
        "POST",
        "/v1/operator/agents/{own agent}/redirect",
        r#"{"to_agent_id":"{agent}","reason":"r"}"#,
    ),
    operator("GET", "/v1/operator/agents?search={agent}", ""),
    operator("GET", "/v1/operator/agents?ids={agent},{agent2}", ""),
    operator("GET", "/v1/operator/approvals/{approval}", ""),
    operator("GET", "/v1/operator/approvals?search={approval}", ""),
    operator("POST", "/v1/operator/approvals/{approval}/approve", ""),
    operator("POST", "/v1/operator/approvals/{approval}/reject", ""),
    operator("GET", "/v1/operator/conversations/{conversation}", ""),
    operator("GET", "/v1/operator/conversations/{room}", ""),
    operator("GET", "/v1/operator/conversations?search={word}", ""),
    operator("GET", "/v1/operator/search?q={word}", ""),
    operator("GET", "/v1/operator/search?q={conversation}", ""),
    // Events have numbers within their fleet: another fleet's is the asker's own, or none.
    operator("GET", "/v1/operator/events/{agent}", ""),
    operator("GET", "/v1/operator/events?actor_id={agent}", ""),
    operator("GET", "/v1/operator/events?actor_id={operator}", ""),
    operator("GET", "/v1/operator/events?resource_id={policy}", ""),
    operator("GET", "/v1/operator/events?resource_id={message}", ""),
    operator(
        "GET",
        "/v1/operator/events?conversation_id={conversation}",
        "",
    ),
    operator("GET", "/v1/operator/dead-letters/{letter}", ""),
    operator(
        "GET",
        "/v1/operator/dead-letters?sender_agent_id={agent}",
        "",
    ),
    operator(
        "GET",
        "/v1/operator/dead-letters?recipient_agent_id={agent2}",
        "",
    ),
    operator(
        "GET",
        "/v1/operator/dead-letters?conversation_id={conversation}",
        "",
    ),
    operator(
        "POST",
        "/v1/operator/dead-letters/redrive",
        r#"{"all":true,"sender_agent_id":"{agent}"}"#,
    ),
    operator(
        "POST",
        "/v1/operator/dead-letters/purge",
        r#"{"all":true,"sender_agent_id":"{agent}"}"#,
    ),
    operator(
        "POST",
        "/v1/operator/dead-letters/redrive",
        r#"{"ids":["{letter}"]}"#,
    ),
    operator(
        "POST",
        "/v1/operator/dead-letters/purge",
        r#"{"ids":["{letter}"]}"#,
    ),
    operator("GET", "/v1/operator/messages/{message}", ""),
    operator("GET", "/v1/operator/messages?agent_id={agent}", ""),
    operator("GET", "/v1/operator/rooms?ids={room}", ""),
    operator("POST", "/v1/operator/messages/{waiting}/cancel", ""),
    operator(
        "POST",
        "/v1/operator/messages/{waiting}/redirect",
        r#"{"to_agent_id":"{own agent2}","reason":"r"}"#,
    ),
    operator(
        "POST",
        "/v1/operator/messages/{own waiting}/redirect",
        r#"{"to_agent_id":"{agent}","reason":"r"}"#,
    ),
    operator(
        "POST",
        "/v1/operator/messages/{own waiting}/redirect",
        r#"{"from_agent_id":"{agent}","to_agent_id":"{own agent2}","reason":"r"}"#,
    ),
    operator(
        "POST",
        "/v1/operator/messages",
        r#"{"recipient_agent_id":"{agent}","text":"t"}"#,
    ),
    operator(
        "POST",
        "/v1/operator/messages",
        r#"{"room_id":"{room}","text":"t"}"#,
    ),
    operator(
        "POST",
        "/v1/operator/messages",
        r#"{"recipient_agent_id":"{own agent2}","text":"t","conversation_id":"{room}"}"#,
    ),
    operator(
        "PUT",
        "/v1/operator/operators/{operator}",
        r#"{"role":"owner"}"#,
    ),
    operator("DELETE", "/v1/operator/operators/{operator}", ""),
    operator("DELETE", "/v1/operator/operators/{operator}/totp", ""),
    operator("GET", "/v1/operator/operators/{operator}/sessions", ""),
    operator(
        "DELETE",
        "/v1/operator/operators/{operator}/sessions/{session}",
        "",
    ),
    operator(
        "DELETE",
        "/v1/operator/operators/{own operator}/sessions/{session}",
        "",
    ),
    operator("DELETE", "/v1/operator/sessions/{session}", ""),
    operator(
        "POST",
        "/v1/operator/policies/preview",
        r#"{"sender_agent_id":"{agent}","recipient_agent_id":"{agent2}","message_type":"direct"}"#,
    ),
    operator(
        "POST",
        "/v1/operator/policies/preview",
        r#"{"message_id":"{message}"}"#,
    ),
    operator(
        "POST",
        "/v1/operator/policies/preview",
        r#"{"message_id":"{own message}","replaces":"{policy}","draft":{"name":"n","scope_kind":"fleet","rule":{"action":"deny"}}}"#,
    ),
    operator("GET", "/v1/operator/hooks/{hook}", ""),
    operator("GET", "/v1/operator/hooks/{hook}/status", ""),
    operator("PUT", "/v1/operator/hooks/{hook}", r#"{"enabled":true}"#),
    operator("POST", "/v1/operator/hooks/{hook}/test", "{}"),
    operator("POST", "/v1/operator/hooks/{hook}/rotate-secret", "{}"),
    operator("DELETE", "/v1/operator/hooks/{hook}", ""),
    operator("GET", "/v1/operator/hooks?cursor={hook}", ""),
    operator("GET", "/v1/operator/policies/{policy}", ""),
    operator(
        "PUT",
        "/v1/operator/policies/{policy}",
        r#"{"name":"n","scope_kind":"fleet","rule":{"action":"deny","conditions":{"message_type":"alert"}}}"#,
    ),
    operator("DELETE", "/v1/operator/policies/{policy}", ""),
    operator("GET", "/v1/operator/policies/{policy}/versions", ""),
    operator(
        "POST",
        "/v1/operator/policies/{policy}/rollback",
        r#"{"version":1}"#,
    ),
    operator(
        "POST",
        "/v1/operator/policies",
        r#"{"name":"n","scope_kind":"agent","scope_id":"{agent}","rule":{"action":"allow"},"dry_run":true}"#,
    ),
    operator(
        "POST",
        "/v1/operator/policies",
        r#"{"name":"n","scope_kind":"fleet","rule":{"action":"allow","conditions":{"sender_agent_id":"{agent}"}},"dry_run":true}"#,
    ),
    operator(
        "GET",
        "/v1/operator/analytics/pairs?sender_agent_id={agent}",
        "",
    ),
    operator("GET", "/v1/operator/fleets/{fleet}", ""),
    operator(
        "PUT",
        "/v1/operator/fleets/{fleet}",
        r#"{"name":"mine now"}"#,
    ),
    operator(
        "POST",
        "/v1/operator/fleets/{fleet}/archive",
        r#"{"name":"third"}"#,
    ),
    operator("POST", "/v1/operator/fleets/{fleet}/restore", ""),
    operator("DELETE", "/v1/operator/cluster/nodes/{fleet}", ""),
    operator("POST", "/v1/operator/cluster/nodes/{fleet}/promote", ""),
    operator("POST", "/v1/operator/cluster/nodes/{fleet}/demote", ""),
    operator("POST", "/v1/operator/cluster/nodes/{fleet}/drain", ""),
    operator("DELETE", "/v1/operator/cluster/tokens/{fleet}", ""),
    operator("GET", "/v1/operator/agents/{agent2}/inbox", ""),
    operator("GET", "/v1/operator/keys/{signing}", ""),
    operator(
        "POST",
        "/v1/operator/keys/{signing}/endorse",
        r#"{"endorsed_by_key_id":"{own signing}","signature":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="}"#,
    ),
    operator(
        "POST",
        "/v1/operator/keys/{own signing}/endorse",
        r#"{"endorsed_by_key_id":"{signing}","signature":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="}"#,
    ),
    operator(
        "POST",
        "/v1/operator/keys/{signing}/revoke",
        r#"{"reason":"r"}"#,
    ),
    operator("GET", "/v1/operator/a2a/tasks/{task}", ""),
    operator("GET", "/v1/operator/a2a/tasks?agent_id={agent}", ""),
    operator("GET", "/v1/operator/a2a/tasks?context_id={context}", ""),
    operator("GET", "/v1/operator/a2a/clients/{client}", ""),
    operator("GET", "/v1/operator/agents/{client}", ""),
    operator("PUT", "/v1/operator/a2a/clients/{client}", "{}"),
    operator(
        "PUT",
        "/v1/operator/a2a/clients/{own client}",
        r#"{"agents":["{agent}"]}"#,
    ),
    operator(
        "POST",
        "/v1/operator/a2a/clients",
        r#"{"name":"n","agents":["{agent}"]}"#,
    ),
    operator("POST", "/v1/operator/a2a/clients/{client}/tokens", "{}"),
    operator(
        "DELETE",
        "/v1/operator/a2a/clients/{client}/tokens/{token}",
        "",
    ),
    operator(
        "DELETE",
        "/v1/operator/a2a/clients/{own client}/tokens/{token}",
        "",
    ),
    operator("POST", "/v1/operator/a2a/pushes/{task}/{push}/retry", "{}"),
    operator(
        "PUT",
        "/v1/operator/a2a/remotes/{remote}",
        r#"{"card_url":"https://example.com/other"}"#,
    ),
    operator("GET", "/v1/operator/events?resource_id={task}", ""),
    operator("GET", "/v1/operator/agents/{agent}/keys", ""),
    operator(
        "POST",
        "/v1/operator/agents/{agent}/keys/{key}/revoke",
        r#"{"reason":"r"}"#,
    ),
    operator(
        "POST",
        "/v1/operator/agents/{own agent}/keys/{key}/revoke",
        r#"{"reason":"r"}"#,
    ),
];

/// What lists, counts or exports: read through for ids of others.
pub const LISTS: &[&str] = &[
    "/v1/operator/attachments?limit=100",
    "/v1/operator/settings/attachments",
    "/v1/operator/me",
    "/v1/operator/sessions",
    "/v1/operator/keys",
    "/v1/operator/keys/revoked",
    "/v1/operator/operators",
    "/v1/operator/agents?limit=100",
    "/v1/operator/overview",
    "/v1/operator/events?limit=100",
    "/v1/operator/approvals?limit=100",
    "/v1/operator/dead-letters?limit=100",
    "/v1/operator/dead-letters/export",
    "/v1/operator/dead-letters/reasons",
    "/v1/operator/a2a/tasks?limit=100",
    "/v1/operator/policies",
    "/v1/operator/rooms?limit=100",
    "/v1/operator/conversations?limit=100",
    "/v1/operator/search?q=wordofsecond",
    "/v1/operator/search?q=wordofthird",
    "/v1/operator/search?q=wordoffirst",
    "/v1/operator/activity",
    "/v1/operator/topology",
    "/v1/operator/fleet-health",
    "/v1/operator/analytics",
    "/v1/operator/analytics/agents",
    "/v1/operator/analytics/pairs",
    "/v1/operator/audit",
    "/v1/operator/audit/export",
    "/v1/operator/settings",
    "/v1/operator/license",
    "/v1/operator/a2a/clients?limit=100",
    "/v1/operator/a2a/remotes?limit=100",
    "/v1/operator/a2a/pushes?limit=100",
];
