//! Nodes on this machine, and what tests ask of them.

use serde_json::{Value, json};

use crate::support::{Agent, DEADLINE, Operator, Relay, RelayBuilder, free_port, poll_until, uuid};

/// Nodes of one cluster, in the order of their numbers.
pub struct Cluster {
    pub nodes: Vec<Relay>,
}

/// A port for other nodes on this machine.
pub fn node_address() -> String {
    format!("127.0.0.1:{}", free_port())
}

pub fn builder() -> RelayBuilder {
    let address = node_address();
    Relay::builder()
        .env("EKHO_NODE_ADDRESS", &address)
        .env("EKHO_NODE_LISTEN", &address)
}

impl Cluster {
    /// A node of its own that others can join.
    pub async fn one() -> Cluster {
        let first = builder().start().await;
        Cluster { nodes: vec![first] }
    }

    /// Three voters.
    pub async fn three() -> Cluster {
        Cluster::three_of(&[]).await
    }

    /// The same, with more settings for each of them.
    pub async fn three_of(env: &[(&str, &str)]) -> Cluster {
        let mut first = builder();
        for (name, value) in env {
            first = first.env(name, value);
        }
        let first = first.start().await;
        let mut cluster = Cluster { nodes: vec![first] };
        for _ in 0..2 {
            let token = cluster.token("voter").await;
            cluster.join_of(&token, env).await;
        }
        cluster.voters(3).await;
        cluster
    }

    /// A voter and an edge node, which stores what its fleet sends there while it is cut off.
    pub async fn with_edge() -> Cluster {
        Cluster::with_edge_of(&[]).await
    }

    /// The same, with more settings for the edge node.
    pub async fn with_edge_of(env: &[(&str, &str)]) -> Cluster {
        let mut cluster = Cluster::one().await;
        cluster.allow_edge(true).await;
        let token = cluster.token("edge").await;
        cluster.join_of(&token, env).await;
        cluster
    }

    /// Sets whether edge nodes may store what the fleet sends; waits until every node knows how.
    pub async fn allow_edge(&self, edge_outbox: bool) {
        let operator = self.operator(0).await;
        let change = json!({ "edge_outbox": edge_outbox });
        poll_until(DEADLINE, "the second feature level", async || {
            let changed = operator.put("/v1/operator/settings/fleet", &change).await;
            (changed.status == 200).then_some(())
        })
        .await;
    }

    /// Starts a node that joins, and waits until it is ready.
    pub async fn join(&mut self, part: &str) -> usize {
        let token = self.token(part).await;
        self.join_of(&token, &[]).await;
        self.nodes.len() - 1
    }

    async fn join_of(&mut self, token: &str, env: &[(&str, &str)]) {
        let mut node = self.joining(token);
        for (name, value) in env {
            node.env.push((name.to_string(), value.to_string()));
        }
        node.boot().await;
        self.nodes.push(node);
    }

    /// A token that lets one node join.
    pub async fn token(&self, part: &str) -> String {
        let operator = self.operator(0).await;
        let made = operator
            .post("/v1/operator/cluster/tokens", &json!({ "part": part }))
            .await
            .ok();
        made["token"].as_str().expect("a token").to_string()
    }

    /// A node that would join with this token, not started.
    pub fn joining(&self, token: &str) -> Relay {
        builder()
            .bare()
            .env("EKHO_JOIN", address(&self.nodes[0]))
            .env("EKHO_JOIN_TOKEN", token)
            .set_up()
    }

    /// The owner, signed in at a node.
    pub async fn operator(&self, at: usize) -> Operator {
        self.nodes[0].operator_at(&self.nodes[at]).await
    }

    /// What a node says of the cluster.
    pub async fn status(&self, operator: &Operator) -> Value {
        operator.get("/v1/operator/cluster").await.ok()
    }

    /// Waits until so many nodes vote, and all of them are near the end of the log.
    pub async fn voters(&self, count: usize) {
        let operator = self.operator(0).await;
        poll_until(DEADLINE, &format!("{count} voters"), async || {
            let status = self.status(&operator).await;
            let nodes = status["nodes"].as_array().expect("nodes");
            let voters = nodes.iter().filter(|node| {
                node["voter"] == true && node["reachable"] == true && node["health"] == "ok"
            });
            let settled = voters.count() == count && status["changing"] == false;
            settled.then_some(())
        })
        .await;
    }

    /// The place in `nodes` of the node that leads, as `operator`'s node knows it.
    pub async fn leader(&self, operator: &Operator) -> usize {
        poll_until(DEADLINE, "a leader", async || {
            let leader = self.status(operator).await["leader"].as_u64()?;
            usize::try_from(leader - 1).ok()
        })
        .await
    }
}

/// Where other nodes reach a node.
pub fn address(node: &Relay) -> String {
    let mut env = node.env.iter().rev();
    let found = env.find(|(name, _)| name == "EKHO_NODE_ADDRESS");
    found.expect("an address").1.clone()
}

/// The same agent, at another node.
pub fn at(agent: &Agent, node: &Relay) -> Agent {
    Agent {
        relay_url: node.url(),
        ..agent.clone()
    }
}

/// Sends with one idempotency key through these nodes in turn until one accepts; the id.
pub async fn send_until_accepted(agent: &Agent, nodes: &[&Relay], message: &Value) -> String {
    let key = uuid();
    let mut turn = 0;
    poll_until(DEADLINE, "an accepted message", async || {
        let node = nodes[turn % nodes.len()];
        turn += 1;
        let request = at(agent, node)
            .request("POST", "/v1/messages")
            .header("idempotency-key", &key)
            .json(message);
        let answer = request.try_send(DEADLINE).await.ok()?;
        match answer.status {
            200 => Some(answer.json()["message_id"].as_str()?.to_string()),
            // Nothing was done, or nobody knows: the key makes it safe to ask again.
            503 => None,
            _ => panic!("{}: {}", answer.status, answer.text()),
        }
    })
    .await
}
