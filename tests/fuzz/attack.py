"""Attacks a server of its own by its descriptions: `attack.py PROGRAM FOLDER [--seconds N] [--seed N]`.

PROGRAM is the built server; it gets a private database with the demo shop in FOLDER, which must be empty. Each attack lasts
N seconds. Ends with 1 if an answer was not as described, or the server complained about itself.
"""
import argparse
import http.cookies
import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

from openapi_spec_validator import validate

# Answers that would hide what the attack looks for.
GENEROUS = {
    "login_limiter.consecutive_fails.points": 1_000_000_000,
    "login_limiter.slow_brute.points": 1_000_000_000,
    "sockets.per_user": 100_000,
    "push.devices_per_user": 1_000,
    # How many operations a list may have, is a setting, and so stands in no schema.
    "limits.batch": 1_000,
    # As short as it may be for what is slow by nature, so that it is seen.
    "limits.deadline": 20_000,
    "limits.service.deadline": 20_000,
}
# One by one, so that nothing new is missed: what is left out, is left out for a reason that stands here.
CHECKS = [
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "negative_data_rejection", "positive_data_acceptance", "missing_required_header",
    "unsupported_method", "allow_header_conformance", "use_after_free", "ensure_resource_availability", "ignored_auth",
]


# Its other checks take every error of GraphQL for a fault of the server; `sound_answer` is ours.
GRAPHQL_CHECKS = ["--checks", "response_schema_conformance,negative_data_rejection,sound_answer"]
# Good by the schema, and refused for what no schema can express: a code is nobody's, a key is no point on the curve.
ACCEPTANCE = {
    "customerOfCode": ["2xx", 400],
    "subscribeDevice": ["2xx", 400, 403],
    "unsubscribeDevice": ["2xx", 400],
}


class Server:
    """A running server; its log is kept, to be looked at in the end."""

    def __init__(self, program, folder):
        self.log = folder / "server.log"
        keys = {f"GOM__{key.upper().replace('.', '__')}": str(value) for key, value in GENEROUS.items()}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [program, "serve", "--port", "0"], cwd=folder, env={**os.environ, **keys, "GOM__LOG__FORMAT": "json"},
                stdout=subprocess.PIPE, stderr=log, text=True,
            )
        self.url = self.password = self.token = None
        for line in self.process.stdout:
            if found := re.search(r"(http://\S+)/graphql", line):
                self.url = found[1]
            if found := re.search(r"Demo sellers: (\S+?),.*; password: (\S+)", line):
                self.seller, self.password = found.groups()
            if re.fullmatch(r"ey[\w.-]+\n", line):
                self.token = line.strip()
            if self.url and self.password and self.token:
                threading.Thread(target=self.process.stdout.read, daemon=True).start()
                return
        sys.exit("the server ended before it was ready")

    def session(self):
        """What a browser has in which the seller is logged in: by security scheme, and by cookie."""
        cookies = http.cookies.SimpleCookie()

        def call(path, body=None, **headers):
            headers["Cookie"] = "; ".join(f"{name}={morsel.coded_value}" for name, morsel in cookies.items())
            request = urllib.request.Request(self.url + path, body and json.dumps(body).encode(), headers)
            with urllib.request.urlopen(request) as answer:
                for line in answer.headers.get_all("Set-Cookie") or []:
                    cookies.load(line)

        call("/auth/ping")
        body = {"grantType": "password", "username": self.seller, "password": self.password}
        call("/auth/login", body, **{"Content-Type": "application/json", "X-Csrf-Token": cookies["csrf-token"].value})
        values = {name: morsel.coded_value for name, morsel in cookies.items()}
        schemes = {"session": "session-id", "sessionToken": "session-token", "csrf": "csrf-token"}
        return {scheme: values[name] for scheme, name in schemes.items()}, values

    def faults(self):
        """Lines of the log that the server wrote for faults of its own."""
        lines = self.log.read_text().splitlines()
        return [line for line in lines if '"level":"ERROR"' in line or ('"level":"WARN"' in line and "gom::access" in line) or "panicked" in line]

    def stop(self):
        self.process.terminate()
        return self.process.wait(30)


