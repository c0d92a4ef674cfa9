"""The server under measurement: a release build, on the prepared database."""

import http.client
import json
import os
import socket
import subprocess
import time

SECRET = "a-secret-for-measurements-only-and-nowhere-else"


class Server:
    def __init__(self, program, database_url, log, settings=None):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.program = program
        own = {"PRISMA_SECRET": SECRET, "APP_KEY": SECRET, "GOM_ENV": "production"}
        self.environment = {**os.environ, **own, **(settings or {})}
        self.environment.pop("DATABASE_URL", None)
        self.command = [program, "serve", "--database-url", database_url, "--port", str(self.port)]
        self.start(log)

    def start(self, log):
        """Starts a process, at the port that the one before had."""
        started = time.monotonic()
        with open(log, "w") as output:
            self.process = subprocess.Popen(self.command, stdout=output, stderr=output, env=self.environment)
        while not self._ready():
            if self.process.poll() is not None or time.monotonic() > started + 30:
                raise SystemExit(f"the server does not start: see {log}")
            time.sleep(0.002)
        # Seconds from the start of the process to the first "ready".
        self.started_in = time.monotonic() - started

    def _ready(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/graphql"

    def token(self):
        command = [self.program, "token", "--expires-in", "1d"]
        done = subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def ask(self, body, token):
        """The `data` of an answer without errors."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        connection.request("POST", "/graphql", body.encode(), headers)
        text = connection.getresponse().read()
        connection.close()
        answer = json.loads(text)
        if "errors" in answer or "data" not in answer:
            raise SystemExit(f"the server refuses a workload: {text.decode()}")
        return answer["data"]

    def memory(self):
        """Its share of memory in MiB: what is its own, and its part of what is shared."""
        with open(f"/proc/{self.process.pid}/smaps_rollup") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) / 1024
        raise SystemExit("/proc tells nothing of the server's memory")

    def kill(self):
        """Ends it without a word."""
        self.process.kill()
        self.process.wait()

    def close(self):
        self.process.terminate()
        self.process.wait()
