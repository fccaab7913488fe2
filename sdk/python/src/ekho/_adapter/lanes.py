"""Who works on what: messages of one conversation go through a lane, one after the other, in the
order of the inbox; lanes run side by side. Bookkeeping only, for one thread."""

from __future__ import annotations

import enum
import time
from collections import OrderedDict, deque
from typing import Deque, Dict, List, Optional, Set

from ..types import InboxMessage

# How many finished messages whose ack was lost are remembered.
MAX_UNACKED = 1000
# How many conversations one heartbeat names.
_MAX_ACTIVE_CONVERSATIONS = 100


class Offer(enum.Enum):
    #: Start a worker for the conversation.
    NEW_LANE = "new_lane"
    #: A worker comes to it.
    QUEUED = "queued"
    #: This copy is dropped.
    IN_WORK = "in_work"
    #: Its work is done and only the ack was lost.
    ACK_AGAIN = "ack_again"


class Lanes:
    def __init__(self) -> None:
        self._waiting: Dict[str, Deque[InboxMessage]] = {}
        self._in_work: Dict[str, float] = {}
        self._unacked: OrderedDict[str, None] = OrderedDict()
        self._touched: Set[str] = set()

    def __len__(self) -> int:
        """How many messages are in work or waiting."""
        return len(self._in_work)

    def __contains__(self, message_id: str) -> bool:
        return message_id in self._in_work

    def offer(self, message: InboxMessage) -> Offer:
        if message.message_id in self._in_work:
            return Offer.IN_WORK
        if message.message_id in self._unacked:
            return Offer.ACK_AGAIN
        self._in_work[message.message_id] = time.monotonic()
        self.touch(message.conversation_id)
        lane = self._waiting.get(message.conversation_id)
        if lane is not None:
            lane.append(message)
            return Offer.QUEUED
        self._waiting[message.conversation_id] = deque([message])
        return Offer.NEW_LANE

    def next(self, conversation_id: str) -> Optional[InboxMessage]:
        """The next message of a lane. None closes the lane: its worker must end."""
        lane = self._waiting.get(conversation_id)
        if lane:
            return lane.popleft()
        self._waiting.pop(conversation_id, None)
        return None

    def finished(self, message_id: str, needs_ack: bool) -> None:
        """Without its ack a message is remembered, so that it is not worked on again."""
        self._in_work.pop(message_id, None)
        if needs_ack:
            if len(self._unacked) >= MAX_UNACKED:
                self._unacked.popitem(last=False)
            self._unacked[message_id] = None

    def acked_late(self, message_id: str) -> None:
        self._unacked.pop(message_id, None)

    def taken_before(self, moment: float) -> List[str]:
        """Messages taken before this moment of time.monotonic() and not finished."""
        return [message_id for message_id, taken in self._in_work.items() if taken < moment]

    def take_all(self) -> List[str]:
        """Forgets all work; gives back the messages that were not finished."""
        ids = list(self._in_work)
        self._waiting.clear()
        self._in_work.clear()
        return ids

    def touch(self, conversation_id: str) -> None:
        if len(self._touched) < _MAX_ACTIVE_CONVERSATIONS:
            self._touched.add(conversation_id)

    def active_conversations(self) -> List[str]:
        """Conversations touched since the last call, and those still in work."""
        active = (self._touched | set(self._waiting)) - {""}
        self._touched = set()
        return sorted(active)[:_MAX_ACTIVE_CONVERSATIONS]
