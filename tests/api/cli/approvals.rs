//! `ekho approvals`

use serde_json::json;

use super::{Shell, first_column};
use crate::support::shared;

#[tokio::test]
async fn approvals_are_listed_and_decided() {
    let relay = shared().await;
    let operator = relay.operator().await;
    let [agent] = relay.agents(["cli asks"]).await;
    let shell = Shell::new(&relay, &operator);
    let mut ids = Vec::new();
    for summary in ["Deploy the cli test", "Drop the cli test"] {
        let proposal = json!({
            "conversation_id": "conv-1", "action_type": "deploy", "summary": summary,
            "risk_level": "critical", "payload": { "branch": "main" },
        });
        let answer = agent.post("/v1/actions/propose", &proposal).await.ok();
        ids.push(answer["approval_id"].as_str().unwrap().to_string());
    }
    ids.reverse();
    let list = [
        "approvals",
        "list",
        "--status",
        "pending",
        "--risk",
        "critical",
        "--search",
        "the cli test",
    ];
    let table = shell.says(&list);
    assert_eq!(first_column(&table), ids);
    assert!(table.contains("Drop the cli test"), "{table}");
    assert_eq!(shell.json(&list)["approvals"][1]["id"], ids[1].as_str());
    let shown = shell.says(&["approvals", "show", &ids[0]]);
    assert!(shown.contains(r#"{"branch":"main"}"#), "{shown}");
    assert_eq!(
        shell.json(&["approvals", "show", &ids[0]])["approval"]["status"],
        "pending"
    );

    let yes = shell.says(&[
        "approvals",
        "approve",
        &ids[0],
        "--reason",
        "the tests are green",
    ]);
    assert_eq!(yes.trim(), format!("{}: approved", ids[0]));
    let no = shell.json(&["approvals", "reject", &ids[1]]);
    assert_eq!(no, json!({ "ok": true, "status": "rejected" }));
    assert!(
        shell
            .fails(&["approvals", "reject", &ids[0]], 1)
            .contains("409 conflict")
    );
    assert!(
        shell
            .fails(&["approvals", "show", "apr_1"], 1)
            .contains("404 not_found")
    );
    let told = agent.get(&format!("/v1/actions/{}", ids[0])).await.ok();
    assert_eq!(told["status"], "approved");
}
