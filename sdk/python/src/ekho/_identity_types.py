"""The names of ``ekho.identity`` for annotations, without needing what it needs: where the package
cryptography is missing, there is nothing of these types either."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .identity import AgentIdentity, EncryptionKey, KeyRing
else:
    AgentIdentity = EncryptionKey = KeyRing = Any

__all__ = ["AgentIdentity", "EncryptionKey", "KeyRing"]
