// Random writes of two viewers through a server that is late, loses answers, breaks sockets and forgets positions. SEED repeats a run, ROUNDS makes it longer.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createCollection } from "@tanstack/db";
import { QueryClient, QueryObserver } from "@tanstack/query-core";
import { createClient } from "@gom/client";
import { gomCollectionOptions } from "@gom/tanstack-db";
import { gomSetOptions } from "@gom/tanstack-query";
import { dice, until } from "./place.js";
import { url } from "./scripts.js";
import { simulate } from "./simulated.js";

const SET = { query: "{ rows { id name list } }", subscription: "subscription { row { mutation node { id name list } previousValues { id } } }" };
const sorted = (rows) => JSON.stringify(rows.map(({ id, name, list }) => ({ id, name, list })).sort((left, right) => (left.id < right.id ? -1 : 1)));

/** One schedule; `log` names what was done, for the report of a failure. */
async function play(seed) {
  const random = dice(seed);
  const server = simulate(random);
  const options = { url, WebSocket: server.Socket, fetch: server.fetch, token: () => "t", random: () => 0, retryFor: 60_000 };
  const client = createClient(options);
  const collection = createCollection(
    gomCollectionOptions({
      client,
      ...SET,
      insert: { mutation: "mutation insert { row { id name list } }", variables: (row) => row },
      update: { mutation: "mutation update { row { id name list } }", variables: ({ id }, changes) => ({ id, ...changes }) },
      delete: { mutation: "mutation remove { row { id } }", variables: ({ id }) => ({ id }) },
    }),
  );
  const cache = new QueryClient();
  const query = new QueryObserver(cache, gomSetOptions({ client: createClient(options), queryKey: ["rows"], ...SET }));
  const stop = query.subscribe(() => undefined);
  /** What each row of the collection's own has been, `-` if it was not there, and what it was meant to be. */
  const shown = new Map();
  const meant = new Map();
  collection.subscribeChanges((changes) => {
    for (const { type, key, value } of changes) {
      const name = type === "delete" ? "-" : value.name;
      const names = shown.get(key) ?? [];
      if (names.at(-1) !== name) shown.set(key, [...names, name]);
    }
  }, { includeInitialState: true });
  await collection.preload();

  const own = new Set();
  const writes = [];
  /** A new name, or the one before, to which the row is set back once. */
  const another = (id, step) => {
    const names = meant.get(id) ?? [];
    const before = names.at(-2);
    return before && random() < 0.5 && names.filter((name) => name === before).length === 1 ? before : `n${step}`;
  };
  for (let step = 0; step < 40; step += 1) {
    if (random() < 0.03) server.forget();
    const ids = [...own].filter((id) => collection.has(id));
    const id = ids[Math.floor(random() * ids.length)];
    const choice = random();
    if (!id || choice < 0.25) {
      const made = `o${step}`;
      own.add(made);
      const name = another(made, step);
      meant.set(made, [name]);
      writes.push(collection.insert({ id: made, name, list: "a" }));
    } else if (choice < 0.65) {
      const name = another(id, step);
      meant.get(id).push(name);
      writes.push(collection.update(id, (row) => void (row.name = name)));
    } else if (choice < 0.8) {
      own.delete(id);
      if (choice < 0.72) {
        writes.push(collection.delete(id));
      } else {
        const name = another(id, step);
        meant.get(id).push(name);
        writes.push(collection.update(id, (row) => void Object.assign(row, { name, list: "none" })));
      }
      meant.get(id).push("-");
    } else {
      // Another viewer's rows come, change, leave and return.
      server.write({ query: random() < 0.2 ? "remove" : "set", variables: { id: `x${Math.floor(random() * 4)}`, name: `x${step}`, list: random() < 0.7 ? "a" : "none" } }, `x${step}`);
    }
    if (random() < 0.6) await new Promise((done) => setTimeout(done, random() * 25));
  }
  server.calm();
  await Promise.all(writes.map(({ isPersisted }) => isPersisted.promise));
  const report = () => `SEED=${seed}: ${sorted(collection.toArray)}, ${sorted(query.getCurrentResult().data ?? [])}, the server has ${sorted(server.list())}`;
  await until(() => [collection.toArray, query.getCurrentResult().data ?? []].every((rows) => sorted(rows) === sorted(server.list())), report);
  for (const [id, names] of meant) {
    let at = -1;
    for (const name of shown.get(id)) {
      const next = names.indexOf(name, at + 1);
      assert.ok(next > at, `SEED=${seed}: ${id} was meant to be ${names.join(" ")} and was ${shown.get(id).join(" ")}`);
      at = next;
    }
  }
  stop();
  await collection.cleanup();
  await until(() => server.sockets.size === 0, () => `SEED=${seed}: ${server.sockets.size} sockets stay open`);
}

test("collections and queries equal the server's rows in the end, and the collection shows no write backwards", { timeout: 600_000 }, async () => {
  const first = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 32));
  const rounds = process.env.SEED ? 1 : Number(process.env.ROUNDS ?? 8);
  console.log(`SEED=${first} and the ${rounds - 1} that follow`);
  await Promise.all(Array.from({ length: rounds }, (_, round) => play(first + round)));
});
