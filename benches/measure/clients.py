"""Clients in a process of their own, which obey lines and answer with lines."""

import subprocess
import time

from . import processor_time


class Clients:
    def __init__(self, program, port, token):
        command = [program, f"127.0.0.1:{port}", token]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tell(self, *words):
        self.process.stdin.write("\t".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def hear(self):
        line = self.process.stdout.readline().strip()
        if not line:
            raise SystemExit("the clients have ended")
        return line

    def ask(self, *words):
        self.tell(*words)
        return self.hear()

    def numbers(self, *words):
        """The same, of an answer in numbers."""
        return [float(word) for word in self.ask(*words).split()]

    def close(self):
        self.process.kill()
        self.process.wait()


def costs(server, postgres):
    """Processor seconds so far, of the server and of all of PostgreSQL's processes."""
    return [processor_time.of_process(server.process.pid), processor_time.of_family(postgres.process.pid)]


class Meter:
    """Processor time of both beyond what they take when nothing changes: pings and polls of the log."""

    def __init__(self, server, postgres, seconds=3):
        self.server, self.postgres = server, postgres
        earlier = costs(server, postgres)
        time.sleep(seconds)
        self.idle = [(now - then) / seconds for then, now in zip(earlier, costs(server, postgres))]
        self.start()

    def start(self):
        self.earlier, self.began = costs(self.server, self.postgres), time.monotonic()

    def stop(self):
        """Seconds since the start, and the processor seconds of each beyond the idle ones."""
        span = time.monotonic() - self.began
        now = costs(self.server, self.postgres)
        return span, [after - before - still * span for before, after, still in zip(self.earlier, now, self.idle)]
