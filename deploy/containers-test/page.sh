# Runs the commands of a documentation page: those in blocks between ```sh and ```, in their order, in
# one shell that ends with the first that fails. Sourced by ../test-containers.sh.
# shellcheck shell=bash

page_commands() { awk '/^```sh$/ { on = 1; next } /^```/ { on = 0; next } on' "$1"; }

page_run() { # page, deadline in seconds; runs in the current folder
    local script
    script="$(page_commands "$1")"
    [ -n "$script" ] || { echo "$1 has no commands" >&2; return 1; }
    timeout "$2" bash -euxo pipefail -c "$script" </dev/null
}
