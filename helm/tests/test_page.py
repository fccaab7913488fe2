"""docs/kubernetes.md and the chart's README: every command of docs/kubernetes.md does what it says, as
far as it can without Kubernetes.

What helm is to do is rendered, one command upon the other; what is to be run in a pod is run in one.
Of the other commands only the names that they use are looked up.
"""

import re
import shlex
import sys
import tempfile
import unittest
from pathlib import Path

import chart
import test_cluster

sys.path.insert(0, str(chart.REPOSITORY / "tests/docs"))
import commands  # noqa: E402
import markdown  # noqa: E402

PAGES = [chart.REPOSITORY / "docs/kubernetes.md", chart.CHART / "README.md"]
PAGE = PAGES[0]
IN_POD = re.compile(r"kubectl --namespace ekho exec ekho-0 -- (ekho [^\n)]+)")
NAMED = re.compile(r"(statefulset|service|cronjob|job|pvc|pod)[/ ]([a-z][a-z0-9-]*)")
# Made by a command of the page, and not by the chart.
MADE = {"job/first-backup"}


def blocks(page):
    """The code blocks of a page."""
    parts = markdown.read(page, chart.REPOSITORY).parts
    return [part for part in parts if isinstance(part, markdown.Block)]


def page_commands(page):
    """The commands of a page, in their order."""
    found = [block for block in blocks(page) if commands.is_command_block(block)]
    return [text for block in found for _, text in commands.split(block.text)]


def substituted(text):
    """A command's words, with something in place of what the shell would put there."""
    text = text.replace("\\\n", " ").replace("$(openssl rand -hex 32)", "0123456789abcdef" * 4)
    return shlex.split(text)


class Pages(unittest.TestCase):
    """Commands for helm, and names in commands for kubectl."""

    def rendered(self, page, folder):
        """What each helm command of a page makes, with that command."""
        for block in blocks(page):
            if (name := re.match(r"# ([a-z]+\.yaml)\n", block.text)) is not None:
                (folder / name[1]).write_text(block.text)
        flags = []
        for text in page_commands(page):
            words = substituted(text)
            if words[:2] not in (["helm", "install"], ["helm", "upgrade"]):
                continue
            self.assertEqual(words[2:6], ["ekho", "helm/ekho", "--namespace", "ekho"], text)
            given = [each for each in words[6:] if each not in ("--create-namespace", "--reuse-values")]
            # Values of earlier commands are kept only where the command says so.
            self.assertEqual("--reuse-values" in words, words[1] == "upgrade", text)
            flags = given if words[1] == "install" else [*flags, *given]
            arguments = [str(folder / each) if each.endswith(".yaml") else each for each in flags]
            done = chart.helm("template", "ekho", chart.CHART, "--namespace", "ekho", *arguments)
            self.assertEqual(done.returncode, 0, f"{text}: {done.stderr}")
            yield text, done.stdout

    def test_helm_takes_every_command(self):
        for page in PAGES:
            with tempfile.TemporaryDirectory() as folder:
                made = list(self.rendered(page, Path(folder)))
                self.assertTrue(made, page)

    def test_what_kubectl_is_asked_for_is_made(self):
        for page in PAGES:
            with tempfile.TemporaryDirectory() as folder:
                made = "\n".join(text for _, text in self.rendered(page, Path(folder)))
            asked = {
                f"{kind}/{name}"
                for text in page_commands(page)
                if text.startswith("kubectl")
                for kind, name in NAMED.findall(IN_POD.sub("", text))
            }
            for each in asked - MADE:
                kind, name = each.split("/")
                # Pods and claims are numbered by the StatefulSet.
                name = re.sub(r"^(data-)?(ekho)-[0-9]$", r"\2", name)
                with self.subTest(each):
                    self.assertRegex(made, rf"(?m)^  name: {re.escape(name)}$")

    def test_files_that_commands_read_are_there(self):
        docker = [text for text in page_commands(PAGE) if text.startswith("docker build")]
        self.assertEqual(len(docker), 1)
        words = shlex.split(docker[0])
        dockerfile = chart.REPOSITORY / words[words.index("--file") + 1]
        if not dockerfile.exists():
            self.skipTest(f"{dockerfile} is not there")
        self.assertIn("ekho", dockerfile.read_text())


@unittest.skipIf(test_cluster.WHY_NOT, test_cluster.WHY_NOT)
class InPods(test_cluster.Release):
    """Commands for pods."""

    def test_pods_take_every_command(self):
        self.install(1)
        pod = self.cluster.pods["ekho-0"]
        found = [command for page in PAGES for text in page_commands(page) for command in IN_POD.findall(text)]
        self.assertGreater(len(found), 5)
        known = pod.execute(["ekho", "--help"]).stdout
        for command in found:
            words = shlex.split(command)
            if words[1] not in known.split() and not (chart.REPOSITORY / "deploy/Dockerfile").exists():
                # It came with the image.
                continue
            with self.subTest(command):
                self.assertNotEqual(pod.execute(words).stdout.strip(), "")


if __name__ == "__main__":
    unittest.main()
