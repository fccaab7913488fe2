#!/usr/bin/env bash
# Builds the image, runs it by the compose files and by the pages that describe them, and holds it
# against what they promise. In a Docker engine of its own, as root, on a Debian with docker.io,
# docker-compose and debootstrap.
#
#     test-containers.sh BINARY      the image gets this binary
#     test-containers.sh --whole     everything is compiled as the Dockerfile says: 20 minutes and more
#     test-containers.sh --probe     says why it cannot run here; nothing where it can
#
# EKHO_CONTAINERS_DIR is where images and the build cache are kept: ~/.cache/ekho/containers.
set -euo pipefail

repository="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
kept="${EKHO_CONTAINERS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/ekho/containers}"
# shellcheck disable=SC1090
for part in engine images page; do source "$repository/deploy/containers-test/$part.sh"; done

work=""
checks=0

finish() {
    local status=$?
    if [ "$status" -ne 0 ] && [ -n "$engine_pid" ]; then
        echo "--- what ran when it failed"
        docker ps -a || true
        for container in $(docker ps -aq 2>/dev/null || true); do
            docker logs --tail 30 "$container" 2>&1 || true
        done
    fi
    engine_stop
    [ -z "$work" ] || rm -rf "$work"
    exit "$status"
}

fail() { echo "FAILED: $*" >&2; exit 1; }

check() { # what, command: true where it succeeds
    local what="$1"
    shift
    "$@" >"$work/check" 2>&1 || { cat "$work/check" >&2; fail "$what"; }
    checks=$((checks + 1))
    echo "ok      $what"
}

same() { # what, is, should be
    [ "$2" = "$3" ] || fail "$1: $2 instead of $3"
    checks=$((checks + 1))
    echo "ok      $1"
}

# A command with its output kept for when it fails. In a shell of its own, that ends with the first
# thing that fails in it.
quietly() { # what, command
    local what="$1" status
    shift
    set +e
    (set -e; "$@") >"$work/log" 2>&1
    status=$?
    set -e
    [ "$status" -eq 0 ] || { tail -n 40 "$work/log" >&2; fail "$what"; }
}

until_true() { # what, seconds, command
    local what="$1" deadline=$((SECONDS + $2))
    shift 2
    until "$@" >"$work/check" 2>&1; do
        [ "$SECONDS" -le "$deadline" ] || { cat "$work/check" >&2; fail "not in time: $what"; }
        sleep 0.2
    done
    checks=$((checks + 1))
    echo "ok      $what"
}

step() { echo; echo "--- $* (${SECONDS} s)"; }

# --- the image ----------------------------------------------------------------------------------

build() { docker build --network host -f "$repository/deploy/Dockerfile" --build-arg REVISION=tested "$@" "$repository"; }

layers() { docker image inspect --format '{{json .RootFS.Layers}}' "$1"; }

label() { docker image inspect --format "{{index .Config.Labels \"org.opencontainers.image.$1\"}}" ekho:0.1.0; }

# What is in the image, unpacked.
unpack() {
    local container
    container="$(docker create ekho:0.1.0)"
    mkdir -p "$work/image"
    docker export "$container" | tar -x -C "$work/image"
    docker rm "$container" >/dev/null
    # What the engine adds to every container.
    (cd "$work/image" && rm -rf .dockerenv dev proc sys etc/hosts etc/hostname etc/resolv.conf etc/mtab)
}

