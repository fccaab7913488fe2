"""Learns keys from the relay: an agent's where a message names one that the ring lacks, and every so
often which operators are endorsed and which keys were revoked. What is learned so is as good as the
relay's word: it finds forgery among agents, not a relay that lies. Pinned keys are better.

Without the network: says what is to be asked, and takes the answers."""

from __future__ import annotations

import json
import time
from typing import Dict

from . import types as t
from ._identity_types import KeyRing
from .errors import EkhoArgumentError

#: Not for long: messages wait for it.
LEARNING_SECONDS = 5.0
# How long an answer is good for.
_GOOD_FOR_SECONDS = 60.0
# Senders whose keys were asked for lately.
_MAX_ASKED = 10_000


class KeyLearner:
    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring
        self._asked: Dict[str, float] = {}
        self._refreshed_at = float("-inf")

    def operators_due(self, message: t.InboxMessage) -> bool:
        """Whether the relay is to be asked for operators' keys and revocations before a message is
        checked."""
        if not message.agent_sig and not message.operator_sig:
            return False
        if time.monotonic() - self._refreshed_at < _GOOD_FOR_SECONDS:
            return False
        self._refreshed_at = time.monotonic()
        return True

    def take_operators(self, found: t.OperatorKeys) -> None:
        for revoked in found.revoked:
            self._ring.revoke(revoked["key_id"], revoked.get("revoked_at"))
        self._ring.take_endorsed(found.operator_keys)

    def agent_due(self, message: t.InboxMessage) -> bool:
        """Whether the relay is to be asked for the sender's keys."""
        sender, now = message.sender_agent_id, time.monotonic()
        if not message.agent_sig or not sender or not self._lacks(sender, message.sig_canonical):
            return False
        if now - self._asked.get(sender, float("-inf")) < _GOOD_FOR_SECONDS:
            return False
        if len(self._asked) >= _MAX_ASKED:
            self._asked.clear()
        self._asked[sender] = now
        return True

    def take_agent(self, found: t.AgentKeys) -> None:
        # First, so that they count whatever becomes of the keys.
        for key in found.keys:
            if key.get("revoked_at"):
                self._ring.revoke(key["key_id"], key["revoked_at"])
        for key in found.keys:
            try:
                self._ring.trust_agent(found.agent_id, key["public_key"])
            except EkhoArgumentError:
                # Agents may register keys of another kind, which say nothing about their other keys.
                continue

    def _lacks(self, agent_id: str, text: object) -> bool:
        try:
            statement = json.loads(text) if isinstance(text, str) else None
        except ValueError:
            return False
        key_id = statement.get("key_id") if isinstance(statement, dict) else None
        return isinstance(key_id, str) and self._ring.agent_key(agent_id, key_id) is None
