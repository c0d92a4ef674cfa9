# shellcheck shell=bash
# For scripts/test-stack: what the services of a stack may do and who may reach them, seen from outside the containers. Sourced, from
# the project's folder.

# What a service's file leaves of a container's capabilities, as bits of the kernel's CapBnd (linux/capability.h).
none=0
proxy_capabilities=$((1 << 0 | 1 << 6 | 1 << 7 | 1 << 10))                # CHOWN, SETGID, SETUID, NET_BIND_SERVICE
postgres_capabilities=$((1 << 0 | 1 << 1 | 1 << 3 | 1 << 6 | 1 << 7))     # CHOWN, DAC_OVERRIDE, FOWNER, SETGID, SETUID

# Runs a program in a container of its own beside the services.
beside() { docker run --rm --interactive --network "${stack}_back" "$base" "$@"; }

# 1 where the engine forbids all containers to gain privileges, else 0.
engine_forbids_privileges() { docker run --rm "$base" sed -n 's/^NoNewPrivs:[[:space:]]*//p' /proc/self/status; }

# Each process of a container: its capabilities are within those of its service; who is not root has none in effect, and only
# the proxy's first process is root.
check_container() { # WHAT CONTAINER BOUNDS NO_NEW_PRIVS [root]
    local what=$1 container=$2 bounds=$3 forbidden=$4 first='' pid status name user effective permitted bounding gains
    [ "$(docker inspect --format '{{.HostConfig.Privileged}} {{.HostConfig.CapDrop}}' "$container")" = 'false [ALL]' ] ||
        fail "$what: capabilities are not dropped: $(docker inspect --format '{{json .HostConfig.CapDrop}}' "$container")"
    first=$(docker inspect --format '{{.State.Pid}}' "$container")
    for pid in $(docker top "$container" -eo pid | tail -n +2); do
        # One that has ended meanwhile, such as a health check.
        status=$(cat "/proc/$pid/status" 2>/dev/null) || continue
        field() { sed -n "s/^$1:[[:space:]]*//p" <<<"$status"; }
        name=$(field Name) user=$(field Uid | cut -f2)
        effective=$((16#$(field CapEff))) permitted=$((16#$(field CapPrm))) bounding=$((16#$(field CapBnd))) gains=$(field NoNewPrivs)
        [ "$bounding" = "$bounds" ] || fail "$what: the bounds of $name are $(field CapBnd)"
        [ "$gains" = "$forbidden" ] || fail "$what: NoNewPrivs of $name is $gains"
        if [ "$user" != 0 ]; then
            [ "$effective" = 0 ] && [ "$permitted" = 0 ] || fail "$what: $name is not root and has capabilities: $(field CapEff)"
        else
            [ "${5:-}" = root ] && [ "$pid" = "$first" ] || fail "$what: $name runs as root"
            [ $((effective & ~bounds)) = 0 ] || fail "$what: $name has capabilities: $(field CapEff)"
        fi
    done
}

check_service() { # SERVICE BOUNDS NO_NEW_PRIVS [root]
    local container
    for container in $(docker ps --quiet --filter "name=${stack}_$1\."); do
        check_container "$1" "$container" "${@:2}"
    done
}

check_privileges() {
    local forbidden said='does not forbid'
    forbidden=$(engine_forbids_privileges)
    [ -z "$started_engine" ] || [ "$forbidden" = 1 ] || fail 'an engine that was started with --no-new-privileges does not forbid them'
    check_service gom "$none" "$forbidden"
    check_service redis "$none" "$forbidden"
    check_service postgres "$postgres_capabilities" "$forbidden"
    check_service proxy "$proxy_capabilities" "$forbidden" root
    [ "$(docker inspect --format '{{.HostConfig.ReadonlyRootfs}} {{.Config.User}}' "$(server)")" = 'true 65532:65532' ] ||
        fail 'the servers may write to their files'
    [ "$forbidden" = 0 ] || said=forbids
    echo "capabilities: gom and redis none, postgres and proxy none in effect but of the proxy's first process; root: that one only"
    echo "this engine $said all programs to gain privileges (no-new-privileges)"
}

# Redis answers who has the password, and nobody else.
check_redis() {
    local answer container
    answer=$(beside redis-cli -h redis ping 2>&1 || true)
    [[ $answer == *NOAUTH* ]] || fail "Redis answers without a password: $answer"
    answer=$(beside redis-cli -h redis --no-auth-warning -a wrong ping 2>&1 || true)
    [[ $answer == *WRONGPASS* ]] || fail "Redis answers a wrong password: $answer"
    # shellcheck disable=SC2016
    answer=$(beside sh -c 'REDISCLI_AUTH=$(cat) redis-cli -h redis ping' <"$folder/redis_password")
    [ "$answer" = PONG ] || fail "Redis does not take its password: $answer"
    container=$(docker ps --quiet --filter "name=${stack}_redis\.")
    answer=$(docker top "$container" -eo pid,args && docker inspect "$container")
    [[ $answer != *"$(cat "$folder/redis_password")"* ]] || fail "Redis's password stands in the list of processes or in the container's description"
    # As README.md has it.
    # shellcheck disable=SC2016
    answer=$(docker exec "$container" sh -c 'REDISCLI_AUTH=$(cat /run/secrets/gom_redis_password) redis-cli BGSAVE')
    [[ $answer == 'Background saving'* ]] || fail "Redis does not save: $answer"
    echo 'Redis refuses who has no password or a wrong one'
}

# Ports: the proxy's two are published, no others. Metrics are for the network of the services.
check_ports() {
    local service published expected metrics
    for service in gom postgres redis; do
        published=$(docker service inspect --format '{{.Endpoint.Ports}}' "${stack}_$service" | tr -d '[]\n')
        [ -z "$published" ] || fail "$service can be reached from outside: $published"
    done
    published=$(docker ps --filter "name=${stack}_" --format '{{.Ports}}' | grep --only-matching '[0-9.:]*->[0-9]*' | sed 's/.*:\([0-9]*->\)/\1/' | sort --unique | xargs)
    expected=$(printf '%s\n' "$GOM_HTTP_PORT->80" "$GOM_HTTPS_PORT->443" | sort | xargs)
    [ "$published" = "$expected" ] || fail "published: $published"
    ! docker run --rm --network "${stack}_front" "$base" true 2>/dev/null || fail 'anybody may join the network of the proxy and the servers'
    metrics=$(beside perl -MHTTP::Tiny -e 'print HTTP::Tiny->new->get("http://tasks.gom:9464/metrics")->{content}')
    [[ $metrics == *gom_* ]] || fail "metrics are not served within the stack: $metrics"
    # shellcheck disable=SC2016
    metrics=$(beside perl -MHTTP::Tiny -e 'print HTTP::Tiny->new->get("http://tasks.gom:3000/metrics")->{status}')
    [ "$metrics" = 404 ] || fail "the servers' port has metrics too: $metrics"
    echo "published: $published; metrics are served within the stack only, $(beside perl -MHTTP::Tiny -e \
        'print scalar grep { !/^#/ } split /\n/, HTTP::Tiny->new->get("http://tasks.gom:9464/metrics")->{content}') series"
}

# The web app's files, as README.md puts them into the proxy's volume.
put_web_app() {
    mkdir -p "$folder/dist"
    echo '<!doctype html><title>the web app</title><script src="/app.js"></script>' >"$folder/dist/index.html"
    echo 'document.title' >"$folder/dist/app.js"
    chmod -R a+rX "$folder/dist"
    docker run --rm -v "${stack}_web-app:/to" -v "$folder/dist:/from:ro" "$nginx_image" cp -r /from/. /to/
}

# A server does not start with a service secret that anybody would guess.
check_weak_secrets() {
    local environment secret said
    for environment in staging production; do
        for secret in mysecret42 prisma 0123456789abcdef0123456789abcde aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; do
            ! said=$(docker run --rm --env GOM_ENV="$environment" --env PRISMA_SECRET="$secret" --env DATABASE_URL=postgres://gom@localhost/gom \
                --env APP_KEY=0123456789abcdef0123456789abcdef gom:test serve 2>&1) || fail "$environment takes the service secret '$secret'"
            [[ $said == *service.secret*weak:* ]] || fail "$environment does not say what is wrong with '$secret': $said"
        done
    done
    echo 'a service secret that is short, monotonous or known is refused, in staging and in production'
}

check_hardening() { # ENVIRONMENT SELLER PASSWORD [SELLER_WITH_A_LARGE_TOKEN]
    put_web_app
    node tests/stack/hardening.js "$origin" "http://localhost:$GOM_HTTP_PORT" "$@"
    check_privileges
    check_redis
    check_ports
}
