"""What is to be done with each command of a page, by the marks that stand in it: see run.py for them.
Reads files of the repository, and starts bash to ask it where a command ends."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import commands
import markdown
from script import Step

ROOT = Path(__file__).resolve().parents[2]
WRITTEN_BY = re.compile(r"^UPDATE_DOCS=1 cargo test .*--test (\w+) -- ([\w:]+)$", re.MULTILINE)


class Wrong(Exception):
    """A page's marks do not fit."""


@dataclass
class Left:
    """A block that is not run here, and why: "by" another test, or "skip"."""

    line: int
    commands: list
    kind: str
    why: str


def written_by(block):
    """The file of the Rust test that writes this page, where the block says so."""
    found = WRITTEN_BY.search(block.text)
    if not found:
        return None
    name = found[2].replace("::", "/")
    for path in (f"tests/{found[1]}/{name}.rs", f"tests/{found[1]}/{name}/mod.rs"):
        if (ROOT / path).is_file() and "Session" in (ROOT / path).read_text("utf-8"):
            return path
    raise Wrong(f"line {block.line}: there is no test tests/{found[1]}/{name}.rs that writes a page")


def covered(text):
    """What a `by FILE, WORDS` names, after a look at whether it is there."""
    path, _, said = text.partition(",")
    path, said = path.strip(), said.strip()
    if not said:
        raise Wrong(f"`by {text}`: expected `by FILE, WORDS`")
    if not (ROOT / path).is_file() or said not in (ROOT / path).read_text("utf-8"):
        raise Wrong(f"`by {text}`: {path} is not there, or does not say {said!r}")
    return f"{path}, {said}"


def inherited(name, root=ROOT):
    """What a folder's README says for the pages of the folder."""
    index = root / Path(name).parent / "README.md"
    if Path(name).name == "README.md" or not index.is_file():
        return None
    return Plan(markdown.read(index, root)).folder


class Plan:
    """What is to be done with each command of a page."""

    def __init__(self, page, rest=None):
        self.page = page
        self.steps = []  # what the script runs
        self.ran = 0
        self.left = []
        self.replaced = []
        self.pending = None  # a mark that waits for its block
        self.rest = rest  # a mark for all blocks from here on
        self.folder = None  # the same for the other pages of the folder
        writers = [found for part in page.parts if isinstance(part, markdown.Block) and (found := written_by(part))]
        if writers:
            self.rest = ("by", writers[0])
        for part in page.parts:
            if isinstance(part, markdown.Mark):
                self.mark(part)
            elif self.pending or commands.is_command_block(part):
                self.block(part)
        if self.pending:
            raise Wrong(f"line {self.pending[2]}: no block follows this mark")

    def mark(self, mark):
        kind, _, rest = re.sub(r"^(\w+),", r"\1 ", mark.text).partition(" ")
        rest = rest.strip()
        where = f"line {mark.line}: "
        if self.pending:
            raise Wrong(f"{where}the mark before it, in line {self.pending[2]}, still waits for a block")
        if kind == "relay":
            assignments = "".join(f"export {shlex.quote(one)}\n" for one in shlex.split(rest))
            self.hidden(mark, assignments + "own_relay")
        elif kind == "before" and rest:
            self.hidden(mark, rest)
        elif kind == "for" and (found := re.match(r"^(\"[^\"]+\"|\S+) use (\"[^\"]+\"$|.+)$", rest)):
            # Quotes around the whole keep a blank at the end.
            self.replaced.append(tuple(re.sub(r"^\"([^\"]*)\"$", r"\1", found[i]) for i in (1, 2)))
        elif kind in ("page", "folder") and rest:
            self.rest = self.left_out(where, *re.sub(r"^(\w+),", r"\1 ", rest).partition(" ")[::2])
            if kind == "folder" and self.page.path.name != "README.md":
                raise Wrong(f"{where}only a folder's README.md speaks for the folder")
            self.folder = self.rest if kind == "folder" else self.folder
        elif kind in ("skip", "by"):
            self.pending = (*self.left_out(where, kind, rest), mark.line)
        elif kind == "background" and rest:
            self.pending = (kind, rest, mark.line)
        elif kind == "fails" and not rest:
            self.pending = (kind, "", mark.line)
        elif kind == "file" and re.match(r"^[\w.-]+$", rest):
            self.pending = (kind, rest, mark.line)
        else:
            raise Wrong(f"{where}this mark is not known: {mark.text}")

    def left_out(self, where, kind, why):
        why = why.strip()
        if kind == "by":
            return kind, covered(why)
        if kind != "skip" or len(why) < 5:
            raise Wrong(f"{where}expected `skip, REASON` or `by FILE, WORDS`")
        return kind, why

    def hidden(self, mark, text):
        self.steps.append(Step(mark.line, self.replace(text), shown=False))

    def replace(self, text):
        for old, new in self.replaced:
            text = text.replace(old, new)
        return text

    def block(self, block):
        if self.pending and self.pending[0] == "file":
            text = f"cat >{self.pending[1]} <<'END OF FILE'\n{self.replace(block.text)}\nEND OF FILE"
            self.steps.append(Step(block.line, text, shown=False))
            self.pending = None
            return
        if not commands.is_command_block(block):
            raise Wrong(f"line {block.line}: a mark belongs to this block, which is no command")
        kind, detail, _ = self.pending or (*(self.rest or (None, None)), None)
        self.pending = None
        found = commands.split(block.text)
        if kind in ("skip", "by"):
            self.left.append(Left(block.line, [text for _, text in found], kind, detail))
            return
        for number, (offset, text) in enumerate(found):
            step = Step(block.line + offset + (block.language is not None), self.replace(text), shown=True)
            if "…" in step.text:
                raise Wrong(f"line {step.line}: “…” cannot be run: say what to use, or why it is not run")
            step.fails = kind == "fails"
            if kind == "background" and number == len(found) - 1:
                step.until = detail
            self.steps.append(step)
            self.ran += 1


