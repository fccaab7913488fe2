//! Operators' signing keys and agents' identity keys over HTTP, with real signatures made here

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::checks::{assert_only_fields, assert_time};
use crate::support::{Operator, Relay, Signing, direct, shared};

/// What an agent that enrols now is told.
async fn told(operator: &Operator) -> Value {
    let request = json!({
        "fleet_id": operator.fleet_id, "token": operator.enrollment_token().await,
        "display_name": "listener", "runtime": "custom",
    });
    let url = format!("{}/v1/enroll", operator.relay_url);
    operator.http.post(&url, &request).await.ok()["operator_keys"].clone()
}

#[tokio::test]
async fn keys_are_registered_endorsed_told_and_revoked() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let (root, ada, bob) = (Signing::new(1), Signing::new(2), Signing::new(3));
    let root_id = root.register(&operator, true).await;
    let ada_id = ada.register(&operator, false).await;
    let bob_id = bob.register(&operator, false).await;
    let endorse = |id: &str| format!("/v1/operator/keys/{id}/endorse");
    assert_eq!(
        told(&operator).await.as_array().unwrap().len(),
        1,
        "the root alone"
    );

    // Ada's key cannot vouch for Bob's before somebody vouches for hers.
    let by_ada = ada.endorsement(&operator, &ada_id, &bob_id, &bob);
    let answer = operator.post(&endorse(&bob_id), &by_ada).await;
    answer.refused(409, "the endorsing key is not trusted", "conflict");
    let by_root = root.endorsement(&operator, &root_id, &ada_id, &ada);
    assert_eq!(
        operator.post(&endorse(&ada_id), &by_root).await.ok(),
        json!({ "ok": true })
    );
    operator.post(&endorse(&bob_id), &by_ada).await.ok();
    let back = bob.endorsement(&operator, &bob_id, &ada_id, &ada);
    let answer = operator.post(&endorse(&ada_id), &back).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (409, "conflict"),
        "round"
    );

    let all = told(&operator).await;
    let ids: Vec<&str> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["key_id"].as_str().unwrap())
        .collect();
    assert_eq!(
        ids,
        [&root_id, &ada_id, &bob_id],
        "none before what endorses it"
    );
    assert_eq!(
        all[0],
        json!({ "key_id": root_id, "public_key": root.public, "endorsed_by_key_id": null, "endorsement_sig": null })
    );
    assert_eq!(
        all[2],
        json!({ "key_id": bob_id, "public_key": bob.public, "endorsed_by_key_id": ada_id, "endorsement_sig": by_ada["signature"] })
    );

    let shown = operator
        .get(&format!("/v1/operator/keys/{ada_id}"))
        .await
        .ok()["key"]
        .clone();
    assert_only_fields(
        &shown,
        &[
            "key_id",
            "public_key",
            "name",
            "operator_id",
            "root",
            "trusted",
            "created_at",
            "endorsements",
        ],
    );
    assert_time(&shown["created_at"]);
    assert_eq!(
        (&shown["trusted"], &shown["root"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(shown["endorsements"][0]["endorsed_by_key_id"], root_id);

    let revoke = format!("/v1/operator/keys/{ada_id}/revoke");
    let answer = operator
        .post(&revoke, &json!({ "reason": "lost" }))
        .await
        .ok();
    assert_eq!(answer, json!({ "ok": true, "no_longer_trusted": [bob_id] }));
    assert_eq!(told(&operator).await.as_array().unwrap().len(), 1);
    operator
        .get(&format!("/v1/operator/keys/{ada_id}"))
        .await
        .refused(404, "not found", "not_found");
    let gone = "the key was revoked, for good";
    operator
        .post(&revoke, &json!({ "reason": "again" }))
        .await
        .refused(409, gone, "key_revoked");
    let again = ada.request(&operator, true).await;
    operator
        .post("/v1/operator/keys", &again)
        .await
        .refused(409, gone, "key_revoked");
    let revoked = operator.get("/v1/operator/keys/revoked").await.ok()["keys"][0].clone();
    assert_only_fields(
        &revoked,
        &[
            "key_id",
            "public_key",
            "owner_kind",
            "owner_id",
            "revoked_by",
            "reason",
            "revoked_at",
        ],
    );
    assert_eq!(
        (
            &revoked["key_id"],
            &revoked["public_key"],
            &revoked["reason"]
        ),
        (&json!(ada_id), &json!(ada.public), &json!("lost"))
    );

    // The audit log has it all.
    let events = operator
        .get("/v1/operator/events?type=operator_key")
        .await
        .ok();
    let kinds: Vec<&str> = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["event_type"].as_str().unwrap())
        .collect();
    let (made, vouched) = ("operator_key.registered", "operator_key.endorsed");
    assert_eq!(
        kinds,
        ["operator_key.revoked", vouched, vouched, made, made, made]
    );
}

#[tokio::test]
async fn lists_go_on_from_a_cursor() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let mut ids = Vec::new();
    for seed in 10..15 {
        ids.push(Signing::new(seed).register(&operator, false).await);
    }
    ids.sort();
    for revoked in [false, true] {
        let list = match revoked {
            true => "/v1/operator/keys/revoked",
            false => "/v1/operator/keys",
        };
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = operator.get(&format!("{list}?limit=2{cursor}")).await.ok();
            let keys = page["keys"].as_array().unwrap().clone();
            assert!(keys.len() <= 2);
            found.extend(
                keys.iter()
                    .map(|key| key["key_id"].as_str().unwrap().to_string()),
            );
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(found, ids, "{list}");
        let second = operator.get(&format!("{list}?limit=2&page=2")).await.ok();
        assert_eq!(second["keys"][0]["key_id"], ids[2].as_str());
        operator
            .get(&format!("{list}?cursor=x"))
            .await
            .invalid("cursor");
        if !revoked {
            for id in &ids {
                let target = format!("/v1/operator/keys/{id}/revoke");
                operator.post(&target, &json!({ "reason": "x" })).await.ok();
            }
        }
    }
}

