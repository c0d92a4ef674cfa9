// The client's state machines with a scripted server: what it sends, and what it makes of each answer.
import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { createClient } from "@gom/client";
import { sse } from "@gom/client/sse";
import { PatchError, applyPatch } from "@gom/client/patch";
import { dice, until } from "./place.js";
import { answered, flush, json, jwt, refused, script, scriptedSocket, url } from "./scripts.js";

test("a mutation is repeated with its key after a lost connection, an unknown outcome, and a refusal", async () => {
  const { sent, fetch } = script(new TypeError("reset"), refused("OUTCOME_UNKNOWN"), json({}, 503), new Response("<html>", { status: 502 }), answered({ done: true }, "c9"));
  const client = createClient({ url, fetch, token: () => "t", random: () => 0 });
  assert.deepEqual(await client.mutate("mutation { done }", undefined, { cursor: true }), { data: { done: true }, cursor: "c9" });
  const keys = new Set(sent.map(({ body }) => body.extensions.idempotencyKey));
  assert.deepEqual([sent.length, keys.size], [5, 1]);
  assert.match([...keys][0], /^[0-9a-f]{32}$/);
});

test("a mutation without a key is not repeated when its outcome is unknown", async () => {
  const { sent, fetch } = script(new TypeError("reset"));
  const client = createClient({ url, fetch, token: () => "t" });
  await assert.rejects(client.mutate("mutation { done }", {}, { idempotencyKey: false }), { code: "NETWORK" });
  assert.equal(sent.length, 1);
});

test("an error that has the key lets the caller repeat later", async () => {
  const { fetch } = script(new TypeError("reset"));
  const client = createClient({ url, fetch, token: () => "t", retryFor: 0 });
  await assert.rejects(client.mutate("mutation { done }"), (error) => /^[0-9a-f]{32}$/.test(error.details.idempotencyKey));
});

test("a refused CSRF token is fetched and the request sent once more", async () => {
  const no = () => json({ statusCode: 403, error: "EBADCSRFTOKEN" }, 403);
  const { sent, fetch } = script(no(), json({ success: true }, 200, { "x-csrf-token": "new" }), answered({ a: 1 }), no(), json({ success: true }), no());
  const client = createClient({ url, fetch });
  await client.query("{ a }");
  assert.deepEqual(sent.map(({ path, headers }) => [path, headers.get("x-csrf-token")]), [["/graphql", null], ["/auth/ping", null], ["/graphql", "new"]]);
  await assert.rejects(client.query("{ a }"), { code: "EBADCSRFTOKEN" });
});

test("a refused bearer token is replaced once, and the same token is not sent again", async () => {
  const { sent, fetch } = script(json({}, 401), answered({ a: 1 }), json({}, 401));
  const tokens = [jwt("a", 1), jwt("a", 2), jwt("a", 2), jwt("a", 2)];
  const client = createClient({ url, fetch, token: () => tokens.shift() });
  await client.query("{ a }");
  assert.deepEqual(sent.map(({ headers }) => headers.get("authorization")), [`Bearer ${jwt("a", 1)}`, `Bearer ${jwt("a", 2)}`]);
  await assert.rejects(client.query("{ a }"), { code: "UNAUTHENTICATED" });
  assert.equal(sent.length, 3);
});

test("a request without an answer is lost after a minute, and an aborted one rejects with the reason", async () => {
  const { fetch: next } = script(answered({ done: true }));
  const keys = [];
  const fetch = async (address, init) => {
    init.signal.throwIfAborted();
    keys.push(JSON.parse(init.body).extensions.idempotencyKey);
    return keys.length === 2 ? next(address, init) : new Promise((_, reject) => init.signal.addEventListener("abort", () => reject(init.signal.reason)));
  };
  const client = createClient({ url, fetch, token: () => "t", random: () => 0 });
  mock.timers.enable({ apis: ["setTimeout"] });
  const answer = client.mutate("mutation { done }");
  for (const milliseconds of [60_000, 1_000]) {
    for (let turn = 0; turn < 5; turn += 1) await flush();
    mock.timers.tick(milliseconds);
  }
  mock.timers.reset();
  assert.deepEqual((await answer).data, { done: true });
  assert.deepEqual([keys.length, new Set(keys).size], [2, 1]);
  const stop = new AbortController();
  const query = client.query("{ a }", undefined, { signal: stop.signal });
  stop.abort(new Error("enough"));
  await assert.rejects(query, { message: "enough" });
});

const position = () => answered({ __typename: "Query" }, "c0");

