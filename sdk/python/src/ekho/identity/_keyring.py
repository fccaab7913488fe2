"""The keys that an agent believes: other agents', and operators' by endorsement from a root. The
relay's word alone adds no root; a revoked key never comes back. Small enough to be kept as JSON."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Dict, Iterable, List, Mapping, Optional, Union

from ..errors import EkhoArgumentError
from ..types import OperatorKeyEntry, read
from ._keys import PublicKey

# Limits of the relay: keys remembered of an agent, keys of operators.
_MAX_AGENT_KEYS = 20
_MAX_OPERATOR_KEYS = 500
_MAX_KEYS = 100_000


class KeyRing:
    def __init__(self, fleet_id: str) -> None:
        if not fleet_id:
            raise EkhoArgumentError("a key ring needs the id of its fleet")
        self.fleet_id = fleet_id
        self._agents: Dict[str, Dict[str, PublicKey]] = {}
        self._operators: Dict[str, PublicKey] = {}
        # Key id and since when; None where that is not known, so that nothing of it counts.
        self._revoked: Dict[str, Optional[str]] = {}

    def trust_agent(self, agent_id: str, public_key: str) -> str:
        """Believes that this key is the agent's. Its earlier keys go on counting until revoked."""
        key = PublicKey(public_key)
        keys = self._agents.get(agent_id, {})
        if key.key_id not in keys and len(keys) >= _MAX_AGENT_KEYS:
            raise EkhoArgumentError(f"more than {_MAX_AGENT_KEYS} keys of one agent")
        if len(self._agents) >= _MAX_KEYS:
            raise EkhoArgumentError("the key ring is full")
        self._agents.setdefault(agent_id, keys)[key.key_id] = key
        return key.key_id

    def trust_operator(self, public_key: str) -> str:
        """Believes that this key is an operator's: a root that others can be endorsed from."""
        key = PublicKey(public_key)
        if key.key_id not in self._operators and len(self._operators) >= _MAX_OPERATOR_KEYS:
            raise EkhoArgumentError(f"more than {_MAX_OPERATOR_KEYS} keys of operators")
        self._operators[key.key_id] = key
        return key.key_id

    def take_endorsed(
        self, entries: Iterable[Union[OperatorKeyEntry, Mapping[str, Any]]]
    ) -> List[str]:
        """Takes those keys that a key believed already vouches for, however often the chain has to
        be followed; gives back the ids of those it took."""
        known = [
            entry if isinstance(entry, OperatorKeyEntry) else read(OperatorKeyEntry, entry)
            for entry in entries
        ]
        taken: List[str] = []
        found = True
        while found:
            found = False
            for entry in known:
                key = self._endorsed(entry)
                if key is not None:
                    taken.append(self.trust_operator(str(key)))
                    found = True
        return taken

    def _endorsed(self, entry: OperatorKeyEntry) -> Optional[PublicKey]:
        by = self._operators.get(entry.endorsed_by_key_id or "")
        if by is None or not entry.endorsement_sig or self.is_revoked(by.key_id):
            return None
        try:
            key = PublicKey(entry.public_key)
        except EkhoArgumentError:
            return None
        if key.key_id in self._operators or self.is_revoked(key.key_id):
            return None
        statement = endorsement(self.fleet_id, by.key_id, key)
        return key if by.verify(entry.endorsement_sig, statement.encode("utf-8")) else None

    def revoke(self, key_id: str, since: Optional[str] = None) -> None:
        """For good. Messages that the relay accepted before ``since`` go on counting; without it,
        none."""
        if len(self._revoked) >= _MAX_KEYS:
            raise EkhoArgumentError("the key ring is full")
        known = self._revoked.get(key_id, "")
        if known == "" or (known is not None and (since is None or since < known)):
            self._revoked[key_id] = since

    def is_revoked(self, key_id: str, at: Optional[str] = None) -> bool:
        """Whether the key was revoked at that time (ISO 8601), or at all."""
        if key_id not in self._revoked:
            return False
        since, when = _time(self._revoked[key_id]), _time(at)
        return since is None or when is None or not when < since

    def agent_key(self, agent_id: str, key_id: str) -> Optional[PublicKey]:
        return self._agents.get(agent_id, {}).get(key_id)

    def operator_key(self, key_id: str) -> Optional[PublicKey]:
        return self._operators.get(key_id)

    def to_json(self) -> Dict[str, Any]:
        """What ``from_json`` makes the same ring of."""
        return {
            "fleetId": self.fleet_id,
            "agents": {
                agent_id: [str(key) for key in keys.values()]
                for agent_id, keys in self._agents.items()
            },
            "operators": [str(key) for key in self._operators.values()],
            "revoked": dict(self._revoked),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> KeyRing:
        ring = cls(data["fleetId"])
        for agent_id, keys in data["agents"].items():
            for key in keys:
                ring.trust_agent(agent_id, key)
        for key in data["operators"]:
            ring.trust_operator(key)
        for key_id, since in data["revoked"].items():
            ring.revoke(key_id, since)
        return ring


def endorsement(fleet_id: str, by_key_id: str, key: PublicKey) -> str:
    """What an operator signs who vouches for a key (docs/operator-api.md, Signing keys)."""
    return "\n".join(["ekho-operator-key-v1", "endorse", fleet_id, by_key_id, key.key_id, str(key)])


def _time(text: Optional[str]) -> Optional[datetime]:
    try:
        time = datetime.fromisoformat((text or "").replace("Z", "+00:00"))
    except ValueError:
        return None
    return time if time.tzinfo is not None else time.replace(tzinfo=timezone.utc)
