# shellcheck shell=bash
# For scripts/test-stack: the file for a developer's machine. Sourced, from the project's folder, after hardening.sh and ports.sh.

# A new client has Compose as a plug-in; Debian has it as a program of its own.
compose() {
    if docker compose version >/dev/null 2>&1; then set -- docker compose "$@"; else set -- docker-compose "$@"; fi
    GOM_IMAGE=gom:test "$1" "${@:2}" 2>>"$folder/compose.log"
}

development() { compose --project-name "$stack-development" --file docker/docker-compose.yml "$@"; }

remove_development() { [ -z "$developing" ] || development down --volumes --remove-orphans >/dev/null || true; }

try_development() {
    docker compose version >/dev/null 2>&1 || need_package docker-compose docker-compose >/dev/null
    find_port
    export GOM_PORT=$port
    developing=yes
    development up --detach --no-build >/dev/null || { cat "$folder/compose.log" >&2; fail "the developer's file does not start"; }
    local container demo waited=0 token answer
    container=$(development ps --quiet gom)
    # The last to start, once the server is healthy.
    until demo=$(development ps --all --quiet demo) && [ -n "$demo" ] &&
        [ "$(docker inspect --format '{{.State.Status}} {{.State.ExitCode}}' "$demo")" = 'exited 0' ]; do
        [ $((waited += 1)) -lt 90 ] || fail "the demo shop is not there: $(docker logs "$demo" 2>&1 | tail -3)"
        sleep 1
    done
    docker logs "$demo" 2>&1 | grep --invert-match '"level"\|INFO' | sed 's/^/  | /' | cut -c1-200
    [ "$(docker inspect --format '{{.State.Health.Status}}' "$container")" = healthy ] || fail 'the server is not healthy'
    check_container development "$container" "$none" 1
    # README.md's first question, at the port that is published.
    token=$(docker exec "$container" gom token --expires-in 15m)
    answer=$(curl --silent "localhost:$GOM_PORT/graphql" --header "Authorization: Bearer $token" --header 'Content-Type: application/json' \
        --data '{"query": "{ users { extUid business } bps(first: 2) { extUid name1 } }"}')
    [[ $answer == *'{"extUid":"auth0|demo-tacos","business":"Tacos El Güero"}'*'{"extUid":"DemoCode01","name1":"María"}'* ]] ||
        fail "README's question is answered so: $answer"
    echo "healthy; no capabilities, no new privileges; README's question is answered: $(tr -d '\n' <<<"$answer")"
    remove_development
    developing=''
}
