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
