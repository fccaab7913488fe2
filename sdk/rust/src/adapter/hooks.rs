//! What a program supplies to an adapter.

use std::future::Future;

use super::handle::AgentHandle;
use crate::types::{InboxControl, InboxMessage, ProposeAction};

/// Why a hook failed. Its text becomes the reason of the nack, which the relay can read; of a message
/// that came encrypted the relay is told only that its handler failed.
pub type HandlerError = Box<dyn std::error::Error + Send + Sync>;

/// What an agent does. Only [`AgentHooks::on_message`] has to be written.
///
/// A message can come more than once (delivery is at least once), so handlers must be idempotent.
pub trait AgentHooks: Sized + Send + Sync + 'static {
    /// Works on one message. Ok acks it; an error, a panic or the handler timeout nacks it, and it
    /// comes again. `agent` sends answers and proposes actions.
    fn on_message(
        &self,
        agent: &AgentHandle<Self>,
        message: InboxMessage,
    ) -> impl Future<Output = Result<(), HandlerError>> + Send;

    /// Looks at an action before it is proposed; an error keeps it from the relay.
    fn before_action(
        &self,
        action: &ProposeAction,
    ) -> impl Future<Output = Result<(), HandlerError>> + Send {
        let _ = action;
        async { Ok(()) }
    }

    /// Is told of each control once, after it was obeyed. No further poll is made until it returns.
    fn on_control(&self, control: &InboxControl) -> impl Future<Output = ()> + Send {
        let _ = control;
        async {}
    }

    /// Is told that an operator has to decide on an action.
    fn on_approval_pending(
        &self,
        approval_id: &str,
        action: &ProposeAction,
    ) -> impl Future<Output = ()> + Send {
        let _ = (approval_id, action);
        async {}
    }
}
