"""X25519 keys that agents encrypt to: what their ids are, how an identity key vouches for one, and
which one of an agent to believe (docs/encryption.md)."""

from __future__ import annotations

import base64
import hashlib
from typing import Any, Iterable, Mapping, Optional

from ..errors import EkhoArgumentError, EkhoEncryptionError
from . import _hpke as hpke
from ._keyring import KeyRing
from ._keys import AgentIdentity, SeedKey, from_base64

_KEY_BYTES = 32
_FORM = "ekho-encryption-key-v1"
_DERIVATION_SALT = b"ekho-encrypted-v1"


class PublicEncryptionKey:
    """The public half: base64 of 32 bytes."""

    def __init__(self, text: str) -> None:
        found = from_base64(text)
        if found is None or len(found) != _KEY_BYTES:
            raise EkhoArgumentError("no X25519 public key in base64")
        self.raw = found
        #: ``xkey_`` and the first 16 bytes of SHA-256 of the 32 bytes, in hex.
        self.key_id = "xkey_" + hashlib.sha256(found).hexdigest()[:32]

    def __str__(self) -> str:
        return base64.b64encode(self.raw).decode("ascii")


class EncryptionKey(SeedKey):
    """An agent's key pair to encrypt to, whose public half is published through the relay."""

    _NAMED = "an encryption key"

    def __init__(self, seed: bytes) -> None:
        super().__init__(seed)
        self._private = hpke.derive_private(seed)
        #: What keys are derived of that only this agent can derive.
        self._derivation = hpke.extract(_DERIVATION_SALT, seed)
        public = base64.b64encode(hpke.public_of(self._private)).decode("ascii")
        self.public_key = PublicEncryptionKey(public)

    @property
    def key_id(self) -> str:
        return self.public_key.key_id

    def __repr__(self) -> str:
        return f"EncryptionKey({self.key_id!r})"


def encryption_key_statement(
    fleet_id: str, agent_id: str, by_key_id: str, key: PublicEncryptionKey
) -> str:
    """What an agent signs with its identity key to say that this key is its own."""
    return "\n".join([_FORM, fleet_id, agent_id, by_key_id, key.key_id, str(key)])


def sign_encryption_key(
    key: PublicEncryptionKey, fleet_id: str, agent_id: str, identity: AgentIdentity
) -> Mapping[str, str]:
    """The fields that go with the key when it is published."""
    statement = encryption_key_statement(fleet_id, agent_id, identity.key_id, key)
    return {
        "signed_by_key_id": identity.key_id,
        "signature": identity.sign(statement.encode("utf-8")),
    }


def chosen_key(
    agent_id: str, entries: Iterable[Mapping[str, Any]], key_ring: Optional[KeyRing]
) -> PublicEncryptionKey:
    """The key to encrypt to, of those that the relay names. With a ring, one of the agent's identity
    keys in it has to vouch for the key; without one, the relay's word counts."""
    current = next((entry for entry in entries if entry.get("current")), None)
    if current is None or current.get("revoked_at"):
        text = f"{agent_id} has published no encryption key"
        raise EkhoEncryptionError("no_encryption_key", text)
    key = PublicEncryptionKey(str(current.get("public_key")))
    if key_ring is not None and not _vouched_for(agent_id, key, current, key_ring):
        text = f"no identity key of {agent_id} that is believed signed its encryption key"
        raise EkhoEncryptionError("encryption_key_not_trusted", text)
    return key


def _vouched_for(
    agent_id: str, key: PublicEncryptionKey, entry: Mapping[str, Any], ring: KeyRing
) -> bool:
    by_key_id, signature = entry.get("signed_by_key_id"), entry.get("signature")
    if not isinstance(by_key_id, str) or not isinstance(signature, str):
        return False
    by = ring.agent_key(agent_id, by_key_id)
    if by is None or ring.is_revoked(by_key_id):
        return False
    statement = encryption_key_statement(ring.fleet_id, agent_id, by_key_id, key)
    return by.verify(signature, statement.encode("utf-8"))
