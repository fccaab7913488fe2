"""The live inbox (GET /v1/inbox/stream) without the network: what is asked, what its events are, and
when it is opened anew."""

from __future__ import annotations

import json
import re
from typing import Any, Iterator, Optional, Sequence
from urllib.parse import quote

from . import types as t
from ._calls import Call, read_control, read_message, types_parameter
from ._sse import SseEvent, SseEventTooLarge, SseParser
from .errors import EkhoConnectionError, EkhoError, EkhoRequestError

PATH = "/v1/inbox/stream"
# One event holds one message; the relay's own limit on bodies is far below this.
_MAX_EVENT_CHARS = 16 * 1024 * 1024
_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]+")


class Broken(Exception):
    """A stream broke after it had begun; ``error`` says how."""

    def __init__(self, error: EkhoError) -> None:
        super().__init__(str(error))
        self.error = error


class StreamReader:
    """What is remembered from one connection to the next."""

    def __init__(self, types: Optional[Sequence[str]], last_event_id: Optional[str]) -> None:
        self._target = f"{PATH}?{types_parameter(types)}" if types else PATH
        self._last_event_id = last_event_id
        self._parser = SseParser(_MAX_EVENT_CHARS)

    def call(self) -> Call[None]:
        """Opens the next connection, after the last event seen."""
        self._parser = SseParser(_MAX_EVENT_CHARS)
        headers = {"accept": "text/event-stream"}
        if self._last_event_id is not None:
            headers["last-event-id"] = _header_safe(self._last_event_id)
        return Call("GET", self._target, lambda _: None, headers=headers)

    def take(self, piece: str) -> Iterator[t.StreamEvent]:
        """The events that a piece of the answer completes."""
        try:
            events = self._parser.push(piece)
        except SseEventTooLarge:
            message = f"an event has more than {_MAX_EVENT_CHARS} characters"
            raise EkhoConnectionError("answer_too_large", PATH, message) from None
        for event in events:
            if event.id is not None:
                self._last_event_id = event.id
            item = _read_event(event)
            if item is not None:
                yield item


def _read_event(event: SseEvent) -> Optional[t.StreamEvent]:
    """None for kinds of event that this version does not know."""
    if event.name not in ("message", "control", "error"):
        return None
    try:
        data: Any = json.loads(event.data)
        if event.name == "message":
            return t.StreamEvent("message", event.id, message=read_message(data))
        if event.name == "control":
            return t.StreamEvent("control", event.id, control=read_control(data))
        status_code = int(data["status_code"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        message = "an event is not understood"
        raise EkhoConnectionError("answer_not_understood", PATH, message) from error
    raise EkhoRequestError(PATH, status_code, event.data)


def _header_safe(event_id: str) -> str:
    """Sequence numbers pass as they are; anything a header cannot carry is escaped."""
    return event_id if _VISIBLE_ASCII.fullmatch(event_id) else quote(event_id, safe="")
