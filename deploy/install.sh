#!/usr/bin/env bash
# Installs the relay on a machine with systemd, from an archive or a binary that was built
# elsewhere: user, data directory, unit, completions, manual pages. Run again, it upgrades the binary
# and changes nothing else. See docs/install.md.
set -euo pipefail
# Unit, completions and manual pages are for everybody to read, whatever root keeps to itself.
umask 022

readonly DATA_DIR=/var/lib/ekho
readonly SETTINGS=/etc/ekho/ekho.env
readonly UNIT=/etc/systemd/system/ekho.service
readonly USER_NAME=ekho

usage() {
    cat <<'TEXT'
usage: install.sh [OPTIONS] FILE     FILE: an archive (.tar.gz) with `ekho` in it, or the binary
       install.sh --uninstall        remove all but the data, the settings and the user

  --sha256 HEX     what the file's checksum has to be [default: what FILE.sha256 or SHA256SUMS
                   beside it says]
  --no-checksum    take the file as it is
  --prefix DIR     where bin/, share/ go [default: /usr/local]
TEXT
}

say() { printf '%s\n' "$*"; }
die() { printf 'install: %s\n' "$*" >&2; exit 1; }

prefix=/usr/local
sum=""
check=yes
uninstall=no
file=""
while [ "$#" -gt 0 ]; do
    case "$1" in
        --sha256) sum="${2:?--sha256 needs a checksum}"; shift ;;
        --no-checksum) check=no ;;
        --prefix) prefix="${2:?--prefix needs a folder}"; shift ;;
        --uninstall) uninstall=yes ;;
        -h | --help) usage; exit 0 ;;
        -*) usage >&2; die "unknown option: $1" ;;
        *) [ -z "$file" ] || die "one file, please"; file="$1" ;;
    esac
    shift
done
case "$prefix" in /*) ;; *) die "--prefix is a path from the root" ;; esac

readonly BINARY="$prefix/bin/ekho"
readonly MANUALS="$prefix/share/man/man1"
readonly COMPLETIONS=(
    "bash:$prefix/share/bash-completion/completions/ekho"
    "zsh:$prefix/share/zsh/site-functions/_ekho"
    "fish:$prefix/share/fish/vendor_completions.d/ekho.fish"
)

[ "$(id -u)" -eq 0 ] || die "run it as root"

reload_systemd() {
    [ ! -d /run/systemd/system ] || systemctl daemon-reload
}

if [ "$uninstall" = yes ]; then
    if [ -d /run/systemd/system ] && [ -e "$UNIT" ]; then
        systemctl disable --now ekho
    fi
    rm -f "$UNIT" "$BINARY" "$MANUALS"/ekho.1 "$MANUALS"/ekho-*.1
    for completion in "${COMPLETIONS[@]}"; do rm -f "${completion#*:}"; done
    reload_systemd
    say "removed; left are $DATA_DIR, $SETTINGS and the user $USER_NAME"
    exit 0
fi

[ -n "$file" ] || { usage >&2; exit 2; }
[ -f "$file" ] || die "$file is not a file"

# What the file's checksum has to be, by the files beside it.
expected_sum() {
    local folder name list
    folder="$(dirname "$file")"
    name="$(basename "$file")"
    for list in "$file.sha256" "$folder/SHA256SUMS"; do
        [ -f "$list" ] || continue
        # A line is the sum and a name; a file for one may hold the sum alone.
        awk -v name="$name" 'NF == 1 || $2 == name || $2 == "*" name { print $1; exit }' "$list"
        return
    done
}

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
# One copy is checked and installed: the file may lie where others can exchange it.
cp -- "$file" "$work/fetched"

if [ "$check" = yes ]; then
    [ -n "$sum" ] || sum="$(expected_sum)"
    [ -n "$sum" ] || die "no checksum of $file: pass --sha256, put SHA256SUMS beside it, or --no-checksum"
    [ "$(sha256sum <"$work/fetched" | cut -d ' ' -f 1)" = "${sum,,}" ] ||
        die "$file is not what its checksum says: fetch it again"
fi

case "$file" in
    *.tar.gz | *.tgz)
        tar -xzf "$work/fetched" -C "$work" --no-same-owner
        built="$(find "$work" -type f -name ekho -perm -u+x | head -n 1)"
        [ -n "$built" ] || die "$file holds no binary named ekho"
        ;;
    *)
        built="$work/ekho"
        install -m 0755 "$work/fetched" "$built"
        ;;
esac
version="$("$built" version)" || die "the binary does not run here: is it for this machine?"

# The unit and the settings: out of the archive, else beside this script.
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
part() { # name
    local found
    found="$(find "$work" -type f -path "*systemd/$1" | head -n 1)"
    [ -n "$found" ] || found="$here/systemd/$1"
    [ -f "$found" ] || die "systemd/$1 is neither in $file nor beside this script"
    printf '%s' "$found"
}
unit="$(part ekho.service)"
settings="$(part ekho.env)"

if ! getent passwd "$USER_NAME" >/dev/null; then
    useradd --system --user-group --home-dir "$DATA_DIR" --no-create-home \
        --shell /usr/sbin/nologin --comment "Ekho relay" "$USER_NAME"
fi
install -d -o "$USER_NAME" -g "$USER_NAME" -m 0700 "$DATA_DIR"
[ -e "$SETTINGS" ] || install -D -m 0600 "$settings" "$SETTINGS"

# Beside the old one and renamed: a relay that runs goes on with what it has.
install -D -m 0755 "$built" "$BINARY.new"
mv "$BINARY.new" "$BINARY"
mkdir -p "$(dirname "$UNIT")"
sed "s|^ExecStart=/usr/bin/ekho |ExecStart=$BINARY |" "$unit" >"$UNIT.new"
mv "$UNIT.new" "$UNIT"
for completion in "${COMPLETIONS[@]}"; do
    mkdir -p "$(dirname "${completion#*:}")"
    "$BINARY" completions "${completion%%:*}" >"${completion#*:}"
done
"$BINARY" man --out "$MANUALS"
reload_systemd

say "installed $version as $BINARY"
if [ -e "$DATA_DIR/cluster.json" ]; then
    say "next: systemctl restart ekho (of several nodes one after the other)"
else
    say "next: sudo -u $USER_NAME $BINARY setup --data-dir $DATA_DIR"
    say "      sudo systemctl enable --now ekho"
fi
