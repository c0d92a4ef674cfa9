"""The workloads: for each an operation with variables and the statement that it is held against. Both have
places, `@name@`, for values drawn for each request."""

import json
import os
import random
import re

FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "workloads")
NAMES = ["q1", "q2", "q3", "m1", "m2"]

# Numbers as the data set has them: how many there are, and the digits of their ids.
NUMBERS = {"order": (200_000, 18), "customer": (20_000, 18), "seller": (100, 4)}
WORDS = {"term": ["arí", "is", "na", "el"], "stage": ["OPEN", "IN_PROCESS", "WON", "CLOSED"]}

# Different requests that the server is sent, in turn.
BODIES = 100_000
PLACE = re.compile(r"@(\w+)@")


class Workload:
    def __init__(self, name):
        self.name = name
        read = lambda file: open(os.path.join(FOLDER, name, file), encoding="utf-8").read()
        self.operation = read("operation.graphql")
        self.variables = json.dumps(json.loads(read("variables.json")), ensure_ascii=False)
        self.statement = read("statement.sql")

    def writes(self):
        return self.name.startswith("m")

    def draw(self):
        """A value for each place."""
        drawn = {name: random.randint(1, most) for name, (most, _) in NUMBERS.items()}
        return drawn | {name: random.choice(words) for name, words in WORDS.items()}

    def body(self, drawn):
        """A request with these values, on one line."""

        def value(place):
            name = place[1]
            return str(drawn[name]).zfill(NUMBERS[name][1]) if name in NUMBERS else drawn[name]

        variables = PLACE.sub(value, self.variables)
        query = json.dumps(self.operation, ensure_ascii=False)
        return f'{{"query":{query},"variables":{variables}}}'

    def sql(self, drawn):
        """The statement with these values."""

        def value(place):
            name = place[1]
            digits = NUMBERS.get(name, (0, 0))[1]
            return f"lpad({drawn[name]}::text, {digits}, '0')" if digits else drawn[name]

        return PLACE.sub(value, self.statement)

    def scripts(self):
        """For pgbench: numbers are its variables, and go as parameters; for each word there is a script."""
        words = [name for name in WORDS if f"@{name}@" in self.statement]
        numbers = [name for name in NUMBERS if f"@{name}@" in self.statement]
        chosen = [{name: word} for name in words for word in WORDS[name]] or [{}]
        sets = "".join(f"\\set {name} random(1, {NUMBERS[name][0]})\n" for name in numbers)
        return [sets + self.sql({name: f":{name}" for name in NUMBERS} | words) for words in chosen]

    def write_bodies(self, path):
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(self.body(self.draw()) + "\n" for _ in range(BODIES))


def masked(value):
    """Without what two writes cannot have in common: the ids that they make, and the time."""
    if isinstance(value, list):
        return [masked(item) for item in value]
    if not isinstance(value, dict):
        return value
    hidden = {"createdAt", "updatedAt"}
    if not str(value.get("uid", "cscale")).startswith("cscale"):
        hidden = hidden | {"uid"}
    return {key: "…" if key in hidden else masked(item) for key, item in value.items()}


def check(workload, server, token, postgres, samples=10):
    """Both sides answer alike: same keys in the same order, same values."""
    for _ in range(samples):
        drawn = workload.draw()
        [ours] = server.ask(workload.body(drawn), token).values()
        theirs = json.loads(postgres.sql(workload.sql(drawn)))
        if workload.writes():
            ours, theirs = masked(ours), masked(theirs)
        if json.dumps(ours) != json.dumps(theirs):
            raise SystemExit(f"{workload.name} of {drawn}:\n{json.dumps(ours)}\n{json.dumps(theirs)}")
