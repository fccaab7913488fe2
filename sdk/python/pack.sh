#!/usr/bin/env bash
# Builds the package and puts its wheel into a folder, with those of what it needs in FOLDER/wheels:
# `pack.sh FOLDER`. Prints where its tools are, which are installed by requirements.txt, outside the
# checkout.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export PIP_DISABLE_PIP_VERSION_CHECK=1
tools="${XDG_CACHE_HOME:-$HOME/.cache}/ekho/sdk-python"
wanted="$(python3 --version; cat requirements.txt)"
if [ "$wanted" != "$(cat "$tools/holds" 2>/dev/null)" ]; then
    rm -rf "$tools"
    python3 -m venv "$tools"
    "$tools/bin/pip" download -q --only-binary :all: -d "$tools/wheels" -r requirements.txt >&2
    "$tools/bin/pip" install -q --no-index --find-links "$tools/wheels" -r requirements.txt >&2
    printf '%s' "$wanted" >"$tools/holds"
fi
"$tools/bin/python" -m build --no-isolation --wheel --outdir "$1" . >&2
ln -sfn "$tools/wheels" "$1/wheels"
printf '%s\n' "$tools"
