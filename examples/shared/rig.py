"""What an example needs besides the SDK: agents to enrol, and an operator's part. The relay is the
one that examples/run.sh started (sdk/scenarios/rig.py)."""

import os
import time

import httpx

import ekho

RELAYS = os.environ["EKHO_RELAY_URL"].split(",")
_BEGAN = time.monotonic()


def _ask(path, body=None):
    answer = httpx.post(f"{os.environ['EKHO_RIG']}{path}", json=body or {}, timeout=60)
    answer.raise_for_status()
    return answer.json()


def enrol(display_name):
    """Credentials of a new agent."""
    enrolment = {
        "fleet_id": os.environ["EKHO_FLEET_ID"],
        "token": _ask("/token")["token"],
        "display_name": display_name,
    }
    enrolled = ekho.enroll(RELAYS, enrolment)
    return ekho.AgentCredentials(enrolled.agent_id, enrolled.secret, RELAYS)


def operator(method, path, body=None):
    """A request of the operator API, in the owner's name."""
    answer = _ask("/operator", {"method": method, "path": path, "body": body})
    if answer["status"] >= 300:
        raise RuntimeError(f"{method} {path}: {answer}")
    return answer["body"]


def tell(who, what):
    """One line of the transcript."""
    print(f"{who:>9}  {what}", flush=True)


def done():
    tell("done", f"in {time.monotonic() - _BEGAN:.1f} s")
