"""The result as a table."""

from statistics import median

# The aims: parts of the ceiling's requests per second, times its processor time, ms of the server for a read.
RATE, COST, SHARE = 0.6, 1.3, 0.060

HEAD = """\
| | at once | ceiling, requests/s | Gom, requests/s | ratio | ceiling, CPU ms | Gom, CPU ms: server + PostgreSQL | ratio |
|---|---|---|---|---|---|---|---|"""


def line(name, connections, rounds):
    """A line of the table, of pairs of neighbouring windows: medians, and medians of the pairs' ratios."""
    of = lambda value: median(value(theirs, ours) for theirs, ours in rounds)
    rate = of(lambda theirs, ours: ours.rate / theirs.rate)
    cost = of(lambda theirs, ours: (ours.server_ms + ours.database_ms) / theirs.database_ms)
    share = of(lambda _, ours: ours.server_ms)
    missed = lambda text, met: text if met else f"**{text}**"
    return (
        f"| {name} | {connections}"
        f" | {of(lambda theirs, _: theirs.rate):,.0f} | {of(lambda _, ours: ours.rate):,.0f}"
        f" | {missed(f'{rate:.2f}', rate >= RATE)}"
        f" | {of(lambda theirs, _: theirs.database_ms):.3f}"
        f" | {missed(f'{share:.3f}', share <= SHARE or name.startswith('m'))}"
        f" + {of(lambda _, ours: ours.database_ms):.3f}"
        f" | {missed(f'{cost:.2f}', cost <= COST)} |"
    )