#[tokio::test]
async fn what_proves_nothing_is_refused() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let (one, other) = (Signing::new(21), Signing::new(22));
    let good = one.request(&operator, false).await;
    let with = |field: &str, value: Value| {
        let mut request = good.clone();
        request[field] = value;
        request
    };
    let theirs = other.request(&operator, false).await;
    for (request, field) in [
        (with("proof", theirs["proof"].clone()), "proof"),
        (with("public_key", theirs["public_key"].clone()), "proof"),
        (with("proof", json!("AAAA")), "proof"),
        (with("proof", json!(null)), "proof"),
        (with("public_key", json!("AAAA")), "public_key"),
        (with("public_key", json!(7)), "public_key"),
        (with("name", json!("")), "name"),
        (with("root", json!("yes")), "root"),
    ] {
        operator
            .post("/v1/operator/keys", &request)
            .await
            .invalid(field);
    }
    // A proof is for one operator and one fleet.
    let form = "ekho-operator-key-v1";
    for (fleet, who) in [
        ("flt_other", "opr_other"),
        (operator.fleet_id.as_str(), "opr_other"),
    ] {
        let proof = one.sign(&[form, "register", fleet, who, &one.public]);
        let answer = operator
            .post("/v1/operator/keys", &with("proof", json!(proof)))
            .await;
        let said = answer.invalid("proof")["error"]["fieldErrors"]["proof"][0].to_string();
        assert!(
            said.contains("ekho-operator-key-v1"),
            "names the text to sign: {said}"
        );
    }
    let id = one.register(&operator, true).await;
    let answer = operator.post("/v1/operator/keys", &good).await;
    answer.refused(409, "the key is registered already", "conflict");
    let other_id = other.register(&operator, false).await;
    let endorse = format!("/v1/operator/keys/{other_id}/endorse");
    let right = one.endorsement(&operator, &id, &other_id, &other);
    let wrong = one.endorsement(&operator, &id, &other_id, &one);
    operator
        .post(
            &endorse,
            &json!({ "endorsed_by_key_id": id, "signature": wrong["signature"] }),
        )
        .await
        .invalid("signature");
    operator
        .post(&endorse, &json!({ "signature": right["signature"] }))
        .await
        .invalid("endorsed_by_key_id");
    let nobody = "/v1/operator/keys/key_1/endorse";
    operator
        .post(nobody, &right)
        .await
        .refused(404, "not found", "not_found");
    operator
        .post(&format!("/v1/operator/keys/{id}/revoke"), &json!({}))
        .await
        .invalid("reason");
    for target in [
        "/v1/operator/keys/key_1",
        "/v1/operator/agents/agent_1/keys",
    ] {
        operator
            .get(target)
            .await
            .refused(404, "not found", "not_found");
    }
}

