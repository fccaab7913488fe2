//! Nodes of the cluster: joining by token, once; what nodes are meant to be.

use ekho::machine::command::{Command, Join, NewJoinToken, OperatorRequest};
use ekho::machine::outcome::{Outcome, Refusal};
use ekho_storage::tables::cluster::{self, Part};

use crate::rig::{HOUR, Relay};

const TOKEN: [u8; 32] = [1; 32];

fn create_token(relay: &mut Relay, hash: [u8; 32], part: Part) {
    let made = relay.operator(OperatorRequest::CreateJoinToken(NewJoinToken {
        id: format!("jtk_{}", hash[0]),
        hash,
        part,
        ttl_ms: HOUR,
    }));
    assert_eq!(made, Outcome::Done);
}

fn join(relay: &mut Relay, token_hash: Option<[u8; 32]>, key: u8) -> Outcome {
    relay.apply(Command::Join(Join {
        token_hash,
        key_hash: [key; 32],
        address: format!("10.0.0.{key}:4001"),
        part: Part::Voter,
    }))
}

fn joined(node_id: u64) -> Outcome {
    Outcome::Joined { node_id }
}

fn set_part(relay: &mut Relay, node_id: u64, part: Part) -> Outcome {
    relay.operator(OperatorRequest::SetNodePart { node_id, part })
}

#[test]
fn a_token_admits_one_node_however_often_that_asks() {
    let mut relay = Relay::new();
    create_token(&mut relay, TOKEN, Part::Learner);
    assert_eq!(join(&mut relay, Some(TOKEN), 2), joined(2));
    assert_eq!(join(&mut relay, Some(TOKEN), 2), joined(2), "the same node");
    let refused = Outcome::Refused(Refusal::InvalidToken);
    assert_eq!(join(&mut relay, Some(TOKEN), 3), refused, "another node");
    assert_eq!(join(&mut relay, Some([9; 32]), 3), refused, "no token");
    let row = cluster::get(&relay.txn).unwrap();
    assert_eq!(row.part(2), Part::Learner, "what the token says");
    assert_eq!(row.nodes.len(), 1);
}

#[test]
fn a_token_ends_and_can_be_taken_back() {
    let mut relay = Relay::new();
    create_token(&mut relay, TOKEN, Part::Voter);
    relay.pass(HOUR);
    let refused = Outcome::Refused(Refusal::InvalidToken);
    assert_eq!(join(&mut relay, Some(TOKEN), 2), refused);
    create_token(&mut relay, [2; 32], Part::Voter);
    let id = "jtk_2".to_string();
    let delete = OperatorRequest::DeleteJoinToken { id };
    assert_eq!(relay.operator(delete.clone()), Outcome::Done);
    assert_eq!(relay.operator(delete), Outcome::Refused(Refusal::NotFound));
    assert_eq!(join(&mut relay, Some([2; 32]), 2), refused);
}

#[test]
fn numbers_are_never_given_again() {
    let mut relay = Relay::new();
    assert_eq!(join(&mut relay, None, 2), joined(2));
    assert_eq!(join(&mut relay, None, 3), joined(3));
    assert_eq!(set_part(&mut relay, 3, Part::Removed), Outcome::Done);
    assert_eq!(join(&mut relay, None, 4), joined(4));
    let back = join(&mut relay, None, 3);
    assert!(matches!(back, Outcome::Refused(Refusal::Conflict(_))));
    let again = set_part(&mut relay, 3, Part::Voter);
    assert_eq!(again, Outcome::Refused(Refusal::NotFound));
    let unknown = set_part(&mut relay, 9, Part::Learner);
    assert_eq!(unknown, Outcome::Refused(Refusal::NotFound));
}

#[test]
fn the_last_voter_stays_one() {
    let mut relay = Relay::new();
    let refused = set_part(&mut relay, 1, Part::Learner);
    assert!(matches!(refused, Outcome::Refused(Refusal::Conflict(_))));
    join(&mut relay, None, 2);
    assert_eq!(set_part(&mut relay, 1, Part::Removed), Outcome::Done);
    let refused = set_part(&mut relay, 2, Part::Removed);
    assert!(matches!(refused, Outcome::Refused(Refusal::Conflict(_))));
}
