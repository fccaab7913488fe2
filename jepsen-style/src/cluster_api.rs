//! What an operator asks of the cluster: its members, and to change them. The one place that knows
//! these calls.

use serde_json::{Value, json};

use crate::client::Answer;
use crate::cluster::Cluster;
use crate::operator::Operator;

/// A member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its number in the cluster.
    pub id: u64,
    /// Where other nodes find it.
    pub address: String,
    /// Whether it counts for a majority.
    pub voter: bool,
    /// Entries of the log that it does not have yet.
    pub lag: u64,
}

/// The cluster as one node sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Who leads.
    pub leader: Option<u64>,
    /// Raft term.
    pub term: u64,
    /// Everybody.
    pub members: Vec<Member>,
}

impl Status {
    /// The member at this address.
    pub fn at(&self, address: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.address == address)
    }

    /// The address of the leader.
    pub fn leader_address(&self) -> Option<&str> {
        let leader = self
            .members
            .iter()
            .find(|member| Some(member.id) == self.leader)?;
        Some(&leader.address)
    }
}

/// Asks for the status; none where nobody answers with one.
pub async fn status(operator: &mut Operator) -> Option<Status> {
    let answer = operator
        .ask("GET", "/v1/operator/cluster", &Value::Null)
        .await;
    if answer.status != 200 {
        return None;
    }
    let number = |value: &Value| value.as_u64();
    let members = answer.body["nodes"].as_array()?.iter().map(|node| {
        Some(Member {
            id: number(&node["node_id"])?,
            address: node["address"].as_str()?.to_string(),
            voter: node["voter"].as_bool()?,
            lag: number(&node["lag_entries"]).unwrap_or(0),
        })
    });
    Some(Status {
        leader: number(&answer.body["leader"]),
        term: number(&answer.body["term"]).unwrap_or(0),
        members: members.collect::<Option<_>>()?,
    })
}

/// A token that admits one node, as the command line gives it.
pub fn token(cluster: &Cluster, no: usize, operator: &Operator) -> Result<String, String> {
    let args = ["cluster", "token", "create", "--json"];
    let output = cluster
        .run(no, &args, &operator.token)
        .map_err(|error| format!("{args:?}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let answer: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("{args:?}: {error}: {said}"))?;
    let token = answer["token"].as_str().map(str::to_string);
    token.ok_or(format!("{args:?}: {answer}"))
}

/// Asks for another leader.
pub async fn transfer(operator: &mut Operator, to: u64) -> Answer {
    let target = "/v1/operator/cluster/transfer";
    operator
        .ask("POST", target, &json!({ "node_id": to }))
        .await
}

/// Asks to remove a member.
pub async fn remove(operator: &mut Operator, id: u64) -> Answer {
    let target = format!("/v1/operator/cluster/nodes/{id}");
    operator.ask("DELETE", &target, &Value::Null).await
}
