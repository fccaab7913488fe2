"""The signature of a request (docs/agent-api.md, Signing). Test vectors: sdk/vectors/signing.json."""

from __future__ import annotations

import hashlib
import hmac
import re
import uuid
from datetime import datetime, timezone
from typing import Dict, Optional

from .errors import EkhoArgumentError

_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]+")


def iso_now() -> str:
    """The time now as the relay writes it: UTC, milliseconds, a Z."""
    now = datetime.now(timezone.utc)
    return f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z"


def canonical_request(method: str, target: str, timestamp: str, nonce: str, body: bytes) -> str:
    """What is signed: five lines. The query string is left out, percent-encoding stays as sent."""
    path = target.split("?", 1)[0]
    return f"{method}\n{path}\n{timestamp}\n{nonce}\n{hashlib.sha256(body).hexdigest()}"


class Signer:
    """Signs requests of one agent."""

    def __init__(self, agent_id: str, secret: str) -> None:
        if not isinstance(agent_id, str) or not _VISIBLE_ASCII.fullmatch(agent_id):
            raise EkhoArgumentError("agent_id is missing, or no visible ASCII")
        if not isinstance(secret, str) or secret == "":
            raise EkhoArgumentError("secret is missing")
        self.agent_id = agent_id
        self._key = secret.encode("utf-8")

    def sign(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        *,
        timestamp: Optional[str] = None,
        nonce: Optional[str] = None,
    ) -> Dict[str, str]:
        """The headers of one try. ``timestamp`` and ``nonce`` are for tests: a try needs fresh ones."""
        timestamp = timestamp or iso_now()
        nonce = nonce or str(uuid.uuid4())
        canonical = canonical_request(method, target, timestamp, nonce, body)
        signature = hmac.new(self._key, canonical.encode("utf-8"), hashlib.sha256).hexdigest()
        return {
            "x-ekho-agent-id": self.agent_id,
            "x-ekho-timestamp": timestamp,
            "x-ekho-nonce": nonce,
            "x-ekho-signature": signature,
        }

    def __repr__(self) -> str:
        return f"Signer({self.agent_id!r})"
