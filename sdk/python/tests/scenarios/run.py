"""Runs the scenario suite (sdk/scenarios) with the installed package, against the relays of a rig:
``rig.py EKHO_BINARY -- python run.py SUITE_FOLDER sync|async [NAME]``. This file reads steps;
agent.py and async_agent.py do them."""

import json
import logging
import os
import sys
import time
import uuid
from pathlib import Path

import httpx
from agent import Agent, sign_as_operator
from async_agent import AsyncAgent
from match import fill, mismatch

import ekho

RIG = os.environ["EKHO_RIG"]
RELAYS = os.environ["EKHO_RELAY_URL"].split(",")
FLEET_ID = os.environ["EKHO_FLEET_ID"]
POLL_SECONDS = 0.05


def rig(path, body=None):
    answer = httpx.post(f"{RIG}{path}", json=body or {}, timeout=120)
    if not answer.is_success:
        raise AssertionError(f"the rig: {answer.text}")
    return answer.json()


def perform(step, agents):
    """What a step gives; raised errors are its own business."""
    agent = agents.get(step.get("as"))
    if "call" in step:
        return agent.call(step["call"], step.get("with", {}))
    if "adapter" in step:
        return perform_adapter(step, agent)
    if "stream" in step:
        do = {"start": agent.start_stream, "stop": agent.stop_stream}.get(step["stream"])
        return do() if do else agent.events
    if "sign" in step:
        return sign_as_operator(FLEET_ID, **step["sign"])
    if "relay" in step:
        return rig(f"/{step['relay']}")
    if "operator" in step:
        method, path = step["operator"].split(" ")
        body, headers = step.get("body"), step.get("headers")
        return rig("/operator", {"method": method, "path": path, "body": body, "headers": headers})
    raise AssertionError(f"unknown step {step}")


def perform_adapter(step, agent):
    what = step["adapter"]
    if what == "start":
        return agent.start_adapter(step["does"])
    if what == "stop":
        return agent.stop_adapter(step.get("deadline_ms", 10_000) / 1000)
    if what == "propose":
        return agent.propose(step["with"]["action"])
    # seen, controls, pending, outcome
    return getattr(agent, what)


def failure(error):
    return {
        "code": error.code,
        "status_code": getattr(error, "status_code", None),
        "has_request_id": getattr(error, "request_id", None) is not None,
        "fields": list(getattr(error, "field_errors", {})),
    }


def once(step, agents):
    """What is wrong, and what the step gave."""
    try:
        value = perform(step, agents)
    except ekho.EkhoError as error:
        if "fails" not in step:
            raise
        wrong = mismatch(step["fails"], failure(error), "error")
        return wrong and f"{wrong}: {error!r}", None
    if "fails" in step:
        return f"it succeeded: {value}", None
    wrong = mismatch(step["expect"], value, "answer") if "expect" in step else None
    return wrong and f"{wrong} in {json.dumps(value)}", value


def run_step(raw, agents, known, make):
    step = fill(raw, known)
    if "agent" in step:
        trusted = [agents[name] for name in step.get("trusts", [])]
        token = rig("/token")["token"]
        agent = make(RELAYS, FLEET_ID, token, step, trusted)
        agents[step["agent"]] = agent
        known[step["agent"]] = {
            "agent_id": agent.agent_id,
            "key_id": agent.key_id,
            "encryption_key_id": agent.encryption_key_id,
        }
        return
    ends = time.monotonic() + step.get("eventually", 0)
    while True:
        wrong, value = once(step, agents)
        if wrong is None:
            if "save" in step:
                known[step["save"]] = value
            return
        if time.monotonic() >= ends:
            raise AssertionError(wrong)
        time.sleep(POLL_SECONDS)


def run_scenario(scenario, make):
    agents, known = {}, {"run": str(uuid.uuid4())}
    try:
        for number, step in enumerate(scenario["steps"], 1):
            try:
                run_step(step, agents, known, make)
            except Exception as error:
                shown = json.dumps(step, ensure_ascii=False)[:300]
                raise AssertionError(f"step {number} {shown}\n      {error!r}") from error
    finally:
        for agent in agents.values():
            agent.close()


def main(folder, kind, only=None):
    # Handlers fail on purpose here.
    logging.getLogger("ekho").setLevel(logging.CRITICAL)
    make = {"sync": Agent, "async": AsyncAgent}[kind]
    offered = httpx.get(f"{RELAYS[0]}/openapi.json").json()["paths"]
    passed = failed = skipped = 0
    for file in sorted(Path(folder).iterdir()):
        scenario = json.loads(file.read_text("utf-8"))
        name = scenario["name"]
        if only not in (None, file.stem) or scenario.get("nodes", len(RELAYS)) != len(RELAYS):
            continue
        if "needs" in scenario and scenario["needs"] not in offered:
            print(f"  skipped {name}: the relay does not offer {scenario['needs']}")
            skipped += 1
            continue
        began = time.monotonic()
        try:
            run_scenario(scenario, make)
            passed += 1
            print(f"  ok      {name} ({(time.monotonic() - began) * 1000:.0f} ms)", flush=True)
        except AssertionError as error:
            failed += 1
            print(f"  FAILED  {name} ({file.name})\n      {error}", flush=True)
    print(f"{passed} passed, {failed} failed, {skipped} skipped, {kind}, on {len(RELAYS)} node(s)")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
