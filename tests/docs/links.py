#!/usr/bin/env python3
"""Holds all Markdown of the repository against itself: links.py [ROOT]

- Every relative link leads to a file or folder of the repository, every anchor to a heading.
- docs/SUMMARY.md lists every page of docs/ once, and of a folder in it the README, which links to
  every page of the folder.
- Every code of docs/errors.md has a section in docs/troubleshooting.md, and no other has one.
"""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import markdown

SUMMARY = "docs/SUMMARY.md"
CODES = "docs/errors.md"
HELP = "docs/troubleshooting.md"


def files(root):
    """Every file of the repository, also those that were not committed yet."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {name for name in listed.split("\0") if name and (root / name).exists()}


def folders(names):
    found = {"."}
    for name in names:
        found.update(str(parent) for parent in Path(name).parents)
    return found


def resolve(page, target):
    """The path from the root that a link of a page means; None where that lies outside."""
    parts = []
    for part in (Path(page).parent / target).parts:
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts) or "."


def is_outside(target):
    return bool(re.match(r"^[a-z][a-z0-9+.-]*:", target)) or target.startswith("//")


def check_links(root, names, pages):
    known_folders = folders(names)
    for page in pages.values():
        for line, link in page.links:
            if not link or is_outside(link):
                continue
            target, _, anchor = link.partition("#")
            where = resolve(str(page.path), unquote(target)) if target else str(page.path)
            if where is None or (where not in names and where not in known_folders):
                yield f"{page.path}:{line}: {link}: there is no such file"
            elif anchor and where.endswith(".md"):
                if unquote(anchor) not in pages[where].anchors:
                    yield f"{page.path}:{line}: {link}: there is no such heading"


def targets(page):
    """The files of the repository that a page links to."""
    outward = [link.partition("#")[0] for _, link in page.links if not is_outside(link)]
    return [resolve(str(page.path), unquote(link)) for link in outward if link]


def check_summary(pages):
    if SUMMARY not in pages:
        yield f"{SUMMARY} is missing"
        return
    listed = targets(pages[SUMMARY])
    for name in sorted(pages):
        if not name.startswith("docs/") or name == SUMMARY:
            continue
        index = f"{Path(name).parent}/README.md"
        if listed.count(name) == 1:
            continue
        if name in listed or index == "docs/README.md" or index not in listed:
            yield f"{SUMMARY} lists {name} {listed.count(name)} times, not once"
        elif name not in targets(pages[index]):
            yield f"{index} does not link to {name}, nor does {SUMMARY}"


def check_codes(root, pages):
    table = re.findall(r"^\| \d{3} \| `([a-z_]+)` \|", (root / CODES).read_text("utf-8"), re.MULTILINE)
    if not table:
        yield f"{CODES} has no table of codes"
    told = [match[1] for heading in pages[HELP].headings if (match := re.match(r"^`([a-z_]+)`$", heading))]
    for code in table:
        if told.count(code) != 1:
            yield f"{HELP} has {told.count(code)} sections for {code}, not one"
    for code in sorted(set(told) - set(table)):
        yield f"{HELP} has a section for {code}, which {CODES} does not list"
    # A section says what happened and what to do about it.
    text = (root / HELP).read_text("utf-8")
    for section in re.split(r"^#+ ", text, flags=re.MULTILINE):
        title, _, body = section.partition("\n")
        if re.match(r"^`[a-z_]+`$", title) and not re.search(r"^\*\*Do:\*\* \S", body, re.MULTILINE):
            yield f"{HELP}: the section {title} does not say what to do"


def faults(root):
    names = files(root)
    pages = {name: markdown.read(root / name, root) for name in sorted(names) if name.endswith(".md")}
    yield from check_links(root, names, pages)
    yield from check_summary(pages)
    if HELP in pages:
        yield from check_codes(root, pages)
    else:
        yield f"{HELP} is missing"


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[2]).resolve()
    found = list(faults(root))
    for fault in found:
        print(fault)
    pages = [name for name in files(root) if name.endswith(".md")]
    links = sum(len(markdown.read(root / name).links) for name in pages)
    print(f"summary: {links} links on {len(pages)} pages, {len(found)} faults")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
