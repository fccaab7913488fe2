"""Values in scenarios: names filled in, and what an answer has to be like (sdk/scenarios/README.md)."""

import json
import re

_NAME = re.compile(r"\$\{([^}]+)\}")


def fill(value, known):
    """``${name.path.0}``: as the whole text it is the value itself, within a text it is written
    into it."""
    if isinstance(value, str):
        whole = _NAME.fullmatch(value)
        if whole:
            return _look_up(whole.group(1), known)
        return _NAME.sub(lambda name: str(_look_up(name.group(1), known)), value)
    if isinstance(value, list):
        return [fill(item, known) for item in value]
    if isinstance(value, dict):
        return {key: fill(item, known) for key, item in value.items()}
    return value


def _look_up(path, known):
    at = known
    try:
        for name in path.split("."):
            at = at[int(name)] if isinstance(at, list) else at[name]
    except (KeyError, IndexError, ValueError, TypeError):
        raise AssertionError(f"nothing is known as {path}") from None
    return at


def mismatch(expected, value, at):
    """The first difference in words; None where the value is as expected."""
    if isinstance(expected, list):
        if not isinstance(value, list) or len(value) != len(expected):
            return f"{at} has not {len(expected)} items"
        return _first(mismatch(item, value[n], f"{at}.{n}") for n, item in enumerate(expected))
    if not isinstance(expected, dict):
        same = expected == value and isinstance(expected, bool) == isinstance(value, bool)
        return None if same else f"{at} is not {json.dumps(expected)}"
    if "$present" in expected:
        return None if value is not None else f"{at} is missing"
    if "$length" in expected:
        holds = isinstance(value, list) and len(value) == expected["$length"]
        return None if holds else f"{at} has not {expected['$length']} items"
    if "$text" in expected:
        holds = isinstance(value, str) and expected["$text"] in value
        return None if holds else f"{at} does not hold {expected['$text']}"
    if "$any" in expected:
        holds = isinstance(value, list) and any(
            mismatch(expected["$any"], item, at) is None for item in value
        )
        return None if holds else f"nothing in {at} is like {json.dumps(expected['$any'])}"
    if not isinstance(value, dict):
        return f"{at} is no object"
    return _first(mismatch(item, value.get(key), f"{at}.{key}") for key, item in expected.items())


def _first(differences):
    return next((difference for difference in differences if difference is not None), None)
