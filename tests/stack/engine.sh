# shellcheck shell=bash
# For scripts/test-stack: a Docker Engine in swarm mode, the one that is there or one that is started for the test. Sourced,
# after get-test-tools.sh.

started_engine='' joined_swarm='' why_not=''

# Says in `why_not` what stands in the way.
need_engine() {
    if ! docker info >/dev/null 2>&1; then
        [ "$(id -u)" = 0 ] || { why_not='no Docker Engine answers, and only root may start one'; return 1; }
        need_package dockerd docker.io >&2 || { why_not='Docker Engine cannot be installed'; return 1; }
        dockerd --no-new-privileges >"$folder/dockerd.log" 2>&1 &
        started_engine=$!
        for _ in $(seq 60); do
            docker info >/dev/null 2>&1 && break
            kill -0 "$started_engine" 2>/dev/null || break
            sleep 0.5
        done
        docker info >/dev/null 2>&1 || { why_not="no Docker Engine can run here: $(tail -1 "$folder/dockerd.log")"; stop_engine; return 1; }
    fi
    find_builder || { why_not='no Docker client here builds with BuildKit'; stop_engine; return 1; }
    if [ "$(docker info --format '{{.Swarm.LocalNodeState}}')" != active ]; then
        docker swarm init --advertise-addr 127.0.0.1 >/dev/null 2>"$folder/swarm.log" ||
            { why_not="this Docker Engine cannot be a swarm: $(tail -1 "$folder/swarm.log")"; stop_engine; return 1; }
        joined_swarm=yes
    fi
}

stop_engine() {
    [ -z "$joined_swarm" ] || docker swarm leave --force >/dev/null 2>&1 || true
    [ -z "$started_engine" ] || { kill "$started_engine" && wait "$started_engine"; } 2>/dev/null || true
    joined_swarm='' started_engine=''
}

# A client that builds with BuildKit: a new one has a plug-in for it, Debian's old one has it built in.
find_builder() {
    local client
    for client in docker /usr/bin/docker; do
        if "$client" buildx version >/dev/null 2>&1 || "$client" version --format '{{.Client.Version}}' 2>/dev/null | grep --quiet '^20\.'; then
            builder=$client
            return 0
        fi
    done
    return 1
}

# Builds an image; prints nothing unless that fails.
docker_build() {
    DOCKER_BUILDKIT=1 "$builder" build --progress=plain "$@" >"$folder/build.log" 2>&1 ||
        { tail -40 "$folder/build.log" >&2; return 1; }
}
