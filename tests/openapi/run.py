"""Holds a running relay against its own description: run.py BINARY

First the tour: every operation as it should be done. Then schemathesis: every operation with what
can be generated from the description, right and wrong, from one seed. Both have to reach all of them.
"""

import collections
import json
import os
import subprocess
import sys

from relay import Relay
from tour import Tour

HERE = os.path.dirname(os.path.abspath(__file__))
SECONDS = 540


def tour(relay):
    tour = Tour(relay)
    first, *_ = tour.go()
    if tour.unvisited():
        raise AssertionError(f"tour.py does not reach {', '.join(tour.unvisited())}")
    print(f"the tour reached {len(tour.visited)} operations")
    return tour, first


def generated(relay, tour, agent):
    """Runs schemathesis; returns whether it found nothing and what was answered, by operation."""
    reached = os.path.join(relay.directory.name, "reached")
    state = {"url": relay.url, "agent_id": agent.id, "secret": agent.secret, "reached": reached}
    state |= tour.login | {"known": tour.known, "license": relay.issued}
    program = os.path.join(os.path.dirname(sys.executable), "schemathesis")
    command = [program, "--config-file", os.path.join(HERE, "generated.toml"), "--no-color"]
    command += ["run", relay.url + "/openapi.json"]
    environment = os.environ | {"EKHO_OPENAPI_STATE": json.dumps(state), "PYTHONPATH": HERE}
    # What it leaves behind goes with the relay's directory.
    found = subprocess.run(command, cwd=relay.directory.name, env=environment, timeout=SECONDS).returncode
    labels = {f"{one.method.upper()} {one.path}" for one in tour.operations.values()}
    answers = {label: collections.Counter() for label in labels}
    with open(reached) as file:
        for label, status, code in map(json.loads, file):
            if label in answers:
                answers[label][status, code] += 1
    return found == 0, answers


# There is no provider and no tailnet here to sign in by, and a notification is given up after hours.
ELSEWHERE = {"login_by_oidc", "oidc_callback", "login_by_tailnet", "retry_a2a_push"}


def unreached(tour, answers):
    """Operations that never got further than who asks, and whether an id is there."""
    for name, operation in tour.operations.items():
        label = f"{operation.method.upper()} {operation.path}"
        if name not in ELSEWHERE and all(status in (401, 404) for status, _ in answers[label]):
            yield label


def main():
    with Relay(sys.argv[1]) as relay:
        try:
            toured, agent = tour(relay)
            passed, answers = generated(relay, toured, agent)
            missing = sorted(unreached(toured, answers))
        except BaseException:
            print(relay.logged()[-5000:])
            raise
    requests = sum(sum(counts.values()) for counts in answers.values())
    print(f"summary: {requests} generated requests to {len(answers)} operations")
    if missing:
        print(f"never got beyond credentials and ids: {', '.join(missing)}")
    sys.exit(0 if passed and not missing else 1)


if __name__ == "__main__":
    main()
