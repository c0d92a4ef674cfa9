# Runs a PostgreSQL for all test processes, and ends it when none of them has given a sign of life for a minute.
# Arguments: the folder of this run, the program, its arguments.
run=$1
shift
trap '' HUP
"$@" &
server=$!
trap 'kill -INT "$server"' INT TERM

in_use() { [ -n "$(find "$run/heartbeat" -mmin -1 2>/dev/null)" ]; }

while kill -0 "$server" 2>/dev/null; do
    sleep 5
    if ! in_use; then
        # Refuses new users and waits for those that already use the cluster.
        : > "$run/keeper/closing"
        in_use || break
    fi
done
kill -INT "$server" 2>/dev/null
wait "$server"
rm -rf "$run"
