//! The master secret of three nodes is changed, node after node, while agents send; and who has the
//! old one only is nobody afterwards.

use std::fs;
use std::io::Write;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::rig::{Cluster, address, builder};
use crate::support::{Agent, DEADLINE, Operator, Relay, direct, poll_until, uuid};

const PATH: &str = "/v1/operator/cluster/master-secret";
/// Tries of one message: one at the node that is away, and some while the others elect a leader.
const TRIES: usize = 5;
/// Between two messages.
const PAUSE: Duration = Duration::from_millis(20);
/// What `Retry-After` says where a node has no leader.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Runs a command on a node's machine, as the owner whom setup named on the first.
fn run(cluster: &Cluster, at: usize, args: &[&str], input: &str) -> Output {
    let mut command = cluster.nodes[at].command(["secrets"].iter().chain(args));
    let credentials = cluster.nodes[0].data_dir().join("credentials.json");
    if args[0] != "next" {
        command.arg("--credentials").arg(credentials);
        command.args(["--url", &cluster.nodes[at].url()]);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn done(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// Starts every node again, one after the other.
async fn restart_all(cluster: &mut Cluster) {
    for at in 0..cluster.nodes.len() {
        cluster.nodes[at].restart().await;
        cluster.voters(3).await;
    }
}

/// An agent that sends through all nodes in turn until it is told to stop.
struct Sending {
    stop: Arc<AtomicBool>,
    sent: JoinHandle<Vec<String>>,
}

impl Sending {
    fn begin(sender: &Agent, to: &Agent, nodes: &[Relay]) -> Sending {
        let urls: Vec<String> = nodes.iter().map(Relay::url).collect();
        let (sender, to) = (sender.clone(), to.id.clone());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let sent = tokio::spawn(async move {
            let mut sent = Vec::new();
            let mut turn = 0;
            while !stopped.load(Ordering::Relaxed) {
                sent.push(send(&sender, &to, &urls, &mut turn).await);
                tokio::time::sleep(PAUSE).await;
            }
            sent
        });
        Sending { stop, sent }
    }

    async fn end(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.sent.await.expect("every message was accepted")
    }
}

/// Sends one message, again at the next node where one does not answer or says to try again.
async fn send(sender: &Agent, to: &str, urls: &[String], turn: &mut usize) -> String {
    let key = uuid();
    let mut said = Vec::new();
    while said.len() < TRIES {
        let relay_url = urls[*turn % urls.len()].clone();
        *turn += 1;
        let at = Agent {
            relay_url,
            ..sender.clone()
        };
        let request = at.request("POST", "/v1/messages");
        let request = request.header("idempotency-key", &key);
        match request.json(&direct(to, &key)).try_send(DEADLINE).await {
            Ok(answer) if answer.status == 200 => {
                return answer.json()["message_id"].as_str().unwrap().to_string();
            }
            Ok(answer) => {
                assert_eq!(answer.status, 503, "{}", answer.text());
                said.push(answer.text());
                tokio::time::sleep(RETRY_AFTER).await;
            }
            Err(error) => said.push(error),
        }
    }
    panic!("not accepted: {said:?}");
}

/// Takes and acks what waits for an agent, until these have come; each once.
async fn receive(receiver: &Agent, expected: &[String]) {
    let mut taken = Vec::new();
    poll_until(DEADLINE, "everything that was sent", async || {
        let messages = receiver.inbox().await;
        let ids = messages
            .iter()
            .map(|one| one["message_id"].as_str().unwrap());
        let ids: Vec<&str> = ids.collect();
        receiver.ack(&ids).await;
        taken.extend(ids.iter().map(ToString::to_string));
        (taken.len() >= expected.len()).then_some(())
    })
    .await;
    taken.sort_unstable();
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(taken, expected);
}

async fn keys(operator: &Operator) -> Value {
    operator.get(PATH).await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_change_it_one_after_the_other_while_agents_send() {
    let mut cluster = Cluster::three().await;
    let [sender, receiver] = cluster.nodes[0].agents(["sender", "receiver"]).await;
    // More than goes into one command.
    let operator = cluster.operator(1).await;
    for number in 0..120 {
        operator.enrol(&format!("agent {number}")).await;
    }
    let old = fs::read_to_string(cluster.nodes[2].data_dir().join("secrets.toml")).unwrap();
    let sending = Sending::begin(&sender, &receiver, &cluster.nodes);

    let made: Value =
        serde_json::from_str(&done(&run(&cluster, 0, &["next", "--json"], ""))).unwrap();
    let (new, new_id) = (made["secret"].as_str().unwrap(), &made["key_id"]);
    cluster.nodes[0].restart().await;
    cluster.voters(3).await;
    // Asked at the one that has it, and at one that has not.
    for (at, lacking) in [(0, json!([2, 3])), (1, json!([1, 2, 3]))] {
        let refused = cluster.operator(at).await.post(PATH, &json!({})).await;
        assert_eq!(refused.status, 409, "{}", refused.text());
        assert_eq!(refused.code(), "next_secret_missing");
        assert_eq!(refused.json()["nodes"], lacking);
    }
    for at in [1, 2] {
        done(&run(&cluster, at, &["next", "--stdin"], new));
    }
    restart_all(&mut cluster).await;

    // The leader is killed in the middle; the next one goes on.
    let operator = cluster.operator(1).await;
    let leader = cluster.leader(&operator).await;
    let left = (leader + 1) % 3;
    let operator = cluster.operator(left).await;
    let began = operator.post(PATH, &json!({})).await;
    assert_eq!(began.status, 202, "{}", began.text());
    cluster.nodes[leader].kill();
    let output = poll_until(DEADLINE, "the next leader", async || {
        let output = run(&cluster, left, &["rotate"], "");
        output.status.success().then_some(output)
    })
    .await;
    assert!(done(&output).contains("is in force since"));
    cluster.nodes[leader].boot().await;
    cluster.voters(3).await;
    let status = keys(&operator).await;
    assert_eq!(&status["key_id"], new_id);
    let resealed = status["rotation"]["resealed"].as_u64().unwrap();
    assert!(resealed >= 122, "{status}");
    let late = operator.enrol("late").await;
    late.inbox().await;

    for at in 0..3 {
        poll_until(DEADLINE, "the node has heard of it", async || {
            let keys = keys(&cluster.operator(at).await).await;
            (keys["key_id"] == *new_id).then_some(())
        })
        .await;
        done(&run(&cluster, at, &["finish"], ""));
    }
    restart_all(&mut cluster).await;
    let operator = cluster.operator(1).await;
    let status = keys(&operator).await;
    for node in status["nodes"].as_array().unwrap() {
        assert_eq!(node["key_ids"], json!([new_id]), "{status}");
    }
    let sent = sending.end().await;
    receive(&receiver, &sent).await;
    late.inbox().await;

    // A node that is started with the old one only says so and ends.
    let third = &mut cluster.nodes[2];
    third.stop().await;
    fs::write(third.data_dir().join("secrets.toml"), &old).unwrap();
    third.spawn();
    let ended = third.wait_exit().await;
    assert!(!ended.success());
    assert!(third.log().contains("the master secret is not the one"));

    // Whoever holds it is nobody to the others.
    let secret = |name: &str| {
        let mut lines = old.lines();
        let found = lines.find_map(|line| line.strip_prefix(&format!("{name} = \"")));
        found.unwrap().trim_end_matches('"').to_string()
    };
    let mut thief = builder()
        .bare()
        .env("EKHO_JOIN", address(&cluster.nodes[0]))
        .env("EKHO_MASTER_SECRET", secret("master_secret"))
        .env(
            "EKHO_OPERATOR_SESSION_SECRET",
            secret("operator_session_secret"),
        )
        .set_up();
    let before = cluster.nodes[0].log().len();
    thief.spawn();
    poll_until(DEADLINE, "a line about it", async || {
        let log = cluster.nodes[0].log();
        log[before..]
            .contains("refused a connection to the node address")
            .then_some(())
    })
    .await;
    assert_eq!(keys(&operator).await["nodes"].as_array().unwrap().len(), 3);
}
