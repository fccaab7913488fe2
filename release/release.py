#!/usr/bin/env python3
"""Packs a release of this version: release.py [--check] [BINARY OUT]

OUT gets ekho-VERSION-MACHINE-linux.tar.gz, its checksum in SHA256SUMS, and NOTES.md, the changelog's
section of this version. `--check` only says whether there may be a release.

There may be none where the changelog has no section of this version with something in it, where the
work tree is dirty, where the commit has a tag of another version, or where the binary says that it is
another version.

The archive depends on the commit and the binary, and on nothing else: names are sorted, owners and
modes fixed, and each time is SOURCE_DATE_EPOCH, or that of the commit. Same input, same bytes. The
binary is the one that was tested, without the tables for debuggers. It is packed where it was built, as
the licences of what is in it are there.
Python's standard library; starts git, strip, cargo, rustc and the binary.
"""

import argparse
import gzip
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import third_party

ROOT = Path(__file__).resolve().parents[1]
SHELLS = {"bash": "ekho.bash", "zsh": "_ekho", "fish": "ekho.fish"}
# Beside the binary: where it is in the archive, where in the repository. A file that the repository
# does not have is left out, but the first three.
FILES = [
    ("LICENSE", "LICENSE"),
    ("README.md", "README.md"),
    ("CHANGELOG.md", "CHANGELOG.md"),
    ("install.sh", "deploy/install.sh"),
    ("systemd/ekho.service", "deploy/systemd/ekho.service"),
    ("systemd/ekho.env", "deploy/systemd/ekho.env"),
]
REQUIRED = 3


def fail(why):
    raise SystemExit(f"release: {why}")


def git(*command):
    return subprocess.run(["git", "-C", str(ROOT), *command], check=True, capture_output=True, text=True).stdout.strip()


def version():
    found = re.search(
        r'^\[workspace\.package\]\n(?:(?!\[).*\n)*?version = "([^"]+)"', (ROOT / "Cargo.toml").read_text("utf-8"), re.MULTILINE
    )
    return found[1] if found else fail("Cargo.toml has no version of the workspace")


def notes(release):
    """What the changelog says of this version, without its heading."""
    taken = None
    for line in (ROOT / "CHANGELOG.md").read_text("utf-8").splitlines():
        heading = re.match(r"^## \[?([^\]\s]+)\]?", line)
        if heading and taken is not None:
            break
        if heading and heading[1] == release:
            taken = []
        elif taken is not None:
            taken.append(line)
    if taken is None:
        fail(f"CHANGELOG.md has no section for {release}: give what stands under Unreleased the heading '## {release} - YEAR-MONTH-DAY'")
    text = "\n".join(taken).strip()
    if not re.search(r"^- \S", text, re.MULTILINE):
        fail(f"the section for {release} in CHANGELOG.md says nothing")
    return text + "\n"


def check(release):
    """Refuses where a release could not be told apart from something else."""
    text = notes(release)
    dirty = git("status", "--porcelain")
    if dirty:
        fail(f"the work tree is dirty; commit first:\n{dirty}")
    tags = [tag for tag in git("tag", "--points-at", "HEAD").split() if re.match(r"^v\d", tag)]
    if tags and f"v{release}" not in tags:
        fail(f"this commit is tagged {', '.join(tags)}, and Cargo.toml says {release}")
    return text


def epoch():
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given is not None and not given.isdecimal():
        fail(f"SOURCE_DATE_EPOCH is {given!r}: expected whole seconds since 1970")
    return int(given or git("log", "-1", "--format=%ct"))


def ask(binary, *command):
    """What a command of the binary prints; nothing where it has no such command."""
    done = subprocess.run([binary, *command], capture_output=True)
    return done.stdout if done.returncode == 0 else None


def made(binary):
    """Completions and manual pages, which the binary makes of its own commands."""
    for shell, name in SHELLS.items():
        text = ask(binary, "completions", shell)
        if text:
            yield f"completions/{name}", text
    with tempfile.TemporaryDirectory() as folder:
        if ask(binary, "man", "--out", folder) is not None:
            for page in Path(folder).glob("*.1"):
                yield f"man/{page.name}", page.read_bytes()


def stripped(binary):
    """The binary without what only debuggers read, which is more than half of it."""
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "ekho"
        subprocess.run(["strip", "--strip-debug", "-o", small, binary], check=True)
        return small.read_bytes()


def contents(binary):
    """Name in the archive, mode, bytes; by name."""
    taken = [("ekho", 0o755, stripped(binary))]
    for number, (name, path) in enumerate(FILES):
        source = ROOT / path
        if source.exists():
            taken.append((name, 0o755 if os.access(source, os.X_OK) else 0o644, source.read_bytes()))
        elif number < REQUIRED:
            fail(f"{path} is missing")
    taken += [(name, 0o644, text) for name, text in made(binary)]
    taken.append(("THIRD-PARTY.txt", 0o644, third_party.text().encode()))
    return sorted(taken)


def write(path, folder, taken, when):
    def entry(name, mode, kind):
        one = tarfile.TarInfo(name)
        one.type, one.mode, one.mtime = kind, mode, when
        one.uid = one.gid = 0
        one.uname = one.gname = "root"
        return one

    folders = {str(parent) for name, _, _ in taken for parent in Path(folder, name).parents} - {"."}
    entries = [(name, 0o755, None) for name in folders]
    entries += [(f"{folder}/{name}", mode, text) for name, mode, text in taken]
    # No name and no time of the gzip's own.
    with open(path, "wb") as file, gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for name, mode, text in sorted(entries, key=lambda one: one[0]):
                one = entry(name, mode, tarfile.DIRTYPE if text is None else tarfile.REGTYPE)
                one.size = len(text or b"")
                tar.addfile(one, None if text is None else io.BytesIO(text))


def pack(binary, out, release, text):
    said = ask(binary, "version", "--json") or fail(f"{binary} does not say its version")
    if json.loads(said)["version"] != release:
        fail(f"the binary is version {json.loads(said)['version']}, and Cargo.toml says {release}")
    folder = f"ekho-{release}-{platform.machine()}-linux"
    archive = out / f"{folder}.tar.gz"
    with tempfile.TemporaryDirectory(dir=out) as work:
        done = Path(work) / archive.name
        write(done, folder, contents(binary), epoch())
        digest = hashlib.sha256(done.read_bytes()).hexdigest()
        shutil.move(done, archive)
    (out / "SHA256SUMS").write_text(f"{digest}  {archive.name}\n", "utf-8")
    (out / "NOTES.md").write_text(text, "utf-8")
    print(f"{archive}\n  {archive.stat().st_size} bytes, sha256 {digest}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only say whether there may be a release")
    parser.add_argument("binary", nargs="?", type=Path)
    parser.add_argument("out", nargs="?", type=Path)
    options = parser.parse_args()
    release = version()
    text = check(release)
    if options.check:
        print(f"there may be a release {release}")
        return
    if not options.binary or not options.out:
        parser.error("which binary, and where to?")
    options.out.mkdir(parents=True, exist_ok=True)
    pack(options.binary.resolve(), options.out.resolve(), release, text)


if __name__ == "__main__":
    sys.exit(main())
