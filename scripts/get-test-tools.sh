# shellcheck shell=sh
# For scripts: gets what the tests need beside the toolchain and PostgreSQL: Redis, a browser, and npm's packages. Sourced, from
# the project's folder, after get-postgresql.sh.

# Installs a Debian package that brings the program.
need_package() {
    program=$1 package=$2
    command -v "$program" >/dev/null && return 0
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        say "the program \`$program\` is missing: install it with this system's package manager (Debian: $package)"
        return 1
    fi
    say "installing the system package \`$package\`"
    get="env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $package"
    $get >/dev/null && return 0
    # A fresh image has no list of packages, an old one has an outdated list.
    apt-get update >/dev/null && $get >/dev/null
}

# The npm packages of a folder, as its lock file has them.
need_npm() {
    if ! command -v npm >/dev/null; then
        say "Node.js with npm is missing: install it with this system's package manager"
        return 1
    fi
    npm ci --prefix "$1" --silent --no-audit --no-fund --ignore-scripts
}
