//! `ekho keys`

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::{Shell, first_column};
use crate::support::Relay;

#[tokio::test]
async fn keys_are_made_registered_endorsed_and_revoked() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let shell = Shell::new(&relay, &operator);
    let path = |name: &str| relay.dir().join(name).to_str().unwrap().to_string();
    let (root, mine) = (path("root.pem"), path("mine.pem"));
    let made = shell.json(&["keys", "generate", "--out", &root]);
    let root_id = made["key_id"].as_str().unwrap();
    assert_eq!(
        fs::metadata(&root).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(
        shell
            .fails(&["keys", "generate", "--out", &root], 1)
            .contains("exists")
    );
    shell.says(&["keys", "generate", "--out", &mine]);

    let register = [
        "keys", "register", "--key", &root, "--name", "root", "--root",
    ];
    assert_eq!(shell.json(&register)["key_id"], root_id);
    let said = shell.says(&["keys", "register", "--key", &mine, "--name", "mine"]);
    let id = said.split([' ', ',']).nth(1).unwrap().to_string();
    let trusted = || shell.json(&["keys", "show", &id])["key"]["trusted"].clone();
    assert_eq!(trusted(), json!(false));
    let endorse = ["keys", "endorse", &id, "--with", &root];
    assert_eq!(
        shell.says(&endorse).trim(),
        format!("{root_id} vouches for {id}")
    );
    assert_eq!(trusted(), json!(true));
    let shown = shell.says(&["keys", "show", &id]);
    assert!(
        shown.contains("Endorsed by:") && shown.contains(root_id),
        "{shown}"
    );
    assert_eq!(
        first_column(&shell.says(&["keys", "list", "--all"])).len(),
        2
    );
    assert_eq!(
        shell.json(&["keys", "list"])["keys"]
            .as_array()
            .unwrap()
            .len(),
        2
    );

    assert!(
        shell
            .fails(&["keys", "revoke", root_id, "--reason", "x"], 2)
            .contains("--yes")
    );
    let revoke = ["keys", "revoke", root_id, "--reason", "lost", "--yes"];
    assert_eq!(
        shell.says(&revoke).trim(),
        format!("revoked {root_id}; not trusted any more: {id}")
    );
    assert_eq!(trusted(), json!(false));
    assert_eq!(first_column(&shell.says(&["keys", "revoked"])), [root_id]);
    assert_eq!(
        shell.json(&["keys", "revoked"])["keys"][0]["reason"],
        "lost"
    );
    assert!(shell.fails(&register, 1).contains("409 key_revoked"));
    assert!(shell.fails(&endorse, 1).contains("409 conflict"));
    assert!(
        shell
            .fails(&["keys", "show", "key_1"], 1)
            .contains("404 not_found")
    );

    let agent = operator.enrol("keyed").await;
    let key = json!({ "public_key": made["public_key"] });
    assert_eq!(
        agent.post("/v1/identity-key", &key).await.code(),
        "key_revoked"
    );
    let key = agent
        .post("/v1/identity-key", &json!({ "public_key": "of its own" }))
        .await
        .ok();
    let key = key["key_id"].as_str().unwrap();
    assert_eq!(
        first_column(&shell.says(&["keys", "agent", &agent.id])),
        [key]
    );
    let revoke = [
        "keys",
        "revoke-agent",
        &agent.id,
        key,
        "--reason",
        "leaked",
        "--yes",
    ];
    assert_eq!(shell.says(&revoke).trim(), format!("revoked {key}"));
    assert!(shell.json(&["keys", "agent", &agent.id])["keys"][0]["revoked_at"].is_string());
    assert!(shell.fails(&revoke, 1).contains("409 key_revoked"));

    fs::write(&mine, "no key").unwrap();
    let register = ["keys", "register", "--key", &mine, "--name", "x"];
    assert!(
        shell
            .fails(&register, 1)
            .contains("a private key in PEM form is expected")
    );
}
