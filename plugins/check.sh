#!/usr/bin/env bash
# Tests the plugins: `plugins/check.sh EKHO_BINARY`. OpenClaw's has a check of its own, which this runs
# first; those for LangGraph and AutoGen are looked at by mypy, and their examples run, each against a
# relay of its own. What they need is installed by requirements.txt outside the checkout, once.
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: $0 EKHO_BINARY" >&2; exit 2; }
ekho="$(realpath "$1")"
cd "$(dirname "${BASH_SOURCE[0]}")"
export PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1
readonly DEADLINE_SECONDS=120
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

openclaw/check.sh "$ekho" | grep -v '^summary: '

venv="${XDG_CACHE_HOME:-$HOME/.cache}/ekho/sdk-plugins"
wanted="$(python3 --version; cat requirements.txt)"
if [ "$wanted" != "$(cat "$venv/holds" 2>/dev/null)" ]; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install -q --only-binary :all: -r requirements.txt
    printf '%s' "$wanted" >"$venv/holds"
fi
tools="$(../sdk/python/pack.sh "$work" 2>/dev/null)"
"$venv/bin/pip" install -q --no-index --no-deps --force-reinstall "$work"/ekho-*.whl

for name in langgraph autogen; do
    echo "== $name"
    "$tools/bin/mypy" --strict --cache-dir "$tools/mypy" --python-executable "$venv/bin/python" "$name/ekho_$name.py"
    "$tools/bin/ruff" check --no-cache --config ../sdk/python/pyproject.toml "$name"
    "$tools/bin/ruff" format --no-cache --check --config ../sdk/python/pyproject.toml "$name"
    mkdir "$work/$name"
    cp -r "$name"/*.py ../examples/shared "$work/$name/"
    timeout "$DEADLINE_SECONDS" python3 ../sdk/scenarios/rig.py "$ekho" -- \
        "$venv/bin/python" "$work/$name/example.py"
done
echo "summary: plugins: OpenClaw, LangGraph, AutoGen"
