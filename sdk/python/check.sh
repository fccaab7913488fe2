#!/usr/bin/env bash
# Everything that a change of this package has to pass: `sdk/python/check.sh EKHO_BINARY`.
#
# What it needs is installed by requirements.txt into a folder outside the checkout, once. The package
# is built, and its wheel installed into an empty environment; what is tested is that.
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: $0 EKHO_BINARY" >&2; exit 2; }
ekho="$(realpath "$1")"
cd "$(dirname "${BASH_SOURCE[0]}")"
export PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1
rig=(python3 "$PWD/../scenarios/rig.py")
suite="$PWD/../scenarios/suite"
step() { printf '\n== %s\n' "$1"; }

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

step "build"
tools="$(./pack.sh "$work")"
wheel=("$work"/ekho-*.whl)
export MYPY_CACHE_DIR="$tools/mypy" RUFF_NO_CACHE=true

step "format and lints"
"$tools/bin/ruff" format --check .
"$tools/bin/ruff" check .
step "types"
"$tools/bin/mypy" --strict src/ekho

step "package"
python3 -m venv "$work/venv"
python="$work/venv/bin/python"
"$python" -m pip install -q --no-index --find-links "$tools/wheels" "${wheel[0]}[identity,otel]"
"$tools/bin/mypy" --strict --python-executable "$python" tests/typing/usage.py

step "unit tests"
"$python" -W error::ResourceWarning -m unittest discover -s tests -t . 2>&1 | tee "$work/unit"

run_scenarios() { # python, nodes
    local kind
    for kind in sync async; do
        "${rig[@]}" --nodes "$2" "$ekho" -- "$1" tests/scenarios/run.py "$suite" "$kind" |
            tee -a "$work/scenarios"
    done
}
step "quickstart"
(cd "$work" && "${rig[@]}" "$ekho" -- python3 "$suite/../quickstart.py" python "$python")
step "scenarios, one node"
run_scenarios "$python" 1
step "scenarios, three nodes and failover"
run_scenarios "$python" 3

# The oldest Python that the package is for, where there is one.
old=""
for candidate in "${EKHO_PYTHON39:-}" python3.9 "$HOME"/.pyenv/versions/3.9.*/bin/python3; do
    if [ -z "$old" ] && "$candidate" -c 'import venv' 2>/dev/null; then old="$candidate"; fi
done
if [ -n "$old" ]; then
    step "Python 3.9"
    wanted="$("$old" --version; cat requirements-3.9.txt)"
    if [ "$wanted" != "$(cat "$tools-3.9/holds" 2>/dev/null)" ]; then
        rm -rf "$tools-3.9"
        "$old" -m venv "$tools-3.9"
        "$tools-3.9/bin/pip" install -q --only-binary :all: -r requirements-3.9.txt
        printf '%s' "$wanted" >"$tools-3.9/holds"
    fi
    "$tools-3.9/bin/pip" install -q --no-index --no-deps --force-reinstall "${wheel[0]}"
    "$tools-3.9/bin/python" -m unittest discover -s tests -t . 2>&1 | tee -a "$work/unit"
    run_scenarios "$tools-3.9/bin/python" 1
else
    echo "skipped Python 3.9: there is none; EKHO_PYTHON39 names one"
fi

printf '\nsummary: sdk/python: %s unit tests; scenarios: %s\n' \
    "$(awk '/^Ran / { n += $2 } END { print n }' "$work/unit")" \
    "$(awk '/ passed, / { n += $1 } END { print n " passed" }' "$work/scenarios")"
