//! Taking a backup: what it holds, who may, and how it lies on disk.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use ekho_storage::{Cf, Read, View};
use serde_json::json;

use super::{fails, json, names_in, take};
use crate::support::{Http, Operator, Relay, direct, iso, now_ms};

#[tokio::test]
async fn a_backup_says_what_it_is_and_common_tools_can_check_it() {
    let relay = Relay::start().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    for number in 0..20 {
        sender
            .send(&direct(&recipient.id, &format!("{number}")))
            .await;
    }
    let before = iso(now_ms());
    let name = "ekho backup.tar";
    let output = relay.run([
        "backup",
        "create",
        "--output",
        name,
        "--label",
        "before the upgrade",
        "--json",
    ]);
    let said = json(&output);
    let file = relay.dir().join(name);
    let identity = fs::read_to_string(relay.data_dir().join("cluster.json")).unwrap();
    let identity: serde_json::Value = serde_json::from_str(&identity).unwrap();
    assert_eq!(said["label"], "before the upgrade");
    assert_eq!(said["cluster_id"], identity["cluster_id"]);
    assert_eq!(
        (&said["fleets"], &said["agents"]),
        (&json!(1), &json!(2)),
        "{said}"
    );
    assert_eq!(said["messages_open"], 20);
    assert!(
        said["up_to"].as_str() >= Some(before.as_str()),
        "{said} {before}"
    );
    let size_bytes = fs::metadata(&file).unwrap().len();
    assert_eq!(said["size_bytes"], size_bytes);
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!relay.dir().join("ekho backup.tar.partial").exists());

    let shown = json(&relay.run(["backup", "show", name, "--json"]));
    let mut expected = said.clone();
    expected["file"] = json!(name);
    assert_eq!(shown, expected);
    let verified = json(&relay.run(["backup", "verify", name, "--json"]));
    assert_eq!(verified["intact"], true);
    let text = relay.run(["backup", "show", name]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(
        text.contains("before the upgrade") && text.contains("up_to"),
        "{text}"
    );
    let text = relay.run(["backup", "verify", name]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(
        text.starts_with("intact: ") && text.contains("everything accepted up to"),
        "{text}"
    );

    // Nothing of ours is needed to see that it is whole.
    let dir = relay.dir().join("unpacked");
    fs::create_dir(&dir).unwrap();
    let line = format!(
        "tar -xf '{}' && sha256sum --quiet -c SHA256SUMS",
        file.display()
    );
    let checked = Command::new("sh")
        .args(["-c", &line])
        .current_dir(&dir)
        .output()
        .unwrap();
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );
    assert_eq!(names_in(&dir), ["SHA256SUMS", "backup.json", "state"]);
}

/// What is sealed stays sealed, and the keys to it are not there.
#[tokio::test]
async fn a_backup_holds_no_secret_in_the_clear() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let agent = operator.enrol("agent").await;
    let token = operator.enrollment_token().await;
    let (file, _) = take(&relay, "ekho.tar");
    let dir = relay.dir().join("unpacked");
    tar::Archive::new(fs::File::open(file).unwrap())
        .unpack(&dir)
        .unwrap();
    let secrets = fs::read_to_string(relay.data_dir().join("secrets.toml")).unwrap();
    let in_quotes = secrets.split('"').skip(1).step_by(2).map(str::to_string);
    let password = relay.credentials().password;
    let clear: Vec<String> = in_quotes
        .chain([
            agent.secret.clone(),
            token,
            operator.token.clone(),
            password,
        ])
        .collect();
    assert_eq!(clear.len(), 6);
    // Files of tables are compressed: what counts is what can be read out of them.
    let view = View::open(&dir.join("state")).unwrap();
    let mut holds_the_agent = false;
    for cf in Cf::ALL {
        for (key, value) in view.scan(cf, &[], &[0xff; 9], usize::MAX).unwrap() {
            let row = [key, value].concat();
            let holds = |text: &str| row.windows(text.len()).any(|part| part == text.as_bytes());
            assert!(
                !clear.iter().any(|secret| holds(secret)),
                "a secret in {cf:?}"
            );
            holds_the_agent |= holds(&agent.id);
        }
    }
    assert!(holds_the_agent, "it is searched at all");
}