test_image() {
    step "the image"
    local version file
    version="$(docker run --rm ekho:0.1.0 version)"
    same "the label has the binary's version" "ekho $(label version)" "$version"
    same "the label has the revision" "$(label revision)" tested
    same "it is nobody's root" "$(docker image inspect --format '{{.Config.User}}' ekho:0.1.0)" 10001:10001
    unpack
    for file in bin/sh bin/bash bin/busybox usr/bin/apt usr/bin/dpkg usr/bin/perl; do
        [ ! -e "$work/image/$file" ] || fail "$file is in the image"
    done
    same "the binary is the one program" "$(find "$work/image" -type f -perm /111 -not -name '*.so*' -printf '%P\n')" usr/bin/ekho
    same "nothing is setuid" "$(find "$work/image" -type f -perm /6000)" ""
    same "only the volume is its user's" "$(find "$work/image" -uid 10001 -printf '%P\n')" var/lib/ekho
    check "the crates are written down" python3 - "$work/image/usr/share/doc/ekho" "$repository" <<'PYTHON'
import json, pathlib, sys

folder = pathlib.Path(sys.argv[1])
for name, needed in [("ekho", "openraft"), ("console", "react")]:
    bill = json.loads((folder / f"{name}.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX", bill.get("bomFormat")
    components = {component["name"]: component for component in bill["components"]}
    assert components[needed]["purl"].startswith("pkg:"), components[needed]
    assert all(component.get("version") for component in components.values())
    assert sys.argv[2] not in json.dumps(bill), "a path of the builder"
PYTHON
    quietly "a second build" build --no-cache "$@" -t ekho:again
    same "a second build has the same layers" "$(layers ekho:again)" "$(layers ekho:0.1.0)"
    echo "summary: image of $(($(docker image inspect --format '{{.Size}}' ekho:0.1.0) / 1000000)) MB"
}

# --- one relay ------------------------------------------------------------------------------------

# In a copy of what is needed: compose calls a project by its folder, and pages write into it.
checkout() {
    mkdir -p "$work/ekho"
    cp -r "$repository/compose.yaml" "$repository/deploy" "$repository/docs" "$work/ekho/"
    rm -f "$work"/ekho/deploy/*.env
    cd "$work/ekho"
}

# A line of the kernel's account of the relay's process.
status_of() { # container, field
    sed -n "s/^$2:[[:space:]]*//p" "/proc/$(docker inspect --format '{{.State.Pid}}' "$1")/status"
}

is_healthy() { [ "$(docker inspect --format '{{.State.Health.Status}}' "$1")" = healthy ]; }

is_restarted() { # container, its former process
    local pid
    pid="$(docker inspect --format '{{.State.Pid}}' "$1")"
    [ "$pid" -gt 0 ] && [ "$pid" != "$2" ]
}

shows_message() { docker compose exec -T relay ekho messages show "$1"; }

# A message from an agent to another at the address given; its id. Tried again for a while: in its
# first half second a new leader asks for what changes nothing to be signed anew.
message_by_hand() {
    local deadline=$((SECONDS + 20))
    until EKHO_BASE_URL="$1" docs/by-hand.sh >"$work/by-hand" 2>"$work/by-hand.signed"; do
        if [ "$SECONDS" -gt "$deadline" ]; then
            cat "$work/by-hand.signed" "$work/by-hand" >&2
            return 1
        fi
        sleep 0.5
    done
    grep -q '"acked"' "$work/by-hand" && grep -o 'msg_[0-9a-z]*' "$work/by-hand" | head -n 1
}

password() { python3 -c 'import json; print(json.load(open("data/credentials.json"))["password"])'; }

test_relay() {
    local relay pid
    step "one relay, by compose.yaml"
    docker compose up -d
    relay="$(docker compose ps -q relay)"
    until_true "it is healthy" 60 is_healthy "$relay"
    check "it answers on port 4000" curl -sSf http://127.0.0.1:4000/readyz
    same "its user" "$(status_of "$relay" Uid | cut -f 1)" 10001
    same "no capabilities" "$(status_of "$relay" CapBnd)" 0000000000000000
    same "no new privileges" "$(status_of "$relay" NoNewPrivs)" 1
    same "system calls are filtered" "$(status_of "$relay" Seccomp)" 2
    same "limits" "$(docker inspect --format '{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}' "$relay")" "1073741824 1000000000 256"
    ! docker compose exec -T relay ekho backup create --output /ekho.tar >"$work/root" 2>&1 ||
        fail "it wrote to its root file system"
    check "the root file system is read-only" grep -i "read-only" "$work/root"
    same "only this machine reaches it" "$(docker port "$relay")" "4000/tcp -> 127.0.0.1:4000"

    mkdir -m 0700 data
    (umask 077; docker compose exec -T relay ekho credentials --json >data/credentials.json)
    local message
    message="$(message_by_hand http://127.0.0.1:4000)"
    ! docker compose logs 2>&1 | grep -F "$(password)" || fail "the password is in the log"
    # `docker kill` is an order to stop, after which nothing is started again; this is a crash.
    pid="$(docker inspect --format '{{.State.Pid}}' "$relay")"
    kill -9 "$pid"
    until_true "it starts again when it dies" 60 is_restarted "$relay" "$pid"
    until_true "and is healthy" 60 is_healthy "$relay"
    check "the message is still there" shows_message "$message"
    docker compose down
    docker compose up -d
    relay="$(docker compose ps -q relay)"
    until_true "made anew on its volume it is healthy" 60 is_healthy "$relay"
    check "and has the message" shows_message "$message"
    docker compose down --volumes
    rm -r data
}

# --- the pages ------------------------------------------------------------------------------------

test_homelab_page() {
    step "docs/homelab.md, command by command"
    page_run docs/homelab.md 300
    checks=$((checks + 1))
}

# --- three nodes ----------------------------------------------------------------------------------

three() { docker compose -f deploy/compose.three-nodes.yaml "$@"; }

port_of() { case "$1" in node1) echo 4000 ;; node2) echo 4100 ;; node3) echo 4200 ;; esac; }

