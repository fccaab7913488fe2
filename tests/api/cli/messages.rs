//! `ekho messages` and `ekho conversations`

use serde_json::json;

use super::{Shell, first_column};
use crate::support::{direct, shared, uuid};

#[tokio::test]
async fn messages_are_sent_taken_back_sent_on_and_found() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let [one, other] = relay.agents(["cli one", "cli other"]).await;
    let shell = Shell::new(&relay, &operator);
    let word = format!("word{}", uuid().replace('-', ""));
    let send = |to: &str, text: &str| {
        let answer = shell.json(&["messages", "send", "--to", to, text]);
        answer["message_id"].as_str().unwrap().to_string()
    };
    let text = format!("please {word} now");
    let key = uuid();
    let whole = [
        "messages",
        "send",
        "--to",
        &one.id,
        &text,
        "--type",
        "alert",
        "--priority",
        "urgent",
        "--ttl-seconds",
        "600",
        "--conversation",
        &word,
        "--correlation",
        "corr",
        "--metadata",
        r#"{"k":1}"#,
        "--idempotency-key",
        &key,
    ];
    let first = shell.json(&whole);
    let again = shell.json(&whole);
    assert_eq!(
        (&again["message_id"], &again["idempotent_replay"]),
        (&first["message_id"], &json!(true))
    );
    let id = first["message_id"].as_str().unwrap();
    let shown = shell.json(&["messages", "show", id]);
    let message = &shown["message"];
    for (field, value) in [
        ("message_type", json!("alert")),
        ("priority", json!("urgent")),
        ("conversation_id", json!(word)),
        ("correlation_id", json!("corr")),
        ("metadata", json!({ "k": 1 })),
        ("body", json!({ "text": text })),
    ] {
        assert_eq!(message[field], value, "{field}");
    }
    let table = shell.says(&["messages", "show", id]);
    assert!(
        table.contains("Deliveries:") && table.contains("queued"),
        "{table}"
    );

    let redirect = [
        "messages", "redirect", id, "--to", &other.id, "--reason", "busy",
    ];
    assert_eq!(
        shell.says(&redirect).trim(),
        format!("sent {id} on to {}", other.id)
    );
    let inbox = other.receive().await;
    assert_eq!(inbox[0]["message_id"], id);
    let said = shell.fails(&["messages", "cancel", id], 1);
    assert!(said.contains("409 conflict"), "{said}");
    let second = send(&one.id, "never mind");
    assert_eq!(
        shell.says(&["messages", "cancel", &second]).trim(),
        format!("took back {second}, deliveries: 1")
    );

    assert_eq!(
        shell.json(&["messages", "search", &word, "please"])["messages"][0]["id"],
        id
    );
    assert_eq!(
        first_column(&shell.says(&["messages", "search", &word])),
        [id]
    );
    let list = shell.json(&["conversations", "list", "--search", &word]);
    assert_eq!(list["conversations"][0]["id"], word.as_str());
    assert!(first_column(&shell.says(&["conversations", "list"])).contains(&word.as_str()));
    let timeline = shell.says(&["conversations", "show", &word]);
    for text in ["message_count", "alert", "message.redirected", &word] {
        assert!(timeline.contains(text), "no {text}: {timeline}");
    }
    assert_eq!(
        shell.json(&["conversations", "show", &word])["items"][0]["kind"],
        "message"
    );

    for args in [
        &["messages", "show", "msg_1"][..],
        &["messages", "cancel", "msg_1"],
        &["conversations", "show", "no such conversation"],
    ] {
        assert!(shell.fails(args, 1).contains("404 not_found"), "{args:?}");
    }
    assert!(
        shell
            .fails(&["messages", "send", "--to", "agent_1", "x"], 1)
            .contains("404 unknown_recipient")
    );
    let long = "x".repeat(8001);
    assert!(
        shell
            .fails(&["messages", "send", "--to", &one.id, &long], 1)
            .contains("text: at most 8000")
    );
    assert_eq!(shell.run(&["messages", "send", "x"]).status.code(), Some(2));
    let bad = shell.run(&["messages", "send", "--to", "a", "x", "--metadata", "[]"]);
    assert_eq!(bad.status.code(), Some(2));
}

#[tokio::test]
async fn rooms_are_listed_and_written_to() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let [one, other] = relay.agents(["cli roomy", "cli roommate"]).await;
    let shell = Shell::new(&relay, &operator);
    let room = json!({ "name": "cli room", "member_agent_ids": [other.id] });
    let room = one.post("/v1/rooms", &room).await.ok();
    let id = room["id"].as_str().unwrap();
    let table = shell.says(&["conversations", "rooms", "--all"]);
    assert!(first_column(&table).contains(&id), "{table}");
    let sent = shell.says(&["messages", "send", "--room", id, "standup"]);
    assert!(sent.contains("message_id") && sent.contains(id), "{sent}");
    assert_eq!(other.receive().await[0]["body"]["text"], "standup");
}

#[tokio::test]
async fn what_agents_wrote_cannot_write_over_the_terminal() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let [one, other] = relay.agents(["cli \u{1b}[2Jevil", "cli victim"]).await;
    let shell = Shell::new(&relay, &operator);
    let id = one.send(&direct(&other.id, "\u{1b}]0;owned\u{7}")).await;
    for args in [
        &["agents", "show", &one.id][..],
        &["messages", "show", &id],
        &["agents", "list", "--search", "evil"],
    ] {
        let said = shell.says(args);
        assert!(
            !said.contains('\u{1b}') && !said.contains('\u{7}'),
            "{args:?}: {said:?}"
        );
    }
}
