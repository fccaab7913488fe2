#!/usr/bin/env bash
# Fetches Prometheus where it is not installed: fetch.sh CACHE_DIRECTORY
#
# Taken from Debian's package without installing it: installed, it would begin to serve on this
# machine.
set -euo pipefail
cache="$1"

if command -v promtool >/dev/null && command -v prometheus >/dev/null; then exit 0; fi
[ ! -x "$cache/prometheus/usr/bin/promtool" ] || exit 0
work="$(mktemp -d "$cache/prometheus.XXXXXX")"
trap 'rm -rf "$work"' EXIT
(cd "$work" && apt-get download -q prometheus)
dpkg-deb -x "$work"/prometheus_*.deb "$work/root"
rm -rf "$cache/prometheus"
mv "$work/root" "$cache/prometheus"
