// The module of docs/clients/graphql-ws.md with npm's graphql-ws and graphql-sse, through cut connections, a killed server and a trimmed log.
import assert from "node:assert/strict";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { createClient as createSseClient } from "graphql-sse";
import { createClient as createWsClient } from "graphql-ws";
import { createClient } from "@gom/client";
import { sse as sseTransport } from "@gom/client/sse";
import WebSocket from "ws";
import { browser } from "./browser.js";
import { OPEN_EVENTS, OPEN_ORDERS, directly, limits, openOrders, plain, writeThroughFaults, written } from "./orders.js";
import { dice, startProxy, startServer, until } from "./place.js";

let server;
let direct;
let keep;
const path = new URL("documented.graphql-ws.mjs", import.meta.url).pathname;
before(async () => {
  const page = readFileSync(new URL("../../../docs/clients/graphql-ws.md", import.meta.url), "utf8");
  writeFileSync(path, [...page.matchAll(/```js\n(\/\*\*.*?)```/gs)].map(([, code]) => code).join("\n"));
  ({ keep } = await import(path));
  server = await startServer();
  direct = directly(server);
});
after(() => {
  rmSync(path, { force: true });
  return server?.stop();
});

test("two lists equal the query, and no write is lost or doubled", async () => {
  const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 32));
  console.log(`SEED=${seed}`);
  const random = dice(seed);
  const proxy = await startProxy(server.port, limits(random));
  const wait = () => new Promise((done) => setTimeout(done, 50 + Math.random() * 100));
  const ws = createWsClient({
    url: `${proxy.address.replace("http", "ws")}/graphql`,
    webSocketImpl: WebSocket,
    connectionParams: () => ({ Authorization: `Bearer ${server.token}` }),
    retryAttempts: Infinity,
    retryWait: wait,
    shouldRetry: (event) => event?.code !== 4403,
    // By default a moment without any subscription ends an attempt to connect with 1000, "All Subscriptions Gone", which fails a test.
    lazy: false,
  });
  const sse = createSseClient({ url: `${proxy.address}/graphql`, headers: () => ({ Authorization: `Bearer ${server.token}` }), retryAttempts: Infinity, retry: wait });
  const lists = [ws, sse].map((client) => {
    const list = { failures: [] };
    list.stop = keep(client, { query: OPEN_ORDERS, subscription: OPEN_EVENTS, key: "uid", show: (rows) => (list.shown = plain([...rows.values()])), failed: (error) => list.failures.push(error) });
    return list;
  });
  await until(() => lists.every(({ shown }) => shown));
  let keys = 0;
  const write = (query, variables) =>
    new Promise((resolve, reject) => {
      let result;
      const next = ({ data, errors }) => (errors ? reject(new Error(JSON.stringify(errors))) : (result = data));
      ws.subscribe({ query, variables, extensions: { idempotencyKey: `${seed}-${(keys += 1)}` } }, { next, error: reject, complete: () => resolve(result) });
    });
  const rows = await writeThroughFaults({ server, proxy, direct, write, random, count: Number(process.env.WRITES ?? 9) });
  for (const [index, list] of lists.entries()) {
    await until(
      async () => {
        assert.deepEqual(list.failures, [], `SEED=${seed}`);
        return JSON.stringify(list.shown) === JSON.stringify(await openOrders(direct));
      },
      async () => `list ${index} shows ${JSON.stringify(list.shown)}, the query has ${JSON.stringify(await openOrders(direct))} (SEED=${seed})`,
    );
  }
  assert.deepEqual(await written(direct), new Map([...rows].sort()), `SEED=${seed}`);
  assert.ok(proxy.cuts > 0);
  for (const { stop } of lists) stop();
  await ws.dispose();
  sse.dispose();
  proxy.stop();
});

