"""Ed25519 keys of agents and operators: how they are written, what their ids are, and signing with
one (RFC 8032)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from typing import Optional, Tuple, Type, TypeVar

from ..errors import EkhoArgumentError

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
except ImportError:
    raise EkhoArgumentError("end-to-end signatures need: pip install ekho[identity]") from None

_KEY_BYTES = 32
# What stands before the 32 bytes in a SubjectPublicKeyInfo.
_SPKI_HEAD = bytes.fromhex("302a300506032b6570032100")


def from_base64(text: str) -> Optional[bytes]:
    """Base64 or base64url, padded or not; None where it is neither."""
    plain = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


class PublicKey:
    """A public key, however it was written: base64 of its SubjectPublicKeyInfo or of the 32 bytes."""

    def __init__(self, text: str) -> None:
        found = from_base64(text) or b""
        if len(found) == len(_SPKI_HEAD) + _KEY_BYTES and found.startswith(_SPKI_HEAD):
            found = found[len(_SPKI_HEAD) :]
        if len(found) != _KEY_BYTES:
            raise EkhoArgumentError("no Ed25519 public key in base64")
        self._raw = found
        #: ``key_`` and the first 16 bytes of SHA-256 of the 32 bytes, in hex.
        self.key_id = "key_" + hashlib.sha256(found).hexdigest()[:32]

    def __str__(self) -> str:
        """Base64 of the SubjectPublicKeyInfo."""
        return base64.b64encode(_SPKI_HEAD + self._raw).decode("ascii")

    def verify(self, signature: str, content: bytes) -> bool:
        raw = from_base64(signature)
        if raw is None or len(raw) != 64:
            return False
        try:
            Ed25519PublicKey.from_public_bytes(self._raw).verify(raw, content)
            return True
        except (InvalidSignature, ValueError):
            return False


S = TypeVar("S", bound="SeedKey")


class SeedKey:
    """A key pair of which a seed is kept."""

    _NAMED = "a key"

    def __init__(self, seed: bytes) -> None:
        if len(seed) != _KEY_BYTES:
            raise EkhoArgumentError(f"the seed of {self._NAMED} is 32 bytes in base64")

    @classmethod
    def generate(cls: Type[S]) -> Tuple[S, str]:
        """A new one, and the seed to keep: whoever has it can do all that the key is for."""
        seed = os.urandom(_KEY_BYTES)
        return cls(seed), base64.b64encode(seed).decode("ascii")

    @classmethod
    def from_seed(cls: Type[S], seed: str) -> S:
        """The one of a seed: 32 bytes in base64."""
        return cls(from_base64(seed) or b"")


class AgentIdentity(SeedKey):
    """An agent's identity: a key pair whose public half is registered with the relay."""

    _NAMED = "an identity"

    def __init__(self, seed: bytes) -> None:
        super().__init__(seed)
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        raw = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public_key = PublicKey(base64.b64encode(raw).decode("ascii"))

    @property
    def key_id(self) -> str:
        return self.public_key.key_id

    def sign(self, content: bytes) -> str:
        """The signature in base64."""
        return base64.b64encode(self._key.sign(content)).decode("ascii")

    def __repr__(self) -> str:
        return f"AgentIdentity({self.key_id!r})"
