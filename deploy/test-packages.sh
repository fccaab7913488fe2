#!/usr/bin/env bash
# Tests what installs the relay, with the binary that was built: the Debian package and install.sh in
# a Debian made by debootstrap, and the unit by a systemd of its own there. Takes root; what this
# machine cannot do is skipped with a line that says so.
#
#   deploy/test-packages.sh [BINARY]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cache_dir="${XDG_CACHE_HOME:-$HOME/.cache}/ekho"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$cache_dir/target}"
export PATH="$PATH:$HOME/.cargo/bin:$cache_dir/tools/bin:/usr/sbin:/sbin"
readonly BINARY="${1:-$CARGO_TARGET_DIR/release/ekho}"
readonly SUITE=bookworm
readonly DEADLINE_S=60
# Worse than this and the unit lost protection. systemd 252 gives 1.6.
readonly EXPOSURE_MAX=20
readonly BASE="$cache_dir/debootstrap-$SUITE-2"

work="$(mktemp -d "${TMPDIR:-/tmp}/ekho-packages.XXXXXX")"
root="$work/root"
pid_file="$work/systemd.pid"
group=""

say() { printf '%s\n' "$*"; }
die() { printf 'test-packages: %s\n' "$*" >&2; exit 1; }
is() { [ "$1" = "$2" ] || die "$3: expected $2, is $1"; }
skip() { say "summary: $1: skipped, $2"; }

clean_up() {
    stop_systemd
    umount --recursive "$root" 2>/dev/null || true
    rm -rf --one-file-system "$work"
}
trap clean_up EXIT

# Polls until a command succeeds.
poll() { # what, command
    local what="$1" began="$SECONDS"
    shift
    until "$@" >/dev/null 2>&1; do
        [ $((SECONDS - began)) -lt "$DEADLINE_S" ] || die "$what: not within $DEADLINE_S s"
        sleep 0.1
    done
}

# --- the unit, by itself ------------------------------------------------------------------------

check_unit() {
    local exposure tenths
    if ! command -v systemd-analyze >/dev/null; then
        skip "exposure of the unit" "there is no systemd-analyze"
        return
    fi
    exposure="$(systemd-analyze security --offline=true --no-pager deploy/systemd/ekho.service |
        sed -n 's/.*exposure level for [^:]*: \([0-9.]*\).*/\1/p')"
    tenths="${exposure/./}"
    [ -n "$tenths" ] && [ "$tenths" -le "$EXPOSURE_MAX" ] || die "the unit's exposure is $exposure"
    say "summary: exposure of the unit: $exposure of 10"
}

# --- a Debian to install in ---------------------------------------------------------------------

why_no_debian() {
    if [ "$(id -u)" -ne 0 ]; then
        say "it takes root"
    elif ! command -v debootstrap >/dev/null; then
        say "there is no debootstrap"
    elif [ ! -e "$BASE/complete" ] && ! make_base >"$work/debootstrap.log" 2>&1; then
        say "debootstrap failed: $(tail -n 1 "$work/debootstrap.log")"
    fi
}

make_base() {
    local packages=adduser,ca-certificates,curl,dbus,man-db,systemd,systemd-sysv
    rm -rf --one-file-system "$BASE"
    mkdir -p "$BASE"
    debootstrap --variant=minbase --include="$packages" "$SUITE" "$BASE" \
        "${EKHO_DEBIAN_MIRROR:-http://deb.debian.org/debian}" && touch "$BASE/complete"
}

fresh_root() {
    umount --recursive "$root" 2>/dev/null || true
    rm -rf --one-file-system "$root"
    cp -a --reflink=auto "$BASE" "$root"
}

inside() { chroot "$root" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "$@"; }
mode() { stat -c '%U %a' "$root$1"; }
as_ekho() { inside setpriv --reuid ekho --regid ekho --clear-groups "$@"; }

# --- systemd in namespaces of its own -----------------------------------------------------------

# Boots the Debian in $root. It sees no cgroup, process, host name or device but its own.
start_systemd() {
    local hierarchy=/sys/fs/cgroup/systemd
    [ -d "$hierarchy" ] || hierarchy=/sys/fs/cgroup
    group="$hierarchy/ekho-packages-$$"
    mkdir "$group" || return 1
    # shellcheck disable=SC2016 # for the inner shell
    setsid bash -c '
        echo $$ >"$1/cgroup.procs" || exit 1
        exec unshare --mount --pid --uts --ipc --cgroup --fork --kill-child bash -c "$2" boot "$3" "$4"
    ' boot "$group" "$BOOT" "$root" "$hierarchy" >"$work/systemd.log" 2>&1 &
    echo $! >"$pid_file"
    local began="$SECONDS"
    until inside_systemd systemctl is-system-running 2>/dev/null | grep -qE 'running|degraded'; do
        kill -0 "$(cat "$pid_file")" 2>/dev/null || return 1
        [ $((SECONDS - began)) -lt "$DEADLINE_S" ] || return 1
        sleep 0.2
    done
}

