//! Attachments: who may make, bind and read them, how much there may be, and when they go.

use ekho::machine::attachment::{MESSAGES_MAX, PER_MESSAGE_MAX, may_read};
use ekho::machine::command::{
    AgentRequest, Command, NewAttachment, NewMessage, OperatorRequest, Schedule,
};
use ekho::machine::outcome::{HeldStatus, Outcome, Refusal, Sent};
use ekho_storage::tables::agent::HoldKind;
use ekho_storage::tables::attachment::{self, Attachment, AttachmentSettings, Uploader};
use ekho_storage::tables::counter::Counter;
use ekho_storage::tables::event::EventKind;
use ekho_storage::tables::message::Recipient;
use ekho_storage::tables::settings::Settings;

use crate::determinism::same;
use crate::rig::{DAY, FLEET, HOUR, MINUTE, OPERATOR_ID, Peer, Relay, SECOND};

fn relay() -> Relay {
    Relay::with(Settings {
        rate_max_messages: 1_000_000,
        ..Settings::default()
    })
}

fn file(relay: &mut Relay, content: u8, size_bytes: u64) -> NewAttachment {
    NewAttachment {
        uuid: relay.next_id(),
        filename: format!("{content}.txt"),
        mime: "text/plain".into(),
        sniffed: String::new(),
        size_bytes,
        sha256: [content; 32],
        stored_ms: relay.now_ms,
    }
}

fn try_upload(relay: &mut Relay, by: &Peer, content: u8, size_bytes: u64) -> Outcome {
    let new = file(relay, content, size_bytes);
    relay.sign(by, AgentRequest::CreateAttachment(new))
}

fn upload(relay: &mut Relay, by: &Peer, content: u8, size_bytes: u64) -> u128 {
    let new = file(relay, content, size_bytes);
    let uuid = new.uuid;
    let made = relay.sign(by, AgentRequest::CreateAttachment(new));
    let expected = Outcome::AttachmentCreated {
        created_ms: relay.now_ms,
        expires_ms: relay.now_ms + DAY,
    };
    assert_eq!(made, expected);
    uuid
}

fn get(relay: &Relay, uuid: u128) -> Option<Attachment> {
    attachment::get(&relay.txn, FLEET, uuid).unwrap()
}

fn reads(relay: &Relay, who: &Peer, uuid: u128) -> bool {
    let wanted = get(relay, uuid).unwrap();
    may_read(&relay.txn, FLEET, &wanted, who.no, relay.now_ms).unwrap()
}

fn send(
    relay: &mut Relay,
    from: &Peer,
    message: NewMessage,
    binds: &[u128],
) -> Result<Sent, Refusal> {
    let request = AgentRequest::SendWith {
        messages: vec![message],
        attachments: vec![binds.to_vec()],
    };
    match relay.sign(from, request) {
        Outcome::Sent { mut results, .. } => results.remove(0),
        other => panic!("{other:?}"),
    }
}

fn send_to(relay: &mut Relay, from: &Peer, to: &Peer, binds: &[u128]) -> Result<Sent, Refusal> {
    let message = relay.to(to);
    send(relay, from, message, binds)
}

fn change(relay: &mut Relay, after: AttachmentSettings) -> Outcome {
    let before = ekho::machine::attachment::settings(&relay.txn).unwrap();
    relay.operator(OperatorRequest::ChangeAttachmentSettings { before, after })
}

#[test]
fn an_attachment_that_nothing_binds_goes_after_a_day() {
    let mut relay = relay();
    let (writer, _) = relay.pair();
    let uuid = upload(&mut relay, &writer, 1, 10);
    let stored = get(&relay, uuid).unwrap();
    assert_eq!(stored.by, Uploader::Agent(writer.no));
    assert_eq!(relay.events(1), [EventKind::AttachmentStored]);
    assert_eq!(relay.count(Counter::Attachments), 1);
    assert_eq!(relay.count(Counter::AttachmentBytes), 10);
    relay.pass(DAY - 1);
    assert!(get(&relay, uuid).is_some());
    relay.pass(1);
    assert!(get(&relay, uuid).is_none());
    assert_eq!(relay.events(1), [EventKind::AttachmentRemoved]);
    assert_eq!(relay.count(Counter::Attachments), 0);
    assert_eq!(relay.count(Counter::AttachmentBytes), 0);
}

