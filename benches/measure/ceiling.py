"""The most changes a second that subscribers can follow, each concerned by its own rows: the rate is raised until the events
fall behind or the writers do."""

import json
import os

from . import processor_time
from .clients import Clients, Meter

# A rate is one that they follow if the 99th percentile is below this many ms, and the writers keep the rate.
LAG, KEPT = 100.0, 0.95
STEP = 1.5

HEAD = """\
| changes/s asked | changes/s made | events | ms p50 | ms p99 | ms max | server, cores | PostgreSQL, cores | clients, cores | followed |
|---|---|---|---|---|---|---|---|---|---|"""


def measure(given, server, postgres, token, document):
    sockets = given.ceiling_sockets
    clients = Clients(os.path.join(given.examples, "live_clients"), server.port, token)
    try:
        # There is no order of the number 0, with which they begin.
        clients.ask("open", 1 + sockets, document, json.dumps({"where": {"node": {"uid": "cscaleo" + "0" * 12 + "#"}}}))
        clients.ask("write", 1, sockets, 200, 400)
        print(f"\n{sockets:,} subscribers, each concerned by its own rows.\n\n{HEAD}")
        rate, meter, best = 200.0, Meter(server, postgres), 0.0
        while True:
            changes = int(rate * given.seconds)
            of_clients = processor_time.of_process(clients.process.pid)
            meter.start()
            clients.tell("write", 1, sockets, int(rate), changes)
            received, middle, most, longest, made = map(float, clients.hear().split())
            span, spent = meter.stop()
            of_clients = processor_time.of_process(clients.process.pid) - of_clients
            followed = received == changes and most < LAG and made >= KEPT * rate
            shares = [seconds / span for seconds in (*spent, of_clients)]
            print(
                f"| {rate:.0f} | {made:.0f} | {received:.0f} of {changes} | {middle:.1f} | {most:.1f} | {longest:.1f}"
                f" | {shares[0]:.2f} | {shares[1]:.2f} | {shares[2]:.2f} | {'yes' if followed else 'no'} |",
                flush=True,
            )
            if not followed:
                break
            best, rate = made, rate * STEP
        print(f"\nThe ceiling is {best:,.0f} changes a second, or up to {STEP} times that.")
    finally:
        clients.close()
