//! A small honest history, for the tests of the judge.

use crate::history::{
    AgentNo, Call, Content, Counters, Fingerprint, Handed, History, Message, MessageNo, Micros, Op,
    Outcome,
};

const SENDER: AgentNo = 0;
const OTHER_SENDER: AgentNo = 1;
pub(super) const READER: AgentNo = 2;
const OTHER_READER: AgentNo = 3;

pub(super) fn id(no: MessageNo) -> String {
    format!("msg_{no}")
}

fn content(no: MessageNo) -> Content {
    Content {
        body: Fingerprint::of(format!("{{\"no\": {no}}}").as_bytes()),
        metadata: Fingerprint::of(b"{}"),
        conversation_id: "c".into(),
        sender_id: format!("agent_{}", sender(no)),
        message_type: "direct".into(),
        priority: "normal".into(),
        ttl_ms: 3_600_000,
    }
}

fn sender(no: MessageNo) -> AgentNo {
    if no.is_multiple_of(2) {
        SENDER
    } else {
        OTHER_SENDER
    }
}

pub(super) fn op(agent: AgentNo, began: Micros, call: Call, outcome: Outcome) -> Op {
    Op {
        agent,
        node: 0,
        nonce: format!("n{agent}-{began}"),
        began,
        ended: began + 5,
        call,
        outcome,
    }
}

pub(super) fn queued(no: MessageNo, repeated: bool) -> Outcome {
    Outcome::Queued {
        id: id(no),
        queued_at: 1000 + no as i64,
        repeated,
    }
}

pub(super) fn handed(no: MessageNo, attempt: u32) -> Handed {
    let created_at = 1000 + no as i64;
    Handed {
        message: Some(no),
        id: id(no),
        content: content(no),
        created_at,
        attempt,
    }
}

pub(super) fn refused(status: u16, code: &str) -> Outcome {
    Outcome::Refused {
        status,
        code: code.into(),
    }
}

/// Eight messages: 0 to 2 to one reader, 3 to both. 4 is answered on the second request, 5 never
/// (and was stored), 6 is refused, 7 is unknown (and was not stored). 1 is handed out twice, the ack
/// of 2 is not answered and repeated, a replay is refused, a sender looks.
pub(super) fn honest() -> (History, Counters) {
    let both = vec![READER, OTHER_READER];
    let recipients = |no| if no == 3 { both.clone() } else { vec![READER] };
    let messages = (0..8)
        .map(|no| Message {
            recipients: recipients(no),
            content: content(no),
            keyed: true,
            delay_ms: 0,
        })
        .collect();
    let send = |no: MessageNo, began, outcome| op(sender(no), began, Call::Send(no), outcome);
    let poll = |agent, began, messages| op(agent, began, Call::Poll, Outcome::Handed(messages));
    let ack = |agent, began, messages: &[MessageNo], outcome| {
        op(
            agent,
            began,
            Call::Ack(messages.iter().map(|no| id(*no)).collect()),
            outcome,
        )
    };
    let mut replay = op(SENDER, 200, Call::Replay, refused(401, "replayed_nonce"));
    replay.nonce = "n0-10".into();
    let ops = vec![
        send(0, 10, queued(0, false)),
        send(1, 20, queued(1, false)),
        send(2, 30, queued(2, false)),
        send(3, 40, queued(3, false)),
        send(4, 50, Outcome::Unknown),
        send(4, 60, queued(4, true)),
        send(5, 70, Outcome::Unknown),
        send(6, 80, refused(503, "disk_full")),
        send(7, 90, Outcome::Unknown),
        poll(
            READER,
            100,
            vec![handed(0, 1), handed(1, 1), handed(2, 1), handed(3, 1)],
        ),
        ack(READER, 110, &[0], Outcome::Updated(1)),
        ack(READER, 120, &[2], Outcome::Unknown),
        ack(READER, 130, &[2, 3], Outcome::Updated(1)),
        poll(READER, 140, vec![handed(4, 1), handed(5, 1), handed(1, 2)]),
        ack(READER, 150, &[1, 4, 5], Outcome::Updated(3)),
        poll(OTHER_READER, 160, vec![handed(3, 1)]),
        op(
            sender(3),
            163,
            Call::Look(id(3)),
            Outcome::Seen("delivered".into()),
        ),
        ack(OTHER_READER, 170, &[3], Outcome::Updated(1)),
        op(
            sender(3),
            180,
            Call::Look(id(3)),
            Outcome::Seen("acked".into()),
        ),
        op(
            READER,
            190,
            Call::Poll,
            refused(401, "timestamp_before_leadership"),
        ),
        replay,
    ];
    let page = "\
# HELP ekho_messages_total Messages by status
ekho_messages_accepted_total 6
ekho_messages_total{status=\"queued\"} 0
ekho_messages_total{status=\"done\"} 6
ekho_messages_total{status=\"cancelled\"} 0
ekho_deliveries_total{status=\"queued\"} 0
ekho_deliveries_total{status=\"delivered\"} 0
ekho_deliveries_total{status=\"acked\"} 7
ekho_deliveries_total{status=\"expired\"} 0
ekho_deliveries_total{status=\"dead_lettered\"} 0
ekho_deliveries_total{status=\"cancelled\"} 0
ekho_dead_letters_total 0
ekho_rate_violations_24h 0
ekho_commit_seconds_sum 0.125
";
    (History { messages, ops }, Counters::parse(page))
}