# shellcheck disable=SC2016 # for the shell in the namespaces
readonly BOOT='
    set -e
    root=$1
    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount --bind "$root/proc/sys" "$root/proc/sys"
    mount -o remount,bind,ro "$root/proc/sys"
    mount -t sysfs -o ro sysfs "$root/sys"
    mount -t tmpfs tmpfs "$root/run"
    mount -t tmpfs tmpfs "$root/tmp"
    mount -t tmpfs -o mode=755 tmpfs "$root/dev"
    for device in null zero full random urandom tty; do
        touch "$root/dev/$device"
        mount --bind "/dev/$device" "$root/dev/$device"
    done
    mkdir "$root/dev/shm" "$root/dev/pts" "$root/dev/mqueue" "$root/dev/hugepages"
    mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    if [ "$2" = /sys/fs/cgroup ]; then
        mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
    else
        mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
        mkdir "$root/sys/fs/cgroup/systemd"
        mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
    fi
    export container=ekho-test
    exec chroot "$root" /lib/systemd/systemd --system --log-target=null
'

first_process() { pgrep -P "$(cat "$pid_file")" | head -n 1; }

# A command in the booted Debian.
inside_systemd() {
    nsenter --target "$(first_process)" --mount --pid --uts --ipc --cgroup --root --wd=/ -- "$@"
}

stop_systemd() {
    [ -e "$pid_file" ] || return 0
    # With its first process a namespace of processes ends.
    kill -9 "$(first_process)" "$(cat "$pid_file")" 2>/dev/null || true
    wait "$(cat "$pid_file")" 2>/dev/null || true
    rm -f "$pid_file"
    local began="$SECONDS"
    until [ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} + 2>/dev/null; do
        [ $((SECONDS - began)) -lt "$DEADLINE_S" ] || break
        sleep 0.1
    done
}

# --- the Debian package -------------------------------------------------------------------------

