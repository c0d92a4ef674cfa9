"""What the position of an answer costs: a query with `extensions.cursor` beside the same query without, in neighbouring windows."""

import json
import os
from statistics import median

from . import load
from .workloads import Workload

# µs of processor time.
AIM = 5.0


def bodies(path, extensions):
    workload = Workload("q1")
    with open(path, "w", encoding="utf-8") as file:
        for _ in range(20_000):
            body = workload.body(workload.draw())
            file.write((body[:-1] + f',"extensions":{json.dumps(extensions)}}}' if extensions else body) + "\n")
    return path


def measure(given, server, postgres, token, folder):
    plain = bodies(os.path.join(folder, "plain"), None)
    asking = bodies(os.path.join(folder, "asking"), {"cursor": True})
    window = lambda path: load.of_server(server, postgres, load.bearer(token), path, 16, given.window)
    window(plain), window(asking)
    print("\n| µs of processor time | server | PostgreSQL | both |\n|---|---|---|---|")
    rounds = []
    for _ in range(given.rounds):
        rounds.append([(1000 * each.server_ms, 1000 * each.database_ms) for each in map(window, (plain, plain, asking))])
    of = lambda take: [median(take(one)[part] for one in rounds) for part in (0, 1)]
    minus = lambda a, b: lambda one: [x - y for x, y in zip(one[a], one[b])]
    for name, values in (
        ("without", of(lambda one: one[1])),
        ("with a cursor", of(lambda one: one[2])),
        ("**difference**", of(minus(2, 1))),
        ("of two windows without: what is noise", of(minus(1, 0))),
    ):
        print(f"| {name} | {values[0]:.1f} | {values[1]:.1f} | {sum(values):.1f} |", flush=True)
    print(f"\nAim: less than {AIM:.0f} µs with a cursor.")
