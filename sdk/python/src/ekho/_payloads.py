"""What goes out over the wire: plain dicts, by the names of docs/agent-api.md."""

from __future__ import annotations

from typing import Any, Dict, List, Literal, TypedDict

MessageType = Literal[
    "direct", "broadcast", "alert", "handoff", "claim", "complete", "heartbeat", "control"
]
Priority = Literal["low", "normal", "high", "urgent"]
RiskLevel = Literal["low", "medium", "high", "critical"]
RecipientKind = Literal["agent", "group", "broadcast"]
HeartbeatStatus = Literal["healthy", "degraded", "busy", "idle"]
ResultWord = Literal["executed", "cancelled", "failed"]

JsonObject = Dict[str, Any]


class Recipient(TypedDict, total=False):
    kind: RecipientKind
    #: An agent's id or a room's; none for a broadcast.
    id: str


class SendMessageInput(TypedDict, total=False):
    recipient: Recipient
    message_type: MessageType
    priority: Priority
    ttl_seconds: int
    requires_approval: bool
    body: JsonObject
    metadata: JsonObject
    conversation_id: str
    #: A fresh one where left out.
    correlation_id: str
    #: Attachments that go with it: the agent's own, or ones that it was sent.
    attachment_ids: List[str]
    #: Not handed out before this time. Not together with delay_seconds.
    deliver_at: str
    delay_seconds: int
    #: Encrypts the body end to end, so that only these agents can read it. Not sent as it is.
    encrypt_for: List[str]
    #: An end-to-end signature; set by the client where it has an identity.
    agent_sig: str
    key_id: str
    sig_canonical: str
    #: In a batch only.
    idempotency_key: str


class EnrollInput(TypedDict, total=False):
    fleet_id: str
    token: str
    display_name: str
    #: ``custom`` where left out.
    runtime: str
    hostname: str
    capabilities: List[str]
    identity_public_key: str


class AckInput(TypedDict, total=False):
    message_id: str
    status: Literal["received"]
    received_at: str


class NackInput(TypedDict, total=False):
    message_id: str
    delay_seconds: int
    reason: str


class LeaseInput(TypedDict):
    message_id: str
    extend_seconds: int


class HeartbeatInput(TypedDict, total=False):
    status: HeartbeatStatus
    active_conversation_ids: List[str]
    metrics: JsonObject


class ProposeActionInput(TypedDict, total=False):
    conversation_id: str
    action_type: str
    summary: str
    risk_level: RiskLevel
    payload: JsonObject


class ActionResultInput(TypedDict, total=False):
    approval_id: str
    result: ResultWord
    completed_at: str
    output: JsonObject


class CreateRoomInput(TypedDict, total=False):
    name: str
    member_agent_ids: List[str]


class NoticeInput(TypedDict, total=False):
    conversation_id: str
    reason: str
    pending_count: int
    budget: Any


class AgentCard(TypedDict, total=False):
    name: str
    description: str
    version: str
    provider: JsonObject
    documentationUrl: str
    iconUrl: str
    defaultInputModes: List[str]
    defaultOutputModes: List[str]
    skills: List[JsonObject]
