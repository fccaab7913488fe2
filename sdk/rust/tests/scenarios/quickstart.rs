//! The quickstart of docs/sdks.md: the lines between the marks are those of the page, and are run.

use std::error::Error;

use ekho_client::{
    AckItem, EkhoAgentClient, EnrollRequest, InboxQuery, MessageType, Recipient, SendMessage,
};
use serde_json::json;

use crate::rig::Rig;

const PAGE: &str = include_str!("../../../../docs/sdks.md");
const THIS: &str = include_str!("quickstart.rs");

#[rustfmt::skip]
async fn quickstart(var: impl Fn(&str) -> Result<String, Box<dyn Error>>) -> Result<String, Box<dyn Error>> {
    // begin
    let enrolment = EnrollRequest::new(var("EKHO_FLEET_ID")?, var("EKHO_ENROLLMENT_TOKEN")?, "Hello");
    let me = EkhoAgentClient::enroll(var("EKHO_RELAY_URL")?, &enrolment).await?;
    let client = EkhoAgentClient::builder(&me.agent_id, me.secret).relay(var("EKHO_RELAY_URL")?).build()?;
    let hello = SendMessage::new(Recipient::agent(&me.agent_id), MessageType::Direct, "c-1", json!({"text": "Hello!"}));
    client.send_message(&hello).await?;
    let inbox = client.get_inbox(&InboxQuery { wait_seconds: Some(30), ..InboxQuery::default() }).await?;
    println!("{}", inbox.messages[0].body["text"]);
    client.ack_messages(vec![AckItem::now(&inbox.messages[0].message_id)]).await?;
    // end
    Ok(inbox.messages[0].body["text"].to_string())
}

fn lines(text: &str) -> Vec<&str> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect()
}

#[test]
fn the_page_has_the_lines_that_are_run() {
    let page = PAGE
        .split("```rust\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .unwrap();
    let here = THIS
        .split("// begin")
        .nth(1)
        .and_then(|rest| rest.split("// end").next())
        .unwrap();
    let page = lines(page);
    assert_eq!(page[0], "let var = |name: &str| std::env::var(name);");
    assert_eq!(page[1..], lines(here)[..]);
    assert!(page.len() <= 10);
}

/// As the page says, with what the rig knows in place of the environment.
pub async fn run(rig: &Rig) {
    let token = rig.token().await.unwrap();
    let variable = |name: &str| {
        Ok(match name {
            "EKHO_RELAY_URL" => rig.relays[0].clone(),
            "EKHO_FLEET_ID" => rig.fleet_id.clone(),
            _ => token.clone(),
        })
    };
    assert_eq!(quickstart(variable).await.unwrap(), "\"Hello!\"");
}
