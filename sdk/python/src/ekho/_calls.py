"""The calls of the agent API without the network: what is asked, whether it may be repeated, and how
the answer is read. The sync and the async client make them."""

from __future__ import annotations

import base64
import binascii
import json
import re
import uuid
from dataclasses import dataclass, field
from typing import (
    Any,
    Callable,
    Dict,
    Generic,
    Iterable,
    List,
    Mapping,
    Optional,
    Sequence,
    TypeVar,
)
from urllib.parse import quote

from . import types as t
from ._prepare import Preparer
from ._retry import Repeat
from .errors import EkhoArgumentError, EkhoRequestError
from .signing import iso_now

A = TypeVar("A")

# The relay's own limits.
_MAX_BATCH = 100
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass
class Call(Generic[A]):
    """One call, as often as it has to be tried."""

    method: str
    #: Path and query string, percent-encoded, from the first slash.
    target: str
    read: Callable[[Any], A]
    body: Optional[bytes] = None
    repeat: Repeat = Repeat.HARMLESS
    headers: Dict[str, str] = field(default_factory=dict)
    #: How long the relay may take on purpose, on top of the request timeout.
    relay_wait: float = 0.0
    #: Sends share the agent's rate window, so one 429 holds all of them back.
    rate_limited: bool = False
    signed: bool = True


def json_body(value: object) -> bytes:
    try:
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode("utf-8")
    except (TypeError, ValueError) as error:
        raise EkhoArgumentError(f"the request cannot be JSON: {error}") from None


def segment(given: str) -> str:
    """Ids are opaque, so whatever would end a segment of the path is escaped."""
    if not isinstance(given, str) or given in ("", ".", ".."):
        raise EkhoArgumentError(f"{given!r} cannot be an id")
    return quote(given, safe="-._~")


def _as(cls: Callable[..., A]) -> Callable[[Any], A]:
    return lambda data: t.read(cls, data)  # type: ignore[arg-type]


def _plain(data: Any) -> Any:
    return data


def post(
    target: str, body: object, read: Callable[[Any], A], repeat: Repeat = Repeat.HARMLESS
) -> Call[A]:
    return Call("POST", target, read, json_body(body), repeat)


def enroll(payload: Mapping[str, Any]) -> Call[t.EnrollResponse]:
    def read(data: Any) -> t.EnrollResponse:
        keys = [t.read(t.OperatorKeyEntry, key) for key in data.get("operator_keys") or []]
        return t.read(t.EnrollResponse, data, operator_keys=keys)

    # The first request that arrives claims the token.
    call = post("/v1/enroll", {"runtime": "custom", **payload}, read, Repeat.ONLY_IF_UNDONE)
    call.signed = False
    return call


# --- sending ---------------------------------------------------------------------------------


def send_message(
    payload: Mapping[str, Any], idempotency_key: Optional[str], preparer: Preparer
) -> Call[t.SendMessageResult]:
    message, key = preparer.prepare(payload, _checked_key(idempotency_key))
    call = post("/v1/messages", message, _as(t.SendMessageResult))
    call.headers["idempotency-key"] = key
    call.rate_limited = True
    return call


def send_batch(
    payloads: Sequence[Mapping[str, Any]], preparer: Preparer
) -> Call[List[t.BatchResult]]:
    if not 1 <= len(payloads) <= _MAX_BATCH:
        raise EkhoArgumentError(f"a batch holds 1 to {_MAX_BATCH} messages")
    messages = []
    for payload in payloads:
        own_key = _checked_key(payload.get("idempotency_key"))
        rest = {name: value for name, value in payload.items() if name != "idempotency_key"}
        message, key = preparer.prepare(rest, own_key)
        messages.append({**message, "idempotency_key": key})

    def read(data: Any) -> List[t.BatchResult]:
        return [t.read(t.BatchResult, item) for item in data["results"]]

    call = post("/v1/messages/batch", {"messages": messages}, read)
    call.rate_limited = True
    return call


