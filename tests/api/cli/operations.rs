//! docs/operations.md: a session in a shell, run against a fresh relay, written down as it went.

use std::fs;

use serde_json::json;

use crate::support::{Agent, HookServer, Relay, Session, Stable, direct, word};

const HEAD: &str = "\
# Steering a fleet from a shell

What an operator does, command by command, each with what it printed. The page is written by running it:

    UPDATE_DOCS=1 cargo test --release --workspace --test api -- cli::operations

and a test holds it against what the commands print now. Ids, times and secrets are made stable; nothing else is changed. Every command has `--help` with more examples, `--json` gives the relay's answer in place of a table, and what cannot be taken back is asked about unless `--yes` is given. How to keep a relay running is in [operating.md](operating.md), what the commands call in [operator-api.md](operator-api.md).
";

/// On several threads: the hook answers while a command is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_operations_is_what_the_commands_print() {
    let relay = Relay::builder().pro().start().await;
    write_page(&relay).await.check("operations.md");
}

/// Runs the session. What agents do meanwhile goes over the agent API, and the text says so.
async fn write_page(relay: &Relay) -> Session {
    let home = relay.dir().join("home");
    fs::create_dir_all(&home).unwrap();
    let owner = relay.credentials();
    fs::write(home.join("password.txt"), &owner.password).unwrap();
    fs::write(home.join("ada.txt"), "a first password").unwrap();
    let port = relay.port.to_string();
    let replaced = vec![(format!("127.0.0.1:{port}"), "127.0.0.1:4000")];
    let mut session = Session::new(&home, HEAD, Stable::new(replaced));
    let page = &mut session;
    // One after the other, so that they always come in the same order.
    let operator = relay.operator().await;
    let (writer, reviewer) = (
        operator.enrol("Writer").await,
        operator.enrol("Reviewer").await,
    );
    operator.post("/v1/operator/logout", &json!({})).await.ok();
    sign_in(page, relay);
    people(page);
    agents(page, &writer, &reviewer).await;
    messages(page, &writer, &reviewer).await;
    policies(page, &writer, &reviewer).await;
    approvals(page, &writer).await;
    dead_letters(page, &writer, &reviewer).await;
    hooks(page).await;
    keys(page);
    a2a_clients(page, &writer);
    fleets(page);
    settings_and_audit(page);
    session
}

fn sign_in(page: &mut Session, relay: &Relay) {
    page.title("Sign in");
    page.text("On the relay's machine commands act as the owner in `credentials.json`. From anywhere else, sign in; the session is kept for the commands that follow, the password is not.");
    let url = relay.url();
    page.run(&format!("ekho login --url {url} --fleet test --email owner@example.org --password-stdin < password.txt"));
    page.run("ekho operators me");
    page.text("A program acts with an API token instead, in `EKHO_TOKEN` or in the file that `--token-file` names, within the scopes it was given:");
    page.run("ekho tokens create-api --name report --scope read --for 720h > report.token");
    page.run("ekho tokens list");
    page.run("ekho overview --token-file report.token | head -n 5");
    page.run_to("ekho tokens create --token-file report.token", 1);
}

fn people(page: &mut Session) {
    page.title("Operators");
    page.run("ekho operators add ada@example.org --role operator --password-stdin < ada.txt");
    page.run("ekho operators list");
    page.run("ekho operators role ada@example.org viewer");
    page.run("ekho operators sessions");
    page.run("ekho operators remove ada@example.org --yes");
}

async fn agents(page: &mut Session, writer: &Agent, reviewer: &Agent) {
    page.title("Agents");
    page.text("A token admits one agent, once, within an hour. Here two have enrolled already.");
    page.run("ekho tokens create");
    page.run("ekho agents list");
    let (writer, reviewer) = (&writer.id, &reviewer.id);
    page.run(&format!(
        "ekho agents pause {writer} --reason 'deploy under way' --for 30m"
    ));
    page.run(&format!("ekho agents show {writer}"));
    page.run(&format!(
        "ekho agents resume {writer} --reason 'deploy done'"
    ));
    page.run(&format!(
        "ekho agents quarantine {writer} --reason 'odd answers' --redirect-to {reviewer}"
    ));
    page.run("ekho agents list --status quarantined");
    page.run(&format!(
        "ekho agents resume {writer} --reason 'looked into'"
    ));
    page.text("`ekho agents revoke` ends one for good. What goes wrong is one sentence on standard error, with the code that programs go by:");
    page.run_to("ekho agents revoke agent_1 --reason retired --yes", 1);
}

