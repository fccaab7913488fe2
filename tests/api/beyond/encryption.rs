//! Keys that agents publish for others to encrypt to, and what the relay does with bodies that it
//! cannot read.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::checks::{assert_only_fields, assert_time};
use crate::support::{Agent, Answer, Relay, Signing, direct, shared};

const PATH: &str = "/v1/encryption-key";

fn public_key(number: u8) -> (String, String) {
    let hash = Sha256::digest([number; 32]);
    let id = format!("xkey_{}", hex::encode(&hash[..16]));
    (STANDARD.encode([number; 32]), id)
}

async fn publish(agent: &Agent, body: &Value) -> Answer {
    agent.call("PUT", PATH, body.to_string()).await
}

#[tokio::test]
async fn a_key_is_published_replaced_and_revoked() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let [writer, reviewer] = relay.agents(["writer", "reviewer"]).await;
    let target = format!("/v1/agents/{}/encryption-keys", writer.id);
    let none = json!({ "agent_id": writer.id, "keys": [] });
    assert_eq!(reviewer.get(&target).await.ok(), none);

    let ((first, first_id), (second, second_id)) = (public_key(1), public_key(2));
    for (key, id) in [(&first, &first_id), (&second, &second_id)] {
        let answer = publish(&writer, &json!({ "public_key": key })).await.ok();
        assert_eq!(answer, json!({ "key_id": id }));
    }
    let known = reviewer.get(&target).await.ok();
    let fields = [
        "key_id",
        "public_key",
        "signed_by_key_id",
        "signature",
        "published_at",
        "current",
        "revoked_at",
    ];
    assert_only_fields(&known["keys"][0], &fields);
    assert_time(&known["keys"][0]["published_at"]);
    for (place, key, id) in [(0, &second, &second_id), (1, &first, &first_id)] {
        let shown = &known["keys"][place];
        assert_eq!(
            (&shown["public_key"], &shown["key_id"]),
            (&json!(key), &json!(id))
        );
        assert_eq!(shown["current"], place == 0);
        assert_eq!(shown["signature"], Value::Null);
    }

    let revoked = writer.call("DELETE", PATH, "").await.ok();
    assert_eq!(revoked, json!({ "revoked_key_id": second_id }));
    let again = writer.call("DELETE", PATH, "").await.ok();
    assert_eq!(again, json!({ "revoked_key_id": null }));
    let gone = "the key was revoked, for good";
    let answer = publish(&writer, &json!({ "public_key": second })).await;
    answer.refused(409, gone, "key_revoked");
    let list = format!("/v1/operator/agents/{}/keys", writer.id);
    let revoke = format!("{list}/{first_id}/revoke");
    operator
        .post(&revoke, &json!({ "reason": "leaked" }))
        .await
        .ok();
    let shown = operator.get(&list).await.ok()["encryption_keys"].clone();
    assert_eq!(shown, reviewer.get(&target).await.ok()["keys"]);
    for key in shown.as_array().unwrap() {
        assert_time(&key["revoked_at"]);
        assert_eq!(key["current"], false);
    }
    let answer = publish(&writer, &json!({ "public_key": first })).await;
    answer.refused(409, gone, "key_revoked");
    reviewer
        .get("/v1/agents/agent_unknown/encryption-keys")
        .await
        .refused(404, "not found", "not_found");
}

#[tokio::test]
async fn an_identity_key_vouches_for_it() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let [agent] = relay.agents(["signer"]).await;
    let identity = Signing::new(77);
    let body = json!({ "public_key": identity.public });
    let by = agent.post("/v1/identity-key", &body).await.ok()["key_id"].clone();
    let by = by.as_str().unwrap();
    let (key, id) = public_key(3);
    let form = "ekho-encryption-key-v1";
    let lines = [form, &operator.fleet_id, &agent.id, by, &id, &key];
    let signature = identity.sign(&lines);
    let signed = json!({ "public_key": key, "signed_by_key_id": by, "signature": signature });
    publish(&agent, &signed).await.ok();
    let target = format!("/v1/agents/{}/encryption-keys", agent.id);
    let shown = agent.get(&target).await.ok()["keys"][0].clone();
    assert_eq!(shown["signed_by_key_id"], by);
    assert_eq!(shown["signature"], signature);

    let with = |name: &str, value: Value| {
        let mut body = signed.clone();
        body[name] = value;
        body
    };
    let other = public_key(4).0;
    let wrong = [
        (with("public_key", json!(other)), "signature"),
        (
            with("signature", json!(STANDARD.encode([1; 64]))),
            "signature",
        ),
        (with("signature", json!("AAAA")), "signature"),
        (with("signature", Value::Null), "signature"),
        (with("signed_by_key_id", Value::Null), "signature"),
        (
            with("public_key", json!(STANDARD.encode([1; 31]))),
            "public_key",
        ),
        (with("public_key", json!("no key")), "public_key"),
        (json!({}), "public_key"),
    ];
    for (body, field) in wrong {
        publish(&agent, &body).await.invalid(field);
    }
    let unknown = with("signed_by_key_id", json!("key_1"));
    let answer = publish(&agent, &unknown).await;
    assert_eq!((answer.status, answer.code().as_str()), (409, "conflict"));
}

#[tokio::test]
async fn policies_can_want_bodies_encrypted_and_search_finds_no_words_in_them() {
    let relay = Relay::builder().pro().start().await;
    let operator = relay.operator().await;
    let [writer, reviewer] = relay.agents(["writer", "reviewer"]).await;
    let rule = json!({
        "action": "deny",
        "conditions": { "body": [{ "pointer": "/ekho_encrypted", "exists": false }] },
    });
    let draft = json!({ "name": "encrypted only", "scope_kind": "fleet", "rule": rule });
    let made = operator.post("/v1/operator/policies", &draft).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let mut message = direct(&reviewer.id, "for all to read");
    let answer = writer.post("/v1/messages", &message).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (403, "policy_denied")
    );
    let vectors = include_str!("../../../sdk/vectors/encryption.json");
    let vectors: Value = serde_json::from_str(vectors).unwrap();
    message["body"] = vectors["encrypting"][0]["encrypted"].clone();
    writer.post("/v1/messages", &message).await.ok();
    assert_eq!(reviewer.receive().await[0]["body"], message["body"]);

    let conversation = message["conversation_id"].as_str().unwrap();
    let key_id = &message["body"]["ekho_encrypted"]["readers"][0]["key_id"];
    for (word, count) in [(conversation, 1), (key_id.as_str().unwrap(), 0)] {
        let target = format!("/v1/operator/search?q={word}");
        let found = operator.get(&target).await.ok();
        assert_eq!(found["messages"].as_array().unwrap().len(), count, "{word}");
    }
}
