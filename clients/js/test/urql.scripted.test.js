// The exchange of urql with a scripted server: what is sent, and what urql delivers then, with its document cache and with Graphcache.
import assert from "node:assert/strict";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { Client, cacheExchange, gql } from "@urql/core";
import { cacheExchange as graphcache } from "@urql/exchange-graphcache";
import { retryExchange } from "@urql/exchange-retry";
import { createClient } from "@gom/client";
import { gomExchange, keepList } from "@gom/urql";
import { until } from "./place.js";
import { answered, json, refused, script, scriptedSocket, turns, url } from "./scripts.js";

const WRITE = gql("mutation { write { id name } }");
const READ = gql("{ read { id } }");
const LIST = gql("query List { rows { id name } }");
const ONE = gql("query One { row { id name } }");
const EVENTS = gql("subscription { row { mutation node { id name } previousValues { id } } }");

const row = (id, name = id) => ({ __typename: "Row", id, name });
const done = (cursor) => answered({ write: row("w") }, cursor);
const read = (cursor = "c1") => answered({ read: { __typename: "Read", id: "r" } }, cursor);
const failing = () => new TypeError("reset");
const plain = (value) => JSON.parse(JSON.stringify(value, (name, each) => (name === "__typename" ? undefined : each)));

/** urql over an exchange, with what the scripted server answers and was sent. */
function place(answers, { gom = {}, exchange = {}, before = [] } = {}) {
  const { Socket, sockets } = scriptedSocket();
  const { sent, fetch } = script(...answers);
  const client = createClient({ url, fetch, WebSocket: Socket, token: () => "t", random: () => 0, ...gom });
  const urql = new Client({ url, exchanges: [...before, gomExchange({ client, ...exchange })] });
  return { urql, client, sent, sockets };
}

/** Opens the newest socket, and gives what sends to its newest operation. */
async function opened(sockets, count = 1) {
  await until(() => sockets.length === count && sockets.at(-1).sent.length === 1);
  const socket = sockets.at(-1);
  socket.receive({ type: "connection_ack" });
  await until(() => socket.started.length > 0);
  const { id, payload } = socket.started.at(-1);
  return { socket, payload, receive: (message) => socket.receive({ id, ...message }) };
}

for (const [name, cache] of [["the document cache", cacheExchange], ["Graphcache", graphcache({})]]) {
  test(`one execution of a mutation keeps its key through retryExchange and ${name}, and another execution has another key`, async () => {
    const retry = retryExchange({ initialDelayMs: 1, maxDelayMs: 2, maxNumberAttempts: 4 });
    const { urql, sent } = place([failing(), failing(), done(), done(), done(), done()], { gom: { retryFor: 0 }, before: [cache, retry] });
    for (const gom of [undefined, undefined, { idempotencyKey: "mine" }, { idempotencyKey: false }]) {
      const { data, error } = await urql.mutation(WRITE, {}, { gom });
      assert.deepEqual([error, data.write.id], [undefined, "w"]);
    }
    const keys = sent.map(({ body }) => body.extensions.idempotencyKey);
    assert.match(keys[0], /^[0-9a-f]{32}$/);
    assert.deepEqual(keys.slice(1, 3), [keys[0], keys[0]]);
    assert.notEqual(keys[3], keys[0]);
    assert.deepEqual(keys.slice(4), ["mine", undefined]);
  });
}

test("a mutation that ended with its viewer is not repeated by retryExchange as the next one", async () => {
  const { urql, client, sent } = place([failing(), json({ success: true })], { gom: { token: undefined, csrfToken: () => "c", random: () => 1 }, before: [retryExchange({ initialDelayMs: 1 })] });
  const write = urql.mutation(WRITE, {}).toPromise();
  await until(() => sent.length === 1);
  await turns();
  await client.session.logOut();
  assert.equal((await write).error.networkError.code, "UNAUTHENTICATED");
  assert.deepEqual(sent.map(({ path }) => path), ["/graphql", "/auth/logout"]);
});

