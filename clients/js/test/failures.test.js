// What the client makes of servers, token sources and handlers that fail.
import assert from "node:assert/strict";
import { after, mock, test } from "node:test";
import * as gom from "@gom/client";
import { iterate } from "@gom/client/iterate";
import { applyPatch } from "@gom/client/patch";
import { sse } from "@gom/client/sse";
import { answered, json, refused, scriptedSocket, script, turns, url } from "./scripts.js";
import { until } from "./place.js";

const LIST = { query: "{ rows { id } }", subscription: "subscription { row { mutation node { id } previousValues { id } } }" };
const eventStream = (text) => new Response(text, { headers: { "content-type": "text/event-stream" } });
const ignore = () => undefined;

const clients = [];
/** A client that is closed after the tests, which would not end otherwise. */
function createClient(options) {
  const client = gom.createClient(options);
  clients.push(client);
  return client;
}
after(() => clients.forEach((client) => client.close()));

/** Opens the newest socket, and gives what sends to its newest operation. */
async function opened(sockets, count = 1) {
  await until(() => sockets.length === count && sockets.at(-1).sent.length === 1);
  const socket = sockets.at(-1);
  socket.receive({ type: "connection_ack" });
  return { socket, receive: (message) => socket.receive({ id: socket.started.at(-1).id, ...message }) };
}

test("`Retry-After` as a date or a huge number leads neither to a loop without delay nor to one without end", async () => {
  const later = (value) => json({ error: "SERVICE_UNAVAILABLE" }, 503, { "retry-after": value });
  const { sent, fetch } = script(later("Wed, 21 Oct 2015 07:28:00 GMT"), later("-1"), answered({ a: 1 }));
  const began = Date.now();
  await createClient({ url, fetch, token: () => "t", random: () => 0 }).query("{ a }");
  assert.ok(sent.length === 3 && Date.now() - began >= 290);
  await assert.rejects(createClient({ url, fetch: script(later("1e300")).fetch, token: () => "t" }).query("{ a }"), ({ details }) => details.retryAfter === 86_400_000);
});

test("an operation that the server completes is not carried out once more", async () => {
  const { Socket, sockets } = scriptedSocket();
  const seen = [];
  const handlers = (done) => ({ onResult: ({ data }) => seen.push(data), onEnd: done });
  const over = new Promise((done) => createClient({ url, WebSocket: Socket, token: () => "t" }).live("mutation { done }", undefined, handlers(done)));
  const { receive } = await opened(sockets);
  receive({ type: "next", payload: { data: { done: 1 } } });
  receive({ type: "complete" });
  assert.equal((await over).code, "NOT_LASTING");
  const { sent, fetch } = script(eventStream('event: next\ndata: {"data":{"done":2}}\n\nevent: complete\ndata:\n\n'));
  const ended = await new Promise((done) => createClient({ url, fetch, transport: sse(), token: () => "t" }).live("mutation { done }", undefined, handlers(done)));
  assert.equal(ended.code, "NOT_LASTING");
  assert.deepEqual([seen, sent.length, sockets.length], [[{ done: 1 }, { done: 2 }], 1, 1]);
});

test("streams that start one after the other share one socket", async () => {
  for (let gap = 0; gap < 8; gap += 1) {
    const { Socket, sockets } = scriptedSocket();
    const client = createClient({ url, WebSocket: Socket, token: () => "t" });
    client.live("query @live { a }", undefined, { onResult: ignore });
    for (let turn = 0; turn < gap; turn += 1) await undefined;
    client.live("query @live { b }", undefined, { onResult: ignore });
    await turns();
    assert.deepEqual([sockets.length, sockets[0].sent.length], [1, 1], `${gap} microtasks`);
    client.close();
  }
});

test("events with errors, and patches that do not fit, are cured after a delay that grows", async () => {
  const { Socket, sockets } = scriptedSocket();
  const reads = [];
  const fetch = async () => (reads.push(Date.now()), answered({ rows: [] }));
  const client = createClient({ url, WebSocket: Socket, fetch, token: () => "t", random: () => 0 });
  client.set(LIST);
  for (let attempt = 1; attempt <= 3; attempt += 1) {
    const { receive } = await opened(sockets, attempt);
    receive({ type: "next", payload: { data: { row: null }, errors: [{ message: "no" }], extensions: { cursor: "c" } } });
  }
  await until(() => reads.length === 4);
  reads.slice(1).forEach((at, index) => assert.ok(at - reads[index] >= 95 * 2 ** index, `read ${index}: ${at - reads[index]} ms`));
  client.close();
  const other = scriptedSocket();
  createClient({ url, WebSocket: other.Socket, token: () => "t", random: () => 0 }).live("query @live { a }", undefined, { patch: applyPatch, onResult: ignore });
  const { receive } = await opened(other.sockets);
  receive({ type: "next", payload: { data: { a: 1 }, revision: 1 } });
  receive({ type: "next", payload: { patch: [{ op: "remove", path: "/b" }], revision: 2 } });
  const lost = Date.now();
  await until(() => other.sockets.length === 2);
  assert.ok(Date.now() - lost >= 95);
});

