//! What is worked out from the audit log: conversations, search, who talks to whom; and the stream

use bytes::Bytes;
use serde_json::{Value, json};

use crate::support::{Agent, Events, Http, Operator, Relay, direct, shared};

fn ids<'a>(page: &'a Value, list: &str, field: &str) -> Vec<&'a str> {
    let rows = page[list].as_array().expect("a list");
    rows.iter().filter_map(|row| row[field].as_str()).collect()
}

/// Sends a text in a conversation.
async fn say(from: &Agent, to: &Agent, conversation: &str, text: &str) -> String {
    let mut message = direct(&to.id, text);
    message["conversation_id"] = json!(conversation);
    from.send(&message).await
}

#[tokio::test]
async fn a_conversation_is_told_in_order() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let [one, two] = relay.agents(["one", "two"]).await;
    let conversation = format!("talk-{}", one.id);
    let target = format!("/v1/operator/conversations/{conversation}");
    let none = operator.get(&target).await;
    none.refused(404, "not found", "not_found");
    let first = say(&one, &two, &conversation, "Grüße, what now?").await;
    two.receive().await;
    two.ack(&[&first]).await;
    let second = say(&two, &one, &conversation, "go on").await;
    let shown = operator.get(&target).await.ok();
    assert_eq!(shown["conversation"]["message_count"], 2);
    let mut participants = [one.id.as_str(), two.id.as_str()];
    participants.sort_unstable();
    let mut named: Vec<&str> = shown["conversation"]["participants"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    named.sort_unstable();
    assert_eq!(named, participants);
    let told: Vec<String> = shown["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| match item["kind"].as_str() {
            Some("message") => item["message"]["id"].as_str().unwrap().to_string(),
            _ => item["event"]["event_type"].as_str().unwrap().to_string(),
        })
        .collect();
    assert_eq!(
        told,
        [
            first.as_str(),
            "message.delivered",
            "message.acked",
            second.as_str()
        ]
    );
    // Two at a time, the same.
    let half = operator.get(&format!("{target}?limit=2")).await.ok();
    let cursor = half["next_cursor"].as_str().unwrap();
    let rest = operator
        .get(&format!("{target}?limit=2&cursor={cursor}"))
        .await
        .ok();
    assert_eq!(
        rest["items"],
        json!(shown["items"].as_array().unwrap()[2..])
    );
    assert_eq!(rest["next_cursor"], Value::Null);

    let listed = operator
        .get("/v1/operator/conversations?limit=100")
        .await
        .ok();
    let listed = ids(&listed, "conversations", "id");
    assert!(listed.contains(&conversation.as_str()), "{listed:?}");
    for search in [
        "GR%C3%BCSSE",
        "gr%C3%BC%C3%9Fe%20now",
        conversation.as_str(),
    ] {
        let found = operator
            .get(&format!("/v1/operator/conversations?search={search}"))
            .await
            .ok();
        let expected: &[&str] = match search {
            "GR%C3%BCSSE" => &[],
            _ => &[&conversation],
        };
        assert_eq!(ids(&found, "conversations", "id"), expected, "{search}");
    }
    let events = operator
        .get(&format!(
            "/v1/operator/events?conversation_id={conversation}"
        ))
        .await
        .ok();
    assert_eq!(events["events"].as_array().unwrap().len(), 4);
    let detail = operator
        .get(&format!("/v1/operator/agents/{}", two.id))
        .await
        .ok();
    assert_eq!(ids(&detail, "recentMessages", "id"), [&second, &first]);
    assert_eq!(
        ids(&detail, "recentEvents", "event_type"),
        [
            "message.queued",
            "message.acked",
            "message.delivered",
            "agent.enrolled"
        ]
    );
}

#[tokio::test]
async fn messages_are_found_by_all_of_their_words() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let [one, two] = relay.agents(["one", "two"]).await;
    let rare = format!("zeppelin{}", &one.id[30..]);
    let old = say(&one, &two, "c-search", &format!("The {rare} flies low")).await;
    let new = say(&one, &two, "c-search", &format!("a {rare} high up")).await;
    let search = async |text: &str| {
        operator
            .get(&format!("/v1/operator/search?q={text}"))
            .await
            .ok()
    };
    assert_eq!(ids(&search(&rare).await, "messages", "id"), [&new, &old]);
    assert_eq!(
        ids(&search(&format!("{rare}+LOW")).await, "messages", "id"),
        [&old]
    );
    assert!(ids(&search(&format!("{rare}+nowhere")).await, "messages", "id").is_empty());
    assert!(ids(&search("+++").await, "messages", "id").is_empty());
    let page = search(&format!("{rare}&limit=1")).await;
    let cursor = page["next_cursor"].as_str().unwrap();
    let next = search(&format!("{rare}&limit=1&cursor={cursor}")).await;
    assert_eq!(ids(&next, "messages", "id"), [&old]);
    operator.get("/v1/operator/search").await.invalid("q");
    operator
        .get("/v1/operator/search?q=x&cursor=1")
        .await
        .invalid("cursor");
    let long = "x".repeat(1001);
    operator
        .get(&format!("/v1/operator/search?q={long}"))
        .await
        .invalid("q");
}

