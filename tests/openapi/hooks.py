"""What schemathesis needs to know of the relay: who signs what, and what must not be broken.

Loaded by schemathesis. The place of the relay and of its first operator and agent comes in
`EKHO_OPENAPI_STATE`; every operation that was answered is written to the file it names.
"""

import json
import os
import uuid

import requests
import schemathesis
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation import GenerationMode

from relay import Agent, Operator, totp

STATE = json.loads(os.environ["EKHO_OPENAPI_STATE"])
OPERATOR = Operator(STATE["url"], STATE["fleet_name"], STATE["email"], STATE["password"])
AGENT = Agent(STATE["url"], STATE["agent_id"], STATE["secret"])
OWN_ID = OPERATOR.call("GET", "/v1/operator/me")["operator_id"]
SETTINGS = OPERATOR.call("GET", "/v1/operator/settings")
ATTACHMENTS = OPERATOR.call("GET", "/v1/operator/settings/attachments")
OPEN = {
    "/v1/enroll",
    "/v1/operator/login",
    "/v1/operator/login/tailnet",
    "/v1/operator/oidc/callback",
    "/v1/operator/oidc/login",
    "/v1/operator/sign-in-methods",
}
# Ids of what is there, by the part of the path before them.
KNOWN = STATE["known"]
# What must not end: those who ask, and a key that only whoever has its private half can make again.
PROTECTED = {OWN_ID, AGENT.id, OPERATOR.fleet_id, KNOWN["keys"]}
# Longest that a poll may wait here.
WAIT_SECONDS = 1


class Credentials(requests.auth.AuthBase):
    """Signs as the path wants it."""

    def __call__(self, request):
        path = request.path_url.split("?")[0]
        if path in OPEN or not path.startswith("/v1/"):
            return request
        if path == "/v1/operator/logout":
            # It ends the session that asks.
            return Operator(STATE["url"], STATE["fleet_name"], STATE["email"], STATE["password"])(request)
        return OPERATOR(request) if path.startswith("/v1/operator/") else AGENT(request)


schemathesis.auth.set_from_requests(Credentials())


def new_policy():
    draft = {"name": "to go", "scope_kind": "fleet", "rule": {"action": "allow"}, "enabled": False}
    return {"id": OPERATOR.call("POST", "/v1/operator/policies", draft)["policyId"]}


def new_hook():
    hook = {"name": f"to-go-{uuid.uuid4().hex}", "url": "http://127.0.0.1:1/", "events": ["overview"], "enabled": False}
    return {"id": OPERATOR.call("POST", "/v1/operator/hooks", hook)["hook_id"]}


def new_operator():
    new = {"email": f"{uuid.uuid4()}@example.org", "password": "a long password", "role": "viewer"}
    made = OPERATOR.call("POST", "/v1/operator/operators", new)
    return {"id": made["operator_id"]}, Operator(STATE["url"], STATE["fleet_name"], new["email"], new["password"])


def new_session_of_operator():
    path, operator = new_operator()
    return path | {"session": operator.call("GET", "/v1/operator/me")["session"]["id"]}


def new_hook():
    new = {"name": str(uuid.uuid4()), "url": "http://127.0.0.1:9/", "events": ["overview"], "enabled": False}
    return {"id": OPERATOR.call("POST", "/v1/operator/hooks", new)["hook_id"]}


def new_totp():
    path, operator = new_operator()
    secret = operator.call("POST", "/v1/operator/totp", {"password": "a long password"})["secret"]
    operator.call("POST", "/v1/operator/totp/confirm", {"totp_code": totp(secret)})
    return path


def new_token():
    return {"id": OPERATOR.call("POST", "/v1/operator/tokens", {"name": "to go", "scopes": ["read"]})["id"]}


def new_a2a_token():
    made = OPERATOR.call("POST", "/v1/operator/a2a/clients", {"name": "to go"})
    return {"id": made["client_id"], "token_id": made["token_id"]}


def new_license():
    OPERATOR.call("PUT", "/v1/operator/license", {"key": STATE["license"]})
    return {}


