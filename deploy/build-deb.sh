#!/usr/bin/env bash
# Packs the binary that was built as a Debian package:
#
#   deploy/build-deb.sh [OUTPUT FOLDER [OPTIONS OF CARGO DEB]]
#
# What the package holds is in Cargo.toml under [package.metadata.deb]. Completions and manual pages
# are made by the binary itself.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/ekho/target}"
export PATH="$PATH:$HOME/.cargo/bin:${XDG_CACHE_HOME:-$HOME/.cache}/ekho/tools/bin"
out="${1:-$CARGO_TARGET_DIR/debian}"
[ "$#" -eq 0 ] || shift
ekho="$CARGO_TARGET_DIR/release/ekho"
folder="$CARGO_TARGET_DIR/release/manual"

[ -x "$ekho" ] || { echo "build-deb: $ekho is not there: ./dev build" >&2; exit 1; }
rm -rf "$folder"
mkdir -p "$folder/man" "$out"
for shell in bash zsh fish; do
    "$ekho" completions "$shell" >"$folder/ekho.$shell"
done
"$ekho" man --out "$folder/man"
# Without a name and a time of its own, so that the same input gives the same package.
gzip -9 -n "$folder"/man/*.1

# Stripped: what a backtrace needs beyond names is nine tenths of the size.
cargo deb --no-build --offline --strip --output "$out/" "$@"
