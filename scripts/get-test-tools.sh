# shellcheck shell=sh
# For scripts: gets what the tests need beside the toolchain and PostgreSQL: Redis, a browser, npm's packages, and the parts of the
# toolchain that a minimal one lacks. Sourced, from the project's folder, after get-postgresql.sh.

# Installs a Debian package that brings the program.
need_package() {
    program=$1 package=$2
    command -v "$program" >/dev/null && return 0
    install_packages "$package" && return 0
    say "the program \`$program\` is missing: install it with this system's package manager (Debian: $package)"
    return 1
}

# A part of the toolchain, and cargo's command that comes with it.
need_component() {
    component=$1 command=$2
    cargo "$command" --version >/dev/null 2>&1 && return 0
    if command -v rustup >/dev/null && rustup component add "$component" >&2; then return 0; fi
    say "\`cargo $command\` is missing: install $component with the Rust toolchain (\`rustup component add $component\`)"
    return 1
}

# The npm packages of a folder, as its lock file has them.
need_npm() {
    if ! command -v npm >/dev/null; then
        say "Node.js with npm is missing: install it with this system's package manager"
        return 1
    fi
    npm ci --prefix "$1" --silent --no-audit --no-fund --ignore-scripts
}

# The spelling checker, of a Python package unpacked into a cache folder of the user's. Sets `typos`.
need_typos() {
    typos=$(command -v typos) && return 0
    cache="${XDG_CACHE_HOME:-${HOME:-$PWD/.gom}/.cache}/gom/typos-1.52.0"
    typos="$cache/typos-1.52.0.data/scripts/typos"
    [ -x "$typos" ] && return 0
    mkdir -p "$cache"
    if python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$cache" typos==1.52.0 >&2 &&
        python3 -m zipfile -e "$cache"/*.whl "$cache" && chmod +x "$typos"; then
        rm -f "$cache"/*.whl
        return 0
    fi
    say "the spelling checker \`typos\` is missing: install it (\`pip install typos==1.52.0\`)"
    return 1
}
