#!/bin/sh
# Lays out the image's file system in a folder: libraries, certificates and a user, from packages of
# the Debian that this runs on. No shell and no package manager. What is in it is written down as
# scanners look for it, in /var/lib/dpkg/status.d.
#
#     rootfs.sh FOLDER
set -eu

folder=$1
# What `ldd` says of the binary, and the certificate authorities it trusts.
packages="base-files libc6 libgcc-s1 libstdc++6"

export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -y -q --no-install-recommends ca-certificates

downloads=$(mktemp -d)
# The user that apt becomes for a download has to be able to write there.
chmod 0777 "$downloads"
(cd "$downloads" && apt-get download -q $packages)
mkdir -p "$folder/var/lib/dpkg/status.d"
# base-files first: it has the links from /lib to /usr/lib.
for package in $packages; do
    file=$(find "$downloads" -name "${package}_*.deb")
    dpkg-deb --fsys-tarfile "$file" | tar -x -C "$folder" --keep-directory-symlink
    dpkg-deb --field "$file" >"$folder/var/lib/dpkg/status.d/$package"
done
dpkg-query --status ca-certificates >"$folder/var/lib/dpkg/status.d/ca-certificates"

# Character sets, locales and manuals that nothing here reads. Licences stay.
rm -rf "$folder"/usr/lib/*/gconv "$folder"/usr/lib/*/audit "$folder"/usr/lib/locale \
    "$folder"/usr/lib/gcc "$folder"/usr/share/gcc "$folder"/usr/share/gdb "$folder"/usr/share/lintian \
    "$folder"/usr/share/locale "$folder"/usr/share/man "$folder"/usr/share/base-files \
    "$folder"/etc/update-motd.d "$folder"/var/lib/dpkg/info
find "$folder/usr/share/doc" -type f ! -name copyright -delete
mkdir -p "$folder/etc/ssl/certs"
cp -L /etc/ssl/certs/ca-certificates.crt "$folder/etc/ssl/certs/"

printf 'root:x:0:0:root:/root:/sbin/nologin\nekho:x:10001:10001::/var/lib/ekho:/sbin/nologin\n' \
    >"$folder/etc/passwd"
printf 'root:x:0:\nekho:x:10001:\n' >"$folder/etc/group"
# A new volume takes the owner and the mode of the folder it is mounted on.
install -d -m 0700 -o 10001 -g 10001 "$folder/var/lib/ekho"
install -d -m 1777 "$folder/tmp"
