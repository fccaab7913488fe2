"""What a program supplies to an adapter on asyncio, and what it is told in turn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Awaitable, Callable, List, Optional

from .. import types as t
from .._settings import positive
from ..errors import EkhoArgumentError

if TYPE_CHECKING:
    from ..async_adapter import EkhoAsyncAgentAdapter

OnMessage = Callable[[t.InboxMessage, "EkhoAsyncAgentAdapter"], Awaitable[None]]
BeforeAction = Callable[[t.ProposeActionInput, "EkhoAsyncAgentAdapter"], Awaitable[None]]
OnControl = Callable[[t.ControlMessage, "EkhoAsyncAgentAdapter"], Awaitable[None]]
OnApprovalPending = Callable[[str, "EkhoAsyncAgentAdapter"], Awaitable[None]]


@dataclass
class AsyncAdapterHooks:
    """What a program supplies."""

    #: Works on one message. Returning acks it; raising hands it back, and it comes again. A message
    #: can come more than once, so make handling it twice harmless.
    on_message: Optional[OnMessage] = None
    #: Looks at an action before it is proposed; raising keeps it from the relay.
    before_action: Optional[BeforeAction] = None
    #: Is told of each control once, after it was obeyed.
    on_control: Optional[OnControl] = None
    #: Is told that an operator has to decide on an action.
    on_approval_pending: Optional[OnApprovalPending] = None


@dataclass
class StopReport:
    #: False where handlers still ran at the deadline.
    finished: bool = True
    #: Messages that were handed back.
    handed_back: List[str] = field(default_factory=list)


@dataclass
class AdapterStatus:
    running: bool
    paused: bool
    messages_in_work: int
    #: Polls that failed since the last that did not.
    consecutive_failures: int
    last_error: Optional[str]


def check_options(concurrency: int, wait_seconds: int, handler_timeout: float) -> None:
    if not 1 <= concurrency <= 100 or not 0 <= wait_seconds <= 60:
        raise EkhoArgumentError("concurrency is 1 to 100, wait_seconds 0 to 60")
    positive("handler_timeout", handler_timeout)


def reply_to(
    message: t.InboxMessage, body: t.JsonObject, message_type: t.MessageType = "direct"
) -> t.SendMessageInput:
    """A message to the sender of this one, in the same conversation; encrypted, where this one
    was."""
    if message.sender_kind == "operator":
        raise EkhoArgumentError("operators receive no messages: there is nobody to reply to")
    answer: t.SendMessageInput = {
        "recipient": {"kind": "agent", "id": message.sender_agent_id},
        "message_type": message_type,
        "body": body,
        "conversation_id": message.conversation_id,
        "correlation_id": message.correlation_id,
    }
    if message.encryption.status == "decrypted":
        answer["encrypt_for"] = [message.sender_agent_id]
    return answer
