//! Two machines of a tailnet become a cluster that is reached over the tailnet alone, and doctor
//! says what keeps them apart

use serde_json::Value;

use crate::hosts::{Host, NODE_PORT, PORT, hosts};
use crate::support::{DEADLINE, poll_until};
use crate::{assert_found, done, findings, json};
use ekho_jepsen::net::Net;

fn node_findings(host: &Host, net: &Net) -> Vec<String> {
    findings(&json(&host.run(net, &["doctor", "--json"])), "nodes")
}

async fn is_served(net: &Net, from: &Host, to: &Host) {
    poll_until(DEADLINE, "the relay in the tailnet", async || {
        from.connects(net, to.address, PORT).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_in_a_tailnet() {
    let Some((net, mut hosts)) = hosts(2) else {
        return;
    };
    let address = |host: &Host| format!("{}:{NODE_PORT}", host.address);
    let first = [
        "setup",
        "--non-interactive",
        "--network",
        "tailnet",
        "--mode",
        "first",
        "--node-address",
        &address(&hosts[0]),
        "--smoke-test",
    ];
    done(hosts[0].run(&net, &first));
    hosts[0].serve(&net);
    is_served(&net, &hosts[1], &hosts[0]).await;
    let token = poll_until(DEADLINE, "a join token", async || {
        let made = hosts[0].run(&net, &["cluster", "token", "create", "--json"]);
        let made: Value = serde_json::from_slice(&made.stdout).ok()?;
        made["token"].as_str().map(str::to_string)
    })
    .await;
    let second = [
        "setup",
        "--non-interactive",
        "--network",
        "tailnet",
        "--mode",
        "join",
        "--node-address",
        &address(&hosts[1]),
        "--join",
        &address(&hosts[0]),
        "--token",
        &token,
    ];
    done(hosts[1].run(&net, &second));
    // It is one of the cluster and does not run yet: doctor says so, once the first node knows it.
    let found = poll_until(DEADLINE, "the second node", async || {
        let found = node_findings(&hosts[0], &net);
        (!found.is_empty()).then_some(found)
    })
    .await;
    assert_found(
        &found,
        "FAIL",
        "node 2 at 100.64.0.2:4001 cannot be reached",
    );
    assert_found(&found, "FAIL", "start the relay there");
    hosts[1].serve(&net);
    is_served(&net, &hosts[0], &hosts[1]).await;

    // Over the tailnet, and in no other way.
    for port in [PORT, NODE_PORT] {
        assert!(hosts[0].connects(&net, hosts[1].address, port), "{port}");
        assert!(!hosts[0].connects(&net, hosts[1].lan, port), "{port}");
    }
    let whole = async |what: &str| {
        poll_until(DEADLINE, what, async || {
            let found = node_findings(&hosts[0], &net);
            found
                .contains(&"OK 2 nodes reach each other -> ".to_string())
                .then_some(found)
        })
        .await
    };
    let found = whole("two nodes that reach each other").await;
    assert_found(
        &found,
        "OK",
        "node 2 at 100.64.0.2:4001 can be reached, and is of this cluster",
    );

    // The tailnet's access rules, or a firewall, come between.
    hosts[0].cut(&net, hosts[1].address, true);
    let found = poll_until(DEADLINE, "nodes that are apart", async || {
        let found = node_findings(&hosts[0], &net);
        found
            .iter()
            .any(|one| one.starts_with("FAIL"))
            .then_some(found)
    })
    .await;
    assert_found(
        &found,
        "FAIL",
        "node 2 at 100.64.0.2:4001 cannot be reached: nothing comes back",
    );
    assert_found(&found, "FAIL", "let TCP port 4001 through");
    hosts[0].cut(&net, hosts[1].address, false);
    whole("nodes that reach each other again").await;
}