test("what the server refuses are GraphQL errors beside the data, and what is lost is a network error", async () => {
  const partial = json({ data: { read: null }, errors: [{ message: "no", path: ["read"], extensions: { code: "FORBIDDEN" } }] });
  const { urql } = place([partial, failing()], { gom: { retryFor: 0 } });
  const refusal = await urql.query(READ, {});
  assert.deepEqual([refusal.data, refusal.error.graphQLErrors[0].extensions.code], [{ read: null }, "FORBIDDEN"]);
  const loss = await urql.query(READ, {}, { requestPolicy: "network-only" });
  assert.equal(loss.error.networkError.code, "NETWORK");
});

test("with `readOwnWrites`, a query includes the mutation before it, until the server has its position no more", async () => {
  const { urql, sent } = place([done("m1"), read(), refused("RESYNC_REQUIRED"), read(), read()], { exchange: { readOwnWrites: true } });
  await urql.mutation(WRITE, {});
  for (let turn = 0; turn < 3; turn += 1) assert.equal((await urql.query(READ, {}, { requestPolicy: "network-only" })).error, undefined);
  assert.deepEqual(sent.map(({ body }) => body.extensions.after), [undefined, "m1", "m1", undefined, undefined]);
});

test("a subscription resumes after its last event, reports what leaves, and ends with the server's error or with its subscriber", async () => {
  const { urql, sockets } = place([]);
  const seen = [];
  const subscribe = () => urql.subscription(EVENTS, {}, { gom: { cursor: "c0", leaves: true } }).subscribe((result) => seen.push(result));
  subscribe();
  const first = await opened(sockets);
  assert.deepEqual(first.payload.extensions, { cursor: "c0", leaves: true });
  const left = [{ type: "Row", id: "a" }];
  first.receive({ type: "next", payload: { data: { row: null }, errors: [{ message: "no" }], extensions: { cursor: "c1", left } } });
  first.receive({ type: "next", payload: { data: { row: null }, extensions: { cursor: "c2", left: [] } } });
  first.socket.onclose({ code: 1006 });
  const second = await opened(sockets, 2);
  assert.equal(second.payload.extensions.cursor, "c2");
  second.receive({ type: "error", payload: [{ message: "no", extensions: { code: "FORBIDDEN" } }] });
  await until(() => seen.length === 3);
  assert.deepEqual(seen.map(({ extensions, hasNext, error }) => [extensions?.cursor, extensions?.left, hasNext, error?.graphQLErrors[0].message]), [["c1", left, true, "no"], ["c2", [], true, undefined], [undefined, undefined, false, "no"]]);
  const { unsubscribe } = subscribe();
  const third = await opened(sockets, 3);
  unsubscribe();
  assert.deepEqual([third.socket.sent.at(-1).type, third.socket.closed], ["complete", true]);
});

test("a live query delivers each result, until it is not shown any longer", async () => {
  const { urql, sockets } = place([], { before: [cacheExchange] });
  const seen = [];
  const { unsubscribe } = urql.query(gql("query @live { read { id } }"), {}).subscribe(({ data, stale }) => seen.push([data?.read.id, stale]));
  const { socket, payload, receive } = await opened(sockets);
  assert.deepEqual(payload.extensions, { patch: "json-patch" });
  receive({ type: "next", payload: { data: { read: { __typename: "Read", id: "a" } }, revision: 1 } });
  receive({ type: "next", payload: { patch: [{ op: "replace", path: "/read/id", value: "b" }], revision: 2 } });
  assert.deepEqual(seen, [["a", false], ["b", false]]);
  unsubscribe();
  assert.ok(socket.closed);
});

/** A kept list that is open, what it shows, and what sends its events. */
async function kept(cache, rows, more = [], gom = {}, before = []) {
  const { urql, client, sent, sockets } = place([answered({ rows }, "c0"), ...more], { before: [cache, ...before], gom });
  const list = { ...keepList({ subscription: EVENTS }) };
  const results = [];
  const open = () => urql.query(LIST, {}, list).subscribe((result) => results.push(result));
  const { unsubscribe } = open();
  const connection = await opened(sockets);
  let events = 0;
  const event = (mutation, node, { left = [], previousValues = null } = {}) =>
    connection.receive({ type: "next", payload: { data: { row: mutation && { mutation, node, previousValues } }, extensions: { cursor: `e${(events += 1)}`, left } } });
  const shown = () => results.at(-1) && JSON.stringify(results.at(-1).data?.rows.map(({ name }) => name));
  const showing = (expected) => until(() => shown() === JSON.stringify(expected), () => JSON.stringify(plain(results.map(({ data, stale }) => [data, stale]))));
  return { urql, client, sent, sockets, results, connection, event, showing, open, end: unsubscribe };
}