#[test]
fn what_a_message_binds_stays_as_long_as_the_message() {
    let mut relay = relay();
    let (writer, reviewer) = relay.pair();
    let uuid = upload(&mut relay, &writer, 1, 10);
    let first = send_to(&mut relay, &writer, &reviewer, &[uuid]).unwrap();
    let second = send_to(&mut relay, &writer, &reviewer, &[uuid]).unwrap();
    assert_eq!(get(&relay, uuid).unwrap().messages, 2);
    relay.take(&reviewer);
    relay.ack(&reviewer, first.message);
    relay.pass(2 * MINUTE);
    relay.take(&reviewer);
    relay.ack(&reviewer, second.message);
    relay.pass(7 * DAY - MINUTE);
    assert!(relay.message(first.message).is_none());
    assert!(relay.message(second.message).is_some());
    assert_eq!(get(&relay, uuid).unwrap().messages, 1);
    relay.pass(MINUTE);
    assert!(relay.message(second.message).is_none());
    assert!(get(&relay, uuid).is_none());
}

#[test]
fn a_message_that_is_removed_soon_leaves_an_attachment_its_day() {
    let mut relay = Relay::with(Settings {
        message_retention_ms: MINUTE,
        ..Settings::default()
    });
    let (writer, reviewer) = relay.pair();
    let uuid = upload(&mut relay, &writer, 1, 10);
    let sent = send_to(&mut relay, &writer, &reviewer, &[uuid]).unwrap();
    relay.take(&reviewer);
    relay.ack(&reviewer, sent.message);
    relay.pass(MINUTE);
    assert!(relay.message(sent.message).is_none());
    assert_eq!(get(&relay, uuid).unwrap().messages, 0);
    // Its recipient has nothing to do with it any more.
    assert!(!reads(&relay, &reviewer, uuid) && reads(&relay, &writer, uuid));
    relay.pass(DAY - MINUTE);
    assert!(get(&relay, uuid).is_none());
}

#[test]
fn the_same_content_counts_once_in_a_fleet() {
    let mut relay = relay();
    let (writer, reviewer) = relay.pair();
    let first = upload(&mut relay, &writer, 1, 10);
    relay.pass(HOUR);
    let second = upload(&mut relay, &reviewer, 1, 10);
    upload(&mut relay, &writer, 2, 5);
    assert_eq!(relay.count(Counter::Attachments), 3);
    assert_eq!(relay.count(Counter::AttachmentBytes), 15);
    relay.pass(DAY - HOUR);
    assert!(get(&relay, first).is_none() && get(&relay, second).is_some());
    assert_eq!(relay.count(Counter::AttachmentBytes), 15);
    relay.pass(HOUR);
    assert_eq!(relay.count(Counter::AttachmentBytes), 0);
}

#[test]
fn a_fleet_has_so_much_room_and_an_attachment_so_much() {
    let mut relay = relay();
    let (writer, reviewer) = relay.pair();
    let settings = AttachmentSettings {
        attachment_max_bytes: 2000,
        attachment_fleet_max_bytes: 3000,
        ..AttachmentSettings::default()
    };
    assert_eq!(change(&mut relay, settings.clone()), Outcome::Done);
    let limit_bytes = 2000;
    let refused = Outcome::Refused(Refusal::AttachmentTooLarge { limit_bytes });
    assert_eq!(try_upload(&mut relay, &writer, 1, 2001), refused);
    upload(&mut relay, &writer, 1, 2000);
    let limit_bytes = 3000;
    let refused = Outcome::Refused(Refusal::AttachmentQuota { limit_bytes });
    assert_eq!(try_upload(&mut relay, &writer, 2, 1001), refused);
    // What is there already takes no more room.
    upload(&mut relay, &reviewer, 1, 2000);
    upload(&mut relay, &writer, 2, 1000);
    assert_eq!(try_upload(&mut relay, &writer, 3, 1), refused);
    relay.pass(DAY);
    upload(&mut relay, &writer, 3, 1);
    // A change that was made from something else does nothing.
    let (before, after) = (AttachmentSettings::default(), settings);
    let outcome = relay.operator(OperatorRequest::ChangeAttachmentSettings { before, after });
    assert!(matches!(outcome, Outcome::Refused(Refusal::Conflict(_))));
}

#[test]
fn bytes_that_were_stored_long_ago_become_no_attachment() {
    let mut relay = relay();
    let (writer, _) = relay.pair();
    let hold_ms = AttachmentSettings::default().attachment_hold_ms;
    let mut new = file(&mut relay, 1, 10);
    relay.wait(hold_ms / 2);
    let made = relay.sign(&writer, AgentRequest::CreateAttachment(new.clone()));
    assert!(
        matches!(made, Outcome::AttachmentCreated { .. }),
        "{made:?}"
    );
    relay.wait(1);
    new.uuid = relay.next_id();
    let late = relay.sign(&writer, AgentRequest::CreateAttachment(new));
    assert_eq!(late, Outcome::Refused(Refusal::AttachmentLate));
}

