//! docs/cluster.md: from one node to three and through what can happen to them, run and written
//! down as it went.

use std::fs;

use crate::rig::{Cluster, address, at, builder, send_until_accepted};
use crate::support::{DEADLINE, Relay, Session, Stable, direct, now_iso, poll_until, uuid, word};

const HEAD: &str = "\
# Three nodes

From one relay to a cluster of three, and through what can happen to it. The page is written by running it:

    UPDATE_DOCS=1 cargo test --release --workspace --test cluster -- walk

and a test holds it against what the commands print now. Ids, times, secrets and what is measured are made stable; the three machines are one here, with other ports in place of other addresses.

A relay is a cluster of one. Every node has all data; one of them leads and orders what is written, which a majority has to have on disk before it is answered. Two nodes of three are a majority: one may fail. Any node takes any request, so agents are given the addresses of all of them.
";

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_clusters_is_what_the_commands_print() {
    let first = builder().start().await;
    let home = first.dir().join("home");
    fs::create_dir_all(&home).unwrap();
    let owner = first.credentials();
    fs::write(home.join("password.txt"), &owner.password).unwrap();
    let mut cluster = Cluster { nodes: vec![first] };
    let mut page = Session::new(&home, HEAD, stable());
    name(
        &mut page,
        &cluster.nodes[0],
        "10.0.0.1:4001",
        "10.0.0.1:4000",
    );
    one_node(&mut page, &cluster);
    two_more(&mut page, &mut cluster).await;
    leader_dies(&mut page, &mut cluster).await;
    on_purpose(&mut page, &mut cluster).await;
    for_good(&mut page, &mut cluster).await;
    at_the_edge(&mut page, &mut cluster).await;
    from_a_backup(&mut page, &mut cluster).await;
    page.check("cluster.md");
}

fn stable() -> Stable {
    let mut stable = Stable::new(Vec::new());
    stable.pattern(r"ekho-join-[A-Za-z0-9_-]+", "ekho-join-eyJjIjoiY2x1…");
    stable.pattern(r"\d+\.\d GiB", "61.0 GiB");
    stable.pattern(r"\d+\.\d ms", "0.4 ms");
    stable.pattern(r"in term \d+", "in term 2");
    stable.pattern(r"\d+(\.\d+)? [KM]iB", "1.27 MiB");
    stable.pattern(r"log entry \d+", "log entry 4711");
    stable.pattern(r"1, \d+ s", "1, 4 s");
    stable.lines(row);
    stable
}

/// A row of `ekho cluster status` with columns of one width, and without what depends on the moment.
fn row(line: &str) -> Option<String> {
    let cells: Vec<&str> = line
        .trim()
        .split("  ")
        .map(str::trim)
        .filter(|cell| !cell.is_empty())
        .collect();
    let &[
        node,
        address,
        role,
        part,
        health,
        index,
        lag,
        version,
        disk,
        trip,
        outbox,
    ] = cells.as_slice()
    else {
        return None;
    };
    let (index, lag) = match node {
        "NODE" => (index, lag),
        _ => ("120", "0"),
    };
    Some(format!(
        "    {node:<5} {address:<14} {role:<9} {part:<8} {health:<12} {index:<10} {lag:<4} \
         {version:<8} {disk:<10} {trip:<11} {outbox}"
    ))
}

/// Shows a node as if it had a machine of its own.
fn name(page: &mut Session, node: &Relay, node_address: &'static str, client: &'static str) {
    page.replace(&address(node), node_address);
    page.replace(&format!("127.0.0.1:{}", node.port), client);
}

fn one_node(page: &mut Session, cluster: &Cluster) {
    page.title("One node");
    page.text("Other nodes reach this one at `EKHO_NODE_ADDRESS`, a second port that only nodes use: TLS in both directions, with certificates that the nodes make and renew by themselves. A relay that was set up without one gets it later and is started again; nothing has to be moved.");
    page.show("EKHO_NODE_ADDRESS=10.0.0.1:4001 ekho cluster init --non-interactive");
    page.show("EKHO_NODE_ADDRESS=10.0.0.1:4001 ekho serve &");
    let url = cluster.nodes[0].url();
    page.run(&format!("ekho login --url {url} --fleet test --email owner@example.org --password-stdin < password.txt"));
    page.run("ekho cluster status");
}

async fn two_more(page: &mut Session, cluster: &mut Cluster) {
    page.title("Two more");
    page.text("A token admits one node, within an hour. By the token it also knows the cluster: it believes nobody else, and is given the secrets that it needs.");
    for (node_address, client) in [
        ("10.0.0.2:4001", "10.0.0.2:4000"),
        ("10.0.0.3:4001", "10.0.0.3:4000"),
    ] {
        let made = page.run("ekho cluster token create");
        let mut node = cluster.joining(&word(&made, "ekho-join-"));
        name(page, &node, node_address, client);
        node.boot().await;
        cluster.nodes.push(node);
    }
    page.text("Each starts as a learner, gets all data, and votes as soon as it has caught up, which takes a second here. `/readyz` says that it is ready from then on.");
    cluster.voters(3).await;
    page.run("ekho cluster status");
    page.text("A token is good once, and says so:");
    page.run("ekho cluster token list");
}

