"""The herd: all subscribers lose their server at once, and go on with their cursors at the server that follows it."""

import json
import os
import subprocess
import tempfile
import time

from .clients import Clients, costs

# As seeded: `auth0|scale-0001` …
SELLERS = 100
# Changes by SQL while nobody is there.
RATE = 200
ASKED = 50
DOCUMENT = (
    "subscription($where: OrderSubscriptionWhereInput) { order(where: $where) { mutation updatedFields "
    "node { uid name stage issuedTo { name1 } } } }"
)


def counts(programs):
    """Whether PostgreSQL can count statements. `programs`: the folder of its programs; it need not run."""
    version = subprocess.run([os.path.join(programs, "postgres"), "--version"], capture_output=True, text=True, check=True)
    major = version.stdout.split()[2].split(".")[0]
    # Where Debian has it, and where PostgreSQL's own installation does.
    folders = [f"/usr/share/postgresql/{major}", *(os.path.join(programs, "..", share) for share in ("share", "share/postgresql"))]
    return any(os.path.exists(os.path.join(folder, "extension/pg_stat_statements.control")) for folder in folders)


def statements(postgres):
    """How many have been executed, without those of this program; of transactions, where statements are not counted."""
    if postgres.counts:
        return int(postgres.sql("select coalesce(sum(calls), 0) from public.pg_stat_statements where query not ilike '%pg_stat%'"))
    return int(postgres.sql("select pg_stat_clear_snapshot(); select xact_commit from pg_stat_database where datname = current_database()").split()[-1])


def orders(postgres, groups):
    """An order of each seller."""
    rows = postgres.sql(
        """select distinct on (u."extUid") o."uid" from "Order" o join "User" u on u."uid" = o."assignedTo" """
        """where u."extUid" like 'auth0|scale-%' order by u."extUid", o."uid" """
    ).split("\n")
    return rows[:groups]


def write(postgres, path, own, groups, seconds):
    """Every group's order is changed equally often, in turn, each time in a transaction of its own."""
    turns = max(1, RATE * seconds // groups)
    with open(path, "w", encoding="utf-8") as file:
        for turn in range(1, turns + 1):
            for uid in own:
                file.write(f"""update "Order" set "name" = 'tag {turn}', "updatedAt" = now() where "uid" = '{uid}';\n""")
            file.write(f"select pg_sleep({seconds / turns});\n")
    with open(path, encoding="utf-8") as file:
        postgres.sql(file.read())
    return turns


def measure(given, server, postgres, token, folder):
    if postgres.counts:
        postgres.sql("create extension if not exists pg_stat_statements schema public")
    sockets, groups = given.herd, min(SELLERS, given.herd)
    own = orders(postgres, groups)
    program = os.path.join(given.examples, "herd")
    herd, others = (Clients(program, server.port, token) for _ in range(2))
    try:
        where = {"where": {"node": {"assignedTo": {"extUid": "auth0|scale-#"}}, "mutation_in": ["UPDATED"]}}
        herd.ask("open", sockets, groups, DOCUMENT, json.dumps(where))
        # A change for each, so that each has a cursor of its own.
        postgres.sql("".join(f"""update "Order" set "name" = 'tag 0' where "uid" = '{uid}';\n""" for uid in own))
        time.sleep(3)
        others.ask("ask", ASKED)
        time.sleep(5)
        before = others.numbers("asked")
        server.kill()
        herd.ask("lost")
        with tempfile.TemporaryDirectory() as written:
            turns = write(postgres, os.path.join(written, "sql"), own, groups, given.away)
        postgres.sql("checkpoint")
        began = time.monotonic()
        server.start(os.path.join(folder, "log after"))
        ready = time.monotonic() - began
        earlier, spent = statements(postgres), costs(server, postgres)
        others.ask("ask", ASKED)
        current, events, retries, resyncs, *times = herd.numbers("back", turns)
        spent = [now - then for then, now in zip(spent, costs(server, postgres))]
        during = others.numbers("asked")
        executed = statements(postgres) - earlier - during[0]
        if current != sockets or events != sockets * turns or resyncs:
            raise SystemExit(f"{current:.0f} of {sockets} are current; {events:.0f} of {sockets * turns} events; {resyncs:.0f} resyncs")
        counted = "statements" if postgres.counts else "transactions"
        print(
            f"\n{sockets:,} subscribers in {groups} groups; {turns * groups} changes by SQL in {given.away} s without a server; "
            f"ready again after {1000 * ready:.0f} ms.\n\n"
            f"| subscribers | events each | ms until one is current: p50 | p99 | all | connected once more | {counted} | for each group"
            " | server, CPU s | PostgreSQL, CPU s | µs an event |\n|---|---|---|---|---|---|---|---|---|---|---|\n"
            f"| {sockets:,} | {turns} | {times[0]:.0f} | {times[1]:.0f} | {times[2]:.0f} | {retries:.0f} | {executed:.0f}"
            f" | {executed / groups:.1f} | {spent[0]:.2f} | {spent[1]:.2f} | {1e6 * sum(spent) / events:.0f} |\n\n"
            "| requests of others | answered | failed | ms p50 | ms p99 | ms max |\n|---|---|---|---|---|---|"
        )
        for name, (answered, failed, middle, most, longest) in (("before", before), ("during", during)):
            print(f"| {name} | {answered:.0f} | {failed:.0f} | {middle:.1f} | {most:.1f} | {longest:.1f} |", flush=True)
    finally:
        herd.close()
        others.close()
