"""The command line of the A2A project (crate a2a-cli) as a client of a relay, on one binding.

    python3 client.py A2ACLI {"url", "token", "agent", "sleeper", "binding"}

Prints `ok OPERATION` for each that did what it should; fails at the first that did not. What the
agents answer to which text is scripted in tests/api/a2a/real_clients.rs.
"""

import json
import os
import subprocess
import sys
import uuid

COMMAND = sys.argv[1]
GIVEN = json.loads(sys.argv[2])
TRANSPORT = {"JSONRPC": "jsonrpc", "HTTP+JSON": "rest"}[GIVEN["binding"]]
# Nothing of whoever runs the tests.
PLAIN = {name: value for name, value in os.environ.items() if not name.startswith("A2ACLI_")}


def line(*args, agent=GIVEN["agent"], token=GIVEN["token"], whom=None):
    card = whom or f"{GIVEN['url']}/agents/{agent}/.well-known/agent-card.json"
    common = ["-a", card, "--bearer", token, "--transport", TRANSPORT, "-o", "json"]
    return [COMMAND, *args, *common, "--poll-interval", "100ms"]


def run(*args, **more):
    """What a call prints: one JSON document, or one a line for streams."""
    ended = subprocess.run(
        line(*args, **more), env=PLAIN, capture_output=True, text=True, timeout=30
    )
    assert ended.returncode == 0, (args, ended.stdout, ended.stderr)
    return ended.stdout


def ask(*args, **more):
    return json.loads(run(*args, **more))


def task(*args, **more):
    """What a message becomes."""
    return ask("send", *args, **more)["task"]


def refused(code, *args, **more):
    ended = subprocess.run(
        line(*args, **more), env=PLAIN, capture_output=True, text=True, timeout=30
    )
    assert ended.returncode != 0, (args, ended.stdout)
    error = json.loads(ended.stderr.splitlines()[-1])["error"]
    assert error["code"] == code, (args, error)


def events(text):
    return [json.loads(one) for one in text.splitlines()]


def streamed(*args, **more):
    process = subprocess.Popen(
        line(*args, **more), env=PLAIN, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    first = json.loads(process.stdout.readline())
    return process, first


def rest_of(process):
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, (out, err)
    return events(out)


def texts(told):
    pieces = [event["artifactUpdate"] for event in told if "artifactUpdate" in event]
    return [piece["artifact"]["parts"][0]["text"] for piece in pieces]


def state(of):
    return of["status"]["state"]


def card():
    # The schema of the protocol is held against it.
    own = ask("card", "get", "--validate")
    assert own["name"] == "awake", own
    fleet = ask("card", "get", "--validate", whom=GIVEN["url"])
    assert GIVEN["agent"] in [skill["id"] for skill in fleet["skills"]], fleet


def extended_card():
    shown = ask("card", "get", "--extended", "--validate")
    assert len(shown["capabilities"]["extensions"]) == 2, shown


def blocking():
    done = task("echo hello")
    assert state(done) == "TASK_STATE_COMPLETED", done
    assert done["artifacts"][0]["parts"][0]["text"] == "hello", done
    assert done["status"]["message"]["parts"][0]["text"] == "done", done


def not_blocking():
    sent = task("wait", "--async", "--return-immediately")
    assert state(sent) in ("TASK_STATE_SUBMITTED", "TASK_STATE_WORKING"), sent


def streaming():
    told = events(run("send", "steps", "--stream"))
    assert "task" in told[0], told
    assert texts(told) == ["a", "b"], told
    states = [state(event["statusUpdate"]) for event in told if "statusUpdate" in event]
    assert states[0] == "TASK_STATE_WORKING" and states[-1] == "TASK_STATE_COMPLETED", told


def get():
    sent = task("echo again")
    got = ask("task", "get", sent["id"])
    assert got["artifacts"][0]["parts"][0]["text"] == "again", got
    assert got["history"][0]["parts"][0]["text"] == "echo again", got


def listing():
    context = str(uuid.uuid4())
    made = [task(f"echo {number}", "--context-id", context)["id"] for number in range(3)]
    of = ["task", "list", "--context-id", context, "--page-size", "2"]
    first = ask(*of)
    assert len(first["tasks"]) == 2 and first["totalSize"] == 3, first
    second = ask(*of, "--page-token", first["nextPageToken"])
    assert second["nextPageToken"] == "", second
    found = [one["id"] for one in first["tasks"] + second["tasks"]]
    assert sorted(found) == sorted(made), (found, made)
    done = ask("task", "list", "--context-id", context, "--status", "completed")
    assert len(done["tasks"]) == 3, done


def cancel():
    sent = task("wait", "--async", "--return-immediately")
    gone = ask("task", "cancel", sent["id"])
    assert state(gone) == "TASK_STATE_CANCELED", gone


def subscribe():
    process, first = streamed("send", "wait", "--stream")
    process.kill()
    process.wait()
    process, again = streamed("task", "subscribe", first["task"]["id"])
    assert again["task"]["id"] == first["task"]["id"], again
    # It follows again: now the agent may go on.
    task(f"go on {first['task']['id']}")
    told = rest_of(process)
    assert texts(told) == ["late"], told
    assert state(told[-1]["statusUpdate"]) == "TASK_STATE_COMPLETED", told


def input_required():
    asked = task("ask")
    assert state(asked) == "TASK_STATE_INPUT_REQUIRED", asked
    assert asked["status"]["message"]["parts"][0]["text"] == "which?", asked
    done = task("echo this", "--task-id", asked["id"], "--context-id", asked["contextId"])
    assert done["id"] == asked["id"] and state(done) == "TASK_STATE_COMPLETED", done
    assert done["artifacts"][0]["parts"][0]["text"] == "this", done


def offline():
    process, first = streamed("send", "echo good morning", "--stream", agent=GIVEN["sleeper"])
    assert state(first["task"]) == "TASK_STATE_SUBMITTED", first
    task("wake")
    told = rest_of(process)
    assert texts(told) == ["good morning"], told
    assert state(told[-1]["statusUpdate"]) == "TASK_STATE_COMPLETED", told


def failures():
    refused("TASK_NOT_FOUND", "task", "get", "task_00000000000000000000000000000000")
    done = task("echo x")
    refused("TASK_NOT_CANCELABLE", "task", "cancel", done["id"])
    refused("UNSUPPORTED_OPERATION", "task", "subscribe", done["id"])
    refused("UNSUPPORTED_OPERATION", "send", "more", "--task-id", done["id"])
    refused("INVALID_PARAMS", "send", "x", "--context-id", "x" * 300)
    # It has a name for that only where a card is refused.
    refused("INTERNAL_ERROR", "task", "get", done["id"], token="none")


def versions():
    refused("VERSION_NOT_SUPPORTED", "task", "list", "--a2a-version", "1.9")


OPERATIONS = [
    card,
    extended_card,
    blocking,
    not_blocking,
    streaming,
    get,
    listing,
    cancel,
    subscribe,
    input_required,
    offline,
    failures,
    versions,
]
for operation in OPERATIONS:
    operation()
    print("ok", operation.__name__, flush=True)