def _checked_key(key: Optional[str]) -> Optional[str]:
    if key is not None and not _KEY.fullmatch(key):
        raise EkhoArgumentError("an idempotency key is 1 to 255 visible ASCII characters")
    return key


def get_message(message_id: str) -> Call[t.MessageState]:
    def read(data: Any) -> t.MessageState:
        deliveries = [t.read(t.DeliveryState, item) for item in data.get("deliveries") or []]
        return t.read(t.MessageState, data, deliveries=deliveries)

    return Call("GET", f"/v1/messages/{segment(message_id)}", read)


def cancel_message(message_id: str) -> Call[t.CancelResult]:
    return Call("DELETE", f"/v1/messages/{segment(message_id)}", _as(t.CancelResult))


# --- receiving -------------------------------------------------------------------------------


_FOUND_OUT = ("verification", "encryption")


def read_message(data: Mapping[str, Any]) -> t.InboxMessage:
    attachments = [t.read(t.AttachmentMeta, item) for item in data.get("attachments") or []]
    # What the client finds out by itself is not for the relay to say.
    sent = {name: value for name, value in data.items() if name not in _FOUND_OUT}
    return t.read(t.InboxMessage, sent, attachments=attachments)


def read_control(data: Mapping[str, Any]) -> t.ControlMessage:
    return t.read(t.ControlMessage, data)


def types_parameter(types: Iterable[str]) -> str:
    return "types=" + ",".join(quote(word, safe="-._~") for word in types)


def get_inbox(
    limit: int, wait_seconds: Optional[int], types: Optional[Sequence[str]]
) -> Call[t.InboxResponse]:
    def read(data: Any) -> t.InboxResponse:
        return t.InboxResponse(
            messages=[read_message(item) for item in data["messages"]],
            controls=[read_control(item) for item in data["controls"]],
            view_age_ms=data.get("view_age_ms"),
        )

    target = f"/v1/inbox?limit={limit}"
    if wait_seconds is not None:
        target += f"&wait={wait_seconds}"
    if types:
        target += "&" + types_parameter(types)
    return Call("GET", target, read, relay_wait=wait_seconds or 0)


def ack_messages(acks: Iterable[Mapping[str, Any]]) -> Call[t.Updated]:
    now = iso_now()
    full = [{"status": "received", "received_at": now, **ack} for ack in acks]
    return post("/v1/acks", {"acks": full}, _plain)


def nack_messages(nacks: Iterable[Mapping[str, Any]]) -> Call[t.Updated]:
    return post("/v1/nacks", {"nacks": [dict(nack) for nack in nacks]}, _plain)


def extend_leases(leases: Iterable[Mapping[str, Any]]) -> Call[t.LeasesResult]:
    def read(data: Any) -> t.LeasesResult:
        found = [t.read(t.Lease, item) for item in data.get("leases") or []]
        return t.LeasesResult(updated=data["updated"], leases=found)

    return post("/v1/leases", {"leases": [dict(lease) for lease in leases]}, read)


# --- actions, rooms, conversations -----------------------------------------------------------


def propose_action(payload: Mapping[str, Any]) -> Call[t.ActionDecision]:
    def read(data: Any) -> t.ActionDecision:
        return t.read(t.ActionDecision, data, raw=dict(data))

    # Not repeated where it may have arrived: that would ask the operator twice.
    return post("/v1/actions/propose", payload, read, Repeat.ONLY_IF_UNDONE)


def get_approval(approval_id: str) -> Call[t.ApprovalStatus]:
    return Call("GET", f"/v1/actions/{segment(approval_id)}", _as(t.ApprovalStatus))


def action_result(payload: Mapping[str, Any]) -> Call[t.OkResult]:
    return post("/v1/actions/result", {"completed_at": iso_now(), **payload}, _plain)


def create_room(payload: Mapping[str, Any]) -> Call[t.CreateRoomResult]:
    body = {"member_agent_ids": [], **payload}
    # Not repeated where it may have arrived: that would open two.
    return post("/v1/rooms", body, _as(t.CreateRoomResult), Repeat.ONLY_IF_UNDONE)


