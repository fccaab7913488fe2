"""Tests of what tests the pages: each check finds what it is for, on a small repository that is right
but for one thing. `python3 -m unittest` in this folder; Python's standard library, git and bash."""

import subprocess
import tempfile
import unittest
from pathlib import Path

import commands
import links
import markdown
import plan
import run
import script
import spans

RIGHT = {
    "README.md": "# One\n\n[docs](docs/a.md#two-words) [folder](docs) [![picture](docs/p.png)](docs/a.md)\n",
    "docs/SUMMARY.md": "[A](a.md)\n- [E](errors.md)\n- [T](troubleshooting.md)\n- [Sub](sub/README.md)\n",
    "docs/a.md": "# A\n\n## Two `words`\n\n[up](../README.md#one), [again](#two-words)\n",
    "docs/p.png": "",
    "docs/errors.md": "# Errors\n\n| 404 | `not_found` | nothing |\n",
    "docs/troubleshooting.md": "# T\n\n### `not_found`\n\nIt is gone.\n\n**Do:** look elsewhere.\n",
    "docs/sub/README.md": "# Sub\n\n[one](one.md)\n",
    "docs/sub/one.md": "# One of them\n",
}


def read(text):
    return markdown.Reader(Path("page.md"), text).read()


class Pages(unittest.TestCase):
    def faults(self, **changed):
        with tempfile.TemporaryDirectory() as name:
            root = Path(name)
            subprocess.run(["git", "init", "-q", name], check=True)
            for path, text in (RIGHT | {key.replace("__", "/") + ".md": text for key, text in changed.items()}).items():
                if text is not None:
                    (root / path).parent.mkdir(parents=True, exist_ok=True)
                    (root / path).write_text(text, "utf-8")
            return list(links.faults(root))

    def test_what_is_right_has_no_fault(self):
        self.assertEqual(self.faults(), [])

    def test_links_that_lead_nowhere_are_found(self):
        for link in ("b.md", "#three", "../README.md#two", "../../outside.md", "./a.md#Two-words", "sub/two.md"):
            found = self.faults(docs__a=f"# A\n\n## Two words\n\n[x]({link}) and ![y](p.png)\n")
            self.assertEqual(len(found), 1, (link, found))
            self.assertIn(f"docs/a.md:5: {link}", found[0])

    def test_code_holds_no_links(self):
        text = "# A\n\n## Two words\n\n`[x](no.md)`\n\n    [x](no.md)\n\n```md\n[x](no.md)\n```\n"
        self.assertEqual(self.faults(docs__a=text), [])

    def test_a_page_that_is_not_listed_is_found(self):
        self.assertEqual(self.faults(docs__new="# New\n"), ["docs/SUMMARY.md lists docs/new.md 0 times, not once"])
        found = self.faults(docs__sub__two="# Two\n")
        self.assertEqual(found, ["docs/sub/README.md does not link to docs/sub/two.md, nor does docs/SUMMARY.md"])
        found = self.faults(docs__SUMMARY=RIGHT["docs/SUMMARY.md"] + "- [again](a.md)\n")
        self.assertEqual(found, ["docs/SUMMARY.md lists docs/a.md 2 times, not once"])

    def test_codes_without_help_are_found(self):
        found = self.faults(docs__errors=RIGHT["docs/errors.md"] + "| 409 | `conflict` | late |\n")
        self.assertEqual(found, ["docs/troubleshooting.md has 0 sections for conflict, not one"])
        found = self.faults(docs__troubleshooting=RIGHT["docs/troubleshooting.md"].replace("**Do:** look", "Look"))
        self.assertEqual(found, ["docs/troubleshooting.md: the section `not_found` does not say what to do"])
        text = RIGHT["docs/troubleshooting.md"] + "\n### `gone`\n\nOver.\n\n**Do:** nothing.\n"
        found = self.faults(docs__troubleshooting=text)
        self.assertEqual(found, ["docs/troubleshooting.md has a section for gone, which docs/errors.md does not list"])


