"""Settings that both clients take, and their defaults, checked once."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Optional, Sequence, Union

from . import types as t
from ._http import HttpOptions
from ._learn import KeyLearner
from ._prepare import Preparer
from ._readers import ReaderKeys
from ._retry import RetryPolicy
from .errors import EkhoArgumentError, EkhoEncryptionError
from .telemetry import Telemetry

if TYPE_CHECKING:
    from .identity import AgentIdentity, EncryptionKey, KeyRing

DEFAULT_POLL_INTERVAL_SECONDS = 5.0
DEFAULT_HEARTBEAT_INTERVAL_SECONDS = 30.0
DEFAULT_TIMEOUT_SECONDS = 30.0


class Settings:
    def __init__(
        self,
        *,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        connect_timeout: float = 5.0,
        stream_idle_timeout: float = 60.0,
        max_answer_bytes: int = 128 * 1024 * 1024,
        verify: Union[ssl.SSLContext, bool] = True,
        proxy: Optional[str] = None,
        retry: Optional[RetryPolicy] = None,
        telemetry: Optional[Telemetry] = None,
        identity: Optional[AgentIdentity] = None,
        fleet_id: Optional[str] = None,
        key_ring: Optional[KeyRing] = None,
        learn_keys: bool = False,
        encryption_keys: Sequence[EncryptionKey] = (),
    ) -> None:
        if learn_keys and key_ring is None:
            raise EkhoArgumentError("learn_keys needs a key_ring to learn into")
        self.http = HttpOptions(
            retry=retry or RetryPolicy(),
            connect_timeout=positive("connect_timeout", connect_timeout),
            request_timeout=positive("timeout", timeout),
            stream_idle_timeout=positive("stream_idle_timeout", stream_idle_timeout),
            max_answer_bytes=int(positive("max_answer_bytes", max_answer_bytes)),
            verify=verify,
            proxy=proxy,
        )
        self.telemetry = telemetry
        self.identity = identity
        self.key_ring = key_ring
        self.learn_keys = learn_keys
        self.encryption_keys = list(encryption_keys)
        self.fleet_id = fleet_id or (key_ring.fleet_id if key_ring is not None else None)

    def preparer(self, agent_id: str) -> Preparer:
        readers = ReaderKeys(self.encryption_keys, self.key_ring)
        return Preparer(agent_id, self.identity, self.fleet_id, self.telemetry, readers)


class Checker:
    """Looks at the end-to-end signatures of what comes in, where there is a ring of keys, and decrypts
    what is encrypted."""

    def __init__(self, settings: Settings, agent_id: str) -> None:
        self._verifier = None
        self._agent_id = agent_id
        self._keys = settings.encryption_keys
        self.learner: Optional[KeyLearner] = None
        if settings.key_ring is not None:
            from .identity import Verifier

            self._verifier = Verifier(settings.key_ring, agent_id)
            self.learner = KeyLearner(settings.key_ring) if settings.learn_keys else None

    def check(self, message: t.InboxMessage) -> t.InboxMessage:
        if self._verifier is not None:
            message.verification = self._verifier.verify(message)
        # Only one field of the body, so that a client without cryptography can look as well.
        if set(message.body) == {"ekho_encrypted"}:
            self._decrypt(message)
        return message

    def _decrypt(self, message: t.InboxMessage) -> None:
        if not self._keys:
            message.encryption = t.Encryption("decryption_failed", "no_key")
            return
        from .identity import decrypt_body

        sent = {
            "message_type": message.message_type,
            "conversation_id": message.conversation_id,
            "correlation_id": message.correlation_id,
            "body": message.body,
        }
        try:
            body, key_id = decrypt_body(sent, message.sender_agent_id, self._agent_id, self._keys)
        except EkhoEncryptionError as error:
            message.encryption = t.Encryption(error.code, error.reason)
            return
        message.body = body
        message.encryption = t.Encryption("decrypted", None, key_id)


def intervals(credentials: t.AgentCredentials) -> tuple[float, float]:
    """Seconds between polls, and between heartbeats."""
    poll = credentials.poll_interval_seconds
    beat = credentials.heartbeat_interval_seconds
    return (
        positive("poll_interval_seconds", DEFAULT_POLL_INTERVAL_SECONDS if poll is None else poll),
        positive(
            "heartbeat_interval_seconds",
            DEFAULT_HEARTBEAT_INTERVAL_SECONDS if beat is None else beat,
        ),
    )


def positive(name: str, value: float) -> float:
    if not 0 < value < float("inf"):
        raise EkhoArgumentError(f"{name} must be a number above zero")
    return value