async fn leader_dies(page: &mut Session, cluster: &mut Cluster) {
    page.title("A node dies");
    let [sender, receiver] = cluster.nodes[0].agents(["sender", "receiver"]).await;
    page.text("Node 1, which leads, loses its power. The others elect another within a second or two; requests that come meanwhile wait for it, and what was answered is there.");
    cluster.nodes[0].kill();
    page.show("kill -9 …        # node 1");
    let nodes: Vec<&Relay> = cluster.nodes[1..].iter().collect();
    send_until_accepted(&sender, &nodes, &direct(&receiver.id, "after")).await;
    page.text("Commands go to another node while that one is away.");
    let url = cluster.nodes[1].url();
    page.run(&format!("ekho login --url {url} --fleet test --email owner@example.org --password-stdin < password.txt"));
    let operator = cluster.nodes[0].operator_at(&cluster.nodes[1]).await;
    poll_until(DEADLINE, "the dead node is missed", async || {
        let status = cluster.status(&operator).await;
        (status["nodes"][0]["reachable"] == false).then_some(())
    })
    .await;
    // Whoever of the two leads now: the page tells of the second.
    let moved = serde_json::json!({ "node_id": 2 });
    operator
        .post("/v1/operator/cluster/transfer", &moved)
        .await
        .ok();
    page.run("ekho cluster status | grep -v 'connection'");
    page.text("Another one cannot be spared now, and the relay says so:");
    page.run_to("ekho cluster remove 3 --yes", 1);
    page.text("Node 1 comes back and catches up by itself.");
    cluster.nodes[0].boot().await;
    page.show("ekho serve &      # node 1");
    cluster.voters(3).await;
    page.run("ekho cluster status");
}

async fn on_purpose(page: &mut Session, cluster: &mut Cluster) {
    page.title("Moving leadership, stopping a node, upgrading");
    page.run("ekho cluster transfer 1");
    page.text("A node that is to be stopped is drained first: leadership goes elsewhere, long polls end and their agents poll another node, `/readyz` answers 503 so that nothing new is sent there. A node that is sent SIGTERM does the same by itself.");
    page.run("ekho cluster drain 1");
    poll_until(DEADLINE, "another leader", async || {
        let operator = cluster.nodes[0].operator_at(&cluster.nodes[1]).await;
        (cluster.leader(&operator).await != 0).then_some(())
    })
    .await;
    page.text("An upgrade is that, node after node: drain, stop, start the new release, wait until `ekho cluster status` says `ok`. Until every node runs the new release none uses what the old one would not understand. Where machines are numbered and come and go by number, `ekho cluster shrink` takes out those that are to go, and `ekho cluster settle` waits for those that came; the chart for [Kubernetes](kubernetes.md) does it so.");
    cluster.nodes[0].restart().await;
    cluster.voters(3).await;
    page.run("ekho cluster transfer 2");
    page.run("ekho cluster status");
}

async fn for_good(page: &mut Session, cluster: &mut Cluster) {
    page.title("Replacing a node");
    page.text("Node 3 will not come back. It is removed, and its number is never given again; a new machine takes its place.");
    cluster.nodes.pop();
    let operator = cluster.nodes[0].operator_at(&cluster.nodes[1]).await;
    poll_until(DEADLINE, "the dead node is missed", async || {
        let status = cluster.status(&operator).await;
        (status["nodes"][2]["reachable"] == false).then_some(())
    })
    .await;
    let made = page.run("ekho cluster replace 3 --yes");
    let mut node = cluster.joining(&word(&made, "ekho-join-"));
    name(page, &node, "10.0.0.4:4001", "10.0.0.4:4000");
    node.boot().await;
    cluster.nodes.push(node);
    cluster.voters(3).await;
    page.run("ekho cluster status");
    page.text("A node can also have all data without a vote, or lose its vote for a while:");
    page.run("ekho cluster demote 4");
    page.run("ekho cluster promote 4");
    page.text("All of it is in the audit log.");
    page.run("ekho audit events --type node --limit 3");
}

