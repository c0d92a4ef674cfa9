# shellcheck shell=bash
# For scripts/test-stack: ports of this machine that nobody uses. Sourced.

given_ports=()

# Puts into `port` a port that has no socket on any of this machine's addresses, and that the system does not hand out by itself.
# Each is given once.
find_port() {
    local used candidate
    # The kernel's tables, local ports in hexadecimal: no program has to be installed for it.
    used=" $(awk 'FNR > 1 { sub(/.*:/, "", $2); print $2 }' /proc/net/tcp /proc/net/tcp6 2>/dev/null | tr '\n' ' ') ${given_ports[*]} "
    for _ in {1..1000}; do
        candidate=$((10000 + RANDOM % 20000))
        printf -v candidate '%04X' "$candidate"
        [[ $used == *" $candidate "* ]] && continue
        given_ports+=("$candidate")
        port=$((16#$candidate))
        return 0
    done
    echo 'no port between 10000 and 29999 is free' >&2
    return 1
}
