#!/usr/bin/env python3
"""Runs the commands of README.md and of all pages below docs/, as they stand there.

    run.py EKHO_BINARY [PAGE…]      run them, say what ran and what did not
    run.py --list [PAGE…]           only say what would

The commands of a page run in their order in one bash, in a temporary directory in which the
repository's files and folders are linked, with a data directory and a free port of their own;
`127.0.0.1:4000` in a command means that port. A command that fails fails the page; so does curl where
the answer is no success. `ekho serve` goes on in the background and returns when it is ready.

What a command needs and a reader does not is said by marks, HTML comments that nobody sees:

    <!-- test: relay -->                    a relay runs from here on, set up with an owner; $FLEET
                                            is its fleet; with NAME=VALUE behind it in that environment
    <!-- test: before, COMMANDS -->         runs these here; $LAST is the file with what the last
                                            command printed; script.py has functions for them
    <!-- test: for TEXT use OTHER -->       puts OTHER in place of TEXT from here on
    <!-- test: background, CONDITION -->    the next block's last command goes on in the background;
                                            the page goes on when CONDITION succeeds
    <!-- test: fails -->                    the next block's commands have to fail
    <!-- test: file NAME -->                the next block is no command: it goes into that file
    <!-- test: skip, REASON -->             does not run the next block; that its `ekho` commands are
                                            some of the binary's, with these flags, is looked up
    <!-- test: by FILE, WORDS -->           does not run it either: that file of the repository does,
                                            at the place where it says WORDS
    <!-- test: page skip, REASON -->        the same for all blocks from here on
    <!-- test: page by FILE, WORDS -->
    <!-- test: folder skip, REASON -->      in a README.md, also for the other pages of its folder
    <!-- test: folder by FILE, WORDS -->

A page that says of itself by which Rust test it is written (`UPDATE_DOCS=1 cargo test …`) counts as
covered by that. Python's standard library and bash; ends only processes that it started.
"""

import argparse
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path

import markdown
from links import files
from plan import Plan, Wrong, inherited
from script import script
from spans import Help

ROOT = Path(__file__).resolve().parents[2]
PAGE_SECONDS = 180
STOP_SECONDS = 20
# An `ekho` command where a command begins, also in a container.
OWN = re.compile(r"(?:^|[|;&(]|\brelay)[ \t]*(?:[A-Za-z_]\w*=\S*[ \t]+)*(ekho [^|;&()\n#]+)", re.MULTILINE)


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def environment(directory, binary, port):
    # Nothing of the caller's relay; but where the A2A clients are that others wrote, for pages that use
    # them, under names that `ekho` does not take for settings.
    outer = {name: value for name, value in os.environ.items() if not name.startswith("EKHO_")}
    for name, whence in (("A2A_PYTHON", "EKHO_A2A_PYTHON"), ("A2A_NODE_DIR", "EKHO_TEST_A2A_NODE_DIR")):
        outer |= {name: os.environ[whence]} if whence in os.environ else {}
    return {
        **outer,
        "PATH": f"{binary.parent}:{os.environ.get('PATH', '')}",
        "HOME": str(directory),
        "XDG_CONFIG_HOME": str(directory / ".config"),
        "EKHO_DATA_DIR": str(directory / "data"),
        "EKHO_HOST": "127.0.0.1",
        "EKHO_PORT": str(port),
        "EKHO_BASE_URL": f"http://127.0.0.1:{port}",
        "EKHO_LOG": "warn,openraft=error",
        "EKHO_DISK_FREE_MIN_BYTES": "1048576",
    }


def lay_out(directory):
    """The repository as a page sees it: links, so that nothing is written beside its files."""
    for name in {name.partition("/")[0] for name in files(ROOT)}:
        (directory / name).symlink_to(ROOT / name)


