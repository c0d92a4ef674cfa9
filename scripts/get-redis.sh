# shellcheck shell=sh
# For scripts: gets a Redis server for the tests where there is none, and the npm packages that the login limiter is
# compared with. Sourced, from the project's folder. The server itself needs neither.

redis_said() { echo "$0: $*" >&2; }

need_redis() {
    if command -v redis-server >/dev/null; then return 0; fi
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        redis_said "installing the system package \`redis-server\`"
        get="env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends redis-server"
        # A fresh image has no list of packages, an old one has an outdated list.
        $get >&2 || { apt-get update >&2 && $get >&2; }
    fi
    if ! command -v redis-server >/dev/null; then
        redis_said "redis-server is missing and could not be installed. Install Redis 5 or newer with this system's package"
        redis_said "manager and run this again."
        return 1
    fi
}

need_limiter_packages() {
    if ! command -v npm >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        redis_said "installing the system packages \`nodejs\` and \`npm\`"
        get="env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends nodejs npm"
        $get >&2 || { apt-get update >&2 && $get >&2; }
    fi
    if ! command -v npm >/dev/null; then
        redis_said "npm is missing and could not be installed. Install Node.js 18 or newer with npm and run this again."
        return 1
    fi
    npm ci --prefix actors/tests/limiter/npm --ignore-scripts --no-audit --no-fund --silent >&2
}