#[test]
fn the_first_settings_are_those_of_the_first_leader() {
    let mut relay = relay();
    let seed = |max| {
        Command::SeedAttachments(AttachmentSettings {
            attachment_max_bytes: max,
            ..AttachmentSettings::default()
        })
    };
    let max = |relay: &Relay| {
        ekho::machine::attachment::settings(&relay.txn)
            .unwrap()
            .attachment_max_bytes
    };
    assert_eq!(max(&relay), 25 << 20);
    relay.apply(seed(5000));
    relay.apply(seed(6000));
    assert_eq!(max(&relay), 5000);
}

#[test]
fn only_who_has_to_do_with_it_reads_or_binds_it() {
    let mut relay = relay();
    let (writer, reviewer) = relay.pair();
    let stranger = relay.enroll("stranger");
    let uuid = upload(&mut relay, &writer, 1, 10);
    assert!(reads(&relay, &writer, uuid));
    assert!(!reads(&relay, &reviewer, uuid));
    let unknown = Err(Refusal::UnknownAttachment);
    assert_eq!(send_to(&mut relay, &reviewer, &stranger, &[uuid]), unknown);
    assert_eq!(send_to(&mut relay, &writer, &reviewer, &[99]), unknown);
    assert_eq!(
        send_to(&mut relay, &writer, &reviewer, &[uuid, uuid]),
        unknown
    );
    send_to(&mut relay, &writer, &reviewer, &[uuid]).unwrap();
    assert!(reads(&relay, &reviewer, uuid));
    assert!(!reads(&relay, &stranger, uuid));
    // Who was sent it may send it on.
    send_to(&mut relay, &reviewer, &stranger, &[uuid]).unwrap();
    assert!(reads(&relay, &stranger, uuid));
}

#[test]
fn members_of_a_room_read_what_was_sent_there() {
    let mut relay = relay();
    let (writer, reviewer) = relay.pair();
    let stranger = relay.enroll("stranger");
    let made = relay.sign(
        &writer,
        AgentRequest::CreateRoom {
            room_id: "room_1".into(),
            name: "room".into(),
            members: vec![reviewer.id.clone()],
        },
    );
    assert!(matches!(made, Outcome::RoomCreated { .. }), "{made:?}");
    let uuid = upload(&mut relay, &writer, 1, 10);
    let mut message = relay.draft(Recipient::Group("room_1".into()));
    message.conversation_id = "room_1".into();
    send(&mut relay, &writer, message, &[uuid]).unwrap();
    assert!(reads(&relay, &reviewer, uuid) && !reads(&relay, &stranger, uuid));
    let uuid = upload(&mut relay, &writer, 2, 10);
    let message = relay.draft(Recipient::Broadcast);
    send(&mut relay, &writer, message, &[uuid]).unwrap();
    assert!(reads(&relay, &reviewer, uuid) && reads(&relay, &stranger, uuid));
}

#[test]
fn what_is_not_handed_out_yet_is_not_read_either() {
    let mut relay = relay();
    let (writer, reviewer) = relay.pair();
    let uuid = upload(&mut relay, &writer, 1, 10);
    let mut message = relay.to(&reviewer);
    message.requires_approval = true;
    let sent = send(&mut relay, &writer, message, &[uuid]).unwrap();
    assert!(!reads(&relay, &reviewer, uuid));
    let approval = relay.message(sent.message).unwrap().approval.unwrap();
    relay.operator(OperatorRequest::DecideApproval {
        approval,
        approve: true,
        reason: None,
    });
    assert!(reads(&relay, &reviewer, uuid));
    let later = upload(&mut relay, &writer, 2, 10);
    let mut message = relay.to(&reviewer);
    message.schedule = Schedule::DelayMs(MINUTE);
    send(&mut relay, &writer, message, &[later]).unwrap();
    assert!(!reads(&relay, &reviewer, later));
    relay.pass(MINUTE);
    assert!(reads(&relay, &reviewer, later));
}

#[test]
fn a_held_agent_uploads_nothing() {
    let mut relay = relay();
    let (writer, _) = relay.pair();
    relay.hold(&writer, HoldKind::Pause);
    let held = Outcome::Refused(Refusal::Held(HeldStatus::Paused));
    assert_eq!(try_upload(&mut relay, &writer, 1, 10), held);
    relay.resume(&writer);
    upload(&mut relay, &writer, 1, 10);
}