async fn status(operator: &Operator, query: &str) -> (u16, String) {
    let answer = operator.get(&format!("/v1/operator/backup{query}")).await;
    let code = if answer.status == 200 {
        String::new()
    } else {
        answer.code()
    };
    (answer.status, code)
}

#[tokio::test]
async fn only_owners_of_the_first_fleet_and_tokens_with_the_scope_may() {
    let relay = Relay::builder().pro().start().await;
    let owner = relay.operator().await;
    let new = json!({ "email": "o@x.example", "password": "a long password", "role": "operator" });
    owner.post("/v1/operator/operators", &new).await.ok();
    let new = json!({ "name": "second", "owner_email": "b@x.example", "owner_password": "a long password" });
    owner.post("/v1/operator/fleets", &new).await.ok();
    let sign_in = async |fleet: &str, email: &str| {
        let request = json!({ "fleet_name": fleet, "email": email, "password": "a long password" });
        let url = format!("{}/v1/operator/login", relay.url());
        let answer = Http::new().post(&url, &request).await.ok();
        let token = answer["token"].as_str().unwrap().to_string();
        Operator {
            token,
            ..owner.clone()
        }
    };
    let forbidden = (403, "forbidden".to_string());
    let operator = sign_in("test", "o@x.example").await;
    assert_eq!(status(&operator, "").await, forbidden);
    let other = sign_in("second", "b@x.example").await;
    assert_eq!(status(&other, "").await, forbidden);
    let token = async |scopes: &[&str]| {
        let request = json!({ "name": "t", "scopes": scopes });
        let answer = owner.post("/v1/operator/tokens", &request).await.ok();
        let token = answer["token"].as_str().unwrap().to_string();
        Operator {
            token,
            ..owner.clone()
        }
    };
    assert_eq!(
        status(&token(&["read", "settings", "fleets"]).await, "").await,
        forbidden
    );
    // It need not read anything else.
    let backup = token(&["backup"]).await;
    assert_eq!(status(&backup, "?label=by+token").await.0, 200);
    assert_eq!(backup.get("/v1/operator/agents").await.status, 403);
    let nobody = Operator {
        token: "nobody".into(),
        ..owner.clone()
    };
    assert_eq!(status(&nobody, "").await, (401, "not_signed_in".into()));
    let invalid = owner.get("/v1/operator/backup?label=").await;
    invalid.invalid("label");
    let invalid = owner.get("/v1/operator/backup?label=a%07b").await;
    invalid.invalid("label");

    let events = owner
        .get("/v1/operator/events?type=backup.taken")
        .await
        .ok();
    let events = events["events"].as_array().unwrap().clone();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0]["payload"]["label"], "by token");
    assert_eq!(events[0]["actor_kind"], "operator");
}

#[tokio::test]
async fn a_backup_is_never_written_over_anything() {
    let relay = Relay::start().await;
    let precious = relay.dir().join("ekho.tar");
    fs::write(&precious, "precious").unwrap();
    let said = fails(&relay.run(["backup", "create", "--output", "ekho.tar"]));
    assert!(said.contains("is there already"), "{said}");
    assert_eq!(fs::read(&precious).unwrap(), b"precious");
    let said = fails(&relay.run(["backup", "create", "--output", "nowhere/ekho.tar"]));
    assert!(said.contains("nowhere/ekho.tar.partial"), "{said}");
    let said = fails(&relay.run([
        "backup",
        "create",
        "--output",
        "x.tar",
        "--url",
        "http://127.0.0.1:9",
    ]));
    assert!(said.contains("no answer"), "{said}");
    assert!(!relay.dir().join("x.tar").exists() && !relay.dir().join("x.tar.partial").exists());
}
