//! Every code that an error can carry, with its status and what it means. The one table: what
//! `error.rs` answers, what the description in `openapi` says and what docs/errors.md lists all
//! come from here, so a code cannot exist without being documented.

use axum::http::StatusCode;
use serde::{Serialize, Serializer};

macro_rules! codes {
    ($($status:ident $text:literal $variant:ident $meaning:literal,)*) => {
        /// What an error says to programs. Codes do not change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = $meaning] $variant,)*
        }

        impl Code {
            /// All of them, by status.
            pub const ALL: &'static [Code] = &[$(Code::$variant),*];

            /// As it is written.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $text,)* }
            }

            /// The status it comes with.
            pub fn status(self) -> StatusCode {
                match self { $(Code::$variant => StatusCode::$status,)* }
            }

            /// What it means, for people.
            pub fn meaning(self) -> &'static str {
                match self { $(Code::$variant => $meaning,)* }
            }
        }
    };
}

codes! {
    BAD_REQUEST "validation_failed" ValidationFailed
        "the request is malformed; `error` says which field, and why",
    BAD_REQUEST "body_incomplete" BodyIncomplete
        "the connection broke within the body",
    BAD_REQUEST "invalid_token" InvalidToken
        "the enrolment token or its fleet is wrong, or the token used or expired",
    BAD_REQUEST "room_conversation" RoomConversation
        "the conversation id is a room's: send to the room",
    BAD_REQUEST "too_many_recipients" TooManyRecipients
        "the fleet has more agents than one message may reach",
    BAD_REQUEST "oidc_flow" OidcFlow
        "the sign-in was not begun in this browser, or more than ten minutes ago: begin again",
    UNAUTHORIZED "missing_auth_headers" MissingAuthHeaders
        "a header of the signature is missing, empty or not text",
    UNAUTHORIZED "invalid_credentials" InvalidCredentials
        "no such agent, or it was revoked; at sign-in: fleet, email or password is wrong",
    UNAUTHORIZED "timestamp_skew" TimestampSkew
        "the timestamp is too far from the relay's clock",
    UNAUTHORIZED "timestamp_before_leadership" TimestampBeforeLeadership
        "signed before the present leader began, or before a restored relay knows what was accepted: sign again after `Retry-After` seconds",
    UNAUTHORIZED "invalid_signature" InvalidSignature
        "method, path, body, time, nonce or secret differ from what was signed",
    UNAUTHORIZED "secret_not_shown" SecretNotShown
        "the agent was imported: its next request has to show the secret in `x-ekho-agent-secret`, over TLS, or an operator gives it a new one",
    UNAUTHORIZED "secret_in_the_open" SecretInTheOpen
        "an imported agent shows its secret over TLS only; where others may have read it, an operator should give it a new one",
    UNAUTHORIZED "replayed_nonce" ReplayedNonce
        "this nonce was accepted before, or a call that carries it is on its way",
    UNAUTHORIZED "totp_required" TotpRequired
        "the password is right, and a code of the second factor is needed",
    UNAUTHORIZED "oidc_refused" OidcRefused
        "the OpenID provider does not vouch for you; `error` says why",
    UNAUTHORIZED "not_signed_in" NotSignedIn
        "no bearer token and no cookie, or its session is over",
    FORBIDDEN "agent_paused" AgentPaused
        "an operator paused the agent",
    FORBIDDEN "agent_quarantined" AgentQuarantined
        "an operator or the relay quarantined the agent",
    FORBIDDEN "policy_denied" PolicyDenied
        "an operator's policy, named in `policy`, keeps the message from its recipient",
    FORBIDDEN "blocked_by_extension" BlockedByExtension
        "a hook or extension, named in `extension`, keeps the message out; `error` says why",
    FORBIDDEN "forbidden" Forbidden
        "the role, or the API token, lacks the scope that `scope` names",
    FORBIDDEN "license_required" LicenseRequired
        "the relay's licence does not allow this; `feature` says what it would have to",
    FORBIDDEN "csrf" Csrf
        "a request with a cookie that changes something, or a sign-in by tailnet, lacks the header `x-ekho-csrf`",
    FORBIDDEN "login_only" LoginOnly
        "only somebody who signed in may do this, no API token",
    FORBIDDEN "no_operator" NoOperator
        "somebody else vouches for you, and no operator of the fleet has your email",
    FORBIDDEN "tailnet_required" TailnetRequired
        "the request does not come from the tailnet, or not as somebody who is let in",
    NOT_FOUND "not_found" NotFound
        "it does not exist, or not for you; also a path that does not exist",
    NOT_FOUND "unknown_recipient" UnknownRecipient
        "no such agent, or no such room with you in it",
    NOT_FOUND "unknown_attachment" UnknownAttachment
        "an attachment that the message binds does not exist, not for its sender, or is named twice",
    METHOD_NOT_ALLOWED "method_not_allowed" MethodNotAllowed
        "the path exists, the method does not",
    CONFLICT "conflict" Conflict
        "too late, or in the way of something else; `error` says what",
    CONFLICT "idempotency_conflict" IdempotencyConflict
        "the idempotency key was used for another request",
    CONFLICT "key_revoked" KeyRevoked
        "an operator revoked the signing or identity key, for good",
    CONFLICT "limit_reached" LimitReached
        "there are as many as there may be",
    CONFLICT "already_set_up" AlreadySetUp
        "the relay is set up already",
    CONFLICT "attachment_quota" AttachmentQuota
        "the attachments of the fleet take as much room as they may",
    CONFLICT "next_secret_missing" NextSecretMissing
        "the nodes in `nodes` have not said that they hold the next master secret, or cannot be reached",
    PAYLOAD_TOO_LARGE "payload_too_large" PayloadTooLarge
        "the request is larger than the limit that `error` names",
    UNSUPPORTED_MEDIA_TYPE "unsupported_media_type" UnsupportedMediaType
        "the attachment is not of the type that `mime` says, or of none that is accepted; `error` says which",
    TOO_MANY_REQUESTS "rate_limited" RateLimited
        "too many messages: wait `Retry-After` seconds, also in the body as `retry_after_seconds`",
    TOO_MANY_REQUESTS "locked_out" LockedOut
        "too many failed sign-ins: wait `Retry-After` seconds, also in the body as `retry_after_seconds`",
    INTERNAL_SERVER_ERROR "internal" Internal
        "a defect; the relay's log says more, under `request_id`",
    SERVICE_UNAVAILABLE "no_leader" NoLeader
        "nothing was done: wait `Retry-After` seconds and try again",
    SERVICE_UNAVAILABLE "outcome_unknown" OutcomeUnknown
        "it may have been done or not: try again, with the same idempotency key where there is one",
    SERVICE_UNAVAILABLE "overloaded" Overloaded
        "nothing was done, too much is under way: wait `Retry-After` seconds and try again",
    SERVICE_UNAVAILABLE "extension_unavailable" ExtensionUnavailable
        "nothing was done, a hook or extension that must be asked does not answer: wait `Retry-After` seconds and try again",
    SERVICE_UNAVAILABLE "oidc_unavailable" OidcUnavailable
        "the OpenID provider does not answer, or not as it must; the relay's log says more",
    SERVICE_UNAVAILABLE "disk_full" DiskFull
        "nothing was done, the disk is full: wait `Retry-After` seconds and try again",
    SERVICE_UNAVAILABLE "edge_outbox_full" EdgeOutboxFull
        "nothing was done, the edge node is cut off and stores no more: wait `Retry-After` seconds and try again",
    SERVICE_UNAVAILABLE "attachment_not_stored" AttachmentNotStored
        "nothing was done, too few nodes could store the attachment: wait `Retry-After` seconds and try again",
    SERVICE_UNAVAILABLE "attachment_unavailable" AttachmentUnavailable
        "no node that can be reached has the file of the attachment: wait `Retry-After` seconds and try again",
    SERVICE_UNAVAILABLE "secret_changed" SecretChanged
        "nothing was done, the master secret was changed at this moment: try again",
    SERVICE_UNAVAILABLE "stopping" Stopping
        "nothing was done, the node is stopping: try again, at another node where there is one",
    SERVICE_UNAVAILABLE "too_many_connections" TooManyConnections
        "the node has as many connections as it may: wait `Retry-After` seconds and try again",
}

impl Code {
    /// The code that is written so.
    pub fn named(text: &str) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.as_str() == text)
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/errors.md lists all codes, each as the table above has it, and no others.
    #[test]
    fn the_documentation_lists_every_code_and_no_other() {
        let page = include_str!("../../docs/errors.md");
        let is_code = |line: &&str| line.trim_start_matches("| ").starts_with(char::is_numeric);
        let written: Vec<&str> = page.lines().filter(is_code).collect();
        let expected: Vec<String> = Code::ALL
            .iter()
            .map(|code| {
                format!(
                    "| {} | `{}` | {} |",
                    code.status().as_u16(),
                    code.as_str(),
                    code.meaning()
                )
            })
            .collect();
        assert_eq!(written, expected);
    }

    #[test]
    fn a_code_is_written_once() {
        for code in Code::ALL {
            assert_eq!(Code::named(code.as_str()), Some(*code));
        }
    }
}
