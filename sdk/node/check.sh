#!/usr/bin/env bash
# Everything that a change of this package has to pass: `sdk/node/check.sh EKHO_BINARY`.
#
# What it needs is installed by lock files into a folder outside the checkout, once. The package is
# built and packed, and its archive installed into an empty project; what is tested is that.
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: $0 EKHO_BINARY" >&2; exit 2; }
ekho="$(realpath "$1")"
cd "$(dirname "${BASH_SOURCE[0]}")"
sdk="$PWD"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/ekho"
rig=(python3 "$sdk/../scenarios/rig.py")
suite="$sdk/../scenarios/suite"

# Deno and Bun, by their lock file, under its hash. Not every machine has packages of them.
install_runtimes() {
    local directory from="$sdk/test/runtimes"
    directory="$cache/sdk-node-runtimes/$(cat "$from"/package*.json | sha256sum | cut -c 1-16)"
    if [ ! -e "$directory/complete" ]; then
        mkdir -p "$directory"
        cp "$from"/package*.json "$directory/"
        npm ci --silent --prefix "$directory" --no-audit --no-fund --ignore-scripts >&2 || return 1
        touch "$directory/complete"
    fi
    printf '%s' "$directory"
}

step() { printf '\n== %s\n' "$1"; }

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
export PYTHONDONTWRITEBYTECODE=1

step "build and pack"
tools="$(./pack.sh "$work")"
step "unit tests"
EKHO_NODE_TOOLS="$tools" node --test --test-reporter=spec test/unit/*.test.mjs | tee "$work/unit" | grep -v '^✔' || true
grep -q '^ℹ fail 0$' "$work/unit"

step "package"
mkdir "$work/project"
cd "$work/project"
echo '{ "private": true, "type": "module" }' >package.json
npm install --silent --no-audit --no-fund --offline "$work"/ekho-sdk-*.tgz
[ "$(ls node_modules)" = "@ekho" ] || { echo "the package brought dependencies"; exit 1; }
cp "$sdk"/test/scenarios/*.mjs "$sdk/test/commonjs.cjs" .
node commonjs.cjs

step "types"
cp "$sdk/test/types/usage.ts" usage.mts
cp "$sdk/test/types/usage.ts" usage.cts
cp "$sdk/test/types/tsconfig.json" .
node "$tools/node_modules/typescript/bin/tsc" -p . --typeRoots "$tools/node_modules/@types"
echo "types: as an ES module and as CommonJS"

run_scenarios() { # nodes, command
    local nodes="$1"
    shift
    "${rig[@]}" --nodes "$nodes" "$ekho" -- "$@" run.mjs "$suite" | tee -a "$work/scenarios"
}
step "quickstart"
"${rig[@]}" "$ekho" -- python3 "$sdk/../scenarios/quickstart.py" js node
step "scenarios, one node"
run_scenarios 1 node
step "scenarios, three nodes and failover"
run_scenarios 3 node

if runtimes="$(install_runtimes)"; then
    step "scenarios on Deno"
    run_scenarios 1 "$runtimes"/node_modules/@deno/*/deno run --allow-all --no-lock --node-modules-dir=manual
    step "scenarios on Bun"
    run_scenarios 1 "$runtimes"/node_modules/@oven/*/bin/bun
else
    echo "skipped Deno and Bun: their packages cannot be installed here"
fi

if chromium="$(command -v chromium)"; then
    step "browser"
    node "$sdk/test/browser/run.mjs" "$chromium" "$work/project/node_modules/@ekho/sdk/dist/esm" \
        "$sdk/../vectors"
else
    echo "skipped the browser: there is no chromium"
fi

printf '\nsummary: sdk/node: %s unit tests; scenarios: %s\n' \
    "$(sed -n 's/^ℹ pass //p' "$work/unit")" \
    "$(awk '/ passed, / { n += $1 } END { print n " passed" }' "$work/scenarios")"
