#!/bin/sh
# PostgreSQL in a container, as the usual image starts it: POSTGRES_USER owns POSTGRES_DB, its password is POSTGRES_PASSWORD or in
# the file POSTGRES_PASSWORD_FILE.
set -eu

data=/var/lib/postgresql/data/cluster
if [ ! -s "$data/PG_VERSION" ]; then
    mkdir -p "$data"
    chown postgres:postgres "$data"
    password=$(mktemp)
    printf '%s\n' "${POSTGRES_PASSWORD-$(cat "$POSTGRES_PASSWORD_FILE")}" >"$password"
    chown postgres:postgres "$password"
    setpriv --reuid postgres --regid postgres --clear-groups \
        initdb --pgdata "$data" --username "$POSTGRES_USER" --pwfile "$password" \
        --auth-local trust --auth-host scram-sha-256 --encoding UTF8 --locale C.UTF-8
    rm "$password"
    echo 'host all all all scram-sha-256' >> "$data/pg_hba.conf"
    echo "CREATE DATABASE \"$POSTGRES_DB\";" |
        setpriv --reuid postgres --regid postgres --clear-groups postgres --single -D "$data" postgres >/dev/null
fi
mkdir -p /var/run/postgresql
chown postgres:postgres /var/run/postgresql
exec setpriv --reuid postgres --regid postgres --clear-groups "$@" -D "$data" -c listen_addresses='*'