async fn messages(page: &mut Session, writer: &Agent, reviewer: &Agent) {
    page.title("Messages and conversations");
    let (from, to) = (&writer.id, &reviewer.id);
    let sent = page.run(&format!("ekho messages send --to {from} --conversation report 'Please begin with the quarterly report'"));
    let message = word(&sent, "msg_");
    page.run(&format!("ekho messages show {message}"));
    page.run(&format!("ekho agents inbox {from}"));
    page.run(&format!(
        "ekho agents redirect {from} --to {to} --reason 'its host is down'"
    ));
    page.run("ekho messages search quarterly report");
    page.run("ekho conversations list");
    page.run("ekho conversations show report");
    let sent = page.run(&format!("ekho messages send --to {from} 'Never mind'"));
    page.run(&format!("ekho messages cancel {}", word(&sent, "msg_")));
}

async fn policies(page: &mut Session, writer: &Agent, reviewer: &Agent) {
    page.title("Policies");
    let made = page.run("ekho policies create --name 'no shouting' --action deny --message-type alert,broadcast --dry-run");
    let policy = word(&made, "pol_");
    let preview = format!(
        "ekho policies preview --sender {} --recipient {} --message-type alert",
        writer.id, reviewer.id
    );
    page.run(&preview);
    page.text("A dry run only records. Without it, the rule decides, from the moment at which the change is answered:");
    page.run(&format!("ekho policies edit {policy} --dry-run false"));
    page.run(&preview);
    page.run("ekho policies list");
    page.run(&format!("ekho policies versions {policy}"));
    page.run(&format!("ekho policies rollback {policy} 1"));
    page.run(&format!("ekho policies disable {policy}"));
    page.text("Policies can be kept as files, one or all of them:");
    page.run("printf '%s\\n' 'name: quiet nights' 'scope_kind: fleet' 'rule: {action: deny, conditions: {priority: low}}' > policy.yaml");
    page.run("ekho policies create --file policy.yaml");
    page.run("ekho policies export --out policies.yaml");
    page.run(&format!("ekho policies delete {policy} --yes"));
    page.run("ekho policies import policies.yaml --dry-run");
    page.run("ekho policies import policies.yaml");
}

async fn approvals(page: &mut Session, writer: &Agent) {
    page.title("Approvals");
    page.text("The writer asked to be allowed two things, and waits.");
    let mut ids = Vec::new();
    for summary in ["Publish the report", "Delete the drafts"] {
        let proposal = json!({
            "conversation_id": "report", "action_type": "publish", "summary": summary,
            "risk_level": "high", "payload": { "pages": 12 },
        });
        let answer = writer.post("/v1/actions/propose", &proposal).await.ok();
        ids.push(answer["approval_id"].as_str().unwrap().to_string());
    }
    page.run("ekho approvals list --status pending");
    page.run(&format!("ekho approvals show {}", ids[0]));
    page.run(&format!(
        "ekho approvals approve {} --reason 'checked by legal'",
        ids[0]
    ));
    page.run(&format!(
        "ekho approvals reject {} --reason 'not without a backup'",
        ids[1]
    ));
    page.run_to(&format!("ekho approvals approve {}", ids[1]), 1);
}

async fn dead_letters(page: &mut Session, writer: &Agent, reviewer: &Agent) {
    page.title("Dead letters");
    page.run("ekho settings set 'retry_backoff_ms=[]'");
    page.text("With no retries left, what the reviewer gives back is a dead letter at once.");
    // What waits there already goes first.
    reviewer.receive().await;
    for text in ["the draft", "the second draft", "the third draft"] {
        let id = writer.send(&direct(&reviewer.id, text)).await;
        let received = reviewer.receive().await;
        assert!(received.iter().any(|one| one["message_id"] == id.as_str()));
        let nack = json!({ "nacks": [{ "message_id": id, "reason": "cannot read it" }] });
        reviewer.post("/v1/nacks", &nack).await.ok();
    }
    let list = page.run("ekho dead-letters list");
    let letter = word(&list, "dl_");
    page.run(&format!("ekho dead-letters show {letter}"));
    page.run("ekho dead-letters export --out letters.jsonl");
    page.run(&format!("ekho dead-letters redrive {letter}"));
    page.text("`redrive --all` and `purge --all` take the filters of `list`. What cannot be taken back wants a word more where there is no terminal to ask in:");
    page.run_to("ekho dead-letters purge --all --reason 'cannot read'", 2);
    page.run("ekho dead-letters purge --all --reason 'cannot read' --yes");
}