def configured(path, auth, hooks=None):
    """schemathesis' settings for one viewer. `auth`: what stands in for each of the description's security schemes."""
    lines = [f'hooks = "{hooks}"'] if hooks else []
    lines += ["[auth.openapi]", *(f"{name} = {value}" for name, value in auth.items())] if auth else []
    # What is too large is refused for that.
    lines += ["[checks]", 'negative_data_rejection.expected-statuses = ["4xx"]']
    for operation, statuses in ACCEPTANCE.items():
        lines += ["[[operations]]", f'include-operation-id = "{operation}"', f"checks.positive_data_acceptance.expected-statuses = {statuses}"]
    path.write_text("\n".join(lines))
    return path


def attack(name, location, url, configuration, seconds, seed, *more):
    """Whether schemathesis found nothing."""
    command = [Path(sys.executable).with_name("schemathesis"), "--config-file", configuration, "run", location, "--url", url]
    # One worker: with more, hypothesis trips over itself.
    command += ["--max-time", str(seconds), "--workers", "1", "--no-color", "--continue-on-failure", "--generation-database", "none"]
    command += ["--suppress-health-check", "all", "--request-timeout", "30", "--warnings", "off", *more]
    if seed is not None:
        command += ["--seed", str(seed)]
    print(f"\n== {name}", flush=True)
    begun = time.monotonic()
    running = subprocess.Popen(command, cwd=configuration.parent, stdout=subprocess.PIPE, text=True)
    cases = 0
    for line in running.stdout:
        print(line, end="", flush=True)
        if found := re.match(r" *(\d+) generated", line):
            cases = int(found[1])
    # An attack that came to nothing proves nothing.
    good = running.wait() == 0 and cases > 0
    print(f"{name}: {cases} cases, {'nothing found' if good else 'FAILED'}, {time.monotonic() - begun:.0f} s", flush=True)
    return good


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--only", help="part of the attacks' names")
    asked = parser.parse_args()
    server = Server(asked.program, asked.folder)
    try:
        with urllib.request.urlopen(server.url + "/openapi.json") as answer:
            validate(json.load(answer))
        print("openapi.json: valid OpenAPI 3.1")
        rest, graphql, ledger = server.url + "/openapi.json", server.url + "/graphql", server.url + "/webpush/graphql"
        folder, checks = asked.folder.resolve(), ["--checks", ",".join(CHECKS)]
        soundness = Path(__file__).with_name("soundness.py").resolve()
        session, cookies = server.session()
        bearer = ["--header", f"Authorization: Bearer {server.token}"]
        cookie = ["--header", f"Cookie: {'; '.join(f'{name}={value}' for name, value in cookies.items())}", "--header", f"X-Csrf-Token: {cookies['csrf-token']}"]
        plain = configured(folder / "nobody.toml", {})
        sound = configured(folder / "graphql.toml", {}, soundness)
        by_key = {scheme: f'{{ api_key = "{value}" }}' for scheme, value in session.items()}
        seller = configured(folder / "seller.toml", by_key)
        service = configured(folder / "service.toml", {"bearer": f'{{ bearer = "{server.token}" }}'})
        # A session that is closed would reveal nothing more, and one that is open needs no login.
        stay = [part for operation in ("logOut", "logOutByGet", "logIn") for part in ("--exclude-operation-id", operation)]
        attacks = [
            ("REST, nobody", rest, plain, checks),
            ("REST, a seller", rest, seller, [*checks, *stay]),
            ("REST, a service", rest, service, checks),
            ("GraphQL, a seller", graphql, sound, [*GRAPHQL_CHECKS, *cookie]),
            ("GraphQL, a service", graphql, sound, [*GRAPHQL_CHECKS, *bearer]),
            ("GraphQL, the ledger for a service", ledger, sound, [*GRAPHQL_CHECKS, *bearer]),
        ]
        good = []
        for name, location, configuration, more in attacks:
            if asked.only is None or asked.only in name:
                url = server.url if location == rest else location
                good.append(attack(name, location, url, configuration, asked.seconds, asked.seed, *more))
        faults = server.faults()
        for line in faults[:20]:
            print("the server's log:", line)
        print(f"the server's log: {len(faults)} faults")
    finally:
        code = server.stop()
    print(f"the server ended with {code}")
    sys.exit(0 if good and all(good) and not faults and code == 0 else 1)


main()