class Blocks(unittest.TestCase):
    def blocks(self, text):
        page = read(text)
        return [part for part in page.parts if isinstance(part, markdown.Block)]

    def test_blocks_are_found_wherever_they_stand(self):
        text = "text\n\n    one\n\n    two\n\n1. item\n\n       three\n\n   ```sh\n   four\n   ```\n\nend\n\n```\nfive\n```\n"
        found = [(block.language, block.text) for block in self.blocks(text)]
        self.assertEqual(found, [(None, "one\n\ntwo"), (None, "three"), ("sh", "four"), ("", "five")])

    def test_commands_are_told_from_the_rest(self):
        for text in ("ekho serve", "X=1 ekho serve", "a=$(b)", "./dev run", "docs/by-hand.sh a", "$ anything", "out\nls"):
            self.assertTrue(commands.is_command_block(markdown.Block(1, None, text)), text)
        for text in ('{"a": 1}', "EKHO_A=b", "EKHO_A=openid email", "POST /hook HTTP/1.1", "id: 42", "import sys"):
            self.assertFalse(commands.is_command_block(markdown.Block(1, None, text)), text)
        self.assertTrue(commands.is_command_block(markdown.Block(1, "sh", "whatever")))
        self.assertFalse(commands.is_command_block(markdown.Block(1, "text", "ekho serve")))

    def test_a_command_ends_where_bash_says(self):
        text = "# first\na \\\n  b\n\ncurl -d '{\n  x}'\ncat <<E\nhello\nE\nlast"
        self.assertEqual([line for line, _ in commands.split(text)], [1, 4, 6, 9])
        self.assertEqual(commands.split("$ one\nprinted\n$ two \\\n> more"), [(0, "one"), (2, "two \\\nmore")])
        with self.assertRaises(ValueError):
            commands.split("echo 'no end")


class Plans(unittest.TestCase):
    def wrong(self, text):
        with self.assertRaises((plan.Wrong, ValueError)) as caught:
            plan.Plan(read(text))
        return str(caught.exception)

    def test_marks_say_what_is_not_run(self):
        one = plan.Plan(read("<!-- test: skip, needs a cluster -->\n\n    helm install x\n\n<!-- test: by dev, cmd_test -->\n\n    ./dev test\n\ntext\n\n    ekho version\n"))
        self.assertEqual((one.ran, [(len(left.commands), left.kind) for left in one.left]), (1, [(1, "skip"), (1, "by")]))
        one = plan.Plan(read("<!-- test: page skip, needs a cluster -->\n\n    helm install x\n\ntext\n\n    ekho version\n"))
        self.assertEqual((one.ran, len(one.left)), (0, 2))

    def test_a_folders_readme_speaks_for_its_pages(self):
        with tempfile.TemporaryDirectory() as name:
            (Path(name) / "sub").mkdir()
            (Path(name) / "sub/README.md").write_text("# All\n\n<!-- test: folder skip, needs a cluster -->\n")
            rest = plan.inherited("sub/a.md", Path(name))
        one = plan.Plan(read("    ekho version\n"), rest)
        self.assertEqual((one.ran, one.left[0].why), (0, "needs a cluster"))
        self.assertIn("only a folder's", self.wrong("<!-- test: folder skip, needs a cluster -->\n\n    ekho version\n"))

    def test_commands_that_are_skipped_are_looked_up(self):
        class Known(spans.Help):
            def of(self, words):
                return {("agents", "list"): "--status", (): ""}.get(words)

        text = "<!-- test: skip, needs a cluster -->\n\n    {}\n"
        for command, fault in {
            "ekho agents list --status paused | head": None,
            "X=1 ekho agents lost": "no such command",
            "echo a; ekho agents list --all": "it has no --all",
            "docker compose exec relay ekho nothing": "no such command",
            "helm install ekho --set a=b": None,
        }.items():
            found = list(run.unknown(plan.Plan(read(text.format(command))), Known(None)))
            self.assertEqual(len(found), int(fault is not None), (command, found))
            self.assertTrue(fault is None or fault in found[0], found)

    def test_marks_that_do_not_fit_are_refused(self):
        self.assertIn("expected `skip, REASON`", self.wrong("<!-- test: skip -->\n\n    ekho version\n"))
        self.assertIn("does not say 'no such test'", self.wrong("<!-- test: by dev, no such test -->\n\n    ekho version\n"))
        self.assertIn("not known", self.wrong("<!-- test: whatever -->\n\n    ekho version\n"))
        self.assertIn("no block follows", self.wrong("<!-- test: skip, some reason -->\n\ntext\n"))
        self.assertIn("is no command", self.wrong('<!-- test: skip, some reason -->\n\n    {"a": 1}\n'))
        self.assertIn("still waits", self.wrong("<!-- test: fails -->\n\n<!-- test: fails -->\n\n    ekho version\n"))
        self.assertIn("cannot be run", self.wrong("    ekho token …\n"))
        self.assertIn("there is no test", self.wrong("    UPDATE_DOCS=1 cargo test --test api -- cli::no_such\n\ntext\n\n    ekho x\n"))

    def test_a_page_that_a_test_writes_is_that_tests(self):
        one = plan.Plan(read("    UPDATE_DOCS=1 cargo test --release --test api -- cli::operations\n\ntext\n\n    $ ekho version\n"))
        self.assertEqual((one.ran, one.left[-1].why), (0, "tests/api/cli/operations.rs"))

    def test_texts_are_replaced_from_their_mark_on(self):
        one = plan.Plan(read('    echo one\n\n<!-- test: for one use two -->\n\n    echo one\n\n<!-- test: for "echo " use "echo -n " -->\n\n    echo three\n'))
        self.assertEqual([step.text for step in one.steps], ["echo one", "echo two", "echo -n three"])


