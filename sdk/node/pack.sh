#!/usr/bin/env bash
# Builds the package and puts its archive into a folder: `pack.sh FOLDER`. Prints where its tools are,
# which are installed by the lock file, outside the checkout.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
tools="${XDG_CACHE_HOME:-$HOME/.cache}/ekho/sdk-node/$(cat package.json package-lock.json | sha256sum | cut -c 1-16)"
if [ ! -e "$tools/complete" ]; then
    mkdir -p "$tools"
    cp package.json package-lock.json "$tools/"
    npm ci --silent --prefix "$tools" --no-audit --no-fund --ignore-scripts >&2
    touch "$tools/complete"
fi
EKHO_NODE_TOOLS="$tools" node build.mjs >&2
npm pack --silent --pack-destination "$1" >&2
printf '%s\n' "$tools"
