#!/usr/bin/env python3
"""The table of values in the chart's README, made of the comments in values.yaml.

A value is described by the line above it that begins with `# --`. Values under one that is
described are described with it, so that every value has a description and exactly one.
"""

import re

BEGIN = "<!-- values: made of values.yaml, see helm/readme.py -->"
END = "<!-- end of values -->"
KEY = re.compile(r"^( *)([A-Za-z][A-Za-z0-9]*):(?: (.*))?$")
ABOUT = re.compile(r"^ *# -- (.+)$")


class Undescribed(Exception):
    """A value without a description."""


def entries(values):
    """Each described value: its path, its default as it is written, and what it is for."""
    about, path, covered = None, [], None
    lines = values.splitlines()
    for number, line in enumerate(lines):
        if (found := ABOUT.match(line)) is not None:
            about = found[1]
        elif (found := KEY.match(line)) is not None:
            depth = len(found[1]) // 2
            if covered is not None and depth > covered:
                continue
            covered = None
            path = [*path[:depth], found[2]]
            default = (found[3] or "").strip()
            if about is not None:
                if not default:
                    default = "see values.yaml"
                    covered = depth
                yield ".".join(path), default, about
                about = None
            elif default:
                raise Undescribed(f"values.yaml, line {number + 1}: {'.'.join(path)} has no description")


def table(values):
    """The table, in Markdown."""
    rows = ["| value | default | what |", "| --- | --- | --- |"]
    for path, default, about in entries(values):
        shown = default if default == "see values.yaml" else f"`{default}`"
        rows.append(f"| `{path}` | {shown} | {about} |".replace("`\"\"`", '`""`'))
    return "\n".join(rows)


def with_table(text, values):
    """The README with the table of these values in its place."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{table(values)}\n\n{END}{after}"
