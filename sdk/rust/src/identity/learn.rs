//! Learns keys from the relay: an agent's where a message names one that the ring lacks, and every so
//! often which operators are endorsed and which keys were revoked. Says what is to be asked, and
//! takes the answers.
//!
//! What is learned so is as good as the relay's word: it finds forgery among agents, not a relay that
//! lies. Pinned keys are better.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::keyring::KeyRing;
use crate::types::{AgentKeys, InboxMessage, OperatorKeys};

/// How long an answer is good for.
const GOOD_FOR: Duration = Duration::from_secs(60);
/// Senders whose keys were asked for lately.
const MAX_ASKED: usize = 10_000;

#[derive(Debug)]
pub(crate) struct KeyLearner {
    ring: KeyRing,
    asked: Mutex<Asked>,
}

#[derive(Debug, Default)]
struct Asked {
    operators: Option<Instant>,
    agents: HashMap<String, Instant>,
}

impl KeyLearner {
    pub(crate) fn new(ring: KeyRing) -> Self {
        Self {
            ring,
            asked: Mutex::default(),
        }
    }

    /// Whether to ask for operators' keys and revocations before this message is checked.
    pub(crate) fn operators_due(&self, message: &InboxMessage) -> bool {
        if message.agent_sig.is_none() && message.operator_sig.is_none() {
            return false;
        }
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked
            .operators
            .is_some_and(|last| last.elapsed() < GOOD_FOR)
        {
            return false;
        }
        asked.operators = Some(Instant::now());
        true
    }

    /// The sender whose keys to ask for before this message is checked.
    pub(crate) fn agent_due<'a>(&self, message: &'a InboxMessage) -> Option<&'a str> {
        message.agent_sig.as_ref()?;
        let sender = message.sender_agent_id.as_deref()?;
        let text = message.sig_canonical.as_ref()?.as_str()?;
        let statement: Value = serde_json::from_str(text).ok()?;
        if self
            .ring
            .agent_key(sender, statement["key_id"].as_str()?)
            .is_some()
        {
            return None;
        }
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let last = asked.agents.get(sender);
        if last.is_some_and(|last| last.elapsed() < GOOD_FOR) {
            return None;
        }
        if asked.agents.len() >= MAX_ASKED {
            asked.agents.clear();
        }
        asked.agents.insert(sender.to_owned(), Instant::now());
        Some(sender)
    }

    pub(crate) fn take_operators(&self, found: &OperatorKeys) {
        for revoked in &found.revoked {
            self.ring
                .revoke(&revoked.key_id, revoked.revoked_at.as_deref());
        }
        self.ring.take_endorsed(&found.operator_keys);
    }

    pub(crate) fn take_agent(&self, found: &AgentKeys) {
        // First, so that they count whatever becomes of the keys.
        for key in &found.keys {
            if key.revoked_at.is_some() {
                self.ring.revoke(&key.key_id, key.revoked_at.as_deref());
            }
        }
        for key in &found.keys {
            // Agents may register keys of another kind, which say nothing about their other keys.
            let _ = self.ring.trust_agent(&found.agent_id, &key.public_key);
        }
    }
}