test("a subscription resumes from its last event, after the wait that the server asks for, and hears no old socket", async () => {
  const { Socket, sockets } = scriptedSocket();
  const client = createClient({ url, WebSocket: Socket, token: () => "t", fetch: script(position()).fetch, random: () => 0 });
  const cursors = [];
  client.subscribe("subscription { a }", { v: 1 }, { leaves: true, onResult: ({ cursor, left }) => cursors.push([cursor, left.length]) });
  await until(() => sockets[0]?.sent.length === 1);
  assert.deepEqual(sockets[0].sent[0], { type: "connection_init", payload: { Authorization: "Bearer t" } });
  sockets[0].receive({ type: "connection_ack", payload: { reconnect: { minMs: 70, maxMs: 90 } } });
  const [{ id, payload }] = sockets[0].started;
  assert.deepEqual(payload, { query: "subscription { a }", variables: { v: 1 }, extensions: { cursor: "c0", leaves: true } });
  const event = (cursor) => ({ type: "next", id, payload: { data: {}, extensions: { cursor, left: [{ type: "A", id: "1" }] } } });
  sockets[0].receive(event("c1"));
  const old = sockets[0].onmessage;
  const lost = Date.now();
  sockets[0].onclose({ code: 1012 });
  old?.({ data: JSON.stringify(event("late")) });
  await until(() => sockets[1]?.sent.length === 1);
  assert.ok(Date.now() - lost >= 65, "the hint is obeyed");
  sockets[1].receive({ type: "connection_ack" });
  assert.equal(sockets[1].started[0].payload.extensions.cursor, "c1");
  assert.deepEqual(cursors, [["c1", 1]]);
  client.close();
  assert.equal(sockets[1].sent.at(-1).type, "complete");
  assert.ok(sockets[1].closed, "a socket without operations is closed");
});

test("4403 with another token reads again, with the same token it ends, and a fault of the client ends at once", async () => {
  const { Socket, sockets } = scriptedSocket();
  // Not stored by its source.
  const token = (refused) => (refused === "one" ? "two" : (refused ?? (snapshots.length < 2 ? "one" : "two")));
  const snapshots = [];
  const { fetch } = script();
  const client = createClient({ url, WebSocket: Socket, fetch, token, random: () => 0 });
  const ends = [];
  const resync = async () => `s${snapshots.push(1)}`;
  client.subscribe("subscription { a }", undefined, { resync, onResult: () => undefined, onEnd: (error) => ends.push(error.code) });
  await until(() => sockets[0]?.sent.length === 1);
  sockets[0].onclose({ code: 4403 });
  await until(() => sockets[1]?.sent.length === 1);
  assert.equal(snapshots.length, 2);
  assert.equal(sockets[1].sent[0].payload.Authorization, "Bearer two");
  sockets[1].onclose({ code: 4403 });
  await until(() => ends.length === 1);
  client.subscribe("subscription { a }", undefined, { cursor: "c", onResult: () => undefined, onEnd: (error) => ends.push(error.code) });
  await until(() => sockets[2]?.sent.length === 1);
  sockets[2].onclose({ code: 4400 });
  await until(() => ends.length === 2);
  assert.deepEqual(ends, ["UNAUTHENTICATED", "CLOSED_4400"]);
});

test("a silent socket is pinged and then replaced", async () => {
  const { Socket, sockets } = scriptedSocket();
  const client = createClient({ url, WebSocket: Socket, token: () => "t", random: () => 0 });
  mock.timers.enable({ apis: ["setTimeout"] });
  client.subscribe("subscription { a }", undefined, { cursor: "c", onResult: () => undefined });
  for (let turn = 0; turn < 5; turn += 1) await flush();
  sockets[0].receive({ type: "connection_ack" });
  mock.timers.tick(20_000);
  assert.equal(sockets[0].sent.at(-1).type, "ping");
  sockets[0].receive({ type: "pong" });
  mock.timers.tick(20_000);
  mock.timers.tick(20_000);
  assert.ok(sockets[0].closed);
  mock.timers.tick(1_000);
  for (let turn = 0; turn < 5; turn += 1) await flush();
  mock.timers.reset();
  assert.equal(sockets.length, 2);
  client.close();
});

test("an event stream is read alike wherever it is cut, and its position is that of the last event", async () => {
  const events = Array.from({ length: 5 }, (_, at) => ({ data: { name: `ñ🌮 ${at}` }, extensions: { cursor: `c${at}` } }));
  const text = `retry: 40\n\nid: c\n\n:\n\n${events.map((event) => `event: next\nid: ${event.extensions.cursor}\ndata: ${JSON.stringify(event)}\n\n`).join("")}`;
  const bytes = new TextEncoder().encode(text);
  const seed = Math.floor(Math.random() * 2 ** 32);
  const random = dice(seed);
  for (let round = 0; round < 15; round += 1) {
    const cuts = [0, ...Array.from({ length: 4 }, () => Math.floor(random() * bytes.length)), bytes.length].sort((left, right) => left - right);
    const body = new ReadableStream({
      async pull(controller) {
        const from = cuts.shift();
        if (cuts.length > 0) controller.enqueue(bytes.slice(from, cuts[0]));
        else controller.error(new Error("reset"));
      },
    }, { highWaterMark: 0 });
    const stream = new Response(body, { headers: { "content-type": "text/event-stream" } });
    const { sent, fetch } = script(stream, refused("FORBIDDEN"));
    const client = createClient({ url, fetch, transport: sse(), token: () => "t", random: () => 0 });
    const seen = [];
    const end = await new Promise((done) => {
      client.subscribe("subscription { a }", undefined, { cursor: "c", onResult: ({ data }) => seen.push(data), onEnd: done });
    });
    assert.deepEqual([seen, end.code, sent.map(({ body: { extensions } }) => extensions.cursor)], [events.map(({ data }) => data), "FORBIDDEN", ["c", "c4"]], `seed ${seed}`);
  }
});