test("the end of a session takes the rows, over a websocket and over event streams", async () => {
  const page = readFileSync(new URL("../../../docs/clients/graphql-ws.md", import.meta.url), "utf8");
  const shouldRetry = eval(page.match(/shouldRetry: (.*),\n/)[1]);
  const refusals = new Function("wait", `${page.match(/(function refusals.*?\n\})\n/s)[1]}; return refusals;`)(() => new Promise((done) => setTimeout(done, 50)));
  const own = browser();
  const session = createClient({ url: `${server.address}/graphql`, fetch: own.fetch, csrfToken: own.csrfToken, transport: sseTransport() });
  await session.session.logIn({ grantType: "password", username: "paletas@demo.gom", password: server.password });
  const cookie = own.cookies();
  const csrf = own.csrfToken();
  const Socket = class extends WebSocket {
    constructor(url, protocol) {
      super(url, protocol, { headers: { cookie, origin: server.address } });
    }
  };
  const ws = createWsClient({ url: `${server.address.replace("http", "ws")}/graphql`, webSocketImpl: Socket, retryAttempts: Infinity, retryWait: () => new Promise((done) => setTimeout(done, 50)), shouldRetry });
  const events = createSseClient({ url: `${server.address}/graphql`, headers: { cookie, "x-csrf-token": csrf, origin: server.address }, retryAttempts: Infinity, ...refusals() });
  const lists = [ws, events].map((client) => {
    const list = { failures: [] };
    list.stop = keep(client, { query: "{ orders { uid } }", subscription: "subscription { order { mutation node { uid } previousValues { uid } } }", key: "uid", show: (rows) => (list.shown = rows.size), failed: (error) => list.failures.push(error) });
    return list;
  });
  const state = () => JSON.stringify(lists.map(({ shown, failures }) => [shown, failures.map((error) => error?.code ?? error?.message ?? error)]));
  await until(() => lists.every(({ shown }) => shown > 0), state, 10_000);
  await session.session.logOut();
  await until(() => lists.every(({ shown, failures }) => shown === 0 && failures.length === 1), state, 10_000);
  assert.equal(lists[0].failures[0].code, 4403);
  await ws.dispose();
  events.dispose();
});

test("a lost position reads the rows again, a completed subscription ends the list, and an ended list starts nothing", async () => {
  const started = [];
  const client = {
    subscribe(request, sink) {
      started.push({ ...sink, request });
      return () => undefined;
    },
  };
  const shown = [];
  const failures = [];
  const list = { query: "{ rows { id } }", subscription: "subscription { row { node { id } } }", show: (rows) => shown.push([...rows.keys()]), failed: (error) => failures.push(error) };
  const stop = keep(client, list);
  const read = (id) => {
    started.at(-1).next({ data: { rows: [{ id }] }, extensions: { cursor: `position of ${id}` } });
    started.at(-1).complete();
  };
  read("a");
  assert.deepEqual(started.at(-1).request.extensions, { cursor: "position of a", leaves: true });
  started.at(-1).next({ data: { row: { node: { id: "b" } } }, extensions: { cursor: "c1", left: [{ id: "a" }] } });
  assert.equal(started.at(-1).request.extensions.cursor, "c1");
  started.at(-1).error([{ message: "gone", extensions: { code: "RESYNC_REQUIRED" } }]);
  started.at(-1).complete();
  assert.equal(started.length, 2);
  await until(() => started.length === 3);
  read("c");
  started.at(-1).error({ code: 4403 });
  assert.deepEqual([shown, failures, started.length], [[["a"], ["b"], ["c"], []], [{ code: 4403 }], 4]);
  stop();
  const other = keep(client, list);
  started.at(-1).next({ data: { rows: [] }, extensions: { cursor: "p" } });
  other();
  started.at(-1).complete();
  assert.equal(started.length, 5);
  keep(client, list);
  read("d");
  started.at(-1).complete();
  assert.deepEqual([shown.at(-1), failures.length], [[], 2]);
});
