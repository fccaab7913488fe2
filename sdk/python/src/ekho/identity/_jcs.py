"""JSON Canonicalization Scheme (RFC 8785): the one text of a JSON value that every language agrees
on, whatever the order of keys, the spaces and the way numbers were written."""

from __future__ import annotations

import json
import math
from typing import Mapping

from ..errors import EkhoArgumentError

# As deep as the relay lets JSON be.
_MAX_DEPTH = 100


def canonical_json(value: object, _depth: int = 0) -> str:
    if _depth > _MAX_DEPTH:
        raise EkhoArgumentError("JSON nested too deeply to be signed")
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, (int, float)):
        return _number(value)
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(canonical_json(item, _depth + 1) for item in value) + "]"
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise EkhoArgumentError("the keys of an object are texts")
        # By UTF-16 code units, as the scheme says.
        members = sorted(
            value.items(), key=lambda item: str(item[0]).encode("utf-16-be", "surrogatepass")
        )
        texts = [f"{_text(key)}:{canonical_json(item, _depth + 1)}" for key, item in members]
        return "{" + ",".join(texts) + "}"
    raise EkhoArgumentError(f"a {type(value).__name__} is not JSON")


def _text(value: str) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise EkhoArgumentError("half a surrogate pair cannot be signed") from None
    # Python escapes DEL, ECMAScript does not; all other escapes are the same.
    return json.dumps(value, ensure_ascii=False).replace("\\u007f", "\x7f")


def _number(value: float) -> str:
    """As ECMAScript writes a double (ECMA-262, Number::toString): the shortest digits that are read
    back as the same one, which is also what repr finds."""
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise EkhoArgumentError("a number beyond a double cannot be signed")
    if number == 0:
        return "0"
    sign = "-" if number < 0 else ""
    mantissa, _, exponent = repr(abs(number)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = "" if fraction == "0" else fraction
    # value = 0.DIGITS * 10 ** point
    point = len(whole) + int(exponent or 0)
    digits = whole + fraction
    leading = len(digits) - len(digits.lstrip("0"))
    digits = digits[leading:].rstrip("0")
    point -= leading
    if len(digits) <= point <= 21:
        return sign + digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    rest = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{rest}e{point - 1:+d}"
