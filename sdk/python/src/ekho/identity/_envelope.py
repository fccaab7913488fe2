"""The statement that an end-to-end signature covers (docs/signatures.md): who says what to whom, in
which conversation. Test vectors: sdk/vectors/envelopes.json."""

from __future__ import annotations

import hashlib
from typing import Any, Dict, Mapping

from ..errors import EkhoArgumentError
from ._jcs import canonical_json
from ._keys import AgentIdentity

ENVELOPE_TYPE = "ekho-message-v1"


def body_hash(body: object) -> str:
    """Hex of SHA-256 of the body's canonical JSON."""
    return hashlib.sha256(canonical_json(body).encode("utf-8")).hexdigest()


def envelope_text(
    message: Mapping[str, Any], fleet_id: str, sender_id: str, key_id: str, nonce: str
) -> str:
    """The text that is signed. ``metadata`` is not part of it: hooks of the relay may change it.
    ``nonce`` is said once: two messages under one nonce are one replayed."""
    recipient = message["recipient"]
    kind = recipient["kind"]
    return canonical_json(
        {
            "type": ENVELOPE_TYPE,
            "fleet_id": fleet_id,
            "sender_id": sender_id,
            "key_id": key_id,
            "recipient": {"kind": kind}
            if kind == "broadcast"
            else {"kind": kind, "id": recipient["id"]},
            "message_type": message["message_type"],
            "conversation_id": message["conversation_id"],
            "correlation_id": message["correlation_id"],
            "body_sha256": body_hash(message["body"]),
            "nonce": nonce,
        }
    )


def sign_message(
    message: Mapping[str, Any],
    fleet_id: str,
    agent_id: str,
    identity: AgentIdentity,
    nonce: str,
) -> Dict[str, str]:
    """Signs a message as an agent; the fields go into the message as they are."""
    try:
        text = envelope_text(message, fleet_id, agent_id, identity.key_id, nonce)
    except KeyError as missing:
        raise EkhoArgumentError(f"a signed message needs {missing}") from None
    return {
        "agent_sig": identity.sign(text.encode("utf-8")),
        "key_id": identity.key_id,
        "sig_canonical": text,
    }
