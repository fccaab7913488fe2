//! What agents say of themselves (8): found, kept, signed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ed25519_dalek::{Signature, Verifier, VerifyingKey};
use serde_json::{Value, json};

use super::pair;
use crate::support::{Http, Relay, rpc, shared};

async fn card(relay: &Relay, path: &str) -> Value {
    Http::new()
        .get(&format!("{}{path}", relay.url()))
        .await
        .ok()
}

fn of_agent(id: &str) -> String {
    format!("/agents/{id}/.well-known/agent-card.json")
}

#[tokio::test]
async fn an_agent_that_said_nothing_has_a_card() {
    let relay = shared().await;
    let (_, agent) = pair(&relay).await;
    let card = card(&relay, &of_agent(&agent.id)).await;
    assert_eq!(card["name"], "agent");
    for field in ["description", "version"] {
        assert!(!card[field].as_str().unwrap().is_empty(), "{field}");
    }
    for list in ["skills", "defaultInputModes", "defaultOutputModes"] {
        assert!(!card[list].as_array().unwrap().is_empty(), "{list}");
    }
    let base = format!("{}/agents/{}/a2a", relay.url(), agent.id);
    let interfaces = card["supportedInterfaces"].as_array().unwrap();
    let named: Vec<(&str, &str, &str)> = interfaces
        .iter()
        .map(|one| {
            let text = |field: &str| one[field].as_str().unwrap();
            (
                text("url"),
                text("protocolBinding"),
                text("protocolVersion"),
            )
        })
        .collect();
    let rest = format!("{base}/v1");
    for expected in [
        (base.as_str(), "JSONRPC", "1.0"),
        (rest.as_str(), "HTTP+JSON", "1.0"),
        (base.as_str(), "JSONRPC", "0.3"),
    ] {
        assert!(named.contains(&expected), "{named:?}");
    }
    assert_eq!(card["capabilities"]["streaming"], true);
    assert_eq!(card["capabilities"]["extendedAgentCard"], true);
    let extension = &card["capabilities"]["extensions"][0];
    assert_eq!(extension["uri"], "urn:ekho:a2a:store-and-forward:v1");
    let scheme = &card["securitySchemes"]["bearer"]["httpAuthSecurityScheme"];
    assert_eq!(scheme["scheme"], "Bearer");
    assert!(!card["securityRequirements"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn an_agent_says_of_itself_what_is_its_to_say() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let own = json!({
        "name": "Weather",
        "description": "Tells the weather.",
        "version": "2.1.0",
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["application/json"],
        "documentationUrl": "https://example.com/docs",
        "iconUrl": "https://example.com/icon.png",
        "provider": { "organization": "Example", "url": "https://example.com" },
        "skills": [{
            "id": "forecast", "name": "Forecast", "description": "Of tomorrow.",
            "tags": ["weather"], "examples": ["Will it rain?"],
        }],
        "supportedInterfaces": [{ "url": "https://elsewhere.example.com" }],
        "capabilities": { "streaming": false },
    });
    agent
        .call("PUT", "/v1/agent-card", own.to_string())
        .await
        .ok();
    let shown = card(&relay, &of_agent(&agent.id)).await;
    for field in [
        "name",
        "description",
        "version",
        "defaultInputModes",
        "defaultOutputModes",
        "documentationUrl",
        "iconUrl",
        "provider",
        "skills",
    ] {
        assert_eq!(shown[field], own[field], "{field}");
    }
    // Where and how it is reached is not.
    assert!(!shown.to_string().contains("elsewhere"));
    assert_eq!(shown["capabilities"]["streaming"], true);
    // It takes text, and says so of anything else.
    let mut params = super::quick("x");
    params["message"]["parts"] = json!([{ "raw": "AA==", "mediaType": "image/png" }]);
    let error = client
        .error(&super::at(&agent), "SendMessage", &params)
        .await;
    assert_eq!(error["code"], -32005, "{error}");
    params["message"]["parts"] = json!([{ "text": "x", "mediaType": "text/plain" }]);
    client
        .result(&super::at(&agent), "SendMessage", &params)
        .await;
    for (body, status) in [
        ("{", 400),
        ("[]", 400),
        (r#"{"skills":[{"id":"x"}]}"#, 400),
        (r#"{"name":5}"#, 400),
        ("{}", 200),
    ] {
        let answer = agent.call("PUT", "/v1/agent-card", body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
    }
    let long = json!({ "description": "x".repeat(70_000) });
    let answer = agent.call("PUT", "/v1/agent-card", long.to_string()).await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn the_fleet_lists_its_agents() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let (client, agent) = pair(&relay).await;
    let gone = operator.enrol("gone").await;
    operator.order(&gone, "revoke").await;
    let shown = card(&relay, "/.well-known/agent-card.json").await;
    let skills: Vec<&str> = shown["skills"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|skill| skill["id"].as_str())
        .collect();
    assert_eq!(skills, [agent.id.as_str()]);
    assert!(!shown.to_string().contains(&client.id));
    let gone = Http::new()
        .get(&format!("{}{}", relay.url(), of_agent(&gone.id)))
        .await;
    assert_eq!(gone.status, 404);
    let client_card = Http::new()
        .get(&format!("{}{}", relay.url(), of_agent(&client.id)))
        .await;
    assert_eq!(client_card.status, 404);
}

#[tokio::test]
async fn a_card_that_did_not_change_is_not_sent_again() {
    let relay = shared().await;
    let (_, agent) = pair(&relay).await;
    let url = format!("{}{}", relay.url(), of_agent(&agent.id));
    let http = Http::new();
    let first = http.get(&url).await;
    let header = |name: &str| first.headers[name].to_str().unwrap().to_string();
    assert!(header("cache-control").contains("max-age="));
    assert!(header("last-modified").ends_with("GMT"));
    let tag = header("etag");
    let known = [("if-none-match".to_string(), tag.clone())];
    let again = http.send("GET", &url, &known, Default::default()).await;
    assert_eq!(again.status, 304);
    assert!(again.bytes.is_empty());
    agent
        .call("PUT", "/v1/agent-card", r#"{"version":"9"}"#)
        .await
        .ok();
    let changed = http.send("GET", &url, &known, Default::default()).await;
    assert_eq!(changed.status, 200);
    assert_ne!(changed.headers["etag"].to_str().unwrap(), tag);
}

/// Verifies a card as 8.4.3 says, with the keys that the relay publishes.
async fn verify(relay: &Relay, mut card: Value) {
    let signatures = card.as_object_mut().unwrap().remove("signatures").unwrap();
    // The second one is for those who leave out more: see `real_clients`.
    let text = |field: &str| signatures[0][field].as_str().unwrap().to_string();
    let protected = text("protected");
    let header = BASE64.decode(&protected).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    assert_eq!(header["alg"], "EdDSA");
    let jku = format!("{}/.well-known/jwks.json", relay.url());
    assert_eq!(header["jku"], jku.as_str());
    let keys = Http::new().get(&jku).await.ok();
    let mut keys = keys["keys"].as_array().unwrap().iter();
    let key = keys.find(|key| key["kid"] == header["kid"]).unwrap();
    let x = BASE64.decode(key["x"].as_str().unwrap()).unwrap();
    let key = VerifyingKey::from_bytes(&x.try_into().unwrap()).unwrap();
    without_defaults(&mut card);
    // All its texts and names are plain: sorted and without spaces is canonical.
    let input = format!("{protected}.{}", BASE64.encode(card.to_string()));
    let signature = BASE64.decode(text("signature")).unwrap();
    let signature = Signature::from_slice(&signature).unwrap();
    key.verify(input.as_bytes(), &signature).unwrap();
}

fn without_defaults(card: &mut Value) {
    let extensions = card.pointer_mut("/capabilities/extensions");
    for extension in extensions
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        extension.as_object_mut().unwrap().remove("required");
    }
    for requirement in card["securityRequirements"].as_array_mut().unwrap() {
        for (_, scopes) in requirement["schemes"].as_object_mut().unwrap() {
            assert_eq!(scopes["list"], json!([]));
            scopes.as_object_mut().unwrap().remove("list");
        }
    }
}

#[tokio::test]
async fn cards_are_signed_with_a_key_of_the_fleet() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    agent.get("/v1/inbox").await.ok();
    for path in ["/.well-known/agent-card.json", &of_agent(&agent.id)] {
        verify(&relay, card(&relay, path).await).await;
    }
    let extended = client
        .result(&super::at(&agent), "GetExtendedAgentCard", &json!({}))
        .await;
    let details = &extended["capabilities"]["extensions"][1]["params"];
    assert_eq!(details["agentId"], agent.id.as_str());
    assert_eq!(details["status"], "healthy");
    verify(&relay, extended).await;
    let target = format!("{}/v1/extendedAgentCard", super::at(&agent));
    let over_http = client.call_as("1.0", "GET", &target, "").await.ok();
    verify(&relay, over_http).await;
}

#[tokio::test]
async fn who_asks_for_0_3_gets_a_card_of_0_3() {
    let relay = shared().await;
    let (client, agent) = pair(&relay).await;
    let url = format!("{}{}", relay.url(), of_agent(&agent.id));
    let version = [("a2a-version".to_string(), "0.3".to_string())];
    let card = Http::new()
        .send("GET", &url, &version, Default::default())
        .await
        .ok();
    assert_eq!(card["protocolVersion"], "0.3.0");
    assert_eq!(card["preferredTransport"], "JSONRPC");
    let base = format!("{}/agents/{}/a2a", relay.url(), agent.id);
    assert_eq!(card["url"], base.as_str());
    assert_eq!(card["supportsAuthenticatedExtendedCard"], true);
    let body = rpc("agent/getAuthenticatedExtendedCard", &json!({})).to_string();
    let extended = client
        .call_as("0.3", "POST", &super::at(&agent), body)
        .await
        .ok();
    assert_eq!(extended["result"]["url"], base.as_str());
}
