"""A PostgreSQL of our own: a new cluster in a folder of its own, reached by a socket in it."""

import glob
import os
import pwd
import shutil
import subprocess
import tempfile
import time

DATABASE = "gom"
SCHEMA = "default$default"

# What both sides are measured on. Data stay in memory and flushing is on; nothing of the background falls into
# one side's window and not into the other's.
SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
    "fsync": "on",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "random_page_cost": "1.1",
    "timezone": "UTC",
}


def programs():
    """The folder of PostgreSQL's programs, the newest version's."""
    if "GOM_POSTGRES_BIN" in os.environ:
        return os.environ["GOM_POSTGRES_BIN"]
    found = sorted(
        glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda path: float(path.split("/")[4])
    )
    found = found[-1] if found else shutil.which("initdb")
    if not found:
        raise SystemExit("PostgreSQL's programs were not found: name their folder in GOM_POSTGRES_BIN")
    return os.path.dirname(os.path.realpath(found))


class Postgres:
    def __init__(self, settings=None):
        self.bin = programs()
        self.folder = tempfile.mkdtemp(prefix="gom-bench-")
        # PostgreSQL refuses to run as root.
        self.user = None
        if os.geteuid() == 0:
            self.user = "postgres"
            account = pwd.getpwnam(self.user)
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        self.data = os.path.join(self.folder, "data")
        self._run("initdb", "-D", self.data, "-U", "gom", "-A", "trust", "--locale=C.UTF-8", "-E", "UTF8")
        arguments = [os.path.join(self.bin, "postgres"), "-D", self.data]
        for name, value in {**SETTINGS, **(settings or {}), "unix_socket_directories": self.folder}.items():
            arguments += ["-c", f"{name}={value}"]
        self.log = open(os.path.join(self.folder, "log"), "w")
        self.process = subprocess.Popen(arguments, stderr=self.log, user=self.user, group=self.user)
        self._wait()
        self._run("createdb", "-h", self.folder, "-U", "gom", DATABASE)
        self.url = f"postgresql://gom@{self.folder.replace('/', '%2F')}/{DATABASE}"
        self.environment = {
            **os.environ,
            "PGHOST": self.folder,
            "PGUSER": "gom",
            "PGDATABASE": DATABASE,
            "PGOPTIONS": f"-c search_path={SCHEMA}",
        }

    def _run(self, program, *arguments):
        command = [os.path.join(self.bin, program), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, user=self.user, group=self.user)

    def _wait(self):
        deadline = time.monotonic() + 30
        ready = [os.path.join(self.bin, "pg_isready"), "-q", "-h", self.folder]
        while subprocess.run(ready).returncode != 0:
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise SystemExit(f"PostgreSQL does not start: see {self.log.name}")
            time.sleep(0.05)

    def sql(self, text):
        """Runs statements; gives what they print."""
        command = [os.path.join(self.bin, "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1"]
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, check=False, env=self.environment
        )
        if done.returncode != 0:
            raise SystemExit(f"{done.stderr}\n{text}")
        return done.stdout.strip()

    def tidy(self):
        """Leaves no work of earlier writes to the next measurement: the data set's rows cause no events."""
        self.sql("truncate gom.change; vacuum analyze; checkpoint;")

    def version(self):
        return self.sql("show server_version").split(" ")[0]

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)
