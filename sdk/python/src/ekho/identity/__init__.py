"""End-to-end signatures and encryption (docs/signatures.md, docs/encryption.md). Needs the package cryptography:
``pip install ekho[identity]``."""

from ..types import Encryption, Verification
from ._encrypt import decrypt_body, encrypt_body, encryption_context, is_encrypted
from ._encryption_keys import (
    EncryptionKey,
    PublicEncryptionKey,
    chosen_key,
    encryption_key_statement,
    sign_encryption_key,
)
from ._envelope import envelope_text, sign_message
from ._jcs import canonical_json
from ._keyring import KeyRing
from ._keys import AgentIdentity, PublicKey
from ._verify import Verifier

__all__ = [
    "AgentIdentity",
    "Encryption",
    "EncryptionKey",
    "KeyRing",
    "PublicEncryptionKey",
    "PublicKey",
    "Verification",
    "Verifier",
    "canonical_json",
    "chosen_key",
    "decrypt_body",
    "encrypt_body",
    "encryption_context",
    "encryption_key_statement",
    "envelope_text",
    "is_encrypted",
    "sign_encryption_key",
    "sign_message",
]
