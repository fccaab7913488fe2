# Base images under the names that deploy/Dockerfile and the compose files use, made of Debian's
# packages and of this machine's own tools, because nothing is pulled here. Sourced by
# ../test-containers.sh.
# shellcheck shell=bash

# The default of an ARG of the Dockerfile.
image_named() { sed -n "s/^ARG $1=//p" "$repository/deploy/Dockerfile"; }

have_image() { docker image inspect "$1" >/dev/null 2>&1; }

# Debian by debootstrap, kept beside the engine's images.
make_debian() { # a folder for the archive
    local name suite archive root
    name="$(image_named DEBIAN_IMAGE)"
    suite="${name#debian:}"
    suite="${suite%-slim}"
    archive="$1/$suite.tar"
    if [ ! -e "$archive" ]; then
        root="$(mktemp -d "$1/root.XXXXXX")"
        debootstrap --variant=minbase "$suite" "$root"
        rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
        tar -C "$root" -cf "$archive.new" .
        mv "$archive.new" "$archive"
        rm -rf "$root"
    fi
    have_image "$name" || docker import "$archive" "$name"
}

# This machine's Node on it. Where a proxy of this machine signs certificates, npm has to trust it.
make_node() {
    local name folder
    name="$(image_named NODE_IMAGE)"
    have_image "$name" && return
    folder="$(mktemp -d)"
    mkdir -p "$folder/files/usr/bin" "$folder/files/usr/lib/node_modules"
    cp -L "$(command -v node)" "$folder/files/usr/bin/node"
    cp -a "$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")" "$folder/files/usr/lib/node_modules/npm"
    ln -s ../lib/node_modules/npm/bin/npm-cli.js "$folder/files/usr/bin/npm"
    cp -L /etc/ssl/certs/ca-certificates.crt "$folder/files/usr/lib/authorities.pem"
    cat >"$folder/Dockerfile" <<DOCKERFILE
FROM $(image_named DEBIAN_IMAGE)
RUN apt-get update && apt-get install -y --no-install-recommends libatomic1
COPY files /
ENV NODE_EXTRA_CA_CERTS=/usr/lib/authorities.pem
DOCKERFILE
    docker build --network host -t "$name" "$folder"
    rm -rf "$folder"
}

# This machine's Rust toolchain on it, with the C compiler that the real image has as well.
make_rust() {
    local name folder
    name="$(image_named RUST_IMAGE)"
    have_image "$name" && return
    folder="$(mktemp -d)"
    tar -C "$(rustc --print sysroot)" -cf "$folder/toolchain.tar" bin lib libexec
    cp -L /etc/ssl/certs/ca-certificates.crt "$folder/authorities.pem"
    cat >"$folder/Dockerfile" <<DOCKERFILE
FROM $(image_named DEBIAN_IMAGE)
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev ca-certificates
ADD toolchain.tar /usr/local
COPY authorities.pem /usr/local/lib/authorities.pem
ENV CARGO_HOME=/usr/local/cargo CARGO_HTTP_CAINFO=/usr/local/lib/authorities.pem
DOCKERFILE
    docker build --network host -t "$name" "$folder"
    rm -rf "$folder"
}

# Debian's Prometheus, laid out as the image that the compose file names.
make_prometheus() {
    local name
    name="$(sed -n 's/.*PROMETHEUS_IMAGE:-\(.*\)}$/\1/p' "$repository/deploy/compose.observability.yaml")"
    have_image "$name" && return
    docker build --network host -t "$name" - <<DOCKERFILE
FROM $(image_named DEBIAN_IMAGE)
RUN apt-get update && apt-get install -y --no-install-recommends prometheus
RUN install -d -o nobody -g nogroup /prometheus
USER nobody
ENTRYPOINT ["/usr/bin/prometheus"]
DOCKERFILE
}

# What the Dockerfile would compile in 18 minutes: the binary that is there already, collected by the
# same script, as an image with /out.
make_prebuilt() { # binary
    local folder
    folder="$(mktemp -d)"
    "$repository/deploy/console-sbom.sh" "$repository/console" >"$folder/console.cdx.json"
    "$repository/deploy/collect.sh" "$1" "$folder/console.cdx.json" "$folder/out"
    printf 'FROM scratch\nCOPY out /out\n' >"$folder/Dockerfile"
    docker build -t ekho-prebuilt "$folder"
    rm -rf "$folder"
}