async fn at_the_edge(page: &mut Session, cluster: &mut Cluster) {
    page.title("A node at the edge");
    page.text("Agents behind a link that comes and goes are given a node of their own near them. It has all data and never votes, so that the others decide without it. While it is cut off it shows inboxes as it knows them, and stores what agents send with an idempotency key: 202 `stored_at_edge` instead of 200, on the disk of this node only. A fleet has to allow that, as what an edge stores is lost with its disk:");
    page.run("ekho settings set --fleet edge_outbox=true");
    let made = page.run("ekho cluster token create --part edge");
    let mut edge = cluster.joining(&word(&made, "ekho-join-"));
    name(page, &edge, "10.9.0.5:4001", "10.9.0.5:4000");
    edge.boot().await;
    let [sender, receiver] = cluster.nodes[0].agents(["sender", "receiver"]).await;
    // So that the edge knows both.
    at(&sender, &edge).inbox().await;
    let url = edge.url();
    page.run(&format!("ekho login --url {url} --fleet test --email owner@example.org --password-stdin < password.txt"));
    let operator = cluster.nodes[0].operator_at(&edge).await;
    poll_until(DEADLINE, "the edge has greeted all others", async || {
        let status = cluster.status(&operator).await;
        let nodes = status["nodes"].as_array()?;
        let greeted = nodes.iter().filter(|node| node["round_trip_ms"].is_f64());
        (greeted.count() == 3).then_some(())
    })
    .await;
    page.text("The link breaks. An agent near the edge sends a message, which waits there:");
    for node in &mut cluster.nodes {
        node.kill();
    }
    let message = direct(&receiver.id, "from the edge");
    let key = uuid();
    poll_until(DEADLINE, "the edge stores it", async || {
        let request = at(&sender, &edge).request("POST", "/v1/messages");
        let request = request.header("idempotency-key", &key).json(&message);
        (request.send().await.status == 202).then_some(())
    })
    .await;
    poll_until(DEADLINE, "all others are missed", async || {
        let status = cluster.status(&operator).await;
        let nodes = status["nodes"].as_array()?;
        let reached = nodes.iter().filter(|node| node["reachable"] == true);
        let stored = nodes.iter().any(|node| node["outbox_entries"] == 1);
        (reached.count() == 1 && stored).then_some(())
    })
    .await;
    page.run("ekho cluster status | grep -v 'connection'");
    page.text("When the link is back it is forwarded, in the order it came, once, and judged as if it came now: where a policy denies it, or its sender was quarantined meanwhile, the sender is told by a control. `ekho_edge_outbox_oldest_seconds` of the metrics says how long the oldest has waited.");
    for node in &mut cluster.nodes {
        node.spawn();
    }
    for node in &mut cluster.nodes {
        node.wait_ready().await;
    }
    poll_until(DEADLINE, "the message has arrived", async || {
        let waiting = edge.metric("ekho_edge_outbox_entries").await;
        (waiting == Some(0.0)).then_some(())
    })
    .await;
    assert_eq!(receiver.inbox().await.len(), 1);
    page.text("A send waits for 12 hours at most, half of the setting `idempotency_ms`. An edge node does not become a voter; it is removed, which is refused while it can be reached and something waits there. A relay that was restored from a backup knows nothing of what old edge nodes still hold.");
}

async fn from_a_backup(page: &mut Session, cluster: &mut Cluster) {
    page.title("All of it is lost");
    let url = cluster.nodes[0].url();
    page.run(&format!("ekho login --url {url} --fleet test --email owner@example.org --password-stdin < password.txt"));
    page.text("Three nodes are no backup: what is deleted is deleted on all of them. A backup is taken from any node while it works; [backup.md](backup.md) says what is in it, what is not, and what it costs to go back to it.");
    page.run("ekho backup create --output ekho.tar");
    for node in &mut cluster.nodes {
        node.kill();
    }
    page.text("The machines are gone. On a new one, an empty directory gets `secrets.toml`, which was kept apart, and of the backup it becomes a new cluster of one node, under a new id. Should nodes of the old one come back, they are refused.");
    let mut new = builder().bare().set_up();
    name(page, &new, "10.0.0.5:4001", "10.0.0.5:4000");
    let data_dir = new.data_dir();
    fs::create_dir(&data_dir).unwrap();
    for file in ["secrets.toml", "credentials.json"] {
        fs::copy(cluster.nodes[0].data_dir().join(file), data_dir.join(file)).unwrap();
    }
    let data_dir = data_dir.display().to_string();
    page.replace(&data_dir, "/var/lib/ekho");
    page.env("EKHO_DATA_DIR", &data_dir);
    let lost_at = now_iso();
    page.run(&format!("ekho backup restore ekho.tar --lost-at {lost_at}"));
    page.show("EKHO_NODE_ADDRESS=10.0.0.5:4001 ekho serve &");
    new.boot().await;
    let url = new.url();
    page.run(&format!("ekho login --url {url} --fleet test --email owner@example.org --password-stdin < password.txt"));
    page.text("Others join it as the first two did, by a token each.");
    let mut anew = Cluster { nodes: vec![new] };
    for (node_address, client) in [
        ("10.0.0.6:4001", "10.0.0.6:4000"),
        ("10.0.0.7:4001", "10.0.0.7:4000"),
    ] {
        let place = anew.join("voter").await;
        name(page, &anew.nodes[place], node_address, client);
    }
    anew.voters(3).await;
    page.run("ekho cluster status");
    page.run("ekho audit events --type relay");
}
