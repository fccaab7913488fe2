#!/usr/bin/env bash
# Runs examples of the Node and Python SDKs, each against a relay of its own:
# `examples/run.sh EKHO_BINARY [NAME…]`; without a name all of them, and counts.
#
# Both SDKs are built and installed as any program would have them, outside the checkout.
set -euo pipefail

[ $# -ge 1 ] || { echo "usage: $0 EKHO_BINARY [NAME…]" >&2; exit 2; }
ekho="$(realpath "$1")"
shift
cd "$(dirname "${BASH_SOURCE[0]}")"
examples="$PWD"
readonly DEADLINE_SECONDS=120
export PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
declare -A files=(
    [writer-reviewer.node]=writer-reviewer/node.mjs
    [writer-reviewer.python]=writer-reviewer/python.py
    [writer-reviewer.a2a]=writer-reviewer/a2a.mjs
    [approval-gate]=approval-gate/python.py
    [fleet-broadcast]=fleet-broadcast/node.mjs
    [room-floor]=room-floor/python.py
    [dead-letter-redrive]=dead-letter-redrive/node.mjs
    [mcp-agent]=mcp-agent/node.mjs
)

prepare_node() {
    [ ! -d "$work/node" ] || return 0
    mkdir "$work/node"
    (cd ../sdk/node && ./pack.sh "$work/node" >/dev/null)
    echo '{ "private": true, "type": "module" }' >"$work/node/package.json"
    npm install --silent --no-audit --no-fund --offline --prefix "$work/node" "$work"/node/ekho-sdk-*.tgz
    cp -r shared "$work/node/"
}

# The official MCP client, where ./dev has installed it.
prepare_mcp() {
    local modules="${EKHO_TEST_MCP_DIR:?is not set: run ./dev example mcp-agent}"
    cp -r "$modules/node_modules/." "$work/node/node_modules/"
}

prepare_python() {
    [ ! -d "$work/python" ] || return 0
    mkdir "$work/python"
    (cd ../sdk/python && ./pack.sh "$work/python" >/dev/null)
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install -q --no-index --find-links "$work/python/wheels" "$work"/python/ekho-*.whl
    cp -r shared "$work/python/"
}

run() { # name
    local file="${files[$1]:-}"
    [ -n "$file" ] || { echo "no such example: $1; there are: ${!files[*]}" >&2; return 1; }
    local command
    case "$file" in
        mcp-agent/*) prepare_node; prepare_mcp ;;
    esac
    case "$file" in
        *.mjs) prepare_node; cp "$file" "$work/node/$1.mjs"; command=(node "$work/node/$1.mjs") ;;
        *.py) prepare_python; cp "$file" "$work/python/$1.py"; command=("$work/venv/bin/python" "$work/python/$1.py") ;;
    esac
    echo "== $1"
    EKHO_BINARY="$ekho" timeout "$DEADLINE_SECONDS" python3 "$examples/../sdk/scenarios/rig.py" "$ekho" -- "${command[@]}"
}

if [ $# -gt 0 ]; then
    for name in "$@"; do run "$name"; done
    exit
fi
for name in $(printf '%s\n' "${!files[@]}" | sort); do run "$name"; done
echo "summary: examples of the SDKs: ${#files[@]} passed"
