"""What goes over the wire, by the names of docs/agent-api.md: plain dicts go out, dataclasses come
in. Fields and words of a newer relay do no harm: unknown fields are dropped, words are texts."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import (
    Any,
    List,
    Mapping,
    Optional,
    Sequence,
    Type,
    TypedDict,
    TypeVar,
    Union,
)

from ._payloads import (
    AckInput as AckInput,
)
from ._payloads import (
    ActionResultInput as ActionResultInput,
)
from ._payloads import (
    AgentCard as AgentCard,
)
from ._payloads import (
    CreateRoomInput as CreateRoomInput,
)
from ._payloads import (
    EnrollInput as EnrollInput,
)
from ._payloads import (
    HeartbeatInput as HeartbeatInput,
)
from ._payloads import (
    HeartbeatStatus as HeartbeatStatus,
)
from ._payloads import (
    JsonObject as JsonObject,
)
from ._payloads import (
    LeaseInput as LeaseInput,
)
from ._payloads import (
    MessageType as MessageType,
)
from ._payloads import (
    NackInput as NackInput,
)
from ._payloads import (
    NoticeInput as NoticeInput,
)
from ._payloads import (
    Priority as Priority,
)
from ._payloads import (
    ProposeActionInput as ProposeActionInput,
)
from ._payloads import (
    Recipient as Recipient,
)
from ._payloads import (
    RecipientKind as RecipientKind,
)
from ._payloads import (
    ResultWord as ResultWord,
)
from ._payloads import (
    RiskLevel as RiskLevel,
)
from ._payloads import (
    SendMessageInput as SendMessageInput,
)

T = TypeVar("T")


def read(cls: Type[T], data: Mapping[str, Any], **given: Any) -> T:
    """The dataclass of these fields; null counts as left out."""
    names = {known.name for known in dataclasses.fields(cls)}  # type: ignore[arg-type]
    found = {name: value for name, value in data.items() if name in names and value is not None}
    return cls(**{**found, **given})


@dataclass
class AgentCredentials:
    agent_id: str
    secret: str = field(repr=False)
    #: Base URL of the relay, or those of several nodes of one cluster: the client moves on to the
    #: next where one fails.
    relay_base_url: Union[str, Sequence[str]]
    heartbeat_interval_seconds: Optional[float] = None
    poll_interval_seconds: Optional[float] = None


# --- what comes in ---------------------------------------------------------------------------


@dataclass
class OperatorKeyEntry:
    key_id: str
    public_key: str
    endorsed_by_key_id: Optional[str] = None
    endorsement_sig: Optional[str] = None


@dataclass
class EnrollResponse:
    agent_id: str
    #: Shown this once.
    secret: str = field(repr=False)
    relay_base_url: str
    heartbeat_interval_seconds: int = 30
    poll_interval_seconds: int = 5
    policy_profile: str = "default"
    operator_keys: List[OperatorKeyEntry] = field(default_factory=list)

    def to_credentials(self) -> AgentCredentials:
        return AgentCredentials(
            agent_id=self.agent_id,
            secret=self.secret,
            relay_base_url=self.relay_base_url,
            heartbeat_interval_seconds=self.heartbeat_interval_seconds,
            poll_interval_seconds=self.poll_interval_seconds,
        )


@dataclass
class SendMessageResult:
    message_id: str
    #: ``queued``; ``stored_at_edge`` where an edge node that is cut off keeps it and forwards it.
    status: str
    queued_at: str
    deliver_at: Optional[str] = None
    idempotent_replay: bool = False


@dataclass
class BatchResult:
    """One message of a batch: what a send of its own would have answered, or why it was refused."""

    status_code: int
    message_id: Optional[str] = None
    status: Optional[str] = None
    queued_at: Optional[str] = None
    deliver_at: Optional[str] = None
    error: Any = None
    code: Optional[str] = None
    retry_after_seconds: Optional[float] = None


@dataclass
class DeliveryState:
    delivery_id: str
    recipient_agent_id: str
    status: str
    attempts: int = 0
    last_failure_reason: Optional[str] = None
    delivered_at: Optional[str] = None
    acked_at: Optional[str] = None
    ended_at: Optional[str] = None


@dataclass
class MessageState:
    message_id: str
    status: str
    queued_at: Optional[str] = None
    deliver_at: Optional[str] = None
    deadline_at: Optional[str] = None
    approval_id: Optional[str] = None
    delivery_count: int = 0
    deliveries: List[DeliveryState] = field(default_factory=list)


@dataclass
class CancelResult:
    message_id: str
    status: str
    cancelled_deliveries: Optional[int] = None


@dataclass
class AttachmentMeta:
    id: str
    filename: str = ""
    mime: str = ""
    size_bytes: int = 0
    created_at: Optional[str] = None


@dataclass
class Verification:
    """What a recipient can say of an end-to-end signature.

    ``verified``: signed by a key that is believed to be the sender's, and about this message.
    ``failed``: there is a signature, and it does not hold; do not act on the message.
    ``unchecked``: no signature, no key to check it with, or one of another kind.
    """

    status: str
    reason: Optional[str] = None
    key_id: Optional[str] = None


@dataclass
class Encryption:
    """What became of an encrypted body.

    ``none``: it was not encrypted. ``decrypted``: ``body`` is what its sender encrypted.
    ``decryption_failed``: ``body`` is as it came; ``reason`` says why.
    """

    status: str
    reason: Optional[str] = None
    key_id: Optional[str] = None


@dataclass
class InboxMessage:
    message_id: str
    conversation_id: str = ""
    correlation_id: str = ""
    sender_agent_id: str = ""
    message_type: str = "direct"
    priority: str = "normal"
    body: JsonObject = field(default_factory=dict)
    metadata: JsonObject = field(default_factory=dict)
    created_at: str = ""
    deadline_at: str = ""
    sender_kind: Optional[str] = None
    #: How often it was handed out, this time included.
    attempt: int = 1
    tags: List[str] = field(default_factory=list)
    attachments: List[AttachmentMeta] = field(default_factory=list)
    agent_sig: Optional[str] = None
    operator_sig: Optional[str] = None
    key_id: Optional[str] = None
    sig_canonical: Any = None
    #: What the client found out about the end-to-end signature.
    verification: Verification = field(
        default_factory=lambda: Verification("unchecked", "no_key_ring")
    )
    #: Whether the body was encrypted end to end, and what became of that.
    encryption: Encryption = field(default_factory=lambda: Encryption("none"))


@dataclass
class ControlMessage:
    control_id: str
    action: str
    reason: str = ""
    approval_id: Optional[str] = None
    created_at: Optional[str] = None
    expires_at: Optional[str] = None


@dataclass
class InboxResponse:
    messages: List[InboxMessage] = field(default_factory=list)
    controls: List[ControlMessage] = field(default_factory=list)
    #: An edge node that is cut off shows what it knew so long ago; nothing was handed out.
    view_age_ms: Optional[int] = None


@dataclass
class StreamEvent:
    """One event of the live inbox: a message or a control."""

    kind: str
    event_id: Optional[str]
    message: Optional[InboxMessage] = None
    control: Optional[ControlMessage] = None


class Updated(TypedDict):
    #: How many deliveries it changed.
    updated: int


class OkResult(TypedDict):
    ok: bool


class NoticeResult(TypedDict):
    ok: bool
    #: False where the stall was reported before and nothing was sent since.
    recorded: bool


class KeyIdResult(TypedDict):
    key_id: str


class RevokedKeyResult(TypedDict):
    #: None where there was none.
    revoked_key_id: Optional[str]


class ReleasedResult(TypedDict):
    released: bool


class AttachmentResult(TypedDict):
    id: str
    filename: str
    mime: str
    size_bytes: int
    created_at: str


@dataclass
class Lease:
    message_id: str
    lease_expires_at: str


@dataclass
class LeasesResult:
    updated: int
    leases: List[Lease] = field(default_factory=list)


@dataclass
class HeartbeatResult:
    ok: bool = True
    next_heartbeat_due_seconds: int = 0


@dataclass
class ActionDecision:
    """``allow``, ``deny``, or ``pending_approval`` with an approval_id."""

    decision: str
    approval_id: Optional[str] = None
    raw: JsonObject = field(default_factory=dict)


@dataclass
class ApprovalStatus:
    id: str
    status: str
    action_type: str = ""
    risk_level: str = ""
    summary: str = ""
    requested_at: str = ""
    resolved_at: Optional[str] = None
    reason: Optional[str] = None
    expires_at: Optional[str] = None


@dataclass
class CreateRoomResult:
    id: str
    name: str
    created_at: str = ""
    members: List[str] = field(default_factory=list)


@dataclass
class FloorResult:
    granted: bool
    holder_agent_id: str = ""
    expires_at: str = ""
    conversation_tail: List[JsonObject] = field(default_factory=list)


@dataclass
class Peer:
    """An agent of the fleet."""

    id: str
    display_name: str = ""
    runtime: str = ""
    capabilities: List[str] = field(default_factory=list)
    status: str = ""


@dataclass
class Peers:
    agents: List[Peer] = field(default_factory=list)
    next_cursor: Optional[str] = None


@dataclass
class SaidMessage:
    """A message of a conversation."""

    message_id: str
    sender_agent_id: str = ""
    sender_kind: str = "agent"
    recipient_kind: str = "agent"
    recipient_id: Optional[str] = None
    message_type: str = "direct"
    correlation_id: str = ""
    body: JsonObject = field(default_factory=dict)
    created_at: str = ""


@dataclass
class Said:
    messages: List[SaidMessage] = field(default_factory=list)
    next_cursor: Optional[str] = None


@dataclass
class AgentKeys:
    """The keys that an agent registered, the newest first: each with key_id, public_key,
    registered_at, current and revoked_at."""

    agent_id: str
    keys: List[JsonObject] = field(default_factory=list)


@dataclass
class AgentEncryptionKeys:
    """The keys that an agent published to be encrypted to, the one published last first: each with
    key_id, public_key, signed_by_key_id, signature, published_at, current and revoked_at."""

    agent_id: str
    keys: List[JsonObject] = field(default_factory=list)


@dataclass
class OperatorKeys:
    """The operators' keys that are trusted now, and what was revoked of operators and agents: each
    with key_id and revoked_at."""

    fleet_id: str
    operator_keys: List[OperatorKeyEntry] = field(default_factory=list)
    revoked: List[JsonObject] = field(default_factory=list)


@dataclass
class RotateResult:
    #: Shown this once.
    secret: str = field(repr=False)
    credential_id: str = ""
    previous_valid_until: str = ""


@dataclass
class TaskStanding:
    task_id: str
    state: str
