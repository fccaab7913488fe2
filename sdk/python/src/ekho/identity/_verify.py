"""What a recipient can say of an end-to-end signature: verified, failed, or unchecked."""

from __future__ import annotations

import json
import threading
from typing import Any, Dict, Mapping, Optional

from ..errors import EkhoArgumentError
from ..types import InboxMessage, Verification
from ._envelope import ENVELOPE_TYPE, body_hash
from ._keyring import KeyRing

# Nonces remembered, so that a message told twice is found out.
_MAX_NONCES = 10_000


class Verifier:
    """Checks messages for one agent, against one ring of keys."""

    def __init__(self, key_ring: KeyRing, self_agent_id: str) -> None:
        self._ring = key_ring
        self._self_agent_id = self_agent_id
        self._seen: Dict[str, str] = {}
        self._lock = threading.Lock()

    def verify(self, message: InboxMessage) -> Verification:
        by_operator = message.sender_kind == "operator"
        signature = message.operator_sig if by_operator else message.agent_sig
        text = message.sig_canonical
        if not signature:
            return Verification("unchecked", "unsigned")
        statement = _read_statement(text)
        if statement is None:
            return Verification("unchecked", "unknown_form")
        key_id = str(statement.get("key_id"))
        key = (
            self._ring.operator_key(key_id)
            if by_operator
            else self._ring.agent_key(message.sender_agent_id, key_id)
        )
        if key is None:
            return Verification("unchecked", "unknown_key", key_id)
        wrong: Optional[str]
        if self._ring.is_revoked(key_id, message.created_at):
            wrong = "key_revoked"
        elif not key.verify(signature, text.encode("utf-8")):
            wrong = "bad_signature"
        else:
            wrong = self._mismatch(message, statement)
        if wrong is None:
            nonce = f"{key_id} {statement.get('nonce')}"
            wrong = "replayed" if self._replayed(nonce, message.message_id) else None
        if wrong is not None:
            return Verification("failed", wrong, key_id)
        return Verification("verified", None, key_id)

    def _mismatch(self, message: InboxMessage, statement: Mapping[str, Any]) -> Optional[str]:
        """The first field in which the signed statement is about another message."""
        if statement.get("fleet_id") != self._ring.fleet_id:
            return "fleet_mismatch"
        if statement.get("sender_id") != message.sender_agent_id:
            return "sender_mismatch"
        recipient = statement.get("recipient")
        if not isinstance(recipient, dict):
            return "recipient_mismatch"
        if recipient.get("kind") == "agent" and recipient.get("id") != self._self_agent_id:
            return "recipient_mismatch"
        for name in ("message_type", "conversation_id", "correlation_id"):
            if statement.get(name) != getattr(message, name):
                return "message_mismatch"
        try:
            same = statement.get("body_sha256") == body_hash(message.body)
        except EkhoArgumentError:
            same = False
        return None if same else "body_mismatch"

    def _replayed(self, nonce: str, message_id: str) -> bool:
        """The same message may come again, another one with its nonce may not."""
        with self._lock:
            first = self._seen.get(nonce)
            if first is not None:
                return first != message_id
            if len(self._seen) >= _MAX_NONCES:
                del self._seen[next(iter(self._seen))]
            self._seen[nonce] = message_id
            return False


def _read_statement(text: object) -> Optional[Dict[str, Any]]:
    if not isinstance(text, str):
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) and value.get("type") == ENVELOPE_TYPE else None