class Runs(unittest.TestCase):
    def run_page(self, text):
        one = plan.Plan(read(text))
        return run.run(one, Path("/bin/true"))

    def test_a_page_is_one_shell_and_its_failures_are_told(self):
        self.assertIsNone(self.run_page("    x=$(echo 1)\n\ntext\n\n    test \"$x\" = 1\n    ls README.md\n"))
        said = self.run_page("    echo one\n    ls no-such-file\n    echo three\n")
        self.assertIn("page.md:2: ls no-such-file", said)
        self.assertIn("No such file", said)

    def test_a_failure_within_a_pipe_or_a_substitution_counts(self):
        self.assertIn("page.md:1", self.run_page("    ls no-such-file | cat\n"))
        self.assertIn("page.md:1", self.run_page("    x=$(ls no-such-file; echo 1)\n"))

    def test_what_is_meant_to_fail_has_to(self):
        self.assertIsNone(self.run_page("<!-- test: fails -->\n\n    ls no-such-file\n"))
        self.assertIn("meant to fail", self.run_page("<!-- test: fails -->\n\n    ls README.md\n"))

    def test_hidden_commands_see_what_was_printed(self):
        text = "    echo hello\n\n<!-- test: before, grep -q hello \"$LAST\" -->\n\n    echo done\n"
        self.assertIsNone(self.run_page(text))
        self.assertIn("page.md:3", self.run_page(text.replace("-q hello", "-q goodbye")))

    def test_a_file_of_the_page_is_written(self):
        text = "<!-- test: file a.py -->\n\n    print(1 +\n          1)\n\n<!-- test: before, [ \"$(python3 a.py)\" = 2 ] -->\n\n    ls a.py\n"
        self.assertIsNone(self.run_page(text))

    def test_what_goes_on_in_the_background_is_ended(self):
        text = '<!-- test: background, [ -s pid ] -->\n\n    sh -c \'echo $$ >pid; exec sleep 1000\'\n\ntext\n\n    cp pid "$COPY"\n'
        with tempfile.NamedTemporaryFile() as copy:
            self.assertIsNone(self.run_page(text.replace('"$COPY"', copy.name)))
            pid = int(Path(copy.name).read_text())
        self.assertFalse(Path(f"/proc/{pid}").exists())
        self.assertIn("ended before", self.run_page("<!-- test: background, [ -s never ] -->\n\n    sh -c true\n"))

    def test_the_relay_is_waited_for(self):
        self.assertEqual(script.body(script.Step(1, "A=1 ekho serve --port 1 &", True)), "A=1 ekho serve --port 1")
        self.assertEqual(script.body(script.Step(1, "ekho agent listen &", True)), "ekho agent listen &")


if __name__ == "__main__":
    unittest.main()
