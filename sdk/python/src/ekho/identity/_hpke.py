"""HPKE (RFC 9180) in the one form that is used here: base mode, DHKEM(X25519, HKDF-SHA256),
HKDF-SHA256, AES-128-GCM, one message a context. Written on the primitives of cryptography, because
its own module for HPKE is younger than the versions that run on Python 3.9."""

from __future__ import annotations

import hashlib
import hmac
from typing import Tuple

from ..errors import EkhoArgumentError

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.asymmetric.x25519 import (
        X25519PrivateKey,
        X25519PublicKey,
    )
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
except ImportError:
    raise EkhoArgumentError("end-to-end encryption needs: pip install ekho[identity]") from None

_KEM = b"KEM" + (0x0020).to_bytes(2, "big")
_HPKE = b"HPKE" + b"".join(part.to_bytes(2, "big") for part in (0x0020, 0x0001, 0x0001))
_VERSION = b"HPKE-v1"
_BASE_MODE = b"\x00"
KEY_BYTES = 16
NONCE_BYTES = 12


class OpenError(Exception):
    """What was to be opened is not what was sealed, or not for this key."""


def extract(salt: bytes, ikm: bytes) -> bytes:
    """HKDF-Extract with SHA-256 (RFC 5869)."""
    return hmac.new(salt or bytes(32), ikm, hashlib.sha256).digest()


def expand(prk: bytes, info: bytes, length: int) -> bytes:
    """HKDF-Expand with SHA-256, up to one block (RFC 5869)."""
    return hmac.new(prk, info + b"\x01", hashlib.sha256).digest()[:length]


def _labeled_extract(suite: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
    return extract(salt, _VERSION + suite + label + ikm)


def _labeled_expand(suite: bytes, prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    return expand(prk, length.to_bytes(2, "big") + _VERSION + suite + label + info, length)


def public_of(private: bytes) -> bytes:
    key = X25519PrivateKey.from_private_bytes(private).public_key()
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def derive_private(ikm: bytes) -> bytes:
    """DeriveKeyPair (section 7.1.3), the private half."""
    return _labeled_expand(_KEM, _labeled_extract(_KEM, b"", b"dkp_prk", ikm), b"sk", b"", 32)


def _exchange(private: bytes, public: bytes) -> bytes:
    """Fails for the few keys with which the outcome would be no secret."""
    peer = X25519PublicKey.from_public_bytes(public)
    return X25519PrivateKey.from_private_bytes(private).exchange(peer)


def _context(shared: bytes, enc: bytes, public: bytes, info: bytes) -> Tuple[bytes, bytes]:
    """Key and nonce of the first message."""
    prk = _labeled_extract(_KEM, b"", b"eae_prk", shared)
    secret = _labeled_expand(_KEM, prk, b"shared_secret", enc + public, 32)
    psk_id_hash = _labeled_extract(_HPKE, b"", b"psk_id_hash", b"")
    info_hash = _labeled_extract(_HPKE, b"", b"info_hash", info)
    schedule = _BASE_MODE + psk_id_hash + info_hash
    prk = _labeled_extract(_HPKE, secret, b"secret", b"")
    return (
        _labeled_expand(_HPKE, prk, b"key", schedule, KEY_BYTES),
        _labeled_expand(_HPKE, prk, b"base_nonce", schedule, NONCE_BYTES),
    )


def seal(
    public: bytes, info: bytes, aad: bytes, plaintext: bytes, ephemeral_ikm: bytes
) -> Tuple[bytes, bytes]:
    """The encapsulated key and the ciphertext. The ephemeral key is made of ``ephemeral_ikm``."""
    ephemeral = derive_private(ephemeral_ikm)
    enc = public_of(ephemeral)
    try:
        shared = _exchange(ephemeral, public)
    except ValueError:
        raise EkhoArgumentError("this is no key to encrypt to") from None
    key, nonce = _context(shared, enc, public, info)
    return enc, AESGCM(key).encrypt(nonce, plaintext, aad)


def open_sealed(private: bytes, enc: bytes, info: bytes, aad: bytes, ciphertext: bytes) -> bytes:
    """Raises OpenError."""
    try:
        shared = _exchange(private, enc)
        key, nonce = _context(shared, enc, public_of(private), info)
        return AESGCM(key).decrypt(nonce, ciphertext, aad)
    except (InvalidTag, ValueError):
        raise OpenError from None


def seal_once(key: bytes, aad: bytes, plaintext: bytes) -> bytes:
    """AES-128-GCM under a key that seals nothing else, so that its nonce is zero."""
    return AESGCM(key).encrypt(bytes(NONCE_BYTES), plaintext, aad)


def open_once(key: bytes, aad: bytes, ciphertext: bytes) -> bytes:
    """Raises OpenError."""
    try:
        return AESGCM(key).decrypt(bytes(NONCE_BYTES), ciphertext, aad)
    except (InvalidTag, ValueError):
        raise OpenError from None