test("a live query applies patches, and a missing revision reads the whole again", async () => {
  const { Socket, sockets } = scriptedSocket();
  const client = createClient({ url, WebSocket: Socket, token: () => "t", random: () => 0 });
  const seen = [];
  client.live("query @live { a }", undefined, { patch: applyPatch, onResult: ({ data }) => seen.push(data) });
  await until(() => sockets[0]?.sent.length === 1);
  sockets[0].receive({ type: "connection_ack" });
  const next = (payload) => sockets.at(-1).receive({ type: "next", id: sockets.at(-1).started.at(-1).id, payload });
  assert.deepEqual(sockets[0].started[0].payload.extensions, { patch: "json-patch" });
  next({ data: { a: [1] }, revision: 1 });
  next({ patch: [{ op: "add", path: "/a/-", value: 2 }], revision: 2 });
  next({ patch: [{ op: "remove", path: "/a/0" }], revision: 4 });
  // The socket had no other operation, so it was closed.
  await until(() => sockets[1]?.sent.length === 1);
  sockets[1].receive({ type: "connection_ack" });
  next({ data: { a: [9] }, revision: 1 });
  assert.deepEqual(seen, [{ a: [1] }, { a: [1, 2] }, { a: [9] }]);
  client.close();
});

test("a patch does what RFC 6902 says, and leaves its input as it was", () => {
  const cases = [
    [{ foo: "bar" }, [{ op: "add", path: "/baz", value: "qux" }], { foo: "bar", baz: "qux" }],
    [{ foo: ["bar", "baz"] }, [{ op: "add", path: "/foo/1", value: "qux" }], { foo: ["bar", "qux", "baz"] }],
    [{ baz: "qux", foo: "bar" }, [{ op: "remove", path: "/baz" }], { foo: "bar" }],
    [{ foo: ["bar", "qux", "baz"] }, [{ op: "remove", path: "/foo/1" }], { foo: ["bar", "baz"] }],
    [{ baz: "qux" }, [{ op: "replace", path: "/baz", value: "boo" }], { baz: "boo" }],
    [{ foo: { bar: "baz", w: "f" }, qux: { c: "g" } }, [{ op: "move", from: "/foo/w", path: "/qux/t" }], { foo: { bar: "baz" }, qux: { c: "g", t: "f" } }],
    [{ foo: ["all", "grass", "cows", "eat"] }, [{ op: "move", from: "/foo/1", path: "/foo/3" }], { foo: ["all", "cows", "eat", "grass"] }],
    [{ baz: ["a", 2, { c: null }] }, [{ op: "test", path: "/baz", value: ["a", 2, { c: null }] }], { baz: ["a", 2, { c: null }] }],
    [{ foo: null }, [{ op: "replace", path: "/foo", value: "x" }], { foo: "x" }],
    [{ "/": 9, "~1": 10 }, [{ op: "replace", path: "/~01", value: 11 }], { "/": 9, "~1": 11 }],
    [{ foo: ["bar"] }, [{ op: "add", path: "/foo/-", value: ["abc"] }], { foo: ["bar", ["abc"]] }],
    [{ a: [1] }, [{ op: "copy", from: "/a", path: "/b" }], { a: [1], b: [1] }],
    [1, [{ op: "replace", path: "", value: { a: 1 } }], { a: 1 }],
  ];
  for (const [value, patch, expected] of cases) {
    const before = structuredClone(value);
    assert.deepEqual(applyPatch(value, patch), expected, JSON.stringify(patch));
    assert.deepEqual(value, before);
  }
  const wrong = [
    { op: "test", path: "/a", value: 2 },
    { op: "remove", path: "/b" },
    { op: "replace", path: "/b", value: 1 },
    { op: "add", path: "/b/c", value: 1 },
    { op: "add", path: "/l/2", value: 1 },
    { op: "add", path: "/l/x", value: 1 },
    { op: "grow", path: "/a" },
  ];
  for (const each of wrong) assert.throws(() => applyPatch({ a: 1, l: [1] }, [each]), PatchError, JSON.stringify(each));
  applyPatch({ a: {} }, [{ op: "add", path: "/__proto__", value: { polluted: true } }]);
  assert.equal({}.polluted, undefined);
  const shared = { kept: { deep: 1 }, changed: 1 };
  assert.equal(applyPatch(shared, [{ op: "replace", path: "/changed", value: 2 }]).kept, shared.kept);
});