def raise_notice(payload: Mapping[str, Any]) -> Call[t.NoticeResult]:
    return post("/v1/notices", {"reason": "stalled", "pending_count": 0, **payload}, _plain)


def _floor_of(conversation_id: str) -> str:
    return f"/v1/conversations/{segment(conversation_id)}/floor"


def acquire_floor(conversation_id: str, ttl_seconds: Optional[int]) -> Call[t.FloorResult]:
    body = {} if ttl_seconds is None else {"ttl_seconds": ttl_seconds}
    return post(_floor_of(conversation_id), body, _as(t.FloorResult))


def release_floor(conversation_id: str) -> Call[t.ReleasedResult]:
    return Call("DELETE", _floor_of(conversation_id), _plain)


# --- the fleet -------------------------------------------------------------------------------


def _paged(path: str, **query: object) -> str:
    found = [
        f"{name}={quote(str(value), safe='')}" for name, value in query.items() if value is not None
    ]
    return f"{path}?{'&'.join(found)}" if found else path


def list_peers(search: Optional[str], limit: Optional[int], cursor: Optional[str]) -> Call[t.Peers]:
    def read(data: Any) -> t.Peers:
        agents = [t.read(t.Peer, item) for item in data["agents"]]
        return t.Peers(agents, data.get("next_cursor"))

    return Call("GET", _paged("/v1/agents", search=search, limit=limit, cursor=cursor), read)


def known_recipient(named: str) -> Optional[t.Recipient]:
    """Whom an id names, or ``all``; None where it is a name to be looked up."""
    if named == "all":
        return {"kind": "broadcast"}
    if named.startswith("room_"):
        return {"kind": "group", "id": named}
    return {"kind": "agent", "id": named} if named.startswith("agent_") else None


def one_called(named: str, ids: Sequence[str]) -> t.Recipient:
    if not ids:
        raise EkhoArgumentError(f"no agent is called {named!r}")
    if len(ids) > 1:
        raise EkhoArgumentError(f"{len(ids)} agents are called {named!r}: use an id")
    return {"kind": "agent", "id": ids[0]}


def get_conversation(
    conversation_id: str, limit: Optional[int], cursor: Optional[str]
) -> Call[t.Said]:
    def read(data: Any) -> t.Said:
        messages = [t.read(t.SaidMessage, item) for item in data["messages"]]
        return t.Said(messages, data.get("next_cursor"))

    path = f"/v1/conversations/{segment(conversation_id)}/messages"
    return Call("GET", _paged(path, limit=limit, cursor=cursor), read)


def a2a(agent_id: str, method: str, params: Mapping[str, Any]) -> Call[Any]:
    target = f"/agents/{segment(agent_id)}/a2a"

    def read(data: Any) -> Any:
        error = data.get("error")
        if not isinstance(error, dict):
            return data["result"]
        details = error.get("data") or [{}]
        reason = details[0].get("reason") if isinstance(details, list) else None
        body = {"error": error.get("message"), "rpc_error": error}
        if isinstance(reason, str):
            body["code"] = reason.lower()
        raise EkhoRequestError(target, 200, json.dumps(body))

    request = {"jsonrpc": "2.0", "id": str(uuid.uuid4()), "method": method, "params": params}
    call: Call[Any] = post(target, request, read)
    call.headers["a2a-version"] = "1.0"
    return call


# --- the agent itself ------------------------------------------------------------------------


def heartbeat(payload: Mapping[str, Any]) -> Call[t.HeartbeatResult]:
    return post("/v1/heartbeats", payload, _as(t.HeartbeatResult))


def register_identity_key(public_key: str) -> Call[t.KeyIdResult]:
    return post("/v1/identity-key", {"public_key": public_key}, _plain)


def get_identity_keys(agent_id: str) -> Call[t.AgentKeys]:
    return Call("GET", f"/v1/agents/{segment(agent_id)}/identity-keys", _as(t.AgentKeys))


