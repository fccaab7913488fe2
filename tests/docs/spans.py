#!/usr/bin/env python3
"""Whether every `ekho …` that pages mention within their sentences is a command of the binary, with
the flags that stand there: spans.py EKHO_BINARY. Asks the binary for its help, and nothing else."""

import re
import subprocess
import sys
from pathlib import Path

import markdown
from links import files

ROOT = Path(__file__).resolve().parents[2]
SPAN = re.compile(r"(?<!`)`(ekho [^`]+)`(?!`)")


def spans(path):
    """Each mention with its line; code blocks are not among them, they are run."""
    fenced = False
    for number, line in enumerate(path.read_text("utf-8").split("\n"), 1):
        if markdown.FENCE.match(line):
            fenced = not fenced
        elif not fenced and not line.startswith("    "):
            for span in SPAN.findall(line):
                yield number, span


def parts(span):
    """The words that name the command, and the flags."""
    words = []
    for word in span.split()[1:]:
        if not re.match(r"^[a-z][a-z0-9-]*$", word):
            break
        words.append(word)
    return tuple(words), re.findall(r"(?<!\S)(--[a-z][a-z-]*|-[a-z])(?![\w-])", span)


class Help:
    """What the binary says of its commands, each asked once."""

    def __init__(self, binary):
        self.binary, self.known = binary, {}

    def of(self, words):
        if words not in self.known:
            done = subprocess.run([self.binary, *words, "--help"], capture_output=True, text=True)
            self.known[words] = done.stdout if done.returncode == 0 else None
        return self.known[words]

    def fault(self, span):
        words, flags = parts(span)
        text = self.of(words)
        if text is None:
            return "there is no such command"
        missing = [flag for flag in flags if not re.search(rf"(?<![\w-]){re.escape(flag)}(?![\w-])", text)]
        return f"it has no {', '.join(missing)}" if missing else None


def main():
    known, found, count = Help(Path(sys.argv[1]).resolve()), [], 0
    for name in sorted(name for name in files(ROOT) if name.endswith(".md")):
        # Decisions and the changelog tell of their time.
        if name.startswith("docs/decisions/") or name == "CHANGELOG.md":
            continue
        for line, span in spans(ROOT / name):
            count += 1
            fault = known.fault(span)
            if fault:
                found.append(f"{name}:{line}: `{span}`: {fault}")
    print("\n".join(found))
    print(f"summary: {count} mentions of {len(known.known)} commands, {len(found)} faults")
    return 1 if found or not count else 0


if __name__ == "__main__":
    sys.exit(main())
