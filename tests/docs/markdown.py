"""What a page of Markdown holds: headings, links, code blocks, and marks for tests.

Knows as much of Markdown as this repository's pages use. Reads files and nothing else.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

FENCE = re.compile(r"^(\s*)(```+|~~~+)\s*([\w+-]*)[^`]*$")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$")
ITEM = re.compile(r"^(\s*)([-*+]|\d+[.)])(\s+)\S")
MARK = re.compile(r"^\s*<!--\s*test:\s*(.*?)\s*-->\s*$", re.DOTALL)
ANCHOR = re.compile(r"""<a\s+(?:id|name)=["']([^"']+)["']""")
INLINE = re.compile(r"""!?\[(?:[^\[\]]|\[[^\[\]]*\])*\]\(\s*<?([^()\s<>]*(?:\([^()\s]*\))?[^()\s<>]*)>?(?:\s+["'][^)]*)?\)""")
REFERENCE = re.compile(r"^\s{0,3}\[(?!\^)[^\]]+\]:\s+(\S+)")
ATTRIBUTE = re.compile(r"""<(?:a|img|source)\b[^>]*?\b(?:href|src|srcset)=["']([^"']+)["']""")
CODE_SPAN = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)")


@dataclass
class Block:
    """A code block; `language` is None where it is indented, "" where the fence names none."""

    line: int
    language: str | None
    text: str


@dataclass
class Mark:
    """An invisible remark for tests: `<!-- test: … -->`."""

    line: int
    text: str


@dataclass
class Page:
    path: Path
    anchors: set = field(default_factory=set)
    headings: list = field(default_factory=list)
    links: list = field(default_factory=list)  # (line, target)
    parts: list = field(default_factory=list)  # blocks and marks, in their order


def plain(text):
    """A heading's words without its marking."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"[`*]|<[^>]+>", "", text)


def slug(text):
    """The anchor that the forge and mdBook give a heading."""
    return re.sub(r"[^\w\- ]", "", plain(text).lower()).replace(" ", "-")


def anchors(headings):
    """An anchor for each heading; a repeated one gets a number."""
    seen, found = {}, set()
    for heading in headings:
        name = slug(heading)
        count = seen.get(name, 0)
        seen[name] = count + 1
        found.add(f"{name}-{count}" if count else name)
    return found


def indent(line):
    return len(line) - len(line.lstrip(" "))


class Reader:
    """One pass over the lines; a code block and a mark take the lines that belong to them."""

    def __init__(self, path, text):
        self.page = Page(path)
        self.lines = text.split("\n")
        self.at = 0
        self.list_indent = 0

    def read(self):
        blank = True
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if FENCE.match(line):
                self.fenced()
            elif re.match(r"^\s*<!--\s*test:", line):
                self.mark()
            elif blank and line.strip() and indent(line) >= self.list_indent + 4:
                self.indented()
            else:
                self.ordinary(line, blank)
                self.at += 1
            blank = not line.strip()
        self.page.anchors |= anchors(self.page.headings)
        return self.page

    def fenced(self):
        start, opening = self.at, FENCE.match(self.lines[self.at])
        inner, taken = len(opening[1]), []
        self.at += 1
        while self.at < len(self.lines) and not self.lines[self.at].strip().startswith(opening[2]):
            line = self.lines[self.at]
            taken.append(line[min(inner, indent(line)) :])
            self.at += 1
        if self.at == len(self.lines):
            raise ValueError(f"{self.page.path}:{start + 1}: the code block has no end")
        self.at += 1
        self.page.parts.append(Block(start + 1, opening[3], "\n".join(taken)))

    def indented(self):
        start, least, taken = self.at, self.list_indent + 4, []
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if line.strip() and indent(line) < least:
                break
            taken.append(line[least:])
            self.at += 1
        while taken and not taken[-1].strip():
            taken.pop()
        self.page.parts.append(Block(start + 1, None, "\n".join(taken)))

    def mark(self):
        start, taken = self.at, []
        while self.at < len(self.lines):
            taken.append(self.lines[self.at])
            self.at += 1
            if "-->" in taken[-1]:
                break
        found = MARK.match("\n".join(taken))
        if not found:
            raise ValueError(f"{self.page.path}:{start + 1}: the mark has no end, or a text behind it")
        self.page.parts.append(Mark(start + 1, found[1]))

    def ordinary(self, line, blank):
        item = ITEM.match(line)
        if item and indent(line) < self.list_indent + 4:
            self.list_indent = len(item[1]) + len(item[2]) + len(item[3])
        elif blank and line.strip() and indent(line) < self.list_indent:
            self.list_indent = 0
        heading = HEADING.match(line)
        if heading:
            self.list_indent = 0
            self.page.headings.append(heading[1])
        self.page.anchors.update(ANCHOR.findall(line))
        text = CODE_SPAN.sub("``", line)
        for pattern in (INLINE, REFERENCE, ATTRIBUTE):
            self.page.links += [(self.at + 1, target) for target in pattern.findall(text)]


def read(path, root=None):
    path = Path(path)
    name = path.relative_to(root) if root else path
    return Reader(name, path.read_text("utf-8")).read()
