# shellcheck shell=bash
# For scripts/test-stack: the production file in the place of the staging one, from empty volumes. Sourced, from the project's folder.

remove_stack() {
    docker service rm "${stack}_once" >/dev/null 2>&1 || true
    docker stack rm "$stack" >/dev/null 2>&1 || true
    until [ -z "$(docker ps --quiet --filter "name=${stack}_")" ]; do sleep 1; done
    sleep 2
    # Those that have ended stay behind their service.
    docker ps --all --quiet --filter "name=${stack}_" | xargs --no-run-if-empty docker rm --force >/dev/null 2>&1 || true
    docker volume ls --quiet --filter "name=${stack}_" | xargs --no-run-if-empty docker volume rm --force >/dev/null 2>&1 || true
    until [ -z "$(docker network ls --quiet --filter "name=${stack}_")" ]; do sleep 1; done
}

# A seller, as README.md makes one: the row by a service token, the account in a server's container.
make_seller() { # SUBJECT USERNAME
    local token made_seller
    token=$(docker exec "$(server)" gom token --expires-in 15m)
    made_seller=$(curl --silent --cacert "$folder/tls.pem" "$origin/api/graphql" --header 'Content-Type: application/json' --header "Authorization: Bearer $token" \
        --data "{\"query\": \"mutation { createUser(data: { extUid: \\\"$1\\\", business: \\\"Tacos María\\\" }) { extUid } }\"}")
    [ "$made_seller" = "{\"data\":{\"createUser\":{\"extUid\":\"$1\"}}}" ] || fail "there is no seller: $made_seller"
    printf '%s\n' "$password" | docker exec -i "$(server)" gom account add "$2" --role seller --subject "$1" | sed 's/^/  | /'
}

# An update whose servers end at once: the old ones go on, and why it was refused stands in the log.
weak_secret_in_the_stack() {
    printf prisma | make_secret gom_prisma_secret_weak
    refused_update --secret-rm gom_prisma_secret --secret-add source=gom_prisma_secret_weak,target=gom_prisma_secret
    docker service logs --raw "${stack}_gom" 2>&1 | grep --max-count 1 --only-matching 'service.secret.*weak: [^.]*' | sed 's/^/  | /'
}

try_production() {
    remove_stack
    docker stack deploy --detach=true --resolve-image never --compose-file docker/docker-compose-production.yml "$stack" >/dev/null
    settle 120
    make_seller maria maria@shop.example
    check_hardening production maria@shop.example "$password"
    weak_secret_in_the_stack
    node tests/stack/hardening.js "$origin" "http://localhost:$GOM_HTTP_PORT" production maria@shop.example "$password" >/dev/null
    echo 'the update with a known service secret was rolled back, and the servers before it go on'
}
