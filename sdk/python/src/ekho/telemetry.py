"""OpenTelemetry context in a message's metadata: ``traceparent``, ``tracestate`` and ``baggage`` as
W3C headers have them, so that a trace goes on in the agent that receives it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Dict, Iterator, Mapping, Optional

from .errors import EkhoArgumentError

_FIELDS = ("traceparent", "tracestate", "baggage")
_MAX_FIELD_CHARS = 8192


class Telemetry:
    """Puts a context into messages, and runs handlers in the context that a message brought. This
    one does neither; ``OpenTelemetry`` does, and so may a class of your own."""

    def inject(self, carrier: Dict[str, str]) -> None:
        """Puts the context of now into the carrier."""

    @contextmanager
    def attached(self, carrier: Mapping[str, str]) -> Iterator[None]:
        """The context of the carrier, for as long as the block lasts."""
        yield


class OpenTelemetry(Telemetry):
    """With the package opentelemetry-api: ``pip install ekho[otel]``."""

    def __init__(self) -> None:
        try:
            from opentelemetry import context, propagate
        except ImportError:
            raise EkhoArgumentError("OpenTelemetry needs: pip install ekho[otel]") from None
        self._context = context
        self._propagate = propagate

    def inject(self, carrier: Dict[str, str]) -> None:
        self._propagate.inject(carrier)

    @contextmanager
    def attached(self, carrier: Mapping[str, str]) -> Iterator[None]:
        token = self._context.attach(self._propagate.extract(carrier))
        try:
            yield
        finally:
            self._context.detach(token)


def with_trace_context(
    metadata: Optional[Mapping[str, Any]], telemetry: Optional[Telemetry]
) -> Optional[Dict[str, Any]]:
    """The metadata with the context of now; what stands there already is left alone."""
    if telemetry is None or (metadata is not None and "traceparent" in metadata):
        return None if metadata is None else dict(metadata)
    carrier: Dict[str, str] = {}
    telemetry.inject(carrier)
    fields = read_trace_context(carrier)
    return {**(metadata or {}), **fields} if metadata is not None or fields else None


def read_trace_context(metadata: object) -> Dict[str, str]:
    """The context that a message's metadata holds; empty where it holds none."""
    if not isinstance(metadata, Mapping):
        return {}
    found = {name: metadata.get(name) for name in _FIELDS}
    return {
        name: value
        for name, value in found.items()
        if isinstance(value, str) and 0 < len(value) <= _MAX_FIELD_CHARS
    }
