#!/usr/bin/env bash
# Tests the plugin as it is installed: `plugins/openclaw/check.sh EKHO_BINARY`.
#
# Where EKHO_OPENCLAW names a folder with OpenClaw in its node_modules, and EKHO_OPENCLAW_NODE a Node
# that it runs on, OpenClaw itself installs the plugin and says what it found.
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: $0 EKHO_BINARY" >&2; exit 2; }
ekho="$(realpath "$1")"
cd "$(dirname "${BASH_SOURCE[0]}")"
plugin="$PWD"
export PYTHONDONTWRITEBYTECODE=1
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

# Built beside the installed SDK, outside the checkout.
tools="$(../../sdk/node/pack.sh "$work")"
mkdir "$work/build" "$work/project"
cp -r package.json openclaw.plugin.json tsconfig.json README.md LICENSE src "$work/build/"
(
    cd "$work/build"
    npm install --silent --no-audit --no-fund --no-save --offline "$work"/ekho-sdk-*.tgz
    node "$tools/node_modules/typescript/bin/tsc" -p . --typeRoots "$tools/node_modules/@types"
    npm pack --silent --pack-destination "$work"
)
cd "$work/project"
echo '{ "private": true, "type": "module" }' >package.json
npm install --silent --no-audit --no-fund --offline "$work"/ekho-sdk-*.tgz "$work"/ekho-openclaw-plugin-*.tgz
cp "$plugin"/test/*.mjs .
python3 "$plugin/../../sdk/scenarios/rig.py" "$ekho" -- node --test --test-reporter=spec plugin.test.mjs |
    tee "$work/tests"
grep -q '^ℹ fail 0$' "$work/tests"

if [ -n "${EKHO_OPENCLAW:-}" ]; then
    openclaw=("${EKHO_OPENCLAW_NODE:-node}" "$EKHO_OPENCLAW/node_modules/openclaw/openclaw.mjs")
    export OPENCLAW_STATE_DIR="$work/openclaw" HOME="$work/home"
    mkdir -p "$OPENCLAW_STATE_DIR" "$HOME"
    "${openclaw[@]}" plugins install --force --accept-capabilities "$work/project/node_modules/@ekho/openclaw-plugin" 2>&1 | tail -n 5
    "${openclaw[@]}" plugins inspect ekho --json >"$work/inspected"
    python3 - "$work/inspected" <<'PY'
import json, sys
text = open(sys.argv[1]).read()
found = json.loads(text[text.index("{"):])
print("OpenClaw:", json.dumps(found)[:400])
PY
fi
printf 'summary: plugins/openclaw: %s tests\n' "$(sed -n 's/^ℹ pass //p' "$work/tests")"
