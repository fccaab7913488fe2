//! GET /v1/operator/agents and /v1/operator/agents/{id}

use serde_json::{Value, json};

use crate::checks::{assert_fields, assert_time, texts};
use crate::support::{Relay, shared};

#[tokio::test]
async fn the_list_is_paged_filtered_and_sorted() {
    // Its own fleet: everything in it is counted.
    let relay = Relay::start().await;
    let [alpha, beta, gamma, delta] = relay.agents(["alpha", "beta", "gamma", "delta"]).await;
    let operator = relay.operator().await;
    operator.order(&beta, "pause").await;
    operator.order(&delta, "revoke").await;
    let list = async |query: &str| {
        let answer = operator
            .get(&format!("/v1/operator/agents?{query}"))
            .await
            .ok();
        assert_fields(&answer, &["agents", "total", "page", "limit"]);
        answer
    };
    let names =
        |answer: &Value| texts(answer["agents"].as_array().unwrap(), "display_name").join(" ");

    let all = list("").await;
    assert_eq!(
        (&all["total"], &all["page"], &all["limit"]),
        (&json!(4), &json!(1), &json!(20))
    );
    for agent in all["agents"].as_array().unwrap() {
        assert_fields(
            agent,
            &[
                "id",
                "display_name",
                "runtime",
                "status",
                "last_seen_at",
                "created_at",
            ],
        );
        assert_time(&agent["created_at"]);
    }
    assert_eq!(
        names(&list("sortBy=display_name").await),
        "alpha beta delta gamma"
    );
    assert_eq!(
        names(&list("sortBy=display_name&sortOrder=desc").await),
        "gamma delta beta alpha"
    );
    let page = list("sortBy=display_name&limit=3&page=2").await;
    assert_eq!(
        (names(&page).as_str(), &page["total"], &page["page"]),
        ("gamma", &json!(4), &json!(2))
    );
    assert_eq!(names(&list("limit=3&page=3").await), "");
    assert_eq!(names(&list("search=ETA").await), "beta");
    // By their ids, in the order asked for, those that are revoked as well.
    let named = format!("ids={},agent_nobody,{}", delta.id, alpha.id);
    assert_eq!(names(&list(&named).await), "delta alpha");
    let many = vec![alpha.id.as_str(); 101].join(",");
    let target = format!("/v1/operator/agents?ids={many}");
    operator.get(&target).await.invalid("ids");
    assert_eq!(names(&list(&format!("search={}", gamma.id)).await), "gamma");
    assert_eq!(names(&list("status=paused").await), "beta");
    assert_eq!(names(&list("status=revoked").await), "delta");
    assert_eq!(list("status=healthy").await["total"], 2);
    assert_eq!(list("status=quarantined").await["total"], 0);
    for sort in ["created_at", "display_name", "last_seen_at", "status"] {
        for order in ["asc", "desc"] {
            let asked = format!("sortBy={sort}&sortOrder={order}");
            let whole = names(&list(&asked).await);
            // One at a time, by cursor.
            let (mut found, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = list(&format!("{asked}&limit=1{cursor}")).await;
                found.push(names(&page));
                match page["next_cursor"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
            assert_eq!(found.join(" ").trim(), whole, "{asked}");
        }
    }
    let violations = operator
        .get(&format!("/v1/operator/agents/{}/rate-limits", alpha.id))
        .await
        .ok();
    assert_eq!(violations, json!({ "violations": [] }));

    for (field, query) in [
        ("limit", "limit=0"),
        ("limit", "limit=101"),
        ("page", "page=0"),
        ("page", "page=x"),
        ("sortBy", "sortBy=secret"),
        ("sortOrder", "sortOrder=up"),
        ("status", "status=asleep"),
        ("cursor", "cursor=zz"),
    ] {
        operator
            .get(&format!("/v1/operator/agents?{query}"))
            .await
            .invalid(field);
    }
}

#[tokio::test]
async fn the_newest_enrolment_is_seen_at_once_and_dates_limit() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let agent = operator.enrol("dated").await;
    let created = operator.agent(&agent).await["created_at"]
        .as_str()
        .unwrap()
        .to_string();
    let total = async |query: &str| {
        operator
            .get(&format!("/v1/operator/agents?{query}"))
            .await
            .ok()["total"]
            .as_u64()
            .unwrap()
    };
    assert_eq!(total("").await, 1);
    assert_eq!(
        total(&format!("dateFrom={created}&dateTo={created}")).await,
        1
    );
    assert_eq!(total("dateFrom=2000-01-01T00:00:00.000Z").await, 1);
    assert_eq!(total("dateTo=2000-01-01T00:00:00.000Z").await, 0);
    assert_eq!(total("dateFrom=2999-01-01T00:00:00.000Z").await, 0);
}

#[tokio::test]
async fn one_agent_with_its_controls_and_no_secret() {
    let relay = shared().await;
    let [agent] = relay.agents(["agent"]).await;
    let operator = relay.operator().await;
    operator.order(&agent, "pause").await;
    operator.order(&agent, "resume").await;
    let answer = operator
        .get(&format!("/v1/operator/agents/{}", agent.id))
        .await;
    let detail = answer.ok();
    assert_fields(&detail, &["agent", "controls"]);
    assert_eq!(detail["agent"]["id"], agent.id);
    assert_eq!(
        texts(detail["controls"].as_array().unwrap(), "action"),
        ["resume", "pause"],
        "newest first"
    );
    assert!(!answer.text().contains(&agent.secret));
    let unknown = operator.get("/v1/operator/agents/agent_unknown").await;
    unknown.refused(404, "not found", "not_found");
}
