//! The page to browse the description, from the binary and nowhere else

use crate::support::shared;

#[tokio::test]
async fn the_description_is_served_as_it_is_checked_in() {
    let relay = shared().await;
    let answer = relay.get("/openapi.json").await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let path = support::root().join("docs/openapi.json");
    let checked_in = std::fs::read_to_string(path).expect("docs/openapi.json");
    assert!(
        answer.text() == checked_in,
        "`./dev openapi` writes docs/openapi.json anew"
    );
    assert_eq!(relay.get("/").await.ok()["docs"], "/docs/");
}

#[tokio::test]
async fn the_page_loads_its_parts_from_the_relay_alone() {
    let relay = shared().await;
    let page = relay.get("/docs/").await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, Some("text/html"))
    );
    let policy = page
        .header("content-security-policy")
        .expect("a policy")
        .to_string();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    let html = page.text();
    let parts: Vec<&str> = html
        .split(['"', '\''])
        .filter(|text| {
            [".js", ".css", ".png"]
                .iter()
                .any(|end| text.ends_with(end))
        })
        .collect();
    assert!(parts.len() >= 4, "{html}");
    for part in parts {
        assert!(!part.contains("//"), "{part} is somewhere else");
        let answer = relay
            .get(&format!("/docs/{}", part.trim_start_matches("./")))
            .await;
        assert_eq!(answer.status, 200, "{part}");
        assert!(!answer.bytes.is_empty(), "{part}");
        assert_eq!(
            answer.header("x-content-type-options"),
            Some("nosniff"),
            "{part}"
        );
    }
    let start = relay.get("/docs/swagger-initializer.js").await.text();
    assert!(start.contains("\"/openapi.json\""), "{start}");
    assert!(start.contains("\"validatorUrl\": \"none\""), "{start}");
}

#[tokio::test]
async fn other_addresses_lead_to_the_page_or_are_refused() {
    let relay = shared().await;
    let answer = relay.get("/docs").await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (308, Some("/docs/"))
    );
    for name in ["nothing", "..%2Fopenapi.json", "%FF"] {
        let answer = relay.get(&format!("/docs/{name}")).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (404, "not_found"),
            "{name}"
        );
    }
}
