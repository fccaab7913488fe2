"""A message as it goes over the wire: what was left out is filled in, its trace context is put into
the metadata, it is encrypted and signed end to end. Done once for all tries, which must be the same bytes."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional, Tuple

from ._readers import ReaderKeys, readers_of
from .errors import EkhoArgumentError
from .telemetry import Telemetry, with_trace_context

if TYPE_CHECKING:
    from .identity import AgentIdentity


class Preparer:
    def __init__(
        self,
        agent_id: str,
        identity: Optional[AgentIdentity],
        fleet_id: Optional[str],
        telemetry: Optional[Telemetry],
        readers: ReaderKeys,
    ) -> None:
        if identity is not None and not fleet_id:
            raise EkhoArgumentError("an identity needs fleet_id, which is part of what is signed")
        self._agent_id = agent_id
        self._identity = identity
        self._fleet_id = fleet_id
        self._telemetry = telemetry
        self.readers = readers

    def signed_key(self) -> Tuple[str, Mapping[str, str]]:
        """The client's encryption key as it is published, and its identity's word for it."""
        if not self.readers.own:
            raise EkhoArgumentError(
                "the client has no encryption_keys, of which to publish the first"
            )
        key = self.readers.own[0].public_key
        if self._identity is None or not self._fleet_id:
            return str(key), {}
        from .identity import sign_encryption_key

        return str(key), sign_encryption_key(key, self._fleet_id, self._agent_id, self._identity)

    def prepare(
        self, payload: Mapping[str, Any], own_key: Optional[str]
    ) -> Tuple[Dict[str, Any], str]:
        """The message and its idempotency key.

        A caller's own key may come again in a later run, and the relay wants the same bytes with it
        then: with one, nothing is added that would be different the next time.
        """
        key = own_key or str(uuid.uuid4())
        message = {**payload}
        message.setdefault("correlation_id", key)
        if own_key is None:
            metadata = with_trace_context(payload.get("metadata"), self._telemetry)
            if metadata is not None:
                message["metadata"] = metadata
        readers = readers_of(message)
        message.pop("encrypt_for", None)
        if readers is not None:
            from .identity import encrypt_body

            keys = self.readers.of(readers)
            own = self.readers.own[0]
            # What is signed is what is sent, so that it can be checked by who cannot read it.
            message["body"] = encrypt_body(message, self._agent_id, own, keys, own_key)
        if self._identity is not None and self._fleet_id and "agent_sig" not in message:
            from .identity import sign_message

            signed = sign_message(message, self._fleet_id, self._agent_id, self._identity, key)
            message.update(signed)
        return message, key
