"""Live queries: what a change costs, and how soon they show it, where it concerns one of N or all of them. Beside it, the same
query asked again, and asked each second by all."""

import json
import os

from . import load
from .clients import Clients, Meter

# Aims: processor ms a change where one is concerned, whatever their number; ms from the change to the answer, at the 95th
# percentile; the share of two cores at 50 changes a second with 10,000 of which one is concerned.
COST, ANSWERED, SHARE = 2.0, 100.0, 0.60
RATE, CORES = 50, 2

FIELDS = "{ uid name stage issuedTo { name1 } items { quantity pricing { amount } } }"
ONE = "query($where: OrderWhereUniqueInput!) %s{ order(where: $where) " + FIELDS + " }"
LIST = "query($where: OrderWhereInput!) %s{ orders(where: $where) " + FIELDS + " }"
# The order that all show, and one that nobody shows.
ORDER = 150_000

HEAD = """\
| live queries | concerned | changes/s | answers a change | ms p50 | ms p95 | ms max | server ms a change | PostgreSQL ms | both | % of 2 cores | µs an answer | the query again, ms | ratio | polled each second, % of 2 cores |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"""


def asked_again(server, postgres, token, folder, document, variables):
    """Processor ms of the same query without `@live`, server and PostgreSQL together, as wrk asks it."""
    path = os.path.join(folder, "again")
    with open(path, "w", encoding="utf-8") as file:
        for number in range(1, 1_001):
            body = {"query": document % "", "variables": json.loads(variables.replace("#", f"{number:06}"))}
            file.write(json.dumps(body) + "\n")
    load.of_server(server, postgres, load.bearer(token), path, 16, 1)
    window = load.of_server(server, postgres, load.bearer(token), path, 16, 3)
    return window.server_ms + window.database_ms


def kinds():
    """By name: document, variables, and how a change is made. `#` is each live query's number."""
    own = json.dumps({"where": {"uid": "cscaleo" + "0" * 12 + "#"}})
    same = json.dumps({"where": {"uid": f"cscaleo{ORDER:018}"}})
    other = json.dumps({"where": {"uid": f"cscaleo{ORDER:018}", "name_not": "#"}})
    return {
        "one of them, each by its own variables": (ONE, own, "one"),
        "all of them, which are equal": (ONE, same, "all"),
        "all of them, each by its own variables": (LIST, other, "all"),
    }


def measure(given, server, postgres, token, folder):
    print("\n" + HEAD)
    for count in given.live_queries:
        for concerned, (document, variables, how) in kinds().items():
            again = asked_again(server, postgres, token, folder, document, variables)
            line(given, server, postgres, token, count, concerned, document, variables, how, again)
    print(f"\nAims: both at most {COST} ms a change and p95 under {ANSWERED:.0f} ms where one is concerned; under {SHARE:.0%} of two cores.")


def line(given, server, postgres, token, count, concerned, document, variables, how, again):
    clients = Clients(os.path.join(given.examples, "live_queries"), server.port, token)
    try:
        clients.ask("open", count, document % "@live ", variables)
        first = 1 if how == "one" else ORDER
        clients.numbers(how, first, count, RATE, RATE)
        meter, changes = Meter(server, postgres), RATE * given.seconds
        answers, current, *times = clients.numbers(how, first, count, RATE, changes)
        span, spent = meter.stop()
        expected = min(count, changes) if how == "one" else count
        if current != expected:
            raise SystemExit(f"{concerned}: {current:.0f} of {expected} live queries show the last change")
        # With the mutations themselves; the span ends with the last answer.
        of_change = [1000 * seconds / changes for seconds in spent]
        both, share = sum(of_change), sum(spent) / span / CORES
        middle, most, longest = times
        reached = lambda text, met: text if met or how != "one" else f"**{text}**"
        print(
            f"| {count:,} | {concerned} | {changes / span:.0f} | {answers / changes:.1f}"
            f" | {middle:.1f} | {reached(f'{most:.1f}', most < ANSWERED)} | {longest:.1f}"
            f" | {of_change[0]:.2f} | {of_change[1]:.2f} | {reached(f'{both:.2f}', both <= COST)}"
            f" | {reached(f'{share:.0%}', share < SHARE)} | {1000 * both * changes / answers:.0f}"
            f" | {again:.3f} | {both / again:.1f} | {count * again / 1000 / CORES:.0%} |",
            flush=True,
        )
    finally:
        clients.close()