# The name of the node that leads, in the eyes of another.
leader_seen_by() {
    three exec -T "$1" ekho cluster status --json | python3 -c '
import json, sys
nodes = json.load(sys.stdin)["nodes"]
print(next(node["address"].split(":")[0] for node in nodes if node["role"] == "leader"))'
}

is_led_by_another() { # in whose eyes, than whom
    local leader
    leader="$(leader_seen_by "$1")" && [ -n "$leader" ] && [ "$leader" != "$2" ]
}

has_voters() { three exec -T "$1" ekho cluster status | grep -q "; $2 voters can be reached"; }

signs_in() { password | three exec -T "$1" ekho login --fleet main --email owner@localhost --password-stdin; }

node_shows() { three exec -T "$1" ekho messages show "$2"; }

test_three_nodes() {
    local leader other before during
    step "docs/containers.md, command by command"
    page_run docs/containers.md 300
    checks=$((checks + 1))

    step "three nodes, of which the leader is lost"
    mkdir -m 0700 data
    (umask 077; three exec -T node1 ekho credentials --json >data/credentials.json)
    before="$(message_by_hand http://127.0.0.1:4000)"
    leader="$(leader_seen_by node1)"
    other=node1
    [ "$leader" != node1 ] || other=node2
    until_true "the owner signs in at $other" 30 signs_in "$other"
    three kill "$leader"
    until_true "$leader led and is dead: another leads" 60 is_led_by_another "$other" "$leader"
    during="$(message_by_hand "http://127.0.0.1:$(port_of "$other")")"
    check "the message from before is there" node_shows "$other" "$before"
    three start "$leader"
    until_true "$leader is back" 60 has_voters "$other" 3
    until_true "the owner signs in there" 60 signs_in "$leader"
    check "and it has what it missed" node_shows "$leader" "$during"
}

# --- observability --------------------------------------------------------------------------------

scrapes() { # how many relays
    curl -sS 'http://127.0.0.1:9090/api/v1/query?query=sum(ekho_up)' | grep -q "\"$1\"\]"
}

rules_are_loaded() { curl -sS http://127.0.0.1:9090/api/v1/rules | grep -q '"type":"alerting"'; }

test_observability() {
    step "Prometheus, by deploy/compose.observability.yaml"
    export EKHO_TARGETS=three-nodes
    docker compose -f deploy/compose.observability.yaml config -q
    docker compose -f deploy/compose.observability.yaml up -d prometheus
    until_true "it scrapes three nodes" 90 scrapes 3
    check "it has the rules" rules_are_loaded
    docker compose -f deploy/compose.observability.yaml down --volumes
    three down --volumes
    echo "Grafana's image cannot be had here: its part of the file was only checked for its form"
}

# --- all of it ------------------------------------------------------------------------------------

case "${1:-}" in
    "" | -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 2 ;;
esac
trap finish EXIT
work="$(mktemp -d)"
if [ "$1" = --probe ]; then
    # The pages have these addresses.
    for port in 4000 4100 4200 9090; do
        ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "port $port is in use"; exit 0; }
    done
    { engine_start "$work/engine" && engine_runs_containers && engine_client; } >"$work/why" 2>&1 ||
        echo "no Docker engine runs here: $(tail -n 1 "$work/why")"
    exit 0
fi
engine_start "$kept/engine" || fail "no Docker engine runs here"
engine_client

step "base images, made here under the names that the Dockerfile uses"
quietly "Debian" make_debian "$kept"
quietly "Node" make_node
quietly "Prometheus" make_prometheus
if [ "$1" = --whole ]; then
    quietly "Rust" make_rust
    arguments=()
else
    quietly "the binary" make_prebuilt "$1"
    arguments=(--build-arg BINARY=ekho-prebuilt)
fi
docker image ls --format '{{.Repository}}:{{.Tag}} {{.Size}}'

step "deploy/Dockerfile"
quietly "the console" build "${arguments[@]}" --target console
quietly "the image" build "${arguments[@]}" -t ekho:0.1.0
test_image "${arguments[@]}"
checkout
test_relay
test_homelab_page
test_three_nodes
test_observability
echo
echo "summary: containers: $checks checks, $SECONDS s"
