#!/usr/bin/env python3
"""The agent of docs/a2a.md: forecaster.py AGENT_FILE, which `ekho agent enroll` wrote. Takes A2A tasks
out of its inbox until it is ended, adds an artifact to each and completes it. Python's standard
library; a client of the agent API."""

import hashlib
import hmac
import json
import sys
import urllib.request
import uuid
from datetime import datetime, timezone
from pathlib import Path

AGENT = json.loads(Path(sys.argv[1]).read_text("utf-8"))


def call(method, path, query="", body=None):
    content = b"" if body is None else json.dumps(body).encode()
    now, nonce = datetime.now(timezone.utc), str(uuid.uuid4())
    time = f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z"
    signed = f"{method}\n{path}\n{time}\n{nonce}\n{hashlib.sha256(content).hexdigest()}"
    headers = {
        "content-type": "application/json",
        "x-ekho-agent-id": AGENT["agent_id"],
        "x-ekho-timestamp": time,
        "x-ekho-nonce": nonce,
        "x-ekho-signature": hmac.new(AGENT["secret"].encode(), signed.encode(), hashlib.sha256).hexdigest(),
    }
    request = urllib.request.Request(AGENT["relay_urls"][0] + path + query, content or None, headers, method=method)
    with urllib.request.urlopen(request, timeout=90) as answer:
        return json.load(answer)


while True:
    for message in call("GET", "/v1/inbox", "?wait=60")["messages"]:
        call("POST", "/v1/acks", body={"acks": [{"message_id": message["message_id"]}]})
        task = f"/v1/tasks/{message['metadata']['a2a_task_id']}"
        forecast = {"artifactId": "forecast", "parts": [{"text": "Sunny, 21 degrees."}]}
        call("POST", f"{task}/artifacts", body={"artifact": forecast})
        call("POST", f"{task}/status", body={"state": "completed", "message": "Have a nice day."})