def stop(process):
    """Ends the page's bash and all it left in the background, which share a process group."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
        except ProcessLookupError:
            break
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        if not alive(process.pid):
            break
    process.wait()


def alive(group):
    ended = threading.Event()
    for _ in range(STOP_SECONDS * 20):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        ended.wait(0.05)
    return True


def run(plan, binary):
    """Nothing, or what went wrong."""
    with tempfile.TemporaryDirectory(prefix="ekho-docs-") as name:
        directory, logs = Path(name) / "home", Path(name) / "logs"
        directory.mkdir()
        logs.mkdir()
        lay_out(directory)
        port = free_port()
        for step in plan.steps:
            step.text = step.text.replace("127.0.0.1:4000", f"127.0.0.1:{port}")
        (logs / "script").write_text(script(plan.steps, logs), "utf-8")
        with (logs / "bash").open("w") as said:
            process = subprocess.Popen(
                ["bash", str(logs / "script")],
                cwd=directory,
                env=environment(directory, binary, port),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,
            )
        try:
            status = process.wait(PAGE_SECONDS)
        except subprocess.TimeoutExpired:
            status = f"nothing after {PAGE_SECONDS} s"
        finally:
            stop(process)
        return None if status == 0 else failure(plan, logs, status)


def failure(plan, logs, status):
    at = (logs / "at").read_text("utf-8").strip() if (logs / "at").exists() else ""
    said = [(logs / name).read_text("utf-8", "replace") for name in (f"{at}.out", f"{at}.err", "bash", "serve") if (logs / name).exists()]
    step = plan.steps[int(at)] if at else None
    where = f"{plan.page.path}:{step.line}: {step.text}" if step else str(plan.page.path)
    text = "\n".join(said).strip()[-3000:]
    return f"{where}\n    ended with {status}\n" + "\n".join(f"    | {line}" for line in text.splitlines())


def unknown(plan, known):
    """What the binary does not have of the `ekho` commands that are not run."""
    for left in plan.left:
        for text in left.commands if left.kind == "skip" else []:
            for span in OWN.findall(text):
                if fault := known.fault(span):
                    yield f"{plan.page.path}:{left.line}: {span.strip()}: {fault}"


def pages(wanted):
    names = ["README.md", *sorted(name for name in files(ROOT) if re.match(r"^docs/.*\.md$", name))]
    for name in wanted or names:
        if name not in names:
            raise SystemExit(f"run: {name} is no page")
    return wanted or names


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--list", action="store_true", help="only say what would be run")
    parser.add_argument("arguments", nargs="*", metavar="EKHO_BINARY | PAGE")
    options = parser.parse_args()
    binary = None
    if not options.list:
        if not options.arguments:
            parser.error("which binary?")
        binary = Path(options.arguments.pop(0)).resolve()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    known = Help(binary) if binary else None
    failures, total = [], Counter()
    for name in pages(options.arguments):
        try:
            plan = Plan(markdown.read(ROOT / name, ROOT), inherited(name))
        except (Wrong, ValueError) as error:
            failures.append(f"{name}: {error}")
            print(f"{name}: FAILED", flush=True)
            continue
        if not (plan.ran or plan.left):
            continue
        wrong = list(unknown(plan, known)) if binary else []
        wrong += filter(None, [run(plan, binary)]) if binary and plan.ran else []
        tell(plan, wrong)
        failures += wrong
        total += Counter(pages=1, run=plan.ran, **count(plan))
    # Last, where whoever looks at the end of a log sees them.
    print("".join(f"{wrong}\n" for wrong in failures), end="")
    print(
        f"summary: {total['run']} commands of {total['pages']} pages run, {total['by']} by other tests, "
        f"{total['skip']} skipped, {len(failures)} failures"
    )
    return 1 if failures else 0


def count(plan):
    return {kind: sum(len(left.commands) for left in plan.left if left.kind == kind) for kind in ("by", "skip")}


def tell(plan, wrong):
    """A page's line, and below it why what is not run is not."""
    counts = count(plan)
    failed = ": FAILED" if wrong else ""
    print(f"{plan.page.path}{failed}: {plan.ran} run, {counts['by']} by other tests, {counts['skip']} skipped", flush=True)
    for kind, why in dict.fromkeys((left.kind, left.why) for left in plan.left):
        same = [left for left in plan.left if (left.kind, left.why) == (kind, why)]
        where = f"line {same[0].line}" + (f" to {same[-1].line}" if len(same) > 1 else "")
        print(f"    {where}: {sum(len(left.commands) for left in same)} {'by' if kind == 'by' else 'skipped:'} {why}")


if __name__ == "__main__":
    sys.exit(main())
