"""The dashboard as it is written: Grafana's own schema knows all of it, nothing overlaps, and what its
queries are once variables are filled in."""

import json
import os
import re

from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard

WIDTH = 24
PLACE = "deploy/grafana/dashboards/ekho.json"


def load(root):
    with open(os.path.join(root, PLACE)) as file:
        return json.load(file)


def check(root):
    """How many panels there are; AssertionError where something is wrong."""
    plugins.register_default_plugins()
    written = load(root)
    known = json.loads(JSONEncoder().encode(dashboard.Dashboard.from_json(written)))
    unknown = list(lost(written, known))
    assert not unknown, f"Grafana's schema does not know {unknown}"
    panels = written["panels"]
    ids = [panel["id"] for panel in panels]
    assert len(ids) == len(set(ids)), "an id is there twice"
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= WIDTH, f"{panel['title']} is beyond the edge"
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert not cells & taken, f"{panel['title']} lies over another"
        taken |= cells
        if panel["type"] == "row":
            continue
        assert panel["description"], f"{panel['title']} does not say what it shows"
        assert panel["fieldConfig"]["defaults"]["unit"], f"{panel['title']} has no unit"
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}", f"{panel['title']} is tied to a place"
    return len(panels)


def lost(written, known, path=""):
    """Paths of what is written and did not come through the schema."""
    if isinstance(written, dict):
        for key, value in written.items():
            if not isinstance(known, dict) or key not in known:
                yield f"{path}/{key}"
            else:
                yield from lost(value, known[key], f"{path}/{key}")
    elif isinstance(written, list):
        if not isinstance(known, list) or len(written) != len(known):
            yield path
        else:
            for place, (one, other) in enumerate(zip(written, known)):
                yield from lost(one, other, f"{path}[{place}]")
    elif written != known:
        yield path


def queries(root, variables):
    """Title and query of every target and annotation, with variables filled in."""
    written = load(root)
    found = []
    for panel in written["panels"]:
        for target in panel.get("targets", []):
            found.append((f"{panel['title']} {target['refId']}", target["expr"]))
    for annotation in written["annotations"]["list"]:
        found.append((annotation["name"], annotation["expr"]))
    for variable in written["templating"]["list"]:
        if variable["type"] == "query":
            # What is inside label_values(…, label).
            found.append((variable["name"], re.fullmatch(r"label_values\((.*), \w+\)", variable["query"]["query"])[1]))
    return [(title, filled(query, variables)) for title, query in found]


def filled(query, variables):
    for name, value in variables.items():
        query = query.replace(f"${name}", value)
    assert "$" not in query, f"a variable is unknown in {query}"
    return query
