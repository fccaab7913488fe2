#!/usr/bin/env bash
# The standard measurements: starts relays of its own on the loopback address, drives them with
# `ekho bench`, prints one markdown table and leaves each result as JSON. Never fails because a
# figure is low; ends with 1 when a step could not be measured. See README.md beside this file.
#
#   benches/run.sh [OUTPUT_DIRECTORY]
#
# Every step has a time limit, and only processes started here are ended.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

cache="${XDG_CACHE_HOME:-$HOME/.cache}/ekho"
ekho="${EKHO_BIN:-${CARGO_TARGET_DIR:-$cache/target}/release/ekho}"
ceiling="${BENCH_CEILING:-$(dirname "$ekho")/examples/ceiling}"
port="${BENCH_PORT:-4179}"
seconds="${BENCH_SECONDS:-20}"
fill="${BENCH_FILL:-1000000}"
idle_agents="${BENCH_IDLE_AGENTS:-1000}"
receive_fill="${BENCH_RECEIVE_FILL:-100000}"
work_parent="${BENCH_WORK_DIR:-$cache/bench}"
stamp="$(date -u +%Y%m%dT%H%M%SZ)"
out="${1:-$work_parent/results-$stamp}"

say() { printf '%s\n' "$*" >&2; }
die() { say "run.sh: $*"; exit 2; }

[ -x "$ekho" ] || die "no binary at $ekho; build it with ./dev build, or set EKHO_BIN"
command -v node >/dev/null || die "node is needed to render the table"
mkdir -p "$work_parent" "$out"
work="$(mktemp -d "$work_parent/run.XXXXXX")"
case "$(stat -f -c %T "$work")" in
    tmpfs | ramfs) say "warning: $work is in memory: syncing costs nothing there and the figures mean little" ;;
esac

# The caller's own settings must not reach the measured relay.
for name in ${!EKHO_@}; do unset "$name"; done
export EKHO_HOST=127.0.0.1 EKHO_PORT="$port" EKHO_BASE_URL="http://127.0.0.1:$port"
# Seeds the replicated setting at the first start of each data directory: 64 agents send all load.
export EKHO_RATE_LIMIT_MAX_MESSAGES=1000000000

child=""
failures=0

stop_child() {
    [ -n "$child" ] || return 0
    kill -TERM "$child" 2>/dev/null || true
    # A process that does not end within 30 s is killed; `wait` then returns at once.
    ( for _ in $(seq 300); do kill -0 "$child" 2>/dev/null || exit 0; sleep 0.1; done
      kill -KILL "$child" 2>/dev/null || true ) &
    local guard=$!
    wait "$child" 2>/dev/null || true
    kill "$guard" 2>/dev/null || true
    wait "$guard" 2>/dev/null || true
    child=""
}

