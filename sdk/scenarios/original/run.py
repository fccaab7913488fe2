#!/usr/bin/env python3
"""Makes the requests of the original SDKs byte for byte, below a rig: `rig.py EKHO -- run.py`.

requests.json has them: the bytes that JavaScript's and Python's serialisers give, the headers that
both SDKs send (the secret among them), with ids filled in. Afterwards each original adapter's loops
run for a while: heartbeat, poll, one ack a message. Python's standard library only, and no SDK: what
is tested here is the relay.
"""

import hashlib
import hmac
import http.client
import json
import os
import sys
import time
import uuid
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import urlsplit

RELAY = urlsplit(os.environ["EKHO_RELAY_URL"].split(",")[0])
DEADLINE_SECONDS = 20


def ask(address, method, target, body, headers):
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
    # By hand, so that exactly these headers are sent: a GET has no body, everything else has one,
    # also a DELETE, whose body is empty.
    connection.putrequest(method, target, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    if method != "GET":
        connection.putheader("content-length", str(len(body)))
    connection.endheaders(body if method != "GET" and body else None)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    kind = answer.getheader("content-type") or ""
    return answer.status, json.loads(content) if kind.startswith("application/json") else content


def rig(path, body):
    address = urlsplit(os.environ["EKHO_RIG"])
    return ask(address, "POST", path, json.dumps(body).encode(), {})[1]


class OriginalAgent:
    """The signing of both original SDKs, which differ in nothing that is on the wire."""

    def __init__(self, name, body):
        fields = {"token": rig("/token", {})["token"], "fleet": os.environ["EKHO_FLEET_ID"]}
        content = fill(body, {**fields, "name": name}).encode()
        status, answer = ask(RELAY, "POST", "/v1/enroll", content, {"content-type": "application/json"})
        assert status == 200, answer
        self.id, self.secret = answer["agent_id"], answer["secret"]

    def request(self, method, target, text=""):
        now = datetime.now(timezone.utc)
        timestamp = f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z"
        nonce = str(uuid.uuid4())
        path = target.split("?")[0]
        digest = hashlib.sha256(text.encode()).hexdigest()
        canonical = f"{method}\n{path}\n{timestamp}\n{nonce}\n{digest}"
        signature = hmac.new(self.secret.encode(), canonical.encode(), hashlib.sha256).hexdigest()
        headers = {
            "content-type": "application/json",
            "x-ekho-agent-id": self.id,
            "x-ekho-agent-secret": self.secret,
            "x-ekho-timestamp": timestamp,
            "x-ekho-nonce": nonce,
            "x-ekho-signature": signature,
        }
        return ask(RELAY, method, target, text.encode(), headers)


def until_led(agent):
    """A new leader takes no GET that was signed before it led, or in the half second after
    (docs/decisions/0005-read-nonce-guard.md). An original adapter meets that as a poll that failed,
    and polls again."""
    ends = time.monotonic() + DEADLINE_SECONDS
    while agent.request("GET", "/v1/inbox?limit=1")[0] == 401 and time.monotonic() < ends:
        time.sleep(0.05)


def fill(text, known):
    for name, value in known.items():
        text = text.replace(f"${{{name}}}", value)
    return text


def is_like(expected, value):
    if isinstance(expected, dict):
        return isinstance(value, dict) and all(
            is_like(item, value.get(key)) for key, item in expected.items()
        )
    if isinstance(expected, list):
        same = isinstance(value, list) and len(value) == len(expected)
        return same and all(map(is_like, expected, value))
    return expected == value


def run_requests(requests, agents, known):
    for case in requests:
        agent = agents[case.get("as", "one")]
        method, target = case["request"].split(" ")
        body = fill(case.get("body", ""), known)
        status, answer = agent.request(method, fill(target, known), body)
        assert status == case["status"], f"{case['name']}: {status} {answer}"
        expected = json.loads(fill(json.dumps(case.get("answer", {}), ensure_ascii=False), known))
        assert is_like(expected, answer), f"{case['name']}: {answer}"
        for name, path in case.get("save", {}).items():
            for step in path.split("."):
                answer = answer[int(step)] if isinstance(answer, list) else answer[step]
            known[name] = answer


def run_loops(writer, reader, heartbeat, message, ack):
    """The loops of an original adapter: heartbeat; poll, a call of the handler and an ack for each."""
    sent = set()
    for number in range(3):
        text = fill(message, {"reader": reader.id, "n": str(number)})
        status, answer = writer.request("POST", "/v1/messages", text)
        assert status == 200, answer
        sent.add(answer["message_id"])
    handled, ends = [], time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < ends:
        status, answer = reader.request("POST", "/v1/heartbeats", heartbeat)
        assert status == 200 and answer["ok"] is True, answer
        status, inbox = reader.request("GET", "/v1/inbox?limit=25")
        assert status == 200 and inbox["controls"] == [], inbox
        for received in inbox["messages"]:
            handled.append(received["message_id"])
            text = fill(ack, {"id": received["message_id"], "now": received["created_at"]})
            assert reader.request("POST", "/v1/acks", text) == (200, {"updated": 1})
        if handled and not inbox["messages"]:
            break
    assert set(handled) == sent and len(handled) == 3, handled


def main():
    data = json.loads((Path(__file__).parent / "requests.json").read_text("utf-8"))
    count = 0
    for sdk in data["sdks"]:
        agents = {name: OriginalAgent(name, sdk["enroll"]) for name in ("one", "two")}
        until_led(agents["one"])
        known = {"one": agents["one"].id, "two": agents["two"].id, "run": str(uuid.uuid4())}
        known["fleet"] = os.environ["EKHO_FLEET_ID"]
        run_requests(sdk["requests"], agents, known)
        run_loops(agents["one"], agents["two"], **sdk["loops"])
        count += len(sdk["requests"])
        print(f"original {sdk['name']}: {len(sdk['requests'])} requests and its adapter's loops")
    print(f"summary: original clients: {count} requests byte for byte")


if __name__ == "__main__":
    sys.exit(main())
