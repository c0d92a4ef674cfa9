"""Runs the client's documents with all their variables against a server of its own: `operations.py FILE`.

The database is at ADMIN_URL, the server's program is GOM_PROGRAM. First the rows are made to which the
variables refer; then each operation must be answered without errors and with every key that it selects.
"""
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request

SELLER = "auth0|5d7109da452e7b0c97ed00a6"
SECRET = "for-the-client-operations-only-and-nothing-else"
# Deletions come last: other operations need the rows.
LAST = ("DeleteOrderItem", "DeleteBp")


def main(path):
    documents = json.load(open(path, encoding="utf-8"))
    program = os.environ["GOM_PROGRAM"]
    environment = {**os.environ, "PRISMA_SECRET": SECRET}
    token = subprocess.run([program, "token"], env=environment, check=True, capture_output=True, text=True).stdout.strip()
    command = [program, "serve", "--deploy", "--port", "0", "--database-url", os.environ["ADMIN_URL"]]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        url = address(server)
        client = Client(url, token)
        client.ready()
        fill(client, documents)
        run(client, documents)
    finally:
        server.terminate()
        server.wait(20)


def address(server):
    for line in server.stdout:
        if found := re.search(r"http://\S+/graphql", line):
            return found.group()
    sys.exit("the server ended before it listened")


class Client:
    def __init__(self, url, token):
        self.url, self.token = url, token

    def post(self, query, variables=None):
        body = json.dumps({"operationName": None, "variables": variables or {}, "query": query}).encode()
        headers = {"Content-Type": "application/json", "Accept": "*/*, application/json", "Authorization": f"Bearer {self.token}"}
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url, body, headers), timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)

    def ready(self):
        end = time.monotonic() + 30
        while time.monotonic() < end:
            if "errors" not in self.post("{ bps(first: 0) { uid } }"):
                return
            time.sleep(0.1)
        sys.exit("the server did not become ready")


def values(tree, key):
    """All values under a key, anywhere."""
    if isinstance(tree, dict):
        for k, v in tree.items():
            if k == key:
                yield v
            yield from values(v, key)
    elif isinstance(tree, list):
        for v in tree:
            yield from values(v, key)


def uids(documents, *names):
    found = [v["where"]["uid"] for name in names for v in documents[name]["variables"]]
    return list(dict.fromkeys(found))


def must(client, query, variables):
    answer = client.post(query, variables)
    if "errors" in answer:
        sys.exit(f"the rows cannot be made: {answer['errors']}")


def fill(client, documents):
    """The seller, and every customer, order, item, price and promotion that the variables name."""
    must(client, "mutation($d: UserCreateInput!) { createUser(data: $d) { uid } }", {"d": {"extUid": SELLER, "business": "Paletas"}})
    mine = {"connect": {"extUid": SELLER}}
    customers = uids(documents, "ReadBP", "updateBp", "DeleteBp")
    for number, uid in enumerate(customers):
        data = {"uid": uid, "extUid": f"customer{number:02}", "name1": "Luz", "customerOf": mine}
        must(client, "mutation($d: BpCreateInput!) { createBp(data: $d) { uid } }", {"d": data})
    keeper = next(v for v in values(documents["CreateOrder"], "issuedTo"))["connect"]
    item = next(values(documents["UpdateOrderItem"]["variables"], "items"))["update"]
    price = item["data"]["pricing"]["update"]["where"]["uid"]
    orders = uids(documents, "UpdateOrder", "ReadOrder")
    for number, uid in enumerate(orders):
        pricing = {"create": [{"uid": price, "amount": 1.5, "currency": "MXN"}]}
        items = {"create": [{"uid": item["where"]["uid"], "quantity": 1, "pricing": pricing}]} if number == 0 else None
        data = {"uid": uid, "name": "Pedido", "assignedTo": mine, "issuedTo": {"connect": keeper}}
        must(client, "mutation($d: OrderCreateInput!) { createOrder(data: $d) { uid } }", {"d": {**data, **({"items": items} if items else {})}})
    promotions = uids(documents, "ReadPromotion", "UpdatePromotion")
    promotions += [v["promotion"]["connect"]["uid"] for v in values(documents["CreatePublication"], "data")]
    for uid in dict.fromkeys(promotions):
        data = {"uid": uid, "code": "P1", "name": "Verano", "end": "2027-01-01T00:00:00.000Z", "assignedTo": mine}
        must(client, "mutation($d: PromotionCreateInput!) { createPromotion(data: $d) { uid } }", {"d": data})


def lacking(query, data):
    """Top-level keys of the document that the answer lacks or leaves null."""
    keys = re.findall(r"^  (\w+)(?::|\(| \{)", query, re.MULTILINE)
    return [key for key in keys if (data or {}).get(key) is None]


def run(client, documents):
    names = sorted(documents, key=lambda n: LAST.index(n) if n in LAST else -1)
    failed = ran = 0
    for name in names:
        query = documents[name]["query"]
        for variables in documents[name]["variables"]:
            answer = client.post(query, variables)
            problem = answer.get("errors") or lacking(query, answer.get("data"))
            if query.lstrip().startswith("subscription"):
                # It validates: the only complaint is about the transport.
                message = (answer.get("errors") or [{}])[0].get("message", "")
                problem = None if message.startswith("A subscription needs") else answer
            ran += 1
            if problem:
                failed += 1
                print(f"FAIL {name}: {problem}")
    operations = sum(1 for d in documents.values() if not d["query"].lstrip().startswith("subscription"))
    print(f"{operations} operations and the subscription, with {ran} sets of variables: {failed} failed")
    sys.exit(1 if failed else 0)


main(sys.argv[1])
