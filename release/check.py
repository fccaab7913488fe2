#!/usr/bin/env python3
"""Tests release.py with a real binary: check.py BINARY

Everything happens in a copy of this repository, with a history and a changelog of its own: what is
refused, what is in the archive, and that the same input gives the same bytes, whatever the machine's
time zone, umask and order of files are. Python's standard library; starts git, tar, sha256sum and the
packed binary.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "release"))
import release  # noqa: E402

BINARY = Path(sys.argv[1]).resolve()
VERSION = release.version()
SECTION = f"## {VERSION} - 2026-01-31\n\n### Added\n\n- The first thing.\n\n"
GIT = {
    "GIT_AUTHOR_NAME": "test",
    "GIT_AUTHOR_EMAIL": "test@example.org",
    "GIT_COMMITTER_NAME": "test",
    "GIT_COMMITTER_EMAIL": "test@example.org",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "PYTHONDONTWRITEBYTECODE": "1",
}


class Copy:
    """A repository with the files of this one, and with a section for this version."""

    def __init__(self, directory):
        self.root = Path(directory) / "copy"
        listed = subprocess.run(
            ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, self.root / name)
        # The libraries of the console, for their licences; git ignores them here as well.
        (self.root / "console/node_modules").symlink_to(ROOT / "console/node_modules")
        self.git("init", "-q")
        self.change("CHANGELOG.md", self.without_section().replace("## Unreleased", SECTION + "## 0.0.1\n\n- Old.", 1))
        self.commit()

    def without_section(self):
        text = (ROOT / "CHANGELOG.md").read_text("utf-8")
        return text.replace(f"## {VERSION}", "## 0.0.0").replace(f"## [{VERSION}]", "## 0.0.0")

    def git(self, *command, **more):
        environment = os.environ | GIT | more
        subprocess.run(["git", "-C", self.root, *command], check=True, capture_output=True, env=environment)

    def change(self, name, text):
        (self.root / name).write_text(text, "utf-8")

    def commit(self, date="2026-01-31T12:00:00Z"):
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "Change it", GIT_COMMITTER_DATE=date)

    def release(self, *arguments, umask=0o022, **more):
        environment = {**os.environ, **GIT, **more}
        environment = {name: value for name, value in environment.items() if value is not None}
        return subprocess.run(
            [sys.executable, self.root / "release/release.py", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            preexec_fn=lambda: os.umask(umask),
        )


class Release(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="ekho-release-")
        self.addCleanup(self.directory.cleanup)
        self.copy = Copy(self.directory.name)
        self.out = Path(self.directory.name) / "out"

    def pack(self, out, **more):
        done = self.copy.release(BINARY, out, **more)
        self.assertEqual(done.returncode, 0, done.stderr)
        return next(out.glob("*.tar.gz"))

    def refused(self, why, *arguments, **more):
        done = self.copy.release(*(arguments or ["--check"]), **more)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn(why, done.stderr)

    def test_an_archive_holds_what_a_machine_needs_and_is_the_same_again(self):
        archive = self.pack(self.out)
        self.look_into(archive)
        first = hashlib.sha256(archive.read_bytes()).hexdigest()
        for path in self.copy.root.rglob("*"):
            if path.is_file() and ".git" not in path.parts and "node_modules" not in path.parts:
                os.utime(path, (1, 1))
        # Its times are the commit's, unless told otherwise: another commit, and that of the first.
        self.copy.commit("2026-02-01T12:00:00Z")
        again = {"SOURCE_DATE_EPOCH": "1769860800", "TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONHASHSEED": "7"}
        other = self.pack(Path(self.directory.name) / "other", umask=0o077, **again)
        self.assertEqual(hashlib.sha256(other.read_bytes()).hexdigest(), first)
        self.refused("SOURCE_DATE_EPOCH", BINARY, self.out, SOURCE_DATE_EPOCH="yesterday")

    def look_into(self, archive):
        self.assertEqual(archive.name, f"ekho-{VERSION}-{os.uname().machine}-linux.tar.gz")
        summed = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=self.out, capture_output=True, text=True)
        self.assertEqual(summed.returncode, 0, summed.stderr)
        self.assertEqual((self.out / "NOTES.md").read_text("utf-8"), "### Added\n\n- The first thing.\n")

        subprocess.run(["tar", "-xzf", archive, "-C", self.directory.name], check=True)
        folder = Path(self.directory.name) / archive.name.removesuffix(".tar.gz")
        said = subprocess.run([folder / "ekho", "version"], check=True, capture_output=True, text=True).stdout
        self.assertEqual(said, f"ekho {VERSION}\n")
        for name, path in release.FILES:
            if (ROOT / path).exists():
                self.assertEqual((folder / name).read_bytes(), (self.copy.root / path).read_bytes(), name)
        self.assertTrue((folder / "LICENSE").exists())
        licences = (folder / "THIRD-PARTY.txt").read_text("utf-8")
        for part in ("openraft 0.10", "librocksdb-sys", "react 19", "Apache License", "Permission is hereby granted"):
            self.assertIn(part, licences)
        # What only tests use is not in the binary.
        self.assertNotIn("proptest", licences)
        # What the binary can make of itself is there.
        for shell, name in release.SHELLS.items():
            if release.ask(BINARY, "completions", shell):
                self.assertIn(b"ekho", (folder / "completions" / name).read_bytes())
        if release.ask(BINARY, "man"):
            self.assertTrue((folder / "man/ekho.1").exists())

        command = ["tar", "--numeric-owner", "--utc", "--full-time", "-tvzf", archive]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        for line in lines:
            self.assertEqual(line.split()[1], "0/0")
            self.assertEqual(line.split()[3:5], ["2026-01-31", "12:00:00"])
        names = [line.split()[-1].rstrip("/") for line in lines]
        self.assertEqual(names, sorted(names))

    def test_a_version_without_a_word_in_the_changelog_is_refused(self):
        self.copy.change("CHANGELOG.md", self.copy.without_section())
        self.copy.commit()
        self.refused(f"no section for {VERSION}")
        self.copy.change("CHANGELOG.md", f"# Changelog\n\n## {VERSION}\n\n### Added\n\n## 0.0.1\n\n- Old.\n")
        self.copy.commit()
        self.refused("says nothing")
        self.refused("says nothing", BINARY, self.out)

    def test_a_dirty_tree_is_refused(self):
        self.assertEqual(self.copy.release("--check").returncode, 0)
        self.copy.change("new.txt", "new")
        self.refused("?? new.txt")
        (self.copy.root / "new.txt").unlink()
        self.copy.change("LICENSE", "another")
        self.refused("M LICENSE", BINARY, self.out)
        self.assertFalse(list(self.out.glob("*")) if self.out.exists() else [])

    def test_another_version_is_refused(self):
        self.copy.git("tag", "v9.9.9")
        self.refused("tagged v9.9.9")
        self.copy.git("tag", f"v{VERSION}")
        self.assertEqual(self.copy.release("--check").returncode, 0)
        manifest = (self.copy.root / "Cargo.toml").read_text("utf-8")
        self.copy.change("Cargo.toml", manifest.replace(f'version = "{VERSION}"', 'version = "9.9.8"', 1))
        self.copy.change("CHANGELOG.md", "# Changelog\n\n## 9.9.8\n\n- Next.\n")
        self.copy.commit()
        self.refused(f"the binary is version {VERSION}", BINARY, self.out)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
