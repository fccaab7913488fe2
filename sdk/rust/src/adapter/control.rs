//! What an operator's controls amount to. Pure.
//!
//! The relay lists the controls in force, newest first, until they expire. So the newest one decides,
//! and where none is listed any more (a pause with an end has ended) the agent is free.

use std::collections::HashSet;

use crate::types::{ControlAction, InboxControl};

/// Which controls were seen, and what they amount to.
#[derive(Debug, Default)]
pub(super) struct Controls {
    listed: HashSet<String>,
    paused: bool,
}

impl Controls {
    pub(super) fn paused(&self) -> bool {
        self.paused
    }

    /// Takes the list of the last answer. Returns the controls not seen before, oldest first.
    pub(super) fn update(&mut self, newest_first: Vec<InboxControl>) -> Vec<InboxControl> {
        self.paused = newest_first
            .iter()
            .find_map(|control| match control.action {
                ControlAction::Pause | ControlAction::Quarantine => Some(true),
                ControlAction::Resume => Some(false),
                ControlAction::ApprovalApproved
                | ControlAction::ApprovalRejected
                | ControlAction::ApprovalExpired
                | ControlAction::SendRefused
                | ControlAction::SendRepeated
                | ControlAction::TaskCanceled
                | ControlAction::Other(_) => None,
            })
            .unwrap_or(false);
        // Only what is still listed has to be remembered, which bounds the set.
        let now: HashSet<String> = newest_first
            .iter()
            .map(|control| control.control_id.clone())
            .collect();
        let before = std::mem::replace(&mut self.listed, now);
        newest_first
            .into_iter()
            .rev()
            .filter(|control| !before.contains(&control.control_id))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::Controls;
    use crate::types::InboxControl;

    fn listed(newest_first: &[(&str, &str)]) -> Vec<InboxControl> {
        newest_first
            .iter()
            .map(|(id, action)| {
                serde_json::from_value(json!({"control_id": id, "action": action})).unwrap()
            })
            .collect()
    }

    fn update(controls: &mut Controls, newest_first: &[(&str, &str)]) -> Vec<String> {
        let fresh = controls.update(listed(newest_first));
        fresh
            .into_iter()
            .map(|control| control.control_id)
            .collect()
    }

    #[test]
    fn the_newest_control_decides() {
        let mut controls = Controls::default();
        assert_eq!(update(&mut controls, &[("1", "pause")]), ["1"]);
        assert!(controls.paused());
        assert_eq!(
            update(&mut controls, &[("2", "resume"), ("1", "pause")]),
            ["2"]
        );
        assert!(!controls.paused());
        let again = [("3", "quarantine"), ("2", "resume"), ("1", "pause")];
        assert_eq!(update(&mut controls, &again), ["3"]);
        assert!(controls.paused());
        assert!(update(&mut controls, &again).is_empty(), "told once");
        assert!(controls.paused(), "still listed, still in force");
    }

    #[test]
    fn a_pause_that_expired_is_over() {
        let mut controls = Controls::default();
        update(&mut controls, &[("1", "pause")]);
        assert!(update(&mut controls, &[]).is_empty());
        assert!(!controls.paused());
    }

    #[test]
    fn a_restarted_agent_hears_the_past_in_order() {
        let mut controls = Controls::default();
        let fresh = update(&mut controls, &[("2", "resume"), ("1", "pause")]);
        assert_eq!(fresh, ["1", "2"]);
        assert!(!controls.paused());
    }

    #[test]
    fn unknown_controls_change_nothing() {
        let mut controls = Controls::default();
        assert_eq!(
            update(&mut controls, &[("2", "dance"), ("1", "pause")]),
            ["1", "2"]
        );
        assert!(controls.paused());
    }
}
