# shellcheck shell=bash
# For scripts/test-stack: images of PostgreSQL, Redis, nginx and a Rust toolchain where no registry of images is at hand. They are made
# of Debian's packages and this machine's toolchain, and take the same environment, volumes and arguments as those that the
# stack's files name. Sourced, from the project's folder.

base=gom-test-base:latest
postgres_image=gom-test-postgres:latest
redis_image=gom-test-redis:latest
nginx_image=gom-test-nginx:latest
rust_image=gom-test-rust:latest

has_image() { docker image inspect "$1" >/dev/null 2>&1; }

# Builds from a folder and the Dockerfile on standard input.
image() { # NAME FOLDER
    docker_build --tag "$1" --file - "$2"
}

# A small Debian with all that the images need.
make_base() {
    has_image "$base" && return 0
    need_package debootstrap debootstrap
    local root=$folder/base
    debootstrap --variant=minbase \
        --include=ca-certificates,gcc,libc6-dev,make,nginx-light,perl,postgresql,redis-server \
        "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$root" >"$folder/debootstrap.log" ||
        { tail -5 "$folder/debootstrap.log" >&2; return 1; }
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/postgresql/*/main
    tar --create --directory "$root" . | docker import - "$base" >/dev/null
    rm -rf "$root"
}

make_services() {
    image "$postgres_image" tests/stack <<D
FROM $base
RUN ln -s /usr/lib/postgresql/*/bin/* /usr/local/bin/ || true
COPY postgres.sh /postgres.sh
ENTRYPOINT ["/postgres.sh"]
CMD ["postgres"]
D
    image "$redis_image" tests/stack <<D
FROM $base
WORKDIR /data
RUN chown redis:redis /data
D
    image "$nginx_image" tests/stack <<D
FROM $base
D
}

# This machine's toolchain with the crates of the lock file, at the places of the usual image.
make_rust() {
    local crates
    crates=$(sha256sum Cargo.lock | cut -c1-12)
    if has_image "gom-test-rust:$crates"; then
        docker tag "gom-test-rust:$crates" "$rust_image"
        return 0
    fi
    local context=$folder/rust
    mkdir -p "$context/cargo"
    cp -a "$(rustc --print sysroot)" "$context/toolchain"
    rm -rf "$context/toolchain/share"
    CARGO_HOME=$context/cargo cargo fetch --locked --quiet
    rm -rf "$context/cargo/registry/src"
    image "gom-test-rust:$crates" "$context" <<D
FROM $base
COPY toolchain /usr/local
COPY cargo /opt/cargo
ENV CARGO_HOME=/opt/cargo CARGO_NET_OFFLINE=true
D
    docker tag "gom-test-rust:$crates" "$rust_image"
    rm -rf "$context"
}
