# A Docker engine of its own: no image, network or firewall rule of one that is there already is
# touched. Sourced by ../test-containers.sh.
#
# It has no default bridge and writes no firewall rules: containers reach each other and are reached
# by published ports; what is built reaches the world through the machine's own network.
# shellcheck shell=bash

engine_pid=""
engine_dir=""

# Starts it; says why where it cannot be started.
engine_start() { # where images are kept
    engine_dir="$(mktemp -d /tmp/ekho-engine.XXXXXX)"
    export DOCKER_HOST="unix://$engine_dir/sock" DOCKER_BUILDKIT=1
    mkdir -p "$1"
    dockerd --data-root "$1" --exec-root "$engine_dir/exec" --pidfile "$engine_dir/pid" \
        --host "$DOCKER_HOST" --bridge=none --iptables=false --ip6tables=false --ip-forward=false \
        >"$engine_dir/log" 2>&1 &
    engine_pid=$!
    local deadline=$((SECONDS + 60))
    until docker version >/dev/null 2>&1; do
        if ! kill -0 "$engine_pid" 2>/dev/null; then
            engine_pid=""
            tail -n 3 "$engine_dir/log" >&2
            return 1
        fi
        if [ "$SECONDS" -gt "$deadline" ]; then
            echo "it does not answer" >&2
            return 1
        fi
        sleep 0.2
    done
}

# An engine that answers may still not be allowed to start anything: an image of nothing, in which a
# program of this machine runs.
engine_runs_containers() {
    tar -c -T /dev/null | docker import - ekho-probe >/dev/null
    docker run --rm --network none -v /usr:/usr:ro -v /bin:/bin:ro -v /lib:/lib:ro -v /lib64:/lib64:ro \
        ekho-probe /bin/true
}

# Everything that runs in it is ours: it ends with it. Images and the build cache stay.
engine_stop() {
    local containers
    if [ -n "$engine_pid" ]; then
        # Whatever fails, the engine itself is ended below.
        containers="$(docker ps -aq 2>/dev/null || true)"
        # shellcheck disable=SC2086
        [ -z "$containers" ] || docker rm -fv $containers >/dev/null 2>&1 || true
        docker volume ls -q | xargs -r docker volume rm -f >/dev/null || true
        docker network prune -f >/dev/null 2>&1 || true
        docker image prune -f >/dev/null 2>&1 || true
        # Each binary would leave its hundred megabytes.
        docker builder prune -f --keep-storage 2GB >/dev/null 2>&1 || true
        kill "$engine_pid" 2>/dev/null || true
        wait "$engine_pid" 2>/dev/null || true
        engine_pid=""
    fi
    [ -z "$engine_dir" ] || rm -rf "$engine_dir" || true
}

# `docker` that can build with BuildKit and that knows `docker compose`, whatever is installed: first
# in PATH from here on.
engine_client() {
    local client="" candidate
    mkdir -p "$engine_dir/bin"
    for candidate in $(type -ap docker); do
        # From 23 on the client needs a plugin for BuildKit; before, it had it in itself.
        if "$candidate" buildx version >/dev/null 2>&1 ||
            "$candidate" version --format '{{.Client.Version}}' | grep -qE '^(19|20)\.'; then
            client="$candidate"
            break
        fi
    done
    [ -n "$client" ] || { echo "no docker client here builds with BuildKit" >&2; return 1; }
    if "$client" compose version >/dev/null 2>&1; then
        ln -s "$client" "$engine_dir/bin/docker"
    else
        # The standalone program, older than the plugin: it does not know a project's name in the
        # file, nor does it see by itself that there is no terminal here.
        cat >"$engine_dir/bin/docker" <<WRAPPER
#!/usr/bin/env bash
set -euo pipefail
[ "\${1:-}" = compose ] || exec "$client" "\$@"
shift
file=compose.yaml
[ "\${1:-}" != -f ] || { file="\$2"; shift 2; }
[ "\${1:-}" != version ] || exec docker-compose "\$@"
nameless="\$(dirname "\$file")/.\$(basename "\$file")"
grep -v '^name: ' "\$file" >"\$nameless"
arguments=()
for argument in "\$@"; do
    # It takes -T once.
    [ "\$argument" = -T ] || arguments+=("\$argument")
    case "\$argument" in exec | run) arguments+=(-T) ;; esac
done
exec docker-compose -p "\$(sed -n 's/^name: //p' "\$file")" -f "\$nameless" "\${arguments[@]}"
WRAPPER
        chmod +x "$engine_dir/bin/docker"
    fi
    export PATH="$engine_dir/bin:$PATH"
    echo "engine $("$client" version --format '{{.Server.Version}}'), client $("$client" version \
        --format '{{.Client.Version}}'), compose $(docker compose version --short 2>/dev/null)"
}
