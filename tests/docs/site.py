#!/usr/bin/env python3
"""Makes the documentation's site with mdBook, and checks it: site.py MDBOOK OUT

The pages of docs/ link to other files of the repository. Markdown among them (ARCHITECTURE, the
README, plugins) becomes pages of the site under "The repository"; what else a page links to is copied
beside it under the path it has; a link to a folder leads to its README where it has one, and becomes
plain text where not. What is written nowhere else in the repository is written to OUT.

Then every link and anchor of the site is followed in the HTML, as a browser would.
Python's standard library; starts mdbook and git.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import markdown
from links import SUMMARY, files, folders, is_outside, resolve

ROOT = Path(__file__).resolve().parents[2]
OTHERS = "The repository"


def indexed(text):
    """Links to a folder's README lead to its index, as which mdBook writes it."""
    return re.sub(r"(\]\([^()\s]*?)README\.md", r"\1index.md", text)


class Library:
    """The pages of the site, found from the summary on."""

    def __init__(self, root):
        self.root = root
        self.names = files(root)
        self.folders = folders(self.names)
        summary = markdown.read(root / SUMMARY, root)
        self.listed = [resolve(SUMMARY, link) for _, link in summary.links]
        self.pages = {}  # path: its text
        self.copied = set()
        waiting = list(self.listed)
        while waiting:
            name = waiting.pop(0)
            if name not in self.pages:
                self.pages[name] = self.text(name, waiting)
        self.others = [name for name in self.pages if name not in self.listed and not self.index_of(name)]

    def index_of(self, name):
        """The README of the folder below docs/ whose pages the summary does not list one by one."""
        index = f"{Path(name).parent}/README.md"
        return index if name != index and index != "docs/README.md" and index in self.listed else None

    def text(self, name, waiting):
        """A page as the site has it; pages that it links to are put into the queue."""
        text = (self.root / name).read_text("utf-8")
        for _, link in markdown.read(self.root / name).links:
            target, _, anchor = link.partition("#")
            if not target or is_outside(link):
                continue
            where = resolve(name, unquote(target))
            if where.endswith(".md") and where != SUMMARY:
                waiting.append(where)
            elif where in self.names and where != SUMMARY:
                self.copied.add(where)
            elif f"{where}/README.md" in self.names:
                waiting.append(f"{where}/README.md")
                text = text.replace(f"]({link})", f"]({target.rstrip('/')}/README.md)")
            else:
                # A folder is nothing that a site can show, and the summary is beside every page.
                text = re.sub(rf"\[((?:[^\[\]]|\[[^\]]*\])*)\]\({re.escape(link)}\)", r"\1", text)
        text = re.sub(r"^[ \t]*<!--\s*test:.*?-->[ \t]*\n\n?", "", text, flags=re.DOTALL | re.MULTILINE)
        # mdBook takes braces at the end of a heading for attributes of HTML.
        return re.sub(r"^(#+ .*)\{([^{}]*)\}$", r"\1&#123;\2&#125;", text, flags=re.MULTILINE)

    def summary(self):
        """The summary of docs/ as seen from one folder up; below a folder's README its pages, and behind
        all the other pages."""
        lines = []
        for line in (self.root / SUMMARY).read_text("utf-8").rstrip().splitlines():
            line = re.sub(r"\]\(([^)]+)\)", lambda link: f"]({resolve(SUMMARY, link[1])})", line)
            lines.append(line)
            found = re.search(r"\]\((.+/README\.md)\)", line)
            lines += [f"    {self.entry(name)}" for name in sorted(self.pages) if found and self.index_of(name) == found[1]]
        if self.others:
            lines += ["", f"# {OTHERS}", "", *map(self.entry, sorted(self.others))]
        return indexed("\n".join(lines) + "\n")

    def entry(self, name):
        return f"- [{self.title(name)}]({name})"

    def title(self, name):
        headings = markdown.Reader(name, self.pages[name]).read().headings
        return markdown.plain(headings[0]) if headings else name

    def lay_out(self, directory):
        source = directory / "src"
        for name, text in self.pages.items():
            page = source / re.sub(r"README\.md$", "index.md", name)
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(indexed(text), "utf-8")
        for name in self.copied:
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.root / name, source / name)
        (source / "SUMMARY.md").write_text(self.summary(), "utf-8")
        shutil.copyfile(self.root / "docs/book.toml", directory / "book.toml")


class Html(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.ids, self.targets = set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ("id", "name") and value:
                self.ids.add(value)
            elif name in ("href", "src") and value:
                self.targets.add(value)


def check(site):
    """What leads nowhere on the site."""
    pages = {path.relative_to(site).as_posix(): Html(path.read_text("utf-8")) for path in site.rglob("*.html")}
    links = 0
    for name, page in sorted(pages.items()):
        # The list of chapters and the page for what is not found are mdBook's own.
        if name in ("toc.html", "404.html", "print.html"):
            continue
        for target in sorted(page.targets):
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            links += 1
            where = resolve(name, unquote(parts.path)) if parts.path else name
            if where is None or not (site / where).is_file():
                yield f"{name}: {target}: there is no such file"
            elif parts.fragment and where in pages and unquote(parts.fragment) not in pages[where].ids:
                yield f"{name}: {target}: there is no such heading"
    print(f"summary: {links} links of the site's {len(pages)} pages followed")


def build(mdbook, library, out):
    with tempfile.TemporaryDirectory(prefix="ekho-site-") as name:
        directory = Path(name)
        library.lay_out(directory)
        done = subprocess.run([mdbook, "build", str(directory)], text=True, capture_output=True)
        said = done.stdout + done.stderr
        print(said.strip())
        if done.returncode != 0 or re.search(r"^\s*(ERROR|WARN)\b", said, re.MULTILINE):
            raise SystemExit("site: mdbook did not make the site")
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(directory / "book", out)


def main():
    mdbook, out = sys.argv[1], Path(sys.argv[2]).resolve()
    library = Library(ROOT)
    build(mdbook, library, out)
    found = list(check(out))
    for fault in found:
        print(fault)
    print(f"{len(library.pages)} pages, {len(library.copied)} other files: {out}/index.html")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