test_deb() {
    local deb files port=14000 token
    deploy/build-deb.sh "$work/deb" --fast >"$work/deb.log" 2>&1 || { cat "$work/deb.log" >&2; die "no package was built"; }
    # Made by root, in the user's own directory.
    chown -R --reference="$BINARY" "$CARGO_TARGET_DIR/release/manual"
    deb="$(ls "$work"/deb/ekho_*.deb)"
    is "$(dpkg-deb --field "$deb" Package)" ekho "the package's name"
    is "$(dpkg-deb --field "$deb" Version | cut -d - -f 1)" "$("$BINARY" version | cut -d ' ' -f 2)" "its version"
    dpkg-deb --field "$deb" Depends | grep -q 'adduser.*libc6 (>=' || die "its dependencies: $(dpkg-deb --field "$deb" Depends)"
    is "$(dpkg-deb --info "$deb" conffiles)" /etc/ekho/ekho.env "its files of settings"
    files="$(dpkg-deb --contents "$deb" | awk '{ print $1, $6 }')"
    for file in '-rwxr-xr-x ./usr/bin/ekho' '-rw-r--r-- ./usr/lib/systemd/system/ekho.service' \
        '-rw------- ./etc/ekho/ekho.env' '-rw-r--r-- ./usr/share/man/man1/ekho.1.gz' \
        '-rw-r--r-- ./usr/share/man/man1/ekho-cluster-token-create.1.gz' \
        '-rw-r--r-- ./usr/share/bash-completion/completions/ekho' \
        '-rw-r--r-- ./usr/share/zsh/vendor-completions/_ekho' \
        '-rw-r--r-- ./usr/share/fish/vendor_completions.d/ekho.fish' \
        '-rw-r--r-- ./usr/share/doc/ekho/copyright'; do
        grep -qxF -- "$file" <<<"$files" || die "the package lacks $file: $files"
    done
    say "summary: debian package: $(du -k "$deb" | cut -f 1) KiB, $(wc -l <<<"$files") entries"

    fresh_root
    cp "$deb" "$root/tmp/ekho.deb"
    inside dpkg --install /tmp/ekho.deb >"$work/dpkg.log" 2>&1 || { cat "$work/dpkg.log" >&2; die "dpkg cannot install it"; }
    is "$(inside ekho version)" "$("$BINARY" version)" "the installed binary"
    is "$(mode /var/lib/ekho)" "$(stat -c %U "$root/var/lib/ekho") 700" "the data directory's mode"
    is "$(inside stat -c %U /var/lib/ekho)" ekho "the data directory's owner"
    inside man -P cat 1 ekho | grep -q 'ekho - A private, signed' || die "there is no manual page"
    inside bash -c '. /usr/share/bash-completion/completions/ekho; complete -p ekho' >/dev/null ||
        die "bash gets no completions"
    [ ! -e "$root/etc/systemd/system/multi-user.target.wants/ekho.service" ] ||
        die "the unit is enabled before anything is set up"

    as_ekho env EKHO_DISK_FREE_MIN_BYTES=1048576 ekho setup --data-dir /var/lib/ekho --non-interactive \
        --port "$port" --enroll-token --smoke-test --json >"$work/setup.json"
    grep -q '"smoke_test": "passed"' "$work/setup.json" || die "setup: $(cat "$work/setup.json")"
    token="$(sed -n 's/.*"enrollment_token": "\(ent_[^"]*\)".*/\1/p' "$work/setup.json")"
    [ -n "$token" ] || die "setup printed no token"
    is "$(inside stat -c '%U %a' /var/lib/ekho/secrets.toml)" "ekho 600" "the secrets"
    test_unit "$port"

    inside dpkg --remove ekho >/dev/null 2>&1
    [ -e "$root/var/lib/ekho/cluster.json" ] && [ -e "$root/etc/ekho/ekho.env" ] ||
        die "removing the package took the data or the settings away"
    inside dpkg --purge ekho >"$work/purge.log" 2>&1
    grep -q 'is left there' "$work/purge.log" || die "purge does not say what is left: $(cat "$work/purge.log")"
    [ -e "$root/var/lib/ekho/cluster.json" ] || die "purging the package took the data away"
    [ ! -e "$root/etc/ekho/ekho.env" ] || die "purging the package left its settings"
    say "summary: debian package: installed, set up, removed and purged in a Debian $(cat "$root/etc/debian_version")"
}

# The unit under a systemd of its own: started, ready, logged, reloaded, restarted, stopped.
test_unit() { # port
    local lines pid
    if ! start_systemd; then
        skip "the unit under systemd" "none boots in namespaces here: $(tail -n 1 "$work/systemd.log")"
        stop_systemd
        return
    fi
    echo EKHO_DISK_FREE_MIN_BYTES=1048576 >>"$root/etc/ekho/ekho.env"
    inside_systemd systemctl start ekho || { inside_systemd journalctl -u ekho --no-pager >&2; die "the unit does not start"; }
    # Type=notify: started means that it said so.
    is "$(inside_systemd systemctl show ekho -P ActiveState)" active "the unit"
    inside_systemd curl -fsS "http://127.0.0.1:$1/readyz" >/dev/null || poll "readiness" \
        inside_systemd curl -fsS "http://127.0.0.1:$1/readyz"
    is "$(inside_systemd systemctl show ekho -P User)" ekho "who runs it"
    lines="$(inside_systemd journalctl -u ekho -o json --no-pager | grep 'listening version=' || true)"
    grep -q '"PRIORITY":"6"' <<<"$lines" || die "the journal does not know the priority: $lines"
    ! grep -q '"MESSAGE":"[0-9]\{4\}-' <<<"$lines" || die "lines have a time of their own: $lines"
    pid="$(inside_systemd systemctl show ekho -P MainPID)"
    inside_systemd systemctl reload ekho || die "the unit cannot be reloaded"
    poll "a line about the reload" \
        inside_systemd sh -c 'journalctl -u ekho --no-pager | grep -q "no certificate to read again"'
    is "$(inside_systemd systemctl show ekho -P MainPID)" "$pid" "the process after a reload"
    inside_systemd systemctl restart ekho
    is "$(inside_systemd systemctl show ekho -P ActiveState)" active "the restarted unit"
    inside_systemd systemctl stop ekho
    is "$(inside_systemd systemctl show ekho -P Result)" success "how it stopped"
    is "$(inside_systemd systemctl show ekho -P ExecMainStatus)" 0 "how it ended"
    stop_systemd
    say "summary: the unit under systemd: started, ready, in the journal, reloaded, restarted and stopped"
}

# --- install.sh ---------------------------------------------------------------------------------

test_install() {
    local before after small="$work/ekho"
    # What is there for debuggers only makes copies slow.
    strip -o "$small" "$BINARY" 2>/dev/null || cp "$BINARY" "$small"
    fresh_root
    mkdir -p "$root/srv/fetched" "$work/archive/ekho-test"
    cp "$small" "$work/archive/ekho-test/ekho"
    cp -r deploy/systemd "$work/archive/ekho-test/systemd"
    tar -czf "$root/srv/fetched/ekho-test.tar.gz" -C "$work/archive" ekho-test
    cp deploy/install.sh "$root/srv/install.sh"
    cp "$small" "$root/srv/fetched/ekho"

    # Without a checksum, or with another one, nothing is installed.
    ! inside /srv/install.sh /srv/fetched/ekho-test.tar.gz >"$work/install.log" 2>&1 || die "it takes a file without a checksum"
    grep -q 'no checksum' "$work/install.log" || die "no checksum: $(cat "$work/install.log")"
    (cd "$root/srv/fetched" && sha256sum ekho-test.tar.gz >SHA256SUMS)
    printf 'x' >>"$root/srv/fetched/ekho-test.tar.gz"
    ! inside /srv/install.sh /srv/fetched/ekho-test.tar.gz >"$work/install.log" 2>&1 || die "it takes a changed file"
    grep -q 'not what its checksum says' "$work/install.log" || die "a changed file: $(cat "$work/install.log")"
    [ ! -e "$root/usr/local/bin/ekho" ] && [ ! -e "$root/var/lib/ekho" ] || die "a refused file left something"
    tar -czf "$root/srv/fetched/ekho-test.tar.gz" -C "$work/archive" ekho-test
    (cd "$root/srv/fetched" && sha256sum ekho-test.tar.gz >SHA256SUMS)

    inside /srv/install.sh /srv/fetched/ekho-test.tar.gz >"$work/install.log" 2>&1 || { cat "$work/install.log" >&2; die "install.sh failed"; }
    is "$(inside ekho version)" "$("$BINARY" version)" "the installed binary"
    is "$(inside stat -c '%U %a' /var/lib/ekho)" "ekho 700" "the data directory"
    is "$(inside stat -c '%U %a' /etc/ekho/ekho.env)" "root 600" "the settings"
    grep -qx 'ExecStart=/usr/local/bin/ekho serve' "$root/etc/systemd/system/ekho.service" || die "the unit starts something else"
    [ -s "$root/usr/local/share/man/man1/ekho-agent-send.1" ] || die "there are no manual pages"
    [ -s "$root/usr/local/share/bash-completion/completions/ekho" ] || die "there are no completions"

    # Again, with a bare binary: an upgrade. Settings stay.
    echo EKHO_PORT=14001 >"$root/etc/ekho/ekho.env"
    as_ekho ekho setup --data-dir /var/lib/ekho --non-interactive >/dev/null
    before="$(inside bash -c 'cd / && find etc/ekho etc/passwd etc/systemd/system/ekho.service var/lib/ekho/secrets.toml -type f -exec sha256sum {} +')"
    cp -r deploy/systemd "$root/srv/systemd"
    inside /srv/install.sh --sha256 "$(sha256sum <"$small" | cut -d ' ' -f 1)" /srv/fetched/ekho >"$work/install.log" 2>&1 ||
        { cat "$work/install.log" >&2; die "install.sh failed the second time"; }
    grep -q 'systemctl restart ekho' "$work/install.log" || die "it does not say how to go on: $(cat "$work/install.log")"
    after="$(inside bash -c 'cd / && find etc/ekho etc/passwd etc/systemd/system/ekho.service var/lib/ekho/secrets.toml -type f -exec sha256sum {} +')"
    is "$after" "$before" "what a second run leaves alone"

    inside /srv/install.sh --uninstall >"$work/install.log" 2>&1
    [ -z "$(find "$root/usr/local" "$root/etc/systemd/system" -name '*ekho*')" ] || die "uninstall left something behind"
    [ -e "$root/var/lib/ekho/cluster.json" ] && [ -e "$root/etc/ekho/ekho.env" ] || die "uninstall took the data away"
    say "summary: install.sh: refused, installed, upgraded and uninstalled in a Debian $(cat "$root/etc/debian_version")"
}

[ -x "$BINARY" ] || die "$BINARY is not there: ./dev build"
check_unit
why="$(why_no_debian)"
if [ -n "$why" ]; then
    skip "packages and install.sh" "$why"
    exit 0
fi
if ! command -v cargo-deb >/dev/null || ! command -v dpkg-shlibdeps >/dev/null; then
    skip "the Debian package" "there is no cargo-deb or no dpkg-dev"
else
    test_deb
fi
test_install
