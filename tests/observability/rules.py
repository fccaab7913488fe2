"""Alerts as they are written: `promtool` accepts them, each has a page, and each has cases in which it
fires and in which it does not."""

import os
import re
import subprocess
import tempfile

import yaml

SEVERITIES = {"critical", "warning"}
# What every page has to say.
SECTIONS = ["## What it means", "## How to see it", "## What to do"]


def load(path):
    with open(path) as file:
        return yaml.safe_load(file)


def alerts(root):
    groups = load(os.path.join(root, "deploy/prometheus/rules.yml"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def check(root, promtool):
    """How many alerts there are; AssertionError where something is missing."""
    directory = os.path.join(root, "deploy/prometheus")
    for command in (["check", "rules", "rules.yml"], ["test", "rules", "rules_test.yml"]):
        ran = subprocess.run([promtool, *command], cwd=directory, capture_output=True, text=True)
        assert ran.returncode == 0, f"promtool {' '.join(command)}:\n{ran.stdout}{ran.stderr}"
    rules = alerts(root)
    names = [rule["alert"] for rule in rules]
    assert len(names) == len(set(names)), "an alert is there twice"
    fires, quiet = cases(os.path.join(directory, "rules_test.yml"))
    for rule in rules:
        check_alert(root, rule, fires, quiet)
    # Other pages are of work that no alert calls for.
    pages = {name[:-3] for name in os.listdir(os.path.join(root, "docs/runbooks")) if name.startswith("Ekho")}
    assert pages == set(names), f"pages without an alert, or the reverse: {pages ^ set(names)}"
    return len(rules)


def check_alert(root, rule, fires, quiet):
    name = rule["alert"]
    assert rule["labels"]["severity"] in SEVERITIES, f"{name} has no severity"
    assert name in fires, f"{name} has no case in which it fires"
    assert name in quiet, f"{name} has no case in which it does not"
    page = rule["annotations"]["runbook"]
    assert page == f"docs/runbooks/{name}.md", f"{name} names {page}"
    with open(os.path.join(root, page)) as file:
        text = file.read()
    assert text.startswith(f"# {name}\n"), f"{page} does not begin with its name"
    places = [text.find(section) for section in SECTIONS]
    assert -1 not in places and places == sorted(places), f"{page} lacks one of {SECTIONS}"
    assert f"severity {rule['labels']['severity']}" in text, f"{page} says another severity"


def cases(path):
    """Names of alerts that a case expects, and of those that a case expects not to come."""
    fires, quiet = set(), set()
    for case in load(path)["tests"]:
        # A case without series would be quiet whatever the rule says.
        assert case["input_series"], case["name"]
        for expected in case["alert_rule_test"]:
            into = fires if expected.get("exp_alerts") else quiet
            into.add(expected["alertname"])
    return fires, quiet


def commands(root, binary):
    """Commands of the binary in the pages, each of which has to be one. How many there are."""
    directory = os.path.join(root, "docs/runbooks")
    found = {}
    for name in sorted(os.listdir(directory)):
        with open(os.path.join(directory, name)) as file:
            for line in file:
                match = re.match(r"^ +ekho ((?:[a-z0-9][a-z0-9-]*(?= |$) ?)+)", line)
                if match:
                    found.setdefault(match[1].strip(), name)
    with tempfile.TemporaryDirectory() as elsewhere:
        for command, name in sorted(found.items()):
            # Help of words that are no command, or lack what comes before, is an error.
            ran = subprocess.run(
                [binary, *command.split(), "--help"], capture_output=True, text=True, cwd=elsewhere
            )
            assert ran.returncode == 0, f"docs/runbooks/{name}: ekho {command}:\n{ran.stderr}"
    return len(found)


def queries(root):
    """What rules ask Prometheus for."""
    return {rule["alert"]: rule["expr"] for rule in alerts(root)}