def publish_encryption_key(public_key: str, signed: Mapping[str, str]) -> Call[t.KeyIdResult]:
    body = {"public_key": public_key, **signed}
    call: Call[t.KeyIdResult] = post("/v1/encryption-key", body, _plain)
    call.method = "PUT"
    return call


def revoke_encryption_key() -> Call[t.RevokedKeyResult]:
    return Call("DELETE", "/v1/encryption-key", _plain)


def get_encryption_keys(agent_id: str) -> Call[t.AgentEncryptionKeys]:
    target = f"/v1/agents/{segment(agent_id)}/encryption-keys"
    return Call("GET", target, _as(t.AgentEncryptionKeys))


def get_operator_keys() -> Call[t.OperatorKeys]:
    def read(data: Any) -> t.OperatorKeys:
        keys = [t.read(t.OperatorKeyEntry, key) for key in data.get("operator_keys") or []]
        return t.read(t.OperatorKeys, data, operator_keys=keys)

    return Call("GET", "/v1/operator-keys", read)


def rotate_credentials(overlap_seconds: Optional[int]) -> Call[t.RotateResult]:
    body = {} if overlap_seconds is None else {"overlap_seconds": overlap_seconds}
    return post("/v1/credentials/rotate", body, _as(t.RotateResult), Repeat.ONLY_IF_UNDONE)


def put_agent_card(card: Mapping[str, Any]) -> Call[t.OkResult]:
    call: Call[t.OkResult] = post("/v1/agent-card", card, _plain)
    call.method = "PUT"
    return call


def upload_attachment(filename: str, mime: str, data_base64: str) -> Call[t.AttachmentResult]:
    try:
        size_bytes = len(base64.b64decode(data_base64, validate=True))
    except (binascii.Error, ValueError):
        raise EkhoArgumentError("data_base64 is no base64") from None
    body = {
        "filename": filename,
        "mime": mime,
        "size_bytes": size_bytes,
        "data_base64": data_base64,
    }
    return post("/v1/attachments", body, _plain, Repeat.ONLY_IF_UNDONE)


def download_attachment(attachment_id: str) -> Call[bytes]:
    return Call("GET", f"/v1/attachments/{segment(attachment_id)}", _plain)


# --- A2A tasks -------------------------------------------------------------------------------


def _task_of(task_id: str, rest: str = "") -> str:
    return f"/v1/tasks/{segment(task_id)}{rest}"


def get_task(task_id: str) -> Call[t.JsonObject]:
    return Call("GET", _task_of(task_id), _plain)


def set_task_state(task_id: str, state: str, message: object) -> Call[t.TaskStanding]:
    body: t.JsonObject = {"state": state}
    if message is not None:
        body["message"] = message
    return post(_task_of(task_id, "/status"), body, _as(t.TaskStanding))


def ended_so_before(task_id: str, state: str, error: EkhoRequestError) -> t.TaskStanding:
    """To end a task again as it ended is a success, so that a try whose answer was lost can be
    repeated."""
    if error.status_code != 409 or error.fields.get("state") != state:
        raise error
    return t.TaskStanding(task_id, state)


def put_artifact(
    task_id: str, artifact: object, append: bool, last_chunk: bool
) -> Call[t.TaskStanding]:
    given = {"parts": [{"text": artifact}]} if isinstance(artifact, str) else artifact
    body = {"artifact": given, "append": append, "last_chunk": last_chunk}
    replaces = not append and isinstance(given, dict) and "artifactId" in given
    repeat = Repeat.HARMLESS if replaces else Repeat.ONLY_IF_UNDONE
    return post(_task_of(task_id, "/artifacts"), body, _as(t.TaskStanding), repeat)


def task_id_of(message: t.InboxMessage) -> Optional[str]:
    """The A2A task that a message belongs to; None where it belongs to none."""
    task_id = message.metadata.get("a2a_task_id")
    return task_id if message.message_type == "a2a.message" and isinstance(task_id, str) else None