test("a token source that never settles, or fails, is a lost connection", async () => {
  const never = () => new Promise(ignore);
  mock.timers.enable({ apis: ["setTimeout"] });
  const hanging = createClient({ url, fetch: script().fetch, token: never, retryFor: 0 }).query("{ a }").catch((error) => error);
  const stop = new AbortController();
  const stopped = createClient({ url, fetch: script().fetch, token: never }).query("{ a }", undefined, { signal: stop.signal }).catch((error) => error);
  const { Socket, sockets } = scriptedSocket();
  let calls = 0;
  const client = createClient({ url, WebSocket: Socket, token: () => ((calls += 1) === 1 ? never() : "t"), random: () => 0 });
  client.live("query @live { a }", undefined, { onResult: ignore });
  await turns();
  stop.abort(new Error("enough"));
  assert.equal((await stopped).message, "enough");
  mock.timers.tick(30_000);
  await turns();
  mock.timers.tick(1_000);
  await turns();
  mock.timers.reset();
  assert.deepEqual([(await hanging).code, sockets.length], ["NETWORK", 1]);
  client.close();
  const failing = createClient({ url, fetch: script().fetch, retryFor: 0, token: () => { throw new TypeError("offline"); } });
  await assert.rejects(failing.query("{ a }"), { code: "NETWORK", message: /offline/ });
});

test("4403 while the token source fails is retried, and does not empty a set", async () => {
  const { Socket, sockets } = scriptedSocket();
  let offline = true;
  const token = async (refused) => {
    if (refused && offline) throw new Error("offline");
    return offline ? "old" : "new";
  };
  const client = createClient({ url, WebSocket: Socket, fetch: async () => answered({ rows: [{ id: "a" }] }), token, random: () => 0 });
  const set = client.set(LIST);
  const { socket } = await opened(sockets);
  socket.onclose({ code: 4403 });
  await turns();
  assert.deepEqual([set.error, set.rows()], [undefined, [{ id: "a" }]]);
  offline = false;
  await until(() => sockets[1]?.sent.length === 1);
  assert.equal(sockets[1].sent[0].payload.Authorization, "Bearer new");
  client.close();
});

test("over an event stream, a live result that is an error goes on, and one that is completed ends it", async () => {
  const failed = 'event: next\ndata: {"data":null,"errors":[{"message":"no","extensions":{"code":"TOO_LARGE"}}]}\n\n';
  const { fetch } = script(eventStream(`${failed}event: next\ndata: {"data":{"a":1}}\n\n${failed}event: complete\ndata:\n\n`));
  const seen = [];
  const end = await new Promise((done) => {
    createClient({ url, fetch, transport: sse(), token: () => "t" }).live("query @live { a }", undefined, { onResult: ({ data, errors }) => seen.push([data, errors?.length]), onEnd: done });
  });
  assert.deepEqual([seen, end.code], [[[null, 1], [{ a: 1 }, undefined]], "TOO_LARGE"]);
});

test("a quiet event stream resumes from the position with which the server has ended it", async () => {
  const { sent, fetch } = script(eventStream("id: c1\n\n:\n\nid: c2\n\n"), refused("FORBIDDEN"));
  const client = createClient({ url, fetch, transport: sse(), token: () => "t", random: () => 0 });
  await new Promise((done) => client.subscribe("subscription { a }", undefined, { cursor: "c0", onResult: ignore, onEnd: done }));
  assert.deepEqual(sent.map(({ body }) => body.extensions.cursor), ["c0", "c2"]);
});

test("a mutation asks for its position only if its caller does, and variables that change meanwhile are not sent", async () => {
  const { sent, fetch } = script(new TypeError("reset"), answered({ done: 1 }), answered({ done: 2 }));
  const client = createClient({ url, fetch, token: () => "t", random: () => 0 });
  const variables = { name: "first" };
  const answer = client.mutate("mutation { done }", variables);
  variables.name = "second";
  await answer;
  await client.mutate("mutation { done }", variables, { cursor: true });
  assert.deepEqual(sent.map(({ body }) => [body.variables.name, body.extensions.cursor]), [["first", undefined], ["first", undefined], ["second", true]]);
});

test("`return` ends an iterator whose `next` waits", async () => {
  const { Socket, sockets } = scriptedSocket();
  const client = createClient({ url, WebSocket: Socket, token: () => "t" });
  const events = iterate((handlers) => client.subscribe("subscription { a }", undefined, { cursor: "c", ...handlers }));
  const next = events.next();
  const { socket } = await opened(sockets);
  assert.deepEqual([await events.return(), await next], [{ value: undefined, done: true }, { value: undefined, done: true }]);
  assert.ok(socket.closed);
});

test("what a handler throws ends its stream once, of any type, and a listener's error stops no other listener's end", async () => {
  const client = createClient({ url, WebSocket: scriptedSocket().Socket, token: () => "t" });
  const resync = () => Promise.reject(undefined);
  const end = await new Promise((done) => client.subscribe("subscription { a }", undefined, { resync, onResult: ignore, onEnd: done }));
  assert.equal(end.code, "FAILED");
  const set = createClient({ url, WebSocket: scriptedSocket().Socket, fetch: async () => refused("FORBIDDEN"), token: () => "t" }).set(LIST);
  const usual = process.listeners("uncaughtException");
  const thrown = [];
  process.removeAllListeners("uncaughtException");
  process.on("uncaughtException", (error) => thrown.push(error.message));
  try {
    const called = [];
    for (const name of ["first", "second"]) {
      set.subscribe(() => {
        if (!set.error) return;
        called.push(name);
        throw new Error(name);
      });
    }
    await assert.rejects(set.ready, { code: "FORBIDDEN" });
    await turns();
    assert.deepEqual([called, thrown], [["first", "second"], ["first", "second"]]);
  } finally {
    process.removeAllListeners("uncaughtException");
    for (const listener of usual) process.on("uncaughtException", listener);
  }
});
