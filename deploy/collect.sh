#!/bin/sh
# Collects what goes into an image or a release: the binary without the debug information of its
# lines, and its bill of materials in CycloneDX, that of the crates and that of the console.
#
#     collect.sh BINARY CONSOLE_SBOM FOLDER      needs strip, cargo and cargo-cyclonedx
set -eu

binary=$1
console_sbom=$2
folder=$3
source=$(cd "$(dirname "$0")/.." && pwd)
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-0}"

mkdir -p "$folder/sbom"
# The names of functions stay: traces of a panic and profiles are of use with them.
strip --strip-debug -o "$folder/ekho" "$binary"

# It writes beside each manifest of the workspace; only the binary's is wanted.
cargo cyclonedx --manifest-path "$source/Cargo.toml" --format json --spec-version 1.5 \
    --no-build-deps --override-filename ekho-collected.cdx
# Where it was built is nobody's business, and differs.
sed -e "s|path+file://$source/*|path+file:///|g" -e 's|?download_url=file://[^"#]*||g' \
    "$source/ekho-collected.cdx.json" >"$folder/sbom/ekho.cdx.json"
find "$source" -name ekho-collected.cdx.json -not -path '*/node_modules/*' -delete
cp "$console_sbom" "$folder/sbom/console.cdx.json"