for (const [name, cache] of [["the document cache", () => cacheExchange], ["Graphcache", () => graphcache({})]]) {
  test(`with ${name}, rows come into a kept list, change, and leave, and its end is that of what shows it`, async () => {
    const place = await kept(cache(), [row("a"), row("b"), row("c")], [done(), answered({ row: row("a", "a2") }), answered({ rows: [row("z")] }, "c8")]);
    await place.showing(["a", "b", "c"]);
    assert.deepEqual(place.connection.payload.extensions, { cursor: "c0", leaves: true });
    place.event("CREATED", row("d"));
    place.event("UPDATED", row("a", "a2"));
    await place.showing(["a2", "b", "c", "d"]);
    place.event("DELETED", null, { previousValues: { id: "b" } });
    place.event(null, null, { left: [{ type: "Row", id: "c" }, { type: "Row", id: "unknown" }] });
    await place.showing(["a2", "d"]);
    // A mutation of the same type, which lets a document cache read the list again: it is shown as current, from the set.
    await place.urql.mutation(WRITE, {});
    await turns();
    assert.deepEqual([place.results.at(-1).stale, place.sent.length], [false, 2]);
    assert.equal((await place.urql.query(ONE, {})).data.row.name, "a2");
    place.event("UPDATED", row("a", "a3"));
    await place.showing(["a3", "d"]);
    place.end();
    assert.ok(place.connection.socket.closed);
    const again = place.open();
    await place.showing(["z"]);
    again.unsubscribe();
    place.client.close();
  });

  test(`with ${name}, a log-out empties a kept list, also for who shows it later`, async () => {
    const place = await kept(cache(), [row("a")], [json({ success: true })], { token: undefined, csrfToken: () => "c" });
    await place.showing(["a"]);
    await place.client.session.logOut();
    await until(() => place.results.at(-1).error);
    assert.deepEqual([place.results.at(-1).error.networkError.code, place.results.at(-1).data.rows], ["UNAUTHENTICATED", []]);
    place.end();
    const { data } = await place.urql.query(LIST, {}, { requestPolicy: "cache-only" });
    assert.deepEqual(data.rows, []);
  });

  test(`with ${name} and retryExchange, a log-out empties a kept list as well`, async () => {
    const place = await kept(cache(), [row("a")], [json({ success: true }), json({}, 401)], { token: undefined, csrfToken: () => "c" }, [retryExchange({ initialDelayMs: 1 })]);
    await place.showing(["a"]);
    await place.client.session.logOut();
    await until(() => place.results.at(-1).error);
    assert.ok(place.results.some(({ data }) => data?.rows.length === 0));
    assert.equal(place.results.at(-1).data?.rows.length ?? 0, 0);
    place.end();
    const { data } = await place.urql.query(LIST, {}, { requestPolicy: "cache-only" });
    assert.deepEqual(data.rows, []);
  });
}

test("an older result that another query writes into Graphcache is corrected", async () => {
  const place = await kept(graphcache({}), [row("a"), row("b")], [answered({ row: row("a") })]);
  place.event("UPDATED", row("a", "a2"));
  await place.showing(["a2", "b"]);
  await place.urql.query(ONE, {});
  await place.showing(["a", "b"]);
  await place.showing(["a2", "b"]);
  place.end();
});

