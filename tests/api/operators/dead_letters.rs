//! Dead letters: listed, looked at, redriven, purged

use serde_json::{Value, json};

use crate::checks::{assert_id, assert_time};
use crate::support::{Agent, Operator, Relay, direct};

/// Lets a message die at once: no retry.
async fn kill(sender: &Agent, to: &Agent, text: &str) -> String {
    let id = sender.send(&direct(&to.id, text)).await;
    let inbox = to.receive().await;
    assert!(
        inbox
            .iter()
            .any(|message| message["message_id"] == id.as_str()),
        "{inbox:?}"
    );
    let nack = json!({ "nacks": [{ "message_id": id, "reason": "cannot" }] });
    to.post("/v1/nacks", &nack).await.ok();
    id
}

async fn list(operator: &Operator, query: &str) -> Value {
    operator
        .get(&format!("/v1/operator/dead-letters{query}"))
        .await
        .ok()
}

fn ids(page: &Value, field: &str) -> Vec<String> {
    let letters = page["dead_letters"].as_array().expect("dead letters");
    letters
        .iter()
        .map(|one| one[field].as_str().expect("an id").to_string())
        .collect()
}

#[tokio::test]
async fn dead_letters_are_listed_redriven_and_purged() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    operator
        .put("/v1/operator/settings", &json!({ "retry_backoff_ms": [] }))
        .await
        .ok();
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let mut messages = Vec::new();
    for number in 0..5 {
        messages.push(kill(&sender, &recipient, &format!("number {number}")).await);
    }
    messages.reverse();

    let all = list(&operator, "").await;
    assert_eq!(
        (&all["total"], &all["page"], &all["limit"]),
        (&json!(5), &json!(1), &json!(20))
    );
    assert_eq!(ids(&all, "original_message_id"), messages, "newest first");
    assert_eq!(all["next_cursor"], Value::Null);
    let reasons = list(&operator, "/reasons").await;
    assert_eq!(
        (&reasons["looked_at"], &reasons["complete"]),
        (&json!(5), &json!(true))
    );
    let reason = &reasons["reasons"][0];
    assert_eq!(reason["count"], 5, "{reasons}");
    let newest = &all["dead_letters"][0];
    assert_eq!(reason["failure_reason"], newest["failure_reason"]);
    assert_eq!(reason["newest_at"], newest["dead_lettered_at"]);
    // By pages and by cursor, the same.
    let second = list(&operator, "?limit=2&page=2").await;
    assert_eq!(ids(&second, "original_message_id"), messages[2..4]);
    let first = list(&operator, "?limit=2").await;
    let cursor = first["next_cursor"].as_str().expect("a cursor").to_string();
    let newer = kill(&sender, &recipient, "meanwhile").await;
    let next = list(&operator, &format!("?limit=2&cursor={cursor}")).await;
    assert_eq!(ids(&next, "original_message_id"), messages[2..4], "stable");

    let letter = first["dead_letters"][0]["id"]
        .as_str()
        .expect("an id")
        .to_string();
    assert_id(&json!(letter), "dl_");
    let shown = operator
        .get(&format!("/v1/operator/dead-letters/{letter}"))
        .await
        .ok()["dead_letter"]
        .clone();
    for (field, value) in [
        ("original_message_id", json!(messages[0])),
        ("sender_agent_id", json!(sender.id)),
        ("recipient_agent_id", json!(recipient.id)),
        ("message_type", json!("direct")),
        ("failure_reason", json!("max_retries_exceeded: cannot")),
        ("retry_count", json!(0)),
    ] {
        assert_eq!(shown[field], value, "{field}");
    }
    assert_time(&shown["dead_lettered_at"]);
    assert!(shown["body"].to_string().contains("number 4"), "{shown}");
    assert_eq!(shown["metadata"], json!({}));

    let done = operator
        .post(
            "/v1/operator/dead-letters/redrive",
            &json!({ "ids": [letter] }),
        )
        .await
        .ok();
    assert_eq!(done, json!({ "ok": true, "redriven": 1 }));
    let inbox = recipient.receive().await;
    assert_eq!(inbox[0]["message_id"], messages[0].as_str());
    recipient.ack(&[&messages[0]]).await;
    assert_eq!(
        operator
            .get(&format!("/v1/operator/dead-letters/{letter}"))
            .await
            .status,
        404
    );
    let again = operator
        .post(
            "/v1/operator/dead-letters/redrive",
            &json!({ "ids": [letter] }),
        )
        .await
        .ok();
    assert_eq!(again["redriven"], 0);

    let rest = list(&operator, "").await;
    assert_eq!(ids(&rest, "original_message_id")[0], newer);
    let one = ids(&rest, "id")[0].clone();
    let done = operator
        .post("/v1/operator/dead-letters/purge", &json!({ "ids": [one] }))
        .await
        .ok();
    assert_eq!(done["purged"], 1);
    let done = operator
        .post("/v1/operator/dead-letters/redrive", &json!({ "all": true }))
        .await
        .ok();
    assert_eq!(done["redriven"], 4);
    assert_eq!(list(&operator, "").await["total"], 0);
    assert_eq!(recipient.receive().await.len(), 4);
}

#[tokio::test]
async fn what_is_not_understood_is_named() {
    let relay = support::shared().await;
    let operator = relay.operator().await;
    for (query, field) in [
        ("?limit=0", "limit"),
        ("?limit=101", "limit"),
        ("?page=x", "page"),
        ("?limit=100&page=101", "page"),
        ("?cursor=dl_1", "cursor"),
    ] {
        operator
            .get(&format!("/v1/operator/dead-letters{query}"))
            .await
            .invalid(field);
    }
    for body in [
        json!({}),
        json!({ "ids": [] }),
        json!({ "ids": ["msg_1"] }),
        json!({ "ids": ["dl_0000000000000001"], "all": true }),
    ] {
        for what in ["redrive", "purge"] {
            let target = format!("/v1/operator/dead-letters/{what}");
            operator.post(&target, &body).await.invalid("ids");
        }
    }
    assert_eq!(
        operator.get("/v1/operator/dead-letters/dl_x").await.status,
        404
    );
}

#[tokio::test]
async fn dead_letters_are_filtered_and_dealt_with_by_filter() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    operator
        .put("/v1/operator/settings", &json!({ "retry_backoff_ms": [] }))
        .await
        .ok();
    let [sender, one, two] = relay.agents(["sender", "one", "two"]).await;
    let for_one = kill(&sender, &one, "for one").await;
    let for_two = kill(&sender, &two, "for two").await;
    for (query, expected) in [
        (format!("?recipient_agent_id={}", one.id), vec![&for_one]),
        (
            format!("?sender_agent_id={}", sender.id),
            vec![&for_two, &for_one],
        ),
        ("?reason=cannot".into(), vec![&for_two, &for_one]),
        ("?reason=timeout".into(), vec![]),
        ("?message_type=alert".into(), vec![]),
        ("?dateFrom=2999-01-01T00:00:00Z".into(), vec![]),
    ] {
        let found = ids(&list(&operator, &query).await, "original_message_id");
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{query}");
    }
    let redrive = "/v1/operator/dead-letters/redrive";
    let misspelt = json!({ "all": true, "recipient": one.id });
    operator.post(redrive, &misspelt).await.invalid("recipient");
    let matching = json!({ "all": true, "recipient_agent_id": one.id });
    assert_eq!(operator.post(redrive, &matching).await.ok()["redriven"], 1);
    assert_eq!(one.receive().await[0]["message_id"], for_one.as_str());
    let left = ids(&list(&operator, "").await, "original_message_id");
    assert_eq!(left, [for_two]);
}