#[tokio::test]
async fn events_are_found_by_what_they_are_about() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let [one, two] = relay.agents(["one", "two"]).await;
    let message = say(&one, &two, "c-1", "x").await;
    operator.order(&one, "pause").await;
    operator.order(&one, "resume").await;
    let types = async |query: &str| {
        let page = operator
            .get(&format!("/v1/operator/events?{query}"))
            .await
            .ok();
        ids(&page, "events", "event_type").join(" ")
    };
    for (query, expected) in [
        ("type=agent.pause".to_string(), "agent.pause"),
        ("type=message".into(), "message.queued"),
        ("type=message.queued".into(), "message.queued"),
        ("type=nothing".into(), ""),
        (format!("actor_id={}", one.id), "message.queued"),
        (
            format!("resource_id={}", one.id),
            "agent.resume agent.pause agent.enrolled",
        ),
        (
            format!("resource_id={}&type=agent.resume", one.id),
            "agent.resume",
        ),
        (format!("resource_id={message}"), "message.queued"),
        ("resource_id=agent_unknown".into(), ""),
        ("conversation_id=c-1".into(), "message.queued"),
    ] {
        assert_eq!(types(&query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn who_talks_to_whom_is_counted() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let [one, two] = relay.agents(["one", "two"]).await;
    let mut last = String::new();
    for _ in 0..3 {
        last = say(&one, &two, "c-1", "x").await;
    }
    say(&two, &one, "c-1", "y").await;
    two.receive().await;
    two.ack(&[&last]).await;
    let seen = operator.get("/v1/operator/topology").await.ok();
    assert_eq!(
        seen["edges"],
        json!([
            { "sender_agent_id": one.id, "recipient_agent_id": two.id, "messages": 3, "failed": 0 },
            { "sender_agent_id": two.id, "recipient_agent_id": one.id, "messages": 1, "failed": 0 },
        ])
    );
    let activity = operator
        .get("/v1/operator/activity?window_minutes=15")
        .await
        .ok();
    assert_eq!(activity["total"]["accepted"], 4);
    assert_eq!(activity["total"]["delivered"], 3);
    assert_eq!(activity["total"]["acked"], 1);
    assert!(activity["total"]["latency_ms"]["p99"].as_u64().unwrap() > 0);
    let spans = activity["spans"].as_array().unwrap();
    assert!((3..=4).contains(&spans.len()), "{spans:?}");
    // One still waits; how many of the others were seen waiting is a matter of moments.
    let queued = |span: Option<&Value>| span.map(|span| span["queued"].clone()).unwrap();
    assert_eq!(queued(spans.first()), Value::Null);
    let most = queued(spans.last()).as_u64();
    assert!(most.is_some_and(|most| (1..=4).contains(&most)), "{most:?}");
    for path in ["topology", "activity"] {
        for minutes in ["4", "1441", "x"] {
            operator
                .get(&format!("/v1/operator/{path}?window_minutes={minutes}"))
                .await
                .invalid("window_minutes");
        }
    }
    let health = operator.get("/v1/operator/fleet-health").await.ok();
    assert_eq!(health["counts"]["agents_healthy"], 2);
    assert_eq!(health["counts"]["messages_accepted"], 4);
    // Also what was worked out before a crash counts once.
    let mut relay = relay;
    relay.kill();
    relay.boot().await;
    let operator = relay.operator().await;
    let again = operator.get("/v1/operator/topology").await.ok();
    assert_eq!(again["edges"], seen["edges"]);
}

async fn open(operator: &Operator, query: &str, last_event_id: Option<&str>) -> Events {
    let mut headers = vec![("authorization".into(), format!("Bearer {}", operator.token))];
    headers.extend(last_event_id.map(|id| ("last-event-id".into(), id.to_string())));
    let url = format!("{}/v1/operator/stream{query}", operator.relay_url);
    let answer = Http::new().open("GET", &url, &headers, Bytes::new()).await;
    let answer = answer.unwrap();
    assert_eq!(answer.status(), 200);
    Events::of(answer)
}

#[tokio::test]
async fn the_stream_shows_what_happens_and_goes_on_where_it_broke() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let [one, two] = relay.agents(["one", "two"]).await;
    let mut events = open(&operator, "?types=message,agent.pause", None).await;
    let counts = events.next().await.unwrap();
    assert_eq!(counts.name, "counts");
    assert_eq!(counts.json()["agents_healthy"], 2);
    let id = say(&one, &two, "c-1", "x").await;
    let event = events.next().await.unwrap();
    assert_eq!(
        (event.name.as_str(), event.json()["event_type"].as_str()),
        ("event", Some("message.queued"))
    );
    assert_eq!(event.json()["resource_id"], id.as_str());
    let place = event.id.clone().unwrap();
    assert_eq!(event.json()["id"], place.as_str());
    drop(events);
    operator.order(&one, "pause").await;
    operator.order(&one, "resume").await;
    let mut events = open(&operator, "?types=message,agent.pause", Some(&place)).await;
    let event = events.next().await.unwrap();
    assert_eq!(event.json()["event_type"], "agent.pause");
    // Who signs out sees no more.
    let counts = events.next().await.unwrap();
    assert_eq!(counts.name, "counts");
    operator.post("/v1/operator/logout", &json!({})).await.ok();
    while let Some(event) = events.next().await {
        assert_eq!(event.name, "counts", "{event:?}");
    }
}

#[tokio::test]
async fn a_stream_that_is_asked_for_nonsense_is_refused() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let url = format!("{}/v1/operator/stream", operator.relay_url);
    let headers = [
        (
            "authorization".to_string(),
            format!("Bearer {}", operator.token),
        ),
        ("last-event-id".to_string(), "5".to_string()),
    ];
    let answer = Http::new().send("GET", &url, &headers, Bytes::new()).await;
    answer.invalid("Last-Event-ID");
    let many = vec!["agent"; 51].join(",");
    operator
        .get(&format!("/v1/operator/stream?types={many}"))
        .await
        .invalid("types");
}
