//! GET /v1/messages/{id}

use serde_json::{Value, json};

use crate::checks::{assert_fields, assert_id, assert_time};
use crate::support::{Relay, direct, message_to, shared};

#[tokio::test]
async fn a_sender_follows_a_message() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let id = sender.send(&direct(&recipient.id, "followed")).await;
    let queued = sender.status(&id).await;
    assert_fields(
        &queued,
        &[
            "message_id",
            "status",
            "queued_at",
            "deliver_at",
            "deadline_at",
            "deliveries",
        ],
    );
    assert_eq!(
        (&queued["message_id"], &queued["status"]),
        (&json!(id), &json!("queued"))
    );
    assert_time(&queued["queued_at"]);
    assert_eq!(queued["deliver_at"], Value::Null);
    let delivery = &queued["deliveries"][0];
    assert_fields(
        delivery,
        &[
            "delivery_id",
            "recipient_agent_id",
            "status",
            "attempts",
            "last_failure_reason",
            "delivered_at",
            "acked_at",
        ],
    );
    let delivery_id = assert_id(&delivery["delivery_id"], "dly_");
    assert_eq!(delivery["recipient_agent_id"], recipient.id);
    assert_eq!(
        (&delivery["status"], &delivery["attempts"]),
        (&json!("queued"), &json!(0))
    );
    assert_eq!(
        (&delivery["delivered_at"], &delivery["acked_at"]),
        (&Value::Null, &Value::Null)
    );

    recipient.receive().await;
    let delivered = sender.status(&id).await;
    assert_eq!(delivered["status"], "delivered");
    assert_eq!(delivered["deliveries"][0]["attempts"], 1);
    assert_eq!(
        delivered["deliveries"][0]["delivery_id"],
        delivery_id.as_str()
    );
    assert_time(&delivered["deliveries"][0]["delivered_at"]);

    recipient.ack(&[&id]).await;
    let acked = sender.status(&id).await;
    assert_eq!(
        (&acked["status"], &acked["deliveries"][0]["status"]),
        (&json!("acked"), &json!("acked"))
    );
    assert_time(&acked["deliveries"][0]["acked_at"]);
}

#[tokio::test]
async fn nobody_else_sees_it() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let id = sender.send(&direct(&recipient.id, "private")).await;
    recipient
        .get(&format!("/v1/messages/{id}"))
        .await
        .refused(404, "not found", "not_found");
    for unknown in [
        "msg_1",
        "msg_00000000000000000000000000000000",
        &id[4..],
        &id.to_uppercase(),
    ] {
        sender
            .get(&format!("/v1/messages/{unknown}"))
            .await
            .refused(404, "not found", "not_found");
    }
}

#[tokio::test]
async fn each_recipient_of_many_has_its_state() {
    let relay = Relay::start().await;
    let [sender, one, two, three] = relay.agents(["sender", "one", "two", "three"]).await;
    let id = sender
        .send(&message_to(json!({ "kind": "broadcast" }), "to all"))
        .await;
    one.receive().await;
    two.receive().await;
    one.ack(&[&id]).await;
    let status = sender.status(&id).await;
    let of = |agent: &support::Agent| {
        let deliveries = status["deliveries"].as_array().unwrap();
        let found = deliveries
            .iter()
            .find(|delivery| delivery["recipient_agent_id"] == agent.id);
        found.unwrap()["status"].as_str().unwrap().to_string()
    };
    assert_eq!(
        [of(&one), of(&two), of(&three)],
        ["acked", "delivered", "queued"]
    );
    assert_eq!(status["status"], "queued", "the least advanced");
    three.receive().await;
    three.ack(&[&id]).await;
    two.ack(&[&id]).await;
    assert_eq!(sender.status(&id).await["status"], "acked");
    // A broadcast to nobody is over at once.
    let relay = Relay::start().await;
    let [alone] = relay.agents(["alone"]).await;
    let id = alone
        .send(&message_to(json!({ "kind": "broadcast" }), "anybody?"))
        .await;
    assert_eq!(alone.status(&id).await["deliveries"], json!([]));
}
