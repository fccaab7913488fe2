"""What others wrote and is in the binary, with the licences that have to go along: crates and the C++
that they bring, and the libraries of the console. Starts cargo, which looks at what was fetched for
the build and fetches nothing."""

import json
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LICENCE = re.compile(r"^(licen[cs]e|copying|notice|copyright)([.\-_].*)?$", re.IGNORECASE)
HEAD = """This binary holds, beside Ekho's own code, what is listed here. Under each licence text stands what it
was found in; a package that came without one is listed at the end with what it says of itself.
"""


def crates():
    """Name with version, licence, folder of each crate that `ekho` is linked with."""
    host = re.search(r"^host: (\S+)$", subprocess.check_output(["rustc", "-vV"], text=True), re.MULTILINE)[1]
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", host]
    told = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
    packages = {package["id"]: package for package in told["packages"]}
    nodes = {node["id"]: node for node in told["resolve"]["nodes"]}
    waiting = [id_ for id_, package in packages.items() if package["name"] == "ekho" and package["source"] is None]
    seen = set(waiting)
    while waiting:
        for dependency in nodes[waiting.pop()]["deps"]:
            # Neither what only builds nor what only tests is in the binary.
            linked = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            if linked and dependency["pkg"] not in seen:
                seen.add(dependency["pkg"])
                waiting.append(dependency["pkg"])
    for package in (packages[id_] for id_ in seen):
        if package["source"] is not None:
            folder = Path(package["manifest_path"]).parent
            yield f"{package['name']} {package['version']}", package["license"] or "none given", folder


def scripts():
    """The same of the libraries that the console's script holds."""
    console = ROOT / "console"
    packages = json.loads((console / "package-lock.json").read_text("utf-8"))["packages"]
    for path, package in packages.items():
        folder = console / path
        if path and not package.get("dev") and not (package.get("optional") and not folder.exists()):
            name = path.rpartition("node_modules/")[2]
            yield f"{name} {package['version']}", str(package.get("license", "none given")), folder


def licences(folder):
    """The licence files of a package: its own, and of sources of others that it brings in a folder."""
    for path in sorted([*folder.iterdir(), *folder.glob("*/*")]):
        if LICENCE.match(path.name) and path.is_file():
            yield path


def text():
    by_text, without = {}, []
    for name, licence, folder in sorted([*crates(), *scripts()]):
        found = False
        for path in licences(folder):
            found = True
            inner = path.relative_to(folder).parent
            whose = name if inner == Path(".") else f"{name}, {inner}"
            body = path.read_text("utf-8", "replace").replace("\r\n", "\n").strip()
            by_text.setdefault(body, []).append(f"{whose} ({licence})")
        if not found:
            without.append(f"{name} ({licence})")
    rule = "\n" + "-" * 100 + "\n\n"
    parts = [HEAD] + [body + "\n\n" + "\n".join(f"  * {one}" for one in dict.fromkeys(whose)) + "\n" for body, whose in by_text.items()]
    if without:
        parts.append("Without a licence text in the package:\n\n" + "\n".join(f"  * {one}" for one in without) + "\n")
    return rule.join(parts)
