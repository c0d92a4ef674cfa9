// The link and the kept lists of Apollo Client with a scripted server: what is sent, and what the cache has then.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { ApolloClient, ApolloLink, CombinedGraphQLErrors, InMemoryCache, gql } from "@apollo/client";
import { ErrorLink } from "@apollo/client/link/error";
import { RetryLink } from "@apollo/client/link/retry";
import { GomLink, keepList } from "@gom/apollo";
import { createClient } from "@gom/client";
import { until } from "./place.js";
import { answered, json, jwt, refused, script, scriptedSocket, turns, url } from "./scripts.js";

const WRITE = gql("mutation { write { id } }");
const READ = gql("{ read { id } }");
const LIST = gql("query List { rows { id name owner { id } } }");
const ONE = gql("query One { rows { id name owner { id } } row { id name owner { id } } }");
const EVENTS = gql("subscription { row { mutation node { id name owner { id } } previousValues { id } } }");

const row = (id, name = id, owner = "o") => ({ __typename: "Row", id, name, owner: { __typename: "Owner", id: owner } });
const done = (cursor) => answered({ write: { __typename: "Row", id: "w" } }, cursor);
const read = (cursor = "c1") => answered({ read: { __typename: "Row", id: "r" } }, cursor);

/** Apollo Client over a link, with what the scripted server answers and was sent. */
function place(answers, { gom = {}, link = {}, before = [] } = {}) {
  const { Socket, sockets } = scriptedSocket();
  const { sent, fetch } = script(...answers);
  const client = createClient({ url, fetch, WebSocket: Socket, token: () => "t", random: () => 0, ...gom });
  const apollo = new ApolloClient({ cache: new InMemoryCache(), link: ApolloLink.from([...before, new GomLink({ client, ...link })]) });
  return { apollo, client, sent, sockets };
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

const failing = () => new TypeError("reset");
const retry = () => new RetryLink({ delay: { initial: 1, jitter: false }, attempts: { max: 5 } });

test("one execution of a mutation keeps its key through RetryLink, and another execution has another key", async () => {
  const { apollo, sent } = place([failing(), failing(), done(), done(), done(), done()], { gom: { retryFor: 0 }, before: [retry()] });
  await apollo.mutate({ mutation: WRITE });
  await apollo.mutate({ mutation: WRITE });
  await apollo.mutate({ mutation: WRITE, context: { gom: { idempotencyKey: "mine" } } });
  await apollo.mutate({ mutation: WRITE, context: { gom: { idempotencyKey: false } } });
  const keys = sent.map(({ body }) => body.extensions.idempotencyKey);
  assert.match(keys[0], /^[0-9a-f]{32}$/);
  assert.deepEqual(keys.slice(1, 3), [keys[0], keys[0]]);
  assert.notEqual(keys[3], keys[0]);
  assert.deepEqual(keys.slice(4), ["mine", undefined]);
  assert.equal(sent[0].body.query, "mutation {\n  write {\n    id\n    __typename\n  }\n}", "what Apollo adds is sent");
});

test("what the server refuses is a result with errors, and what is lost is an error", async () => {
  const partial = json({ data: { read: null }, errors: [{ message: "no", path: ["read"], extensions: { code: "FORBIDDEN" } }] });
  const { apollo } = place([refused("FORBIDDEN"), partial, failing(), refused("BAD_USER_INPUT")], { gom: { retryFor: 0 } });
  await assert.rejects(apollo.query({ query: READ }), (error) => CombinedGraphQLErrors.is(error) && error.errors[0].extensions.code === "FORBIDDEN");
  const { data, error } = await apollo.query({ query: READ, errorPolicy: "all" });
  assert.deepEqual([data, CombinedGraphQLErrors.is(error)], [{ read: null }, true]);
  await assert.rejects(apollo.query({ query: READ, fetchPolicy: "network-only" }), { name: "GomError", code: "NETWORK" });
  await assert.rejects(apollo.mutate({ mutation: WRITE }), (error) => CombinedGraphQLErrors.is(error));
});

test("a mutation that ended with its viewer is not repeated by RetryLink as the next one", async () => {
  const { apollo, client, sent } = place([failing(), json({ success: true })], { gom: { token: undefined, csrfToken: () => "c", random: () => 1 }, before: [retry()] });
  const write = apollo.mutate({ mutation: WRITE });
  await until(() => sent.length === 1);
  await turns();
  await client.session.logOut();
  await assert.rejects(write, { code: "UNAUTHENTICATED" });
  assert.deepEqual(sent.map(({ path }) => path), ["/graphql", "/auth/logout"]);
});

test("a mutation that the server refused without a viewer is not repeated by ErrorLink as the next one", async () => {
  const before = [new ErrorLink(({ operation, forward }) => forward(operation))];
  const { apollo, sent } = place([refused("UNAUTHENTICATED"), refused("UNAUTHENTICATED"), done()], { before });
  await assert.rejects(apollo.mutate({ mutation: WRITE }), { code: "UNAUTHENTICATED" });
  // The client has asked for a newer token once.
  assert.ok(sent.length <= 2, `${sent.length} requests`);
});

test("the key of a mutation whose outcome is unknown is in the extensions of its error", async () => {
  const { apollo, sent } = place([refused("OUTCOME_UNKNOWN"), done()], { gom: { retryFor: 0 } });
  const { error } = await apollo.mutate({ mutation: WRITE, errorPolicy: "all" });
  const { idempotencyKey } = error.extensions;
  await apollo.mutate({ mutation: WRITE, context: { gom: { idempotencyKey } } });
  assert.match(idempotencyKey, /^[0-9a-f]{32}$/);
  assert.deepEqual(sent.map(({ body }) => body.extensions.idempotencyKey), [idempotencyKey, idempotencyKey]);
});

test("with `readOwnWrites`, a query includes the mutations before it, also those that overlapped", async () => {
  const gates = [];
  const held = (answer) => new Promise((release) => gates.push(() => release(answer)));
  const { apollo, sent } = place([done("m1"), read(), held(done("m2")), held(done("m3")), answered({ __typename: "Query" }), read(), read(), done("m4"), read()], { link: { readOwnWrites: true } });
  const after = () => sent.at(-1).body.extensions.after;
  const query = () => apollo.query({ query: READ, fetchPolicy: "network-only" });
  await apollo.mutate({ mutation: WRITE });
  await query();
  assert.equal(after(), "m1");
  const both = [apollo.mutate({ mutation: WRITE }), apollo.mutate({ mutation: WRITE })];
  await until(() => gates.length === 2);
  gates.forEach((open) => open());
  await Promise.all(both);
  await query();
  assert.deepEqual(sent.slice(-2).map(({ body }) => body.extensions.after).sort(), ["m2", "m3"]);
  await query();
  assert.equal(sent.length, 7, "a position that was reached is not asked for again");
  await apollo.mutate({ mutation: WRITE });
  await query();
  assert.deepEqual([after(), sent.length], ["m4", 9]);
  assert.ok(sent.filter(({ body }) => body.query.startsWith("mutation")).every(({ body }) => body.extensions.cursor));
});

test("a position that the server no longer has is given up, and one of the caller's own is not", async () => {
  const { apollo, sent } = place([done("m1"), refused("RESYNC_REQUIRED"), read(), read(), refused("RESYNC_REQUIRED")], { link: { readOwnWrites: true } });
  await apollo.mutate({ mutation: WRITE });
  await apollo.query({ query: READ, fetchPolicy: "network-only" });
  await apollo.query({ query: READ, fetchPolicy: "network-only" });
  assert.deepEqual(sent.slice(1).map(({ body }) => body.extensions.after), ["m1", undefined, undefined]);
  await assert.rejects(apollo.query({ query: READ, fetchPolicy: "network-only", context: { gom: { after: "x" } } }), (error) => CombinedGraphQLErrors.is(error));
});

test("a position that the server cannot open is given up, unless the query is what it refuses", async () => {
  const { apollo, sent } = place([done("m1"), refused("BAD_USER_INPUT"), refused("BAD_USER_INPUT"), refused("BAD_USER_INPUT"), read(), read()], { link: { readOwnWrites: true } });
  await apollo.mutate({ mutation: WRITE });
  await assert.rejects(apollo.query({ query: READ }), (error) => CombinedGraphQLErrors.is(error));
  await apollo.query({ query: READ });
  await apollo.query({ query: READ, fetchPolicy: "network-only" });
  assert.deepEqual(sent.slice(1).map(({ body }) => body.extensions.after), ["m1", undefined, "m1", undefined, undefined]);
});

test("without `readOwnWrites`, a mutation asks for its position only if its caller does", async () => {
  const { apollo, sent } = place([done(), done("m2"), read()]);
  await apollo.mutate({ mutation: WRITE });
  const { extensions } = await apollo.mutate({ mutation: WRITE, context: { gom: { cursor: true } } });
  await apollo.query({ query: READ, context: { gom: { after: extensions.cursor } } });
  assert.deepEqual(sent.map(({ body: { extensions } }) => [extensions.cursor, extensions.after]), [[undefined, undefined], [true, undefined], [true, "m2"]]);
});

test("a subscription resumes after its last event, reports what leaves, and ends with the server's error or with its subscriber", async () => {
  const { apollo, sockets } = place([]);
  const seen = [];
  const subscribe = () => apollo.subscribe({ query: EVENTS, context: { gom: { cursor: "c0", leaves: true } } }).subscribe({ next: (result) => seen.push(result) });
  subscribe();
  const first = await opened(sockets);
  assert.deepEqual(first.payload.extensions, { cursor: "c0", leaves: true });
  first.receive({ type: "next", payload: { data: { row: null }, extensions: { cursor: "c1", left: [{ type: "Row", id: "a" }] } } });
  first.socket.onclose({ code: 1006 });
  const second = await opened(sockets, 2);
  assert.equal(second.payload.extensions.cursor, "c1");
  second.receive({ type: "error", payload: [{ message: "no", extensions: { code: "FORBIDDEN" } }] });
  await until(() => seen.length === 2);
  assert.deepEqual(seen[0], { data: { row: null }, extensions: { cursor: "c1", left: [{ type: "Row", id: "a" }] } });
  assert.equal(seen[1].error.errors[0].extensions.code, "FORBIDDEN");
  const subscription = subscribe();
  const third = await opened(sockets, 3);
  subscription.unsubscribe();
  assert.deepEqual([third.socket.sent.at(-1).type, third.socket.closed], ["complete", true]);
});

test("a live query delivers each result into the cache, until it is unsubscribed", async () => {
  const LIVE = gql("query @live { read { id } }");
  const { apollo, sockets } = place([]);
  const seen = [];
  const subscription = apollo.watchQuery({ query: LIVE, context: { queryDeduplication: false } }).subscribe(({ data }) => data && seen.push(data.read.id));
  const { socket, payload, receive } = await opened(sockets);
  assert.deepEqual(payload.extensions, { patch: "json-patch" });
  receive({ type: "next", payload: { data: { read: { __typename: "Row", id: "a" } }, revision: 1 } });
  receive({ type: "next", payload: { patch: [{ op: "replace", path: "/read/id", value: "b" }], revision: 2 } });
  await until(() => seen.length === 2);
  assert.deepEqual([seen, apollo.readQuery({ query: LIVE }).read.id], [["a", "b"], "b"]);
  subscription.unsubscribe();
  assert.ok(socket.closed);
  await assert.rejects(apollo.query({ query: LIVE, fetchPolicy: "network-only" }), { name: "TypeError", message: /queryDeduplication: false/ });
});

test("equal live queries share one stream, also after a refetch, until the last of them ends", async () => {
  const LIVE = gql("query @live { read { id } }");
  const { apollo, sockets } = place([]);
  const watch = () => {
    const seen = [];
    const query = apollo.watchQuery({ query: LIVE, fetchPolicy: "cache-and-network", context: { queryDeduplication: false } });
    return { query, seen, subscription: query.subscribe(({ data }) => data && seen.push(data.read.id)) };
  };
  const first = watch();
  const { socket, receive } = await opened(sockets);
  receive({ type: "next", payload: { data: { read: { __typename: "Row", id: "a" } }, revision: 1 } });
  for (let turn = 0; turn < 3; turn += 1) void first.query.refetch();
  const second = watch();
  await until(() => second.seen.at(-1) === "a");
  assert.equal(socket.started.length, 1);
  first.subscription.unsubscribe();
  receive({ type: "next", payload: { patch: [{ op: "replace", path: "/read/id", value: "b" }], revision: 2 } });
  await until(() => second.seen.at(-1) === "b");
  assert.ok(!socket.closed);
  second.subscription.unsubscribe();
  await until(() => socket.closed);
  const third = watch();
  assert.equal((await opened(sockets, 2)).socket.started.length, 1);
  third.subscription.unsubscribe();
});

/** A kept list that is open, what it shows, and what sends its events. */
async function kept(rows, { more = [], gom, list: rules } = {}) {
  const { apollo, client, sent, sockets } = place([answered({ rows }, "c0"), ...more], { gom });
  const ends = [];
  const list = keepList(apollo, { client, query: LIST, subscription: EVENTS, onEnd: (error) => ends.push(error), ...rules });
  await list.ready;
  const shown = [];
  const watching = apollo.watchQuery({ query: LIST, fetchPolicy: "cache-only" }).subscribe(({ data }) => shown.push(data?.rows.map(({ name }) => name)));
  const connection = await opened(sockets);
  let events = 0;
  const event = (mutation, node, more = {}) =>
    connection.receive({ type: "next", payload: { data: { row: mutation && { mutation, node, previousValues: null, ...more.row } }, extensions: { cursor: `e${(events += 1)}`, left: more.left ?? [] }, ...more.payload } });
  return { apollo, client, sent, sockets, list, ends, shown, event, connection, end: () => (watching.unsubscribe(), list.close()) };
}
const names = (apollo) => apollo.readQuery({ query: LIST })?.rows.map(({ name }) => name);
const showing = ({ shown }, expected) => until(() => JSON.stringify(shown.at(-1)) === JSON.stringify(expected), () => JSON.stringify(shown));

test("rows come into a kept list, change, leave, and are evicted when they are deleted", async () => {
  const place = await kept([row("a"), row("b", "b", "o2"), row("c")]);
  const { apollo, event, connection } = place;
  assert.deepEqual([connection.payload.extensions, names(apollo)], [{ cursor: "c0", leaves: true }, ["a", "b", "c"]]);
  // Another query, whose list is not kept.
  apollo.writeQuery({ query: ONE, data: { rows: [row("a"), row("b", "b", "o2"), row("c")], row: row("c") } });
  event("CREATED", row("d"));
  event("UPDATED", row("a", "a2"));
  await showing(place, ["a2", "b", "c", "d"]);
  event(null, null, { left: [{ type: "Row", id: "c" }, { type: "Row", id: "unknown" }] });
  event("DELETED", null, { row: { previousValues: { __typename: "RowPreviousValues", id: "b" } } });
  await showing(place, ["a2", "d"]);
  const cache = apollo.cache.extract();
  assert.deepEqual([cache["Row:b"], cache["Row:c"]?.name], [undefined, "c"], "a deleted row is gone, and one that has left stays where another query shows it");
  await until(() => !apollo.cache.extract()["Owner:o2"], () => "what only the deleted row reached stays in the cache");
  place.end();
});

test("a mutation's result that is newer than the events stays, until a new read of the query takes its place", async () => {
  const place = await kept([row("a"), row("b")], { more: [answered({ rows: [row("a", "newer"), row("b", "b2")] }, "c9")] });
  place.apollo.cache.modify({ id: "Row:a", fields: { name: () => "newer" } });
  place.event("UPDATED", row("b", "b2"));
  const { payload } = await opened(place.sockets, 2);
  assert.deepEqual([payload.extensions.cursor, place.sent.length], ["c9", 2]);
  assert.deepEqual(names(place.apollo), ["newer", "b2"]);
  const first = place.shown.findIndex((each) => each?.[0] === "newer");
  assert.ok(first >= 0 && place.shown.slice(first).every((each) => each[0] === "newer"), JSON.stringify(place.shown));
  place.end();
});

test("a mutation whose event has come costs no read of the query", async () => {
  const place = await kept([row("a"), row("b")]);
  place.apollo.cache.modify({ id: "Row:a", fields: { name: () => "newer" } });
  place.event("UPDATED", row("a", "newer"));
  await new Promise((later) => setTimeout(later, 1_300));
  assert.deepEqual([place.sent.length, names(place.apollo)], [1, ["newer", "b"]]);
  place.end();
});

test("an older result that another query writes over a kept list is corrected", async () => {
  const place = await kept([row("a"), row("b")], { more: [answered({ rows: [row("a", "a2")] }, "c9")] });
  place.event("UPDATED", row("a", "a2"));
  place.event("DELETED", null, { row: { previousValues: { id: "b" } } });
  await showing(place, ["a2"]);
  place.apollo.writeQuery({ query: LIST, data: { rows: [row("a"), row("b")] } });
  await showing(place, ["a", "b"]);
  await showing(place, ["a2"]);
  place.end();
});

test("a cleared store has the list of the viewer who reads it then, and never again the one before", async () => {
  let viewer = "a";
  const place = await kept([row("a"), row("b")], { gom: { token: () => jwt(viewer) }, more: [answered({ rows: [row("z")] }, "c9")] });
  place.event("UPDATED", row("a", "a2"));
  viewer = "b";
  const before = place.shown.length;
  await place.apollo.clearStore();
  await until(() => JSON.stringify(names(place.apollo)) === '["z"]', () => JSON.stringify(names(place.apollo)));
  await new Promise((later) => setTimeout(later, 1_300));
  assert.deepEqual(names(place.apollo), ["z"]);
  assert.ok(place.shown.slice(before).every((each) => !each?.some((name) => name !== "z")), JSON.stringify(place.shown));
  assert.deepEqual(Object.keys(place.apollo.cache.extract()).filter((id) => id.startsWith("Row:")), ["Row:z"]);
  assert.equal(place.sent[1].headers.get("authorization"), `Bearer ${jwt("b")}`);
  place.end();
});

test("the log-out of docs/clients/apollo.md clears the store, also if the server cannot be reached", async () => {
  const page = readFileSync(new URL("../../../docs/clients/apollo.md", import.meta.url), "utf8");
  const [, block] = page.split("## Log in and out\n")[1].match(/```js\n(.*?)```/s);
  const logOut = new Function("client", "apollo", `return (async () => { ${block} })()`);
  const place = await kept([row("a")], { gom: { token: undefined, csrfToken: () => "c", retryFor: 0 }, more: [failing()] });
  place.apollo.writeQuery({ query: READ, data: { read: { __typename: "Row", id: "other" } } });
  await assert.rejects(logOut(place.client, place.apollo), { code: "NETWORK" });
  assert.deepEqual([place.ends[0].code, place.apollo.cache.extract()], ["UNAUTHENTICATED", {}]);
  place.end();
});

test("`compare` that throws ends the list with its error", async () => {
  const compare = () => {
    throw new RangeError("no order");
  };
  const place = await kept([row("a")], { list: { compare } });
  place.event("CREATED", row("b"));
  await until(() => place.ends.length === 1);
  assert.deepEqual([place.ends[0].name, place.list.status, place.connection.socket.closed], ["RangeError", "closed", true]);
  place.end();
});

test("an event with errors leads to a new snapshot after a delay, which takes the place of the list", async () => {
  const place = await kept([row("a"), row("b")], { more: [answered({ rows: [row("b", "b2"), row("c")] }, "c9")] });
  const began = Date.now();
  place.event("UPDATED", null, { payload: { errors: [{ message: "no" }] } });
  await showing(place, ["b2", "c"]);
  assert.ok(Date.now() - began >= 450);
  assert.equal((await opened(place.sockets, 2)).payload.extensions.cursor, "c9");
  place.end();
});

test("a log-out takes the rows of a kept list out of the cache, and what the list reached", async () => {
  const place = await kept([row("a"), row("b")], { more: [json({ success: true })], gom: { token: undefined, csrfToken: () => "c" } });
  await place.client.session.logOut();
  await until(() => place.ends.length === 1);
  assert.equal(place.ends[0].code, "UNAUTHENTICATED");
  assert.deepEqual(names(place.apollo), []);
  assert.deepEqual(Object.keys(place.apollo.cache.extract()).filter((name) => name !== "__META"), ["ROOT_QUERY"]);
  await showing(place, []);
  place.end();
});

test("a closed list ends its subscription, its watch and its timers, and stays in the cache", async () => {
  const place = await kept([row("a")]);
  const { watches } = place.apollo.cache;
  const before = watches.size;
  place.event("CREATED", row("b"));
  place.end();
  await turns();
  assert.deepEqual([place.connection.socket.closed, watches.size, place.ends], [true, before - 2, [undefined]]);
  await new Promise((later) => setTimeout(later, 50));
  assert.deepEqual(names(place.apollo), ["a"]);
});

test("what is no list, and rows without their key, end a kept list with what to mend", async () => {
  for (const [query, data] of [[READ, { read: row("a") }], [ONE, { rows: [], row: null }], [LIST, { rows: [{ __typename: "Row", name: "n", owner: null }] }]]) {
    const { apollo, client } = place([answered(data)]);
    await assert.rejects(keepList(apollo, { client, query, subscription: EVENTS }).ready, { code: "BAD_SELECTION" });
  }
});