test("one list without a connection does not make the others deliver again", async () => {
  const place = await kept(cacheExchange, [row("a")], [answered({ rows: [row("b")] }, "c5"), read()]);
  await place.showing(["a"]);
  const other = [];
  const events = gql("subscription Other { row { mutation node { id name } previousValues { id } } }");
  const { unsubscribe } = place.urql.query(gql("query Other { rows { id name } }"), {}, { ...keepList({ subscription: events }), requestPolicy: "network-only" }).subscribe((result) => other.push(result));
  await until(() => other.length === 1 && place.connection.socket.started.length === 2);
  const { id } = place.connection.socket.started[0];
  // The first list is refused for a while, and waits; the other one stays open.
  place.connection.socket.receive({ type: "error", id, payload: [{ message: "later", extensions: { code: "SERVICE_UNAVAILABLE", retryAfter: 3600 } }] });
  await place.urql.query(READ, {});
  await new Promise((later) => setTimeout(later, 7_000));
  assert.ok(other.length <= 2, `${other.length} results`);
  unsubscribe();
  place.end();
});

test("a subscription that is started again in the task that ended it goes on", async () => {
  const { urql, sockets } = place([]);
  const seen = [];
  const subscribe = () => urql.subscription(EVENTS, {}, { gom: { cursor: "c0" } }).subscribe(({ data }) => seen.push(data.row.node.id));
  const first = subscribe();
  await turns();
  first.unsubscribe();
  const second = subscribe();
  await turns();
  const { receive, socket } = await opened(sockets, sockets.length);
  receive({ type: "next", payload: { data: { row: { mutation: "CREATED", node: row("a"), previousValues: null } }, extensions: { cursor: "c1", left: [] } } });
  assert.deepEqual([seen, socket.closed], [["a"], undefined]);
  second.unsubscribe();
});

test("`compare` that throws ends the list with its error", async () => {
  const { urql, sockets } = place([answered({ rows: [row("a")] }, "c0")], { before: [cacheExchange] });
  const results = [];
  const compare = () => {
    throw new RangeError("no order");
  };
  urql.query(LIST, {}, keepList({ subscription: EVENTS, compare })).subscribe((result) => results.push(result));
  const { socket, receive } = await opened(sockets);
  receive({ type: "next", payload: { data: { row: { mutation: "CREATED", node: row("b"), previousValues: null } }, extensions: { cursor: "c1", left: [] } } });
  await until(() => results.at(-1)?.error);
  assert.deepEqual([results.at(-1).error.networkError.name, socket.closed], ["RangeError", true]);
});

test("a query that is no list ends with what to mend", async () => {
  const { urql } = place([answered({ read: null })]);
  const many = await urql.query(gql("{ a { id } b { id } }"), {}, keepList({ subscription: EVENTS })).toPromise();
  const none = await urql.query(READ, {}, keepList({ subscription: EVENTS })).toPromise();
  assert.deepEqual([many.error.networkError.code, none.error.networkError.code], ["BAD_SELECTION", "BAD_SELECTION"]);
});

test("the Graphcache of docs/clients/urql.md reads other queries of a deleted row again", async () => {
  const page = readFileSync(new URL("../../../docs/clients/urql.md", import.meta.url), "utf8");
  const [, code] = page.match(/```js\n(import \{ cacheExchange \} from '@urql\/exchange-graphcache'.*?)```/s);
  const path = new URL("documented.graphcache.mjs", import.meta.url).pathname;
  writeFileSync(path, `${code}\nexport { cache };`);
  try {
    const { cache } = await import(path);
    const order = (uid) => ({ __typename: "Order", uid });
    const { urql, sockets, client } = place([answered({ orders: [order("a"), order("b")] }), answered({ orders: [order("b")] })], { before: [cache] });
    const shown = [];
    urql.query("{ orders { uid } }", {}).subscribe(({ data }) => shown.push(data?.orders.map((each) => each?.uid ?? null)));
    await until(() => shown.length === 1);
    urql.subscription("subscription { order { mutation previousValues { uid } } }", {}, { gom: { cursor: "c" } }).subscribe(() => undefined);
    const { receive } = await opened(sockets);
    const previousValues = { __typename: "OrderPreviousValues", uid: "a" };
    receive({ type: "next", payload: { data: { order: { __typename: "OrderSubscriptionPayload", mutation: "DELETED", previousValues } }, extensions: { cursor: "e" } } });
    await until(() => JSON.stringify(shown.at(-1)) === '["b"]', () => JSON.stringify(shown));
    client.close();
  } finally {
    rmSync(path, { force: true });
  }
});