finish() {
    stop_child
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

now_ms() { local ns; ns="$(date +%s%N)"; printf '%s' "$((ns / 1000000))"; }

# Whether PATH on a port answers 200. Written with bash alone, so that it costs one fork.
answers() {
    (
        exec 3<>"/dev/tcp/127.0.0.1/$1"
        printf 'GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n' "$2" >&3
        IFS=' ' read -r -t 2 _ status _ <&3
        [ "$status" = 200 ]
    ) 2>/dev/null
}

wait_until_ready() {
    local deadline=$(($(now_ms) + $3 * 1000))
    until answers "$1" "$2"; do
        kill -0 "$child" 2>/dev/null || return 1
        [ "$(now_ms)" -lt "$deadline" ] || return 1
        sleep 0.01
    done
}

# Starts the relay of a data directory and sets start_ms to the time until it was ready.
start_relay() {
    export EKHO_DATA_DIR="$1"
    answers "$port" /readyz && die "something answers on port $port already; set BENCH_PORT"
    local before
    before="$(now_ms)"
    "$ekho" serve >>"$out/relay.log" 2>&1 &
    child=$!
    wait_until_ready "$port" /readyz 120 || die "the relay did not become ready; see $out/relay.log"
    start_ms=$(($(now_ms) - before))
}

set_up() {
    "$ekho" setup --data-dir "$1" --fleet bench --email bench@localhost --non-interactive \
        >>"$out/relay.log" 2>&1 || die "setup failed; see $out/relay.log"
}

rss_bytes() { awk '/^VmRSS:/ { print $2 * 1024 }' "/proc/$child/status"; }

fact() { printf '{"name":"%s","value":%s,"unit":"%s"}\n' "$1" "$2" "$3" >>"$out/facts.jsonl"; }

# measure NAME LIMIT_SECONDS FLAGS...: one run of the generator against the running relay.
measure() {
    local name="$1" limit="$2"
    shift 2
    say "--- $name: ekho bench $*"
    # In the foreground, so that Ctrl-C reaches the generator and it prints what it has.
    if timeout --foreground --kill-after=10 "$limit" "$ekho" bench --json --relay-pid "$child" "$@" \
        >"$out/$name.json" 2> >(tee "$out/$name.log" >&2); then
        return 0
    fi
    say "$name could not be measured; see $out/$name.log"
    [ -s "$out/$name.json" ] || rm -f "$out/$name.json"
    failures=$((failures + 1))
}

# What one small synced write costs on this disk, which bounds every figure below.
measure_disk() {
    local before count=500
    before="$(date +%s%N)"
    timeout 60 dd if=/dev/zero of="$work/sync" bs=4k count=$count oflag=dsync status=none || return 0
    fact "synced 4 KiB write" "$((($(date +%s%N) - before) / count / 1000))" "us"
    rm -f "$work/sync"
}

rm -f "$out/facts.jsonl"
fact "cores" "$(nproc)" ""
fact "memory" "$(awk '/^MemTotal:/ { print $2 * 1024 }' /proc/meminfo)" bytes
measure_disk

# The most this machine and HTTP stack allow, without a relay behind them.
if [ -x "$ceiling" ]; then
    "$ceiling" --port "$port" --seconds $((seconds + 120)) --credentials "$work/ceiling.json" 2>>"$out/relay.log" &
    child=$!
    if wait_until_ready "$port" /healthz 20; then
        measure 00-ceiling $((seconds + 60)) --mode send -c 64 --duration-seconds "$seconds" \
            --credentials "$work/ceiling.json"
    else
        say "the ceiling server did not start; see $out/relay.log"
        failures=$((failures + 1))
    fi
    stop_child
else
    say "no ceiling server at $ceiling (cargo build --release --example ceiling); going on without"
fi

# An empty relay.
data="$work/empty"
set_up "$data"
start_relay "$data"
fact "start, empty" "$start_ms" ms
fact "RSS at start" "$(rss_bytes)" bytes
limit=$((seconds + 180))
measure 01-send-64 $limit --mode send -c 64 --duration-seconds "$seconds" --agents-file "$work/agents-send.json"
measure 02-send-1 $limit --mode single --duration-seconds "$seconds" --agents-file "$work/agents-send.json"
measure 03-roundtrip $limit --mode roundtrip --duration-seconds "$seconds" --agents-file "$work/agents-pair.json"
measure 04-mixed-16 $limit --mode mixed -c 16 --agents 16 --duration-seconds "$seconds" \
    --agents-file "$work/agents-mixed.json"
# A longer warm-up: what the runs before left to be flushed is not the polls' doing.
measure 05-idle-poll $((limit + 240)) --mode idle-poll --agents "$idle_agents" --duration-seconds $((seconds + 20)) \
    --warmup-seconds 10 \
    --agents-file "$work/agents-idle.json"
measure 06-receive $((limit + 240)) --mode receive -c 16 --fill "$receive_fill" --batch 100 --duration-seconds 120 \
    --agents-file "$work/agents-receive.json"
stop_child

# A relay with many messages queued: memory, start and throughput against the empty one. The
# largest time to live keeps all of them queued until the end.
data="$work/full"
set_up "$data"
start_relay "$data"
measure 07-fill 1860 --mode send -c 8 --batch 100 --messages "$fill" --duration-seconds 1800 --ttl-seconds 86400 \
    --agents-file "$work/agents-full.json"
fact "RSS with $fill queued" "$(rss_bytes)" bytes
stop_child
fact "disk with $fill queued" "$(du -sb "$data" | cut -f1)" bytes
start_relay "$data"
fact "start with $fill queued" "$start_ms" ms
fact "RSS after that start" "$(rss_bytes)" bytes
measure 08-send-64-full $limit --mode send -c 64 --duration-seconds "$seconds" --ttl-seconds 86400 \
    --agents-file "$work/agents-full.json"
stop_child

node "$here/table.mjs" "$out"
say "results: $out"
[ "$failures" -eq 0 ] || { say "$failures steps could not be measured"; exit 1; }
