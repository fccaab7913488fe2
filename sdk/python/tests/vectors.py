"""The test vectors that every language shares."""

import json
from pathlib import Path

VECTORS = Path(__file__).resolve().parents[2] / "vectors"


def vectors(name):
    return json.loads((VECTORS / name).read_text("utf-8"))


def cases(found, kind="cases"):
    """The cases of a kind; a test of none would pass whatever is wrong."""
    if not found[kind]:
        raise AssertionError(f"there are no vectors: {kind}")
    return found[kind]
