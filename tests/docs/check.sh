#!/usr/bin/env bash
# Holds the pages against the repository and the built binary: tests/docs/check.sh EKHO_BINARY
# All parts run, whichever fails.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
status=0
python3 -m unittest || status=1
./run.py "$1" || status=1
./spans.py "$1" || status=1
./links.py || status=1
exit "$status"