#[test]
fn an_operator_uploads_and_binds_all_of_the_fleet() {
    let mut relay = relay();
    let (writer, reviewer) = relay.pair();
    let new = file(&mut relay, 1, 10);
    let own = new.uuid;
    let made = relay.operator(OperatorRequest::CreateAttachment(Box::new(new)));
    assert!(
        matches!(made, Outcome::AttachmentCreated { .. }),
        "{made:?}"
    );
    assert_eq!(
        get(&relay, own).unwrap().by,
        Uploader::Operator(OPERATOR_ID.into())
    );
    let theirs = upload(&mut relay, &writer, 2, 10);
    let bind = |relay: &mut Relay, attachments: Vec<u128>| {
        let message = Box::new(relay.to(&reviewer));
        relay.operator(OperatorRequest::SendWith {
            message,
            attachments,
        })
    };
    let sent = bind(&mut relay, vec![own, theirs]);
    assert!(matches!(sent, Outcome::Sent { .. }), "{sent:?}");
    assert!(reads(&relay, &reviewer, own) && reads(&relay, &reviewer, theirs));
    assert!(!reads(&relay, &writer, own));
    let unknown = Outcome::Refused(Refusal::UnknownAttachment);
    assert_eq!(bind(&mut relay, vec![own, 99]), unknown);
}

#[test]
fn a_message_binds_so_many_and_an_attachment_is_bound_so_often() {
    let mut relay = relay();
    relay.recount = false;
    let (writer, reviewer) = relay.pair();
    let mut many = Vec::new();
    for content in 0..=PER_MESSAGE_MAX as u8 {
        many.push(upload(&mut relay, &writer, content, 1));
    }
    let limit = PER_MESSAGE_MAX as u64;
    let refused = Err(Refusal::LimitReached { limit });
    assert_eq!(send_to(&mut relay, &writer, &reviewer, &many), refused);
    assert!(send_to(&mut relay, &writer, &reviewer, &many[1..]).is_ok());
    for _ in 0..MESSAGES_MAX {
        send_to(&mut relay, &writer, &reviewer, &many[..1]).unwrap();
    }
    let limit = MESSAGES_MAX as u64;
    let refused = Err(Refusal::LimitReached { limit });
    assert_eq!(send_to(&mut relay, &writer, &reviewer, &many[..1]), refused);
}

#[test]
fn a_repeated_key_binds_nothing_twice() {
    let mut relay = relay();
    let (writer, reviewer) = relay.pair();
    let uuid = upload(&mut relay, &writer, 1, 10);
    let mut message = relay.to(&reviewer);
    message.idempotency = Some(("key".into(), [1; 32]));
    let first = send(&mut relay, &writer, message.clone(), &[uuid]).unwrap();
    message.uuid = relay.next_id();
    let again = send(&mut relay, &writer, message, &[uuid]).unwrap();
    assert!(again.repeated && again.message == first.message);
    assert_eq!(get(&relay, uuid).unwrap().messages, 1);
}

#[test]
fn the_log_gives_the_same_state_however_it_is_cut() {
    let mut relay = relay();
    let (writer, reviewer) = relay.pair();
    for content in 0..4 {
        let uuid = upload(&mut relay, &writer, content % 3, 10);
        let sent = send_to(&mut relay, &writer, &reviewer, &[uuid]).unwrap();
        relay.take(&reviewer);
        relay.ack(&reviewer, sent.message);
        relay.pass(3 * DAY + SECOND);
    }
    relay.pass(8 * DAY);
    assert_eq!(relay.count(Counter::Attachments), 0);
    same(&relay.log, &[1, 7, 2]);
}

#[test]
fn what_older_releases_cannot_read_needs_the_fourth_level() {
    let mut relay = relay();
    let (writer, reviewer) = relay.pair();
    let new = file(&mut relay, 1, 10);
    let message = relay.to(&reviewer);
    let auth = relay.auth(writer.no);
    let signed = |request| Command::Signed {
        auth: auth.clone(),
        request,
    };
    let order = |request| Command::Operator {
        token_hash: [0; 32],
        request_id: String::new(),
        request,
    };
    let settings = AttachmentSettings::default();
    for newer in [
        signed(AgentRequest::CreateAttachment(new.clone())),
        signed(AgentRequest::SendWith {
            messages: vec![message.clone()],
            attachments: vec![vec![]],
        }),
        order(OperatorRequest::CreateAttachment(Box::new(new))),
        order(OperatorRequest::SendWith {
            message: Box::new(message.clone()),
            attachments: vec![],
        }),
        order(OperatorRequest::ChangeAttachmentSettings {
            before: settings.clone(),
            after: settings.clone(),
        }),
        Command::SeedAttachments(settings),
    ] {
        assert_eq!(newer.feature_level(), 4, "{newer:?}");
    }
    let older = signed(AgentRequest::Send(vec![message]));
    assert_eq!(older.feature_level(), 1);
}
