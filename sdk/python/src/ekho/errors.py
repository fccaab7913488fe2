"""The one family of errors. Everything that a call of this package raises is an EkhoError with a
``code``."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Mapping, Optional

# Longest text of an answer that goes into a message.
_MAX_TEXT_CHARS = 500


class EkhoError(RuntimeError):
    """What can go wrong. ``code`` is stable; for a refusal it is the relay's own."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class EkhoArgumentError(EkhoError, ValueError):
    """Input that cannot be sent; nothing was. Code: ``invalid_argument``."""

    def __init__(self, message: str) -> None:
        super().__init__("invalid_argument", message)


class EkhoRequestError(EkhoError):
    """The relay answered, and the answer is a refusal: any status but 2xx."""

    def __init__(
        self,
        path: str,
        status_code: int,
        body: str,
        *,
        retry_after: Optional[str] = None,
        request_id: Optional[str] = None,
    ) -> None:
        fields = _read_object(body)
        code = fields.get("code")
        super().__init__(
            code if isinstance(code, str) else f"http_{status_code}",
            f"Ekho request failed for {path}: {status_code} {body[:_MAX_TEXT_CHARS]}",
        )
        self.path = path
        self.status_code = status_code
        #: The text of the answer, cut after 64 KiB.
        self.body = body
        known_id = fields.get("request_id")
        #: Id under which the relay logged the request.
        self.request_id: Optional[str] = known_id if isinstance(known_id, str) else request_id
        #: How long the relay asks to wait: Retry-After, else the field of that name.
        self.retry_after_seconds = _seconds(retry_after)
        if self.retry_after_seconds is None:
            self.retry_after_seconds = _seconds(fields.get("retry_after_seconds"))
        #: Which fields are wrong, for a validation failure.
        self.field_errors = _field_errors(fields.get("error"))
        #: The answer as an object: further fields, such as ``policy``, ``extension`` or ``state``.
        self.fields = fields


class EkhoConnectionError(EkhoError):
    """No usable answer came. Codes: ``connection_failed``, ``timeout``, ``answer_too_large``,
    ``answer_not_understood``."""

    def __init__(self, code: str, path: str, message: str, *, unsent: bool = False) -> None:
        super().__init__(code, f"{path}: {message}")
        self.path = path
        #: True where the request surely never left: no connection came about.
        self.unsent = unsent


class EkhoActionError(EkhoError):
    """An action may not be taken, or an adapter cannot go on. Codes: ``action_denied``,
    ``action_rejected``, ``action_cancelled``, ``action_expired``, ``action_failed``,
    ``agent_paused``, ``adapter_stopped``."""

    def __init__(self, code: str, message: str, approval_id: Optional[str] = None) -> None:
        super().__init__(code, message)
        self.approval_id = approval_id


class EkhoEncryptionError(EkhoError):
    """A body cannot be encrypted or decrypted. Codes: ``no_encryption_key``,
    ``encryption_key_not_trusted``; nothing was sent. ``decryption_failed`` with a ``reason``:
    ``no_key``, ``not_a_reader``, ``unknown_key``, ``altered``, ``unknown_form``."""

    def __init__(self, code: str, message: str, reason: Optional[str] = None) -> None:
        super().__init__(code, message)
        self.reason = reason


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed later without any change of it."""
    if isinstance(error, EkhoRequestError):
        return (
            error.status_code in (429, 502, 503, 504) or error.code == "timestamp_before_leadership"
        )
    return isinstance(error, EkhoConnectionError) and error.code in ("connection_failed", "timeout")


def _read_object(body: str) -> Mapping[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _seconds(value: object) -> Optional[float]:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None


def _field_errors(error: object) -> Dict[str, List[str]]:
    fields = error.get("fieldErrors") if isinstance(error, dict) else None
    if not isinstance(fields, dict):
        return {}
    return {
        str(name): [str(text) for text in texts] if isinstance(texts, list) else [str(texts)]
        for name, texts in fields.items()
    }
