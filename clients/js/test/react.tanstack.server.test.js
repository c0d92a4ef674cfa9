// React components, collections of TanStack DB and queries of TanStack Query against a server with PostgreSQL: through cut connections, a killed
// server, a trimmed log and another viewer.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { createCollection } from "@tanstack/db";
import { QueryClient, QueryObserver } from "@tanstack/query-core";
import { createClient } from "@gom/client";
import { sse } from "@gom/client/sse";
import { gomCollectionOptions } from "@gom/tanstack-db";
import { gomLiveOptions, gomSetOptions } from "@gom/tanstack-query";
import { transformSync } from "esbuild";
import WebSocket from "ws";
import { createElement, gom, mount, unmountAll } from "./react.page.js";
import { CREATE, DELETE, OPEN_EVENTS, OPEN_ORDERS, UPDATE, browser, counting, pause, startOrders, survive } from "./react.orders.js";
import { until } from "./place.js";

const SET = { query: OPEN_ORDERS, subscription: OPEN_EVENTS, key: "uid" };
const LIVE = OPEN_ORDERS.replace("{", "query @live {");

let place;
const ends = [unmountAll];
before(async () => (place = await startOrders()));
after(async () => {
  for (const end of ends) await end();
  await place?.stop();
});

/** A client of the server at `address`; `sockets` has those that are open. */
function open(how = {}, address = place.server.address) {
  const sockets = new Set();
  class Counted extends WebSocket {
    constructor(...all) {
      super(...all);
      sockets.add(this);
      this.on("close", () => sockets.delete(this));
    }
  }
  const client = createClient({ url: `${address}/graphql`, token: () => place.server.token, retryFor: 60_000, random: () => 0, WebSocket: Counted, ...how });
  ends.push(() => client.close());
  return { client, sockets };
}

/** Components with the set, twice, and with the live query; `shown` has what they have returned. */
function showPage(client) {
  const shown = [{ rows: [] }, { rows: [] }, { rows: [] }];
  const List = ({ into }) => {
    const { rows, error } = gom.useSet(SET);
    Object.assign(into, { rows, error });
    return rows.map(({ uid, name }) => createElement("p", { key: uid }, name));
  };
  const Live = ({ into }) => {
    const { data, error } = gom.useLive(LIVE);
    Object.assign(into, { rows: data?.orders ?? [], error });
    return null;
  };
  const elements = (key) => [List, List, Live].map((each, at) => createElement(each, { key: `${key} ${at}`, into: shown[at] }));
  const page = mount(client, elements(1));
  return { ...page, shown, again: () => page.show(elements(2)) };
}

const newId = () => `c${Array.from({ length: 24 }, () => Math.floor(Math.random() * 36).toString(36)).join("")}`;
const order = (uid, name) => ({ uid, name, stage: "OPEN", assignedTo: { extUid: "auth0|demo-paletas" } });

/** A collection, with the names that it has shown of each row. */
function showCollection(client) {
  const collection = createCollection(
    gomCollectionOptions({
      client,
      ...SET,
      insert: { mutation: CREATE, variables: ({ uid, name }) => ({ uid, name }) },
      update: { mutation: UPDATE, variables: ({ uid }, data) => ({ uid, data }) },
      delete: { mutation: DELETE, variables: ({ uid }) => ({ uid }) },
    }),
  );
  ends.push(() => collection.cleanup());
  const shown = new Map();
  const note = (changes) => {
    for (const { type, key, value } of changes) {
      const names = shown.get(key) ?? [];
      if (type !== "delete" && names.at(-1) !== value.name) shown.set(key, [...names, value.name]);
    }
  };
  collection.subscribeChanges(note, { includeInitialState: true });
  // Without the virtual fields of TanStack DB.
  const rows = () => collection.toArray.map(({ uid, name, stage, assignedTo }) => ({ uid, name, stage, assignedTo }));
  return { collection, shown, rows };
}

/** The set and the live query in a cache. */
function showQueries(client) {
  const cache = new QueryClient();
  const observers = [gomSetOptions({ client, queryKey: ["set"], ...SET }), gomLiveOptions({ client, queryKey: ["live"], document: LIVE })].map((options) => new QueryObserver(cache, options));
  const stops = observers.map((each) => each.subscribe(() => undefined));
  ends.push(() => cache.clear());
  const rows = [() => observers[0].getCurrentResult().data ?? [], () => observers[1].getCurrentResult().data?.orders ?? []];
  return { cache, rows, stop: () => stops.forEach((each) => each()) };
}

/** No row has gone back to what it was before a write. */
function neverBack(shown, name) {
  for (const [key, names] of shown) assert.equal(new Set(names).size, names.length, `${name}: ${key} was ${names.join(", ")}`);
}