# What an operation ends is made for it.
FRESH = {
    "DELETE /v1/operator/a2a/clients/{id}/tokens/{token_id}": new_a2a_token,
    "DELETE /v1/operator/hooks/{id}": new_hook,
    "DELETE /v1/operator/license": new_license,
    "DELETE /v1/operator/operators/{id}": lambda: new_operator()[0],
    "DELETE /v1/operator/operators/{id}/sessions/{session}": new_session_of_operator,
    "DELETE /v1/operator/hooks/{id}": new_hook,
    "DELETE /v1/operator/operators/{id}/totp": new_totp,
    "DELETE /v1/operator/policies/{id}": new_policy,
    "DELETE /v1/operator/sessions/{id}": new_token,
    "POST /v1/operator/agents/{id}/revoke": lambda: {"id": OPERATOR.enrol("to go").id},
}


def label_of(case):
    return f"{case.method.upper()} {case.operation.path}"


def place_of_ids(path):
    """Parameters of a path with the part before each."""
    parts = path.split("/")
    return {part[1:-1]: before for before, part in zip(parts, parts[1:]) if part.startswith("{")}


def is_meant_wrong(case, place):
    return case.meta and any(
        part is place and info.mode is GenerationMode.NEGATIVE
        for part, info in case.meta.components.items()
    )


@schemathesis.hook
def before_call(context, case, kwargs):
    ids = case.path_parameters or {}
    meant_wrong = is_meant_wrong(case, ParameterLocation.PATH)
    is_hook = case.operation.path.startswith("/v1/operator/hooks")
    if is_hook and isinstance(case.body, dict) and not is_meant_wrong(case, ParameterLocation.BODY):
        # Where nobody answers, no message would be accepted any more.
        case.body["enabled"] = False
    if label_of(case) in FRESH and not meant_wrong:
        ids |= FRESH[label_of(case)]()
        return
    for name, before in place_of_ids(case.operation.path).items():
        # Nearly no id that is made up names anything: behind it, nothing would be asked.
        if name in ids and before in KNOWN and not meant_wrong:
            ids[name] = KNOWN[before]
        if ids.get(name) in PROTECTED and case.method != "GET":
            ids[name] = "protected"
    if str((case.query or {}).get("delete_others")).lower() == "true":
        # What others look at stays.
        case.query["delete_others"] = "false"
    if case.operation.path == "/v1/operator/debug/threads" and str((case.query or {}).get("seconds", 10)).isdigit():
        # What is right may last a minute.
        case.query = (case.query or {}) | {"seconds": min(1, int(str((case.query or {}).get("seconds", 10))))}
    wait = (case.query or {}).get("wait")
    if str(wait).isdigit() and WAIT_SECONDS < int(wait) <= 60:
        case.query["wait"] = WAIT_SECONDS


@schemathesis.hook
def after_call(context, case, response):
    label = label_of(case)
    code = ""
    if response.headers.get("content-type", [""])[0].startswith("application/json"):
        answer = response.json()
        code = answer.get("code", "") if isinstance(answer, dict) else ""
    with open(STATE["reached"], "a") as file:
        file.write(json.dumps([label, response.status_code, code]) + "\n")
    if label == "POST /v1/credentials/rotate" and response.status_code == 200:
        AGENT.secret = response.json()["secret"]
    if label == "PUT /v1/operator/settings" and response.status_code == 200:
        OPERATOR.call("PUT", "/v1/operator/settings", SETTINGS)
    if label == "PUT /v1/operator/settings/attachments" and response.status_code == 200:
        OPERATOR.call("PUT", "/v1/operator/settings/attachments", ATTACHMENTS)
    if label in ("POST /v1/operator/hooks", "PUT /v1/operator/hooks/{id}") and response.status_code < 300:
        # It would keep every message waiting for somebody who does not listen.
        hook = answer.get("hook_id") or answer["hook"]["id"]
        OPERATOR.call("PUT", f"/v1/operator/hooks/{hook}", {"enabled": False, "timeout_ms": 50})
    if code == "not_signed_in":
        OPERATOR.sign_in()


@schemathesis.hook
def filter_failure(context, failure, case, response):
    # A request line of more than 64 KiB is refused before it is known what it asks for.
    return response.status_code != 414
