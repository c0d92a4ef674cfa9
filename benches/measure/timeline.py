"""What a run is like second by second: numbers of processes from /proc, as a table (CSV) and as curves (SVG)."""

import csv
import threading
import time

from . import processor_time

WIDTH, HEIGHT, MARGIN = 760, 150, 46


def memory_of_family(pid):
    """MiB of a process and its children: what is their own, and their parts of what is shared."""
    total = 0
    for each in [pid, *processor_time.children(pid)]:
        try:
            with open(f"/proc/{each}/smaps_rollup") as file:
                total += next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
        except (FileNotFoundError, ProcessLookupError, StopIteration):
            continue
    return total / 1024


class Timeline:
    """Takes a row of numbers every second, until it is stopped. `columns`: names, and what gives each now; those in `rates`
    are shown as what was added in a second."""

    def __init__(self, columns, rates):
        self.columns, self.rates, self.rows = columns, rates, []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()

    def _take(self):
        began = last = time.monotonic()
        earlier = {name: ask() for name, ask in self.columns.items()}
        while not self._stop.wait(1):
            now, values = time.monotonic(), {name: ask() for name, ask in self.columns.items()}
            rate = lambda name: (values[name] - earlier[name]) / (now - last)
            self.rows.append([now - began, *(rate(name) if name in self.rates else values[name] for name in self.columns)])
            earlier, last = values, now

    def stop(self):
        self._stop.set()
        self._thread.join()

    def write(self, path):
        """The table as CSV, and curves of the same beside it."""
        with open(path, "w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["seconds", *self.columns])
            table.writerows([[f"{value:.3f}" for value in row] for row in self.rows])
        with open(path.rsplit(".", 1)[0] + ".svg", "w") as file:
            file.write(self._curves())

    def _curves(self):
        end = max(row[0] for row in self.rows)
        parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT * len(self.columns)}" font-family="sans-serif" font-size="11">']
        for place, name in enumerate(self.columns):
            top, values = place * HEIGHT, [row[place + 1] for row in self.rows]
            most = max(max(values), 1e-9)
            x = lambda seconds: MARGIN + seconds / end * (WIDTH - 2 * MARGIN)
            y = lambda value: top + HEIGHT - 22 - value / most * (HEIGHT - 48)
            points = " ".join(f"{x(row[0]):.1f},{y(value):.1f}" for row, value in zip(self.rows, values))
            parts += [
                f'<text x="{MARGIN}" y="{top + 16}">{name}</text>',
                f'<text x="{MARGIN - 4}" y="{y(most) + 4:.1f}" text-anchor="end">{most:,.5g}</text>',
                f'<path d="M{MARGIN} {y(most):.1f}V{y(0):.1f}H{WIDTH - MARGIN}" fill="none" stroke="#999"/>',
                f'<text x="{WIDTH - MARGIN}" y="{y(0) + 14:.1f}" text-anchor="end">{end:,.0f} s</text>',
                f'<polyline points="{points}" fill="none" stroke="#06c"/>',
            ]
        return "\n".join([*parts, "</svg>\n"])
