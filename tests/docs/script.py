"""The bash script that runs a page's commands one after the other. Starts nothing itself."""

import re
import shlex
from dataclasses import dataclass

READY_SECONDS = 60
# Functions in front of programs: what a page writes for people goes on in the background, and what
# curl is answered counts.
PRELUDE = r"""
set -Eeuo pipefail
shopt -s inherit_errexit
curl() { command curl --silent --show-error --fail-with-body --max-time 60 "$@"; }
# Polls until a condition holds, for as long as this process is there.
until_true() { # pid, condition
    local ends=$((SECONDS + READY_SECONDS))
    until eval "$2" >/dev/null 2>&1; do
        if ! kill -0 "$1" 2>/dev/null; then echo "it ended before: $2" >&2; return 1; fi
        if [ "$SECONDS" -ge "$ends" ]; then echo "not within READY_SECONDS s: $2" >&2; return 1; fi
        sleep 0.05
    done
}
ekho() {
    if [ "${1-}" != serve ] || [[ " $* " == *" --help "* ]]; then
        command ekho "$@"
        return
    fi
    command ekho "$@" >>"$DOCS_LOGS/serve" 2>&1 &
    until_true $! 'curl "$EKHO_BASE_URL/readyz"'
}
# A relay of the page's own, that takes reads: for its first half second it takes none, and the agent
# that asks waits for that.
own_relay() {
    ekho setup --non-interactive --fleet main >/dev/null
    FLEET=$(field fleet_id <"$EKHO_DATA_DIR/credentials.json")
    ekho serve
    local first="$DOCS_LOGS/first.json"
    ekho agent enroll --agent "$first" --fleet "$FLEET" --token "$(ekho token create)" \
        --name first --url "$EKHO_BASE_URL" >/dev/null
    ekho agent inbox --agent "$first"
    ekho agents revoke "$(field agent_id <"$first")" --reason 'not of the page' --yes >/dev/null
}
# field NAME: the text under that name in the JSON on standard input.
field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
""".replace("READY_SECONDS", str(READY_SECONDS))


@dataclass
class Step:
    """One command: where it stands, what it is, and how it is meant to end."""

    line: int
    text: str
    shown: bool
    fails: bool = False
    until: str | None = None


def body(step):
    # Pages send the relay to the background by themselves; the function does, and waits for it.
    text = re.sub(r"(\bekho serve\b[^&\n]*?)\s*&\s*(#.*)?$", r"\1", step.text)
    if step.until:
        return f"{{ {text}\n}} &\nuntil_true $! {shlex.quote(step.until)}"
    if step.fails:
        return f"if {{ {text}\n}}; then echo 'it was meant to fail' >&2; exit 1; fi"
    return text


def script(steps, logs):
    parts = [f"DOCS_LOGS={shlex.quote(str(logs))}", PRELUDE, "LAST=/dev/null"]
    previous = None
    for number, step in enumerate(steps):
        parts.append(f'echo {number} >"$DOCS_LOGS/at"')
        if previous is not None:
            parts.append(f'LAST="$DOCS_LOGS/{previous}.out"')
        parts.append(f'exec >"$DOCS_LOGS/{number}.out" 2>"$DOCS_LOGS/{number}.err"')
        parts.append(body(step))
        if step.shown:
            previous = number
    return "\n".join(parts) + "\n"
