"""One window of load on either side: how many requests, in which time, at which cost of processor time."""

import os
import re
import subprocess
import time
from dataclasses import dataclass

from . import processor_time

LUA = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "request.lua")
PROGRESS = re.compile(r"progress: ([\d.]+) s, ([\d.]+) tps.* (\d+) failed")


@dataclass
class Window:
    requests: float
    seconds: float
    # Processor seconds of the server and of all of PostgreSQL's processes.
    server: float
    database: float
    # Bytes of all answers; 0 of pgbench.
    size: int = 0

    @property
    def rate(self):
        return self.requests / self.seconds

    @property
    def server_ms(self):
        return 1000 * self.server / self.requests

    @property
    def database_ms(self):
        return 1000 * self.database / self.requests


def bearer(token):
    """The headers of the service role."""
    return [f"Authorization: Bearer {token}"]


def of_server(server, postgres, headers, bodies, connections, seconds, check=False):
    """Load by wrk. Its connections stay open, so do the server's to the database. Any error ends the measurement."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", LUA, server.url]
    command += ["--", bodies, "check" if check else "-", *headers]
    before = (processor_time.of_process(server.process.pid), processor_time.of_family(postgres.process.pid))
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    after = (processor_time.of_process(server.process.pid), processor_time.of_family(postgres.process.pid))
    result = re.search(r"^result (\d+) (\d+) (\d+) (\d+) (\d+)\nsample (.*)$", done.stdout, re.M)
    requests, microseconds, size, errors, bad = (int(result[i]) for i in range(1, 6))
    if errors or bad or not requests:
        raise SystemExit(f"{errors} errors, {bad} wrong answers of {requests}: {result[6]}")
    return Window(requests, microseconds / 1e6, after[0] - before[0], after[1] - before[1], size)


def of_statement(postgres, scripts, connections, seconds):
    """Load by pgbench. Its first second, when it connects and prepares, is left out, and its last, when it leaves."""
    command = [os.path.join(postgres.bin, "pgbench"), "-n", "-M", "prepared", "-j1", f"-c{connections}"]
    command += [f"-T{seconds + 2}", "-P1"]
    for script in scripts:
        command += ["-f", script]
    reports = []
    others = set(processor_time.children(postgres.process.pid))
    with subprocess.Popen(
        command, env=postgres.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stderr:
            if "error" in line or "abort" in line:
                raise SystemExit(f"pgbench: {line}")
            report = PROGRESS.match(line)
            if report and len(reports) <= seconds:
                cost = processor_time.of_family(postgres.process.pid)
                reports.append((float(report[1]), float(report[2]), cost))
    if process.returncode != 0 or len(reports) < 2:
        raise SystemExit(f"pgbench failed with {process.returncode}")
    # The end of its sessions must not fall into the next window.
    patience = time.monotonic() + 5
    while set(processor_time.children(postgres.process.pid)) - others and time.monotonic() < patience:
        time.sleep(0.05)
    requests = sum(now[1] * (now[0] - before[0]) for before, now in zip(reports, reports[1:]))
    return Window(requests, reports[-1][0] - reports[0][0], 0.0, reports[-1][2] - reports[0][2])


def of_http(server, connections, seconds):
    """Seconds of the server's processor time for a request that does nothing: what HTTP alone costs."""
    before = processor_time.of_process(server.process.pid)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", server.url.replace("/graphql", "/healthz")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    requests = int(re.search(r"(\d+) requests in", done.stdout)[1])
    return (processor_time.of_process(server.process.pid) - before) / requests
