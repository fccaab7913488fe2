"""What schemathesis needs to know of the relay: who signs what, and what must not be broken.

Loaded by schemathesis. The place of the relay and of its first operator and agent comes in
`EKHO_OPENAPI_STATE`; every operation that was answered is written to the file it names.
"""

import json
import os

import requests
import schemathesis

from relay import Agent, Operator

STATE = json.loads(os.environ["EKHO_OPENAPI_STATE"])
OPERATOR = Operator(STATE["url"], STATE["fleet_name"], STATE["email"], STATE["password"])
AGENT = Agent(STATE["url"], STATE["agent_id"], STATE["secret"])
OWN_ID = OPERATOR.call("GET", "/v1/operator/me")["operator_id"]
SETTINGS = OPERATOR.call("GET", "/v1/operator/settings")
# What would end those who ask, for ever or for a while.
PROTECTED = {OWN_ID, AGENT.id}
OPEN = {"/v1/operator/login", "/v1/enroll"}
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


@schemathesis.hook
def before_call(context, case, kwargs):
    for name, value in (case.path_parameters or {}).items():
        if value in PROTECTED and case.method != "GET":
            case.path_parameters[name] = "protected"
    wait = (case.query or {}).get("wait")
    if str(wait).isdigit() and WAIT_SECONDS < int(wait) <= 60:
        case.query["wait"] = WAIT_SECONDS


@schemathesis.hook
def after_call(context, case, response):
    label = f"{case.method} {case.operation.path}"
    code = ""
    if response.headers.get("content-type", [""])[0].startswith("application/json"):
        answer = response.json()
        code = answer.get("code", "") if isinstance(answer, dict) else ""
    with open(STATE["reached"], "a") as file:
        file.write(json.dumps([label, response.status_code, code]) + "\n")
    if label == "PUT /v1/operator/settings" and response.status_code == 200:
        OPERATOR.call("PUT", "/v1/operator/settings", SETTINGS)
    if code == "not_signed_in":
        OPERATOR.sign_in()