test("pages, collections and queries equal the viewer's query after all faults, show no write backwards, and leave nothing open", async () => {
  await survive(place, async (address) => {
    const reads = [1, 2, 3, 4].map(() => ({ count: 0 }));
    const [react, query, own, other] = [{}, {}, {}, { transport: sse() }].map((how, at) => open({ fetch: counting(reads[at]), ...how }, address));
    const page = showPage(react.client);
    const queries = showQueries(query.client);
    const [writing, reading] = [own, other].map(({ client }) => showCollection(client));
    await Promise.all([writing, reading].map(({ collection }) => collection.preload()));
    const lists = {
      "the first component": () => page.shown[0].rows,
      "the second component": () => page.shown[1].rows,
      "the live component": () => page.shown[2].rows,
      "the set's query": queries.rows[0],
      "the live query's query": queries.rows[1],
      "the writer's collection": writing.rows,
      "the other collection": reading.rows,
    };
    await until(() => Object.values(lists).every((rows) => rows().length > 0), () => JSON.stringify(Object.entries(lists).map(([name, rows]) => [name, rows().length])));
    const { collection } = writing;
    return {
      reads,
      writer: {
        async create(name) {
          const uid = newId();
          await collection.insert(order(uid, name)).isPersisted.promise;
          return uid;
        },
        // Orders that are not open are not in the collection.
        update: (uid, data) => (collection.has(uid) ? collection.update(uid, (draft) => void Object.assign(draft, data)).isPersisted.promise : place.direct.mutate(UPDATE, { uid, data })),
        remove: (uid) => (collection.has(uid) ? collection.delete(uid).isPersisted.promise : place.direct.mutate(DELETE, { uid })),
      },
      async check(seed) {
        for (const [name, rows] of Object.entries(lists)) await place.equals(rows, `${name} (SEED=${seed})`);
        const names = page.shown[0].rows.map(({ name }) => name).join("");
        await until(() => page.text() === names + names, page.text);
        neverBack(writing.shown, `SEED=${seed}`);
        neverBack(reading.shown, `SEED=${seed}`);
      },
      async close() {
        page.unmount();
        queries.stop();
        for (const each of [writing, reading]) await each.collection.cleanup();
        await until(() => react.sockets.size + query.sockets.size + own.sockets.size === 0, () => "a socket stays open");
      },
    };
  });
});

test("writes of a collection that overlap end with the last one, and none is shown backwards", async () => {
  const { collection, rows, shown } = showCollection(open().client);
  await collection.preload();
  const uid = newId();
  const writes = [collection.insert(order(uid, "0"))];
  for (let write = 1; write <= 10; write += 1) {
    writes.push(collection.update(uid, (draft) => void (draft.name = String(write))));
    await pause(3);
  }
  await Promise.all(writes.map(({ isPersisted }) => isPersisted.promise));
  assert.deepEqual(shown.get(uid), Array.from({ length: 11 }, (_, at) => String(at)));
  await place.equals(rows, "the collection");
  await collection.update(uid, (draft) => void (draft.stage = "WON")).isPersisted.promise;
  assert.equal(collection.has(uid), false);
  await place.equals(rows, "the collection without the order");
  await collection.cleanup();
});

test("a log-out in another tab empties pages, collections and queries, and after a log-in they are there again", async () => {
  const { server } = place;
  const cookies = { token: undefined, ...browser(WebSocket, server.address) };
  const logIn = { grantType: "password", username: "paletas@demo.gom", password: server.password };
  const [tab, other] = [open(cookies).client, open(cookies).client];
  await tab.session.logIn(logIn);
  const page = showPage(other);
  const { collection, rows } = showCollection(other);
  const queries = showQueries(other);
  const lists = () => [...page.shown.map((each) => each.rows), rows(), ...queries.rows.map((each) => each())];
  await collection.preload();
  await until(() => lists().every(({ length }) => length > 0), () => JSON.stringify(lists()));
  await tab.session.logOut();
  await until(() => collection.status === "error" && page.shown.every(({ error }) => error));
  await until(() => lists().every(({ length }) => length === 0), () => JSON.stringify(lists()));
  assert.deepEqual([page.text(), page.shown[0].error.code, collection.utils.error().code], ["", "UNAUTHENTICATED", "UNAUTHENTICATED"]);
  await other.session.logIn(logIn);
  page.again();
  collection.utils.refresh();
  await queries.cache.refetchQueries();
  await until(() => lists().every(({ length }) => length > 0), () => JSON.stringify(lists()));
  for (const at of lists().keys()) await place.equals(() => lists()[at], `list ${at} after the log-in`);
  page.unmount();
  queries.stop();
  await collection.cleanup();
});

/** The first block of a section of a page of docs/clients. */
const documented = (page, pattern) => readFileSync(new URL(`../../../docs/clients/${page}.md`, import.meta.url), "utf8").match(pattern)[1];
/** Runs `task` with a module of `program`. */
async function asModule(name, program, task) {
  const path = new URL(`documented.${name}.mjs`, import.meta.url).pathname;
  writeFileSync(path, program);
  try {
    await task(path);
  } finally {
    rmSync(path, { force: true });
  }
}

test("the component of docs/clients/react.md shows the open orders, and one less after a click", async () => {
  const program = transformSync(documented("react", /, `orders\.tsx`:\n\n```tsx\n(.*?)```/s), { loader: "tsx", jsx: "automatic", format: "esm" }).code;
  await asModule("react", program, async (path) => {
    const { Orders } = await import(path);
    const { data } = await place.direct.query("{ orders(where: { stage: OPEN }) { name } }");
    const page = mount(open().client, createElement(Orders));
    const items = () => [...page.element.querySelectorAll("li")];
    await until(() => items().length === data.orders.length, page.text);
    const names = data.orders.map(({ name }) => name).sort((left, right) => left.localeCompare(right));
    assert.deepEqual(items().map(({ textContent }) => textContent), names.map((name) => `${name} won`));
    items()[0].querySelector("button").click();
    await until(() => items().length === data.orders.length - 1, page.text);
    page.unmount();
  });
});

for (const [name, lines] of [
  ["tanstack-db", ["one order less is shown at once", "the server has it"]],
  ["tanstack-query", ["one order less is open"]],
]) {
  test(`the program of docs/clients/${name}.md does what its page says`, async () => {
    await asModule(name, documented(name, /## Keep a \w+\n\n```js\n(.*?)```/s), async (path) => {
      const env = { ...process.env, GOM_URL: `${place.server.address}/graphql`, GOM_TOKEN: place.server.token };
      const { stdout } = await promisify(execFile)(process.execPath, [path], { env, timeout: 20_000 });
      assert.deepEqual(stdout.trim().split("\n"), lines);
    });
  });
}
