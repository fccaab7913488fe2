"""Reads server-sent events (the WHATWG HTML standard, 9.2) from text that comes in any pieces."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import List, Optional

_LINE_END = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True)
class SseEvent:
    name: str
    data: str
    #: The last id seen so far on this connection.
    id: Optional[str]


class SseEventTooLarge(Exception):
    """An event grew beyond what the reader is willing to hold."""


class SseParser:
    def __init__(self, max_event_chars: int) -> None:
        self._max_chars = max_event_chars
        self._rest = ""
        self._at_start = True
        self._name = ""
        self._data: List[str] = []
        self._data_chars = 0
        self._id: Optional[str] = None

    def push(self, piece: str) -> List[SseEvent]:
        """Takes the next piece, gives back the events that it completes."""
        text = self._rest + piece
        if self._at_start and text:
            self._at_start = False
            text = text[1:] if text.startswith("\ufeff") else text
        events: List[SseEvent] = []
        at = 0
        while True:
            end = _LINE_END.search(text, at)
            # A CR at the very end may be the first half of CR LF: wait for what follows.
            if end is None or (end.group() == "\r" and end.end() == len(text)):
                break
            event = self._line(text[at : end.start()])
            if event is not None:
                events.append(event)
            at = end.end()
        self._rest = text[at:]
        if len(self._rest) + self._data_chars > self._max_chars:
            raise SseEventTooLarge
        return events

    def _line(self, line: str) -> Optional[SseEvent]:
        if line == "":
            return self._dispatch()
        field, _, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if field == "event":
            self._name = value
        elif field == "id" and "\0" not in value:
            self._id = value
        elif field == "data":
            self._data.append(value)
            self._data_chars += len(value) + 1
            if self._data_chars > self._max_chars:
                raise SseEventTooLarge
        return None

    def _dispatch(self) -> Optional[SseEvent]:
        name, data = self._name or "message", self._data
        self._name, self._data, self._data_chars = "", [], 0
        return SseEvent(name, "\n".join(data), self._id) if data else None
