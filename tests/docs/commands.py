"""Which code blocks of a page are commands, and one by one which. Starts bash to ask it where a
command ends, and nothing else."""

import re
import subprocess

SHELLS = {"sh", "bash", "shell", "console"}
# What a command of a page begins with, where the block does not say that it is one. A page that uses
# another program says so by its fence: ```sh.
PROGRAMS = set(
    """. age apt apt-get bash cargo cat cd chmod chown cosign cp curl dev dig docker docker-compose
    dpkg echo ekho etcdctl export git gpg grafana-cli head helm install ip journalctl jq kill kind
    kubectl ls make minikube mkdir mv node npm npx openssl pip podman printf prometheus promtool
    python python3 rm rsync rustup scp sed sh sha256sum sleep source sqlite3 ssh sudo syft systemctl
    systemd-analyze tail tailscale tar tee test timeout touch uv watch wget""".split()
)
SCRIPT = re.compile(r"^(\./|[a-z][\w.-]*/)[\w./-]+$")
ASSIGNMENT = re.compile(r"^[A-Za-z_]\w*=")
PROMPT = "$ "


def words(line):
    """The words of a line without the assignments before the command."""
    found = line.split()
    while found and ASSIGNMENT.match(found[0]):
        # A value in quotes or brackets may have several words; what comes then is not looked for.
        if re.search(r"""["'(]""", found[0]):
            return []
        found = found[1:]
    return found


def begins_a_command(line):
    if line.startswith(PROMPT):
        return True
    # A value that is worked out, or that shell quotes: no file of settings has that.
    if re.match(r"^[A-Za-z_]\w*=(\$\(|['\"])", line):
        return True
    found = words(line)
    return bool(found) and (found[0] in PROGRAMS or bool(SCRIPT.match(found[0])))


def is_command_block(block):
    if block.language:
        return block.language in SHELLS
    return any(begins_a_command(line) for line in block.text.split("\n"))


def is_whole(text):
    """Whether bash would begin to run this, rather than wait for more."""
    if text.endswith("\\"):
        return False
    asked = subprocess.run(["bash", "-n"], input=text + "\n", text=True, capture_output=True)
    return asked.returncode == 0 and "here-document" not in asked.stderr


def split(text):
    """The commands of a block, with the number of the line each begins at, counted from 0. Of a block
    with prompts, what is printed between them is left out."""
    lines = text.split("\n")
    prompts = any(line.startswith(PROMPT) for line in lines)
    taken, begun, open_ = [], 0, ""
    for number, line in enumerate(lines):
        if open_:
            open_ += "\n" + (line[2:] if prompts and line.startswith("> ") else line)
        elif prompts and not line.startswith(PROMPT):
            continue
        else:
            line = line[len(PROMPT) :] if prompts else line
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            begun, open_ = number, line
        if is_whole(open_):
            taken.append((begun, open_))
            open_ = ""
    if open_:
        raise ValueError(f"this is no whole command: {open_}")
    return taken
