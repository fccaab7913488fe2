"""Whom a message is to be encrypted to, and with which key: the keys of readers as the relay told them
and, with a ring, as an identity key vouches for them.

Without the network: says what is to be asked, and takes the answers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from . import types as t
from .errors import EkhoArgumentError

if TYPE_CHECKING:
    from .identity import EncryptionKey, KeyRing, PublicEncryptionKey

# How long an answer is good for.
_GOOD_FOR_SECONDS = 60.0
# Agents whose keys are kept: more than a batch can name, which is 100 times 64.
_MAX_KEPT = 10_000
# How many make room at once, those not named for longest.
_MAKE_ROOM = 1_000


def readers_of(payload: Mapping[str, Any]) -> Optional[List[str]]:
    """Ids of the agents that a message is to be encrypted to; None where it is not encrypted."""
    # Who names readers means to encrypt: what turned out to be None is not sent for all to read.
    if "encrypt_for" not in payload:
        return None
    given = payload["encrypt_for"]
    if not isinstance(given, (list, tuple)) or not all(isinstance(one, str) for one in given):
        raise EkhoArgumentError("encrypt_for is a list of ids of agents")
    readers = list(dict.fromkeys(given))
    recipient = payload.get("recipient") or {}
    if recipient.get("kind") == "agent" and recipient.get("id") not in readers:
        raise EkhoArgumentError("encrypt_for lacks the recipient, who could not read the message")
    if not readers:
        raise EkhoArgumentError("encrypt_for is empty: nobody could read the message")
    if "agent_sig" in payload:
        raise EkhoArgumentError("an encrypted message is signed by the client, after it encrypted")
    return readers


@dataclass
class _Known:
    keys: List[t.JsonObject]
    asked_at: float
    named_at: float


class ReaderKeys:
    def __init__(self, own: Sequence[EncryptionKey], key_ring: Optional[KeyRing]) -> None:
        self.own = list(own)
        self._ring = key_ring
        self._known: Dict[str, _Known] = {}

    def due(self, payloads: Iterable[Mapping[str, Any]]) -> List[str]:
        """Agents whose keys the relay is to be asked for before these are sent."""
        wanted: Dict[str, None] = {}
        for payload in payloads:
            for agent_id in readers_of(payload) or ():
                wanted[agent_id] = None
        if wanted and not self.own:
            raise EkhoArgumentError("encrypt_for needs encryption_keys, of which the first is used")
        now = time.monotonic()
        due = []
        for agent_id in wanted:
            known = self._known.get(agent_id)
            if known is None or now - known.asked_at >= _GOOD_FOR_SECONDS:
                due.append(agent_id)
            else:
                known.named_at = now
        return due

    def take(self, found: t.AgentEncryptionKeys) -> None:
        if len(self._known) >= _MAX_KEPT:
            # Not all: some of them wait to be encrypted to, with the message that this one is for.
            by_time = sorted(self._known.copy().items(), key=lambda item: item[1].named_at)
            for agent_id, _ in by_time[:_MAKE_ROOM]:
                self._known.pop(agent_id, None)
        now = time.monotonic()
        self._known[found.agent_id] = _Known(found.keys, asked_at=now, named_at=now)

    def of(self, readers: Sequence[str]) -> List[Tuple[str, PublicEncryptionKey]]:
        """The readers with their keys. Raises EkhoEncryptionError where one has none to believe."""
        from .identity import chosen_key

        found = []
        for agent_id in readers:
            known = self._known.get(agent_id)
            keys = known.keys if known is not None else []
            found.append((agent_id, chosen_key(agent_id, keys, self._ring)))
        return found