#[tokio::test]
async fn a_revoked_identity_key_is_of_no_more_use() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let [agent, other] = relay.agents(["keyed", "keyless"]).await;
    let (first, second) = (Signing::new(31), Signing::new(32));
    let register = |key: &Signing| json!({ "public_key": key.public });
    agent.post("/v1/identity-key", &register(&first)).await.ok();
    let id = agent
        .post("/v1/identity-key", &register(&second))
        .await
        .ok();
    let id = id["key_id"].as_str().unwrap();
    let list = format!("/v1/operator/agents/{}/keys", agent.id);
    let keys = operator.get(&list).await.ok()["keys"].clone();
    assert_eq!(keys.as_array().unwrap().len(), 2);
    let current = keys
        .as_array()
        .unwrap()
        .iter()
        .find(|key| key["current"] == true)
        .unwrap();
    assert_only_fields(
        current,
        &[
            "key_id",
            "public_key",
            "registered_at",
            "current",
            "revoked_at",
            "revoked_by",
        ],
    );
    assert_eq!(
        (&current["key_id"], &current["public_key"]),
        (&json!(id), &json!(second.public))
    );

    let mut message = direct(&other.id, "signed");
    message["agent_sig"] = json!("c2ln");
    message["key_id"] = json!(id);
    message["sig_canonical"] = json!("text");
    agent.post("/v1/messages", &message).await.ok();
    // As clients of the original name it.
    let short = URL_SAFE_NO_PAD.encode(&Sha256::digest(second.bytes())[..12]);
    message["key_id"] = json!(short);
    agent.post("/v1/messages", &message).await.ok();
    let known = async || {
        let target = format!("/v1/agents/{}/identity-keys", agent.id);
        other.get(&target).await.ok()["keys"][0].clone()
    };
    let fields = [
        "key_id",
        "public_key",
        "registered_at",
        "current",
        "revoked_at",
    ];
    assert_only_fields(&known().await, &fields);
    assert_eq!(known().await["revoked_at"], Value::Null);
    let revoke = format!("{list}/{id}/revoke");
    operator.post(&revoke, &json!({})).await.invalid("reason");
    assert_eq!(
        operator
            .post(&revoke, &json!({ "reason": "leaked" }))
            .await
            .ok(),
        json!({ "ok": true })
    );
    let gone = "the key was revoked, for good";
    operator
        .post(&revoke, &json!({ "reason": "again" }))
        .await
        .refused(409, gone, "key_revoked");
    for named in [id, &short] {
        message["key_id"] = json!(named);
        let answer = agent.post("/v1/messages", &message).await;
        answer.refused(409, gone, "key_revoked");
    }
    let revoked = known().await;
    assert_eq!(
        (&revoked["key_id"], &revoked["current"]),
        (&json!(id), &json!(false))
    );
    assert_time(&revoked["revoked_at"]);
    let keys = other.get("/v1/operator-keys").await.ok();
    let is_it = |key: &Value| key["key_id"] == id;
    assert!(
        keys["revoked"].as_array().unwrap().iter().any(is_it),
        "{keys}"
    );
    // In whatever way the key is written, and whoever brings it.
    let raw = STANDARD.encode(second.bytes());
    for text in [second.public.as_str(), raw.as_str()] {
        for agent in [&agent, &other] {
            let answer = agent
                .post("/v1/identity-key", &json!({ "public_key": text }))
                .await;
            answer.refused(409, gone, "key_revoked");
        }
    }
    let keys = operator.get(&list).await.ok()["keys"].clone();
    let revoked = keys
        .as_array()
        .unwrap()
        .iter()
        .find(|key| key["key_id"] == id)
        .unwrap();
    assert_time(&revoked["revoked_at"]);
    assert_eq!(revoked["current"], false);
    operator
        .post(&format!("{list}/key_1/revoke"), &json!({ "reason": "x" }))
        .await
        .refused(404, "not found", "not_found");
    let viewer =
        json!({ "email": "keys@cli.example", "password": "a viewer's password", "role": "viewer" });
    operator.post("/v1/operator/operators", &viewer).await.ok();
    let login = json!({ "fleet_name": "test", "email": "keys@cli.example", "password": "a viewer's password" });
    let url = format!("{}/v1/operator/login", relay.url());
    let token = operator.http.post(&url, &login).await.ok()["token"]
        .as_str()
        .unwrap()
        .to_string();
    let viewer = Operator {
        token,
        ..operator.clone()
    };
    let answer = viewer.post(&revoke, &json!({ "reason": "x" })).await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "forbidden"));
    let answer = viewer
        .post(
            &format!("/v1/operator/keys/{id}/revoke"),
            &json!({ "reason": "x" }),
        )
        .await;
    assert_eq!(answer.code(), "key_revoked");
}

#[tokio::test]
async fn operators_sign_what_they_say_and_agents_learn_their_keys() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let [agent] = relay.agents(["agent"]).await;
    let known = agent.get("/v1/operator-keys").await.ok();
    assert_only_fields(&known, &["fleet_id", "operator_keys", "revoked"]);
    assert_eq!(known["operator_keys"], json!([]));
    let id = Signing::new(41).register(&operator, true).await;
    let known = agent.get("/v1/operator-keys").await.ok();
    assert_eq!(known["operator_keys"][0]["key_id"], id.as_str());
    assert_eq!(known["operator_keys"], told(&operator).await);

    let said = json!({
        "recipient_agent_id": agent.id, "text": "stop",
        "operator_sig": "c2ln", "key_id": id, "sig_canonical": "v1\nstop",
    });
    operator.post("/v1/operator/messages", &said).await.ok();
    let received = agent.receive().await;
    for field in ["operator_sig", "key_id", "sig_canonical"] {
        assert_eq!(received[0][field], said[field], "{field}");
    }
    assert!(received[0].get("agent_sig").is_none());
    let revoke = format!("/v1/operator/keys/{id}/revoke");
    operator
        .post(&revoke, &json!({ "reason": "lost" }))
        .await
        .ok();
    let answer = operator.post("/v1/operator/messages", &said).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (409, "key_revoked")
    );
}
