//! The console: the page, its files, and what a browser is told of them.

use bytes::Bytes;

use crate::support::{Http, shared};

#[tokio::test]
async fn the_page_is_at_every_place_of_the_console() {
    let relay = shared().await;
    let moved = relay.get("/ui").await;
    assert_eq!(moved.status, 308);
    assert_eq!(moved.header("location"), Some("/ui/"));
    let page = relay.get("/ui/").await;
    assert_eq!(page.status, 200, "built with the console: ./dev build");
    assert!(
        page.text().contains("<script type=\"module\""),
        "{}",
        page.text()
    );
    for place in [
        "/ui/agents/agent_1?tab=events",
        "/ui/conversations/release-2.4",
    ] {
        assert_eq!(relay.get(place).await.text(), page.text(), "{place}");
    }
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self';"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"), "{policy}");
    assert!(
        policy.contains(&format!("connect-src 'self' {}", relay.url())),
        "{policy}"
    );

    let known = page.header("etag").unwrap().to_string();
    let headers = [("if-none-match".to_string(), known)];
    let url = format!("{}/ui/", relay.url());
    let again = Http::new().send("GET", &url, &headers, Bytes::new()).await;
    assert_eq!((again.status, again.bytes.len()), (304, 0));
}

#[tokio::test]
async fn files_with_a_hash_in_their_name_are_kept_for_ever() {
    let relay = shared().await;
    let page = relay.get("/ui/").await.text();
    let mut scripts = page
        .split("src=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next());
    let script = scripts
        .find(|script| script.starts_with("/ui/assets/"))
        .expect("a script with a hash in its name");
    let file = relay.get(script).await;
    assert_eq!(file.status, 200);
    assert!(file.header("content-type").unwrap().contains("javascript"));
    let kept = file.header("cache-control");
    assert_eq!(kept, Some("public, max-age=31536000, immutable"));
    // This one has none: it is asked for again with each page.
    let boot = relay.get("/ui/boot.js").await;
    assert_eq!(boot.status, 200);
    assert_eq!(boot.header("cache-control"), Some("no-cache"));
    for missing in ["/ui/assets/nothing.js", "/ui/assets/"] {
        let answer = relay.get(missing).await;
        answer.refused(404, "no such file of the console", "not_found");
    }
}