async fn hooks(page: &mut Session) {
    page.title("Hooks");
    page.text("A hook is a program that is asked before a message is accepted, or told what happened, over signed HTTP requests. Its secret is shown once, alone on standard output.");
    let hook = HookServer::start().await;
    let url = hook
        .url
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .to_string();
    page.replace(&url, "127.0.0.1:4100");
    page.run(&format!(
        "ekho hooks add --name scanner --hook-url {} --event before_message > scanner.secret",
        hook.url
    ));
    let list = page.run("ekho hooks list");
    let id = word(&list, "hook_");
    page.run(&format!("ekho hooks test {id}"));
    page.run(&format!(
        "ekho hooks edit {id} --on-failure open --timeout-ms 500"
    ));
    page.run(&format!("ekho hooks disable {id}"));
    page.run(&format!("ekho hooks remove {id} --yes"));
}

fn keys(page: &mut Session) {
    page.title("Signing keys");
    page.text("The private half of a key stays in its file. A root key vouches for others; agents learn of those it leads to when they enrol.");
    page.run("ekho keys generate --out root.pem");
    page.run("ekho keys register --key root.pem --name 'offline root' --root");
    page.run("openssl genpkey -algorithm ed25519 -out mine.pem");
    let made = page.run("ekho keys register --key mine.pem --name 'my laptop'");
    let key = word(&made, "key_");
    page.run(&format!("ekho keys endorse {key} --with root.pem"));
    page.run(&format!("ekho keys show {key}"));
    page.run(&format!(
        "ekho keys revoke {key} --reason 'laptop stolen' --yes"
    ));
    page.run_to(
        "ekho keys register --key mine.pem --name 'found it again'",
        1,
    );
    page.run("ekho keys revoked");
}

fn a2a_clients(page: &mut Session, writer: &Agent) {
    page.title("A2A clients");
    page.text("A program that speaks A2A and cannot sign asks agents with a bearer token. It is shown once, alone on standard output. To everything else the client is an agent without an inbox: `ekho agents pause`, `quarantine` and `revoke` take its id, policies and the audit log name it.");
    let writer = &writer.id;
    page.run(&format!(
        "ekho a2a client create --name planner --agent {writer} --rate 10 > planner.token"
    ));
    let list = page.run("ekho a2a client list");
    let client = word(&list, "agent_");
    page.run(&format!(
        "ekho a2a client token {client} --for 720h > second.token"
    ));
    let shown = page.run(&format!("ekho a2a client show {client}"));
    let token = word(&shown, "tok_");
    page.run(&format!(
        "ekho a2a client delete-token {client} {token} --yes"
    ));
    page.run(&format!("ekho a2a client change {client} --rate 60"));
}

fn fleets(page: &mut Session) {
    page.title("Fleets");
    page.text("One relay can hold many fleets that learn nothing of each other. More than one needs a licence, which this relay has.");
    page.run("ekho license status | head -n 3");
    page.run("ekho fleets create branch --owner boss@branch.example --password-stdin < ada.txt");
    page.run("ekho fleets list");
    page.run("ekho fleets rename branch office");
    page.run("ekho fleets archive office --yes");
    page.run("ekho fleets restore office");
}

fn settings_and_audit(page: &mut Session) {
    page.title("Settings");
    page.run("ekho settings set rate_max_messages=60 'approval_risks=[\"medium\", \"high\", \"critical\"]'");
    page.run_to("ekho settings set rate_max_messages=none", 1);
    page.run("ekho settings show | head -n 4");
    page.title("Audit log");
    page.run("ekho audit events --type settings");
    page.run("ekho audit tail --after evt_0000000000000001 --count 2");
    page.run("ekho audit export --out audit.jsonl");
    page.run("ekho audit verify audit.jsonl");
    page.text("An export that somebody changed does not verify:");
    page.run("sed 's/looked into/never mind/' audit.jsonl > changed.jsonl");
    page.run_to("ekho audit verify changed.jsonl", 1);
    page.title("Sign out");
    page.run("ekho logout");
}
