// Nothing of one viewer is shown to, or sent as, the next one.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { createClient } from "@gom/client";
import { sse } from "@gom/client/sse";
import { answered, asPage, json, jwt, scriptedSocket, script, turns, url } from "./scripts.js";
import { until } from "./place.js";

const LIST = { query: "{ rows { id } }", subscription: "subscription { row { mutation node { id } previousValues { id } } }" };
const rowsOf = (name) => answered({ rows: [{ id: name }] });

test("a mutation and a query that wait to be repeated end with a log-out, and are not sent as the next viewer", async () => {
  const { sent, fetch } = script(new TypeError("reset"), new TypeError("reset"), json({ success: true }), json({ sub: "b" }), answered({ done: true }), answered({ done: true }));
  const client = createClient({ url, fetch, csrfToken: () => "c", random: () => 1 });
  const waiting = [client.mutate("mutation { done }"), client.query("{ a }")].map((each) => each.catch((error) => error));
  await turns();
  assert.equal(sent.length, 2);
  await client.session.logOut();
  await client.session.logIn({ grantType: "password", username: "b", password: "b" });
  const [mutation, query] = await Promise.all(waiting);
  assert.deepEqual([mutation.code, query.code], ["UNAUTHENTICATED", "UNAUTHENTICATED"]);
  assert.match(mutation.details.idempotencyKey, /^[0-9a-f]{32}$/);
  assert.deepEqual(sent.map(({ path }) => path), ["/graphql", "/graphql", "/auth/logout", "/auth/login"]);
});

test("a repetition is not sent with another viewer's token, nor with another viewer's cookies", async () => {
  let token = jwt("a");
  const { sent, fetch } = script(new TypeError("reset"), json({}, 401));
  const client = createClient({ url, fetch, token: (refused) => (refused ? jwt("b") : token), random: () => 1 });
  const repeated = client.mutate("mutation { done }").catch((error) => error);
  await turns();
  token = jwt("b");
  assert.equal((await repeated).code, "UNAUTHENTICATED");
  assert.equal(sent.length, 1);
  token = jwt("a");
  await assert.rejects(client.mutate("mutation { done }"), { code: "UNAUTHENTICATED" });
  assert.equal(sent.length, 2);
  await asPage(async (page) => {
    page.logIn("a");
    const { sent, fetch } = script(new TypeError("reset"));
    const mutation = createClient({ url, fetch, random: () => 1 }).mutate("mutation { done }").catch((error) => error);
    await turns();
    page.logIn("b");
    assert.equal((await mutation).code, "UNAUTHENTICATED");
    assert.equal(sent.length, 1);
  });
});

test("a mutation that waits for its turn is sent after it as the viewer of the call, as nobody else, and not if the turn is refused", async () => {
  await asPage(async (page) => {
    page.logIn("a");
    const { sent, fetch } = script(answered({ done: 1 }));
    const client = createClient({ url, fetch });
    let begin;
    const turn = new Promise((done) => (begin = done));
    const variables = { n: 1 };
    const first = client.mutate("mutation($n: Int) { done }", variables, { turn });
    variables.n = 2;
    const refusedTurn = Promise.reject(new Error("refused"));
    await assert.rejects(client.mutate("mutation { done }", undefined, { turn: refusedTurn }), { message: "refused" });
    await turns();
    assert.equal(sent.length, 0);
    begin();
    assert.deepEqual((await first).data, { done: 1 });
    assert.equal(sent[0].body.variables.n, 1);
    const second = client.mutate("mutation { done }", undefined, { turn: turns() });
    page.logIn("b");
    await assert.rejects(second, { code: "UNAUTHENTICATED" });
    assert.equal(sent.length, 1);
  });
});

test("a token that was had for a refused one is not kept for another request", async () => {
  const { sent, fetch } = script(json({}, 401), answered({ a: 1 }), answered({ a: 2 }));
  let viewer = "a";
  const client = createClient({ url, fetch, token: (refused) => jwt(viewer, refused ? 2 : 1) });
  await client.query("{ a }");
  viewer = "b";
  await client.query("{ a }");
  assert.equal(sent[2].headers.get("authorization"), `Bearer ${jwt("b", 1)}`);
});

test("after a loss, a set whose token has become another viewer's reads its query before it goes on, and a renewed token does not", async () => {
  const { Socket, sockets } = scriptedSocket();
  let token = jwt("a");
  const { sent, fetch } = script(rowsOf("a"), rowsOf("b"));
  const client = createClient({ url, WebSocket: Socket, fetch, token: () => token, random: () => 0 });
  const set = client.set(LIST);
  await until(() => sockets[0]?.sent.length === 1);
  sockets[0].receive({ type: "connection_ack" });
  token = jwt("a", 2);
  sockets[0].onclose({ code: 1006 });
  await until(() => sockets[1]?.sent.length === 1);
  sockets[1].receive({ type: "connection_ack" });
  assert.deepEqual([sent.length, sockets[1].started.length], [1, 1], "the same viewer resumes");
  token = jwt("b");
  sockets[1].onclose({ code: 1012 });
  await until(() => sockets[2]?.sent.length === 1);
  sockets[2].receive({ type: "connection_ack" });
  await until(() => sockets.length === 4 && sockets[3].sent.length > 0);
  assert.equal(sockets[2].started.length, 0, "nothing is received as the other viewer before the query is read");
  assert.deepEqual([sent.length, set.rows()], [2, [{ id: "b" }]]);
  client.close();
});

test("a socket of one viewer serves no stream of another", async () => {
  const { Socket, sockets } = scriptedSocket();
  let token = jwt("a");
  const { fetch } = script(rowsOf("a"), rowsOf("b"), rowsOf("b"), rowsOf("b"));
  const client = createClient({ url, WebSocket: Socket, fetch, token: () => token, random: () => 0 });
  const first = client.set(LIST);
  await until(() => sockets[0]?.sent.length === 1);
  sockets[0].receive({ type: "connection_ack" });
  assert.deepEqual(first.rows(), [{ id: "a" }]);
  token = jwt("b");
  const second = client.set(LIST);
  await until(() => sockets[1]?.sent.length === 1);
  assert.equal(sockets[0].started.length, 1);
  assert.equal(sockets[1].sent[0].payload.Authorization, `Bearer ${jwt("b")}`);
  assert.deepEqual([first.rows(), second.rows()], [[{ id: "b" }], [{ id: "b" }]]);
  client.close();
});

test("over an event stream, a token of another viewer reads the query again, also if it came for a refused one", async () => {
  const events = (text) => new Response(text, { headers: { "content-type": "text/event-stream" } });
  const cut = () => {
    let pulled = false;
    const body = new ReadableStream({ pull: (controller) => (pulled ? controller.error(new Error("reset")) : ((pulled = true), controller.enqueue(new TextEncoder().encode(":\n\n")))) }, { highWaterMark: 0 });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  };
  const open = () => new Response(new ReadableStream({}), { headers: { "content-type": "text/event-stream" } });
  let token = jwt("a");
  const { sent, fetch } = script(rowsOf("a"), cut(), json({}, 401), events(""), rowsOf("b"), open());
  const client = createClient({ url, fetch, transport: sse(), token: (refused) => (refused ? (token = jwt("b")) : token), random: () => 0 });
  const set = client.set(LIST);
  await until(() => sent.length === 6);
  assert.deepEqual(set.rows(), [{ id: "b" }]);
  assert.equal(sent[4].body.query, LIST.query);
  client.close();
});

test("a set of a page whose cookies have become another viewer's ends without rows", async () => {
  for (const code of [1006, 1012]) {
    await asPage(async (page) => {
      page.logIn("a");
      const { Socket, sockets } = scriptedSocket();
      const client = createClient({ url, WebSocket: Socket, fetch: script(rowsOf("a")).fetch, random: () => 0 });
      const set = client.set(LIST);
      await until(() => sockets[0]?.sent.length === 1);
      sockets[0].receive({ type: "connection_ack" });
      assert.deepEqual(set.rows(), [{ id: "a" }]);
      page.logIn("b");
      sockets[0].onclose({ code });
      await until(() => sockets[1]?.sent.length === 1);
      sockets[1].receive({ type: "connection_ack" });
      await turns();
      assert.deepEqual([set.error?.code, set.rows(), sockets[1].started.length], ["UNAUTHENTICATED", [], 0]);
    });
  }
});

test("a tab whose session became the same customer's at another seller ends without rows, and one whose token was renewed goes on", () =>
  asPage(async (page) => {
    page.logIn("a", 1, { seller: "s", permissions: ["read:order"] });
    const { Socket, sockets } = scriptedSocket();
    const client = createClient({ url, WebSocket: Socket, fetch: script(rowsOf("a")).fetch, random: () => 0 });
    const set = client.set(LIST);
    const connected = async (count) => {
      await until(() => sockets[count - 1]?.sent.length === 1);
      sockets[count - 1].receive({ type: "connection_ack" });
      await turns();
    };
    after(() => client.close());
    await connected(1);
    page.logIn("a", 2, { seller: "s", permissions: [] });
    sockets[0].onclose({ code: 1006 });
    await connected(2);
    assert.deepEqual([set.error, set.rows(), sockets[1].started.length], [undefined, [{ id: "a" }], 1]);
    page.logIn("a", 2, { seller: "t", permissions: [] });
    sockets[1].onclose({ code: 1006 });
    await connected(3);
    assert.deepEqual([set.error?.code, set.rows(), sockets[2].started.length], ["UNAUTHENTICATED", [], 0]);
  }));

test("where cookies cannot be read, a set reads its query after each loss", async () => {
  const { Socket, sockets } = scriptedSocket();
  const { sent, fetch } = script(rowsOf("a"), rowsOf("b"));
  const client = createClient({ url, WebSocket: Socket, fetch, csrfToken: () => "c", random: () => 0 });
  const set = client.set(LIST);
  await until(() => sockets[0]?.sent.length === 1);
  sockets[0].receive({ type: "connection_ack" });
  sockets[0].onclose({ code: 1006 });
  await until(() => sockets[1]?.sent.length === 1);
  assert.deepEqual([sent.length, set.rows()], [2, [{ id: "b" }]]);
  client.close();
});

test("a log-out takes the rows of sets that had ended before", async () => {
  const { Socket, sockets } = scriptedSocket();
  const { fetch } = script(rowsOf("a"), rowsOf("a"), json({ success: true }));
  const client = createClient({ url, WebSocket: Socket, fetch, csrfToken: () => "c", random: () => 0 });
  const [refused, closed] = [client.set(LIST), client.set(LIST)];
  await until(() => sockets[0]?.sent.length === 1);
  sockets[0].receive({ type: "connection_ack" });
  await until(() => sockets[0].started.length === 2);
  sockets[0].receive({ type: "error", id: sockets[0].started[0].id, payload: [{ message: "no", extensions: { code: "LIMIT_EXCEEDED" } }] });
  client.close();
  await turns();
  assert.deepEqual([refused.error.code, closed.status, refused.rows(), closed.rows()], ["LIMIT_EXCEEDED", "closed", [{ id: "a" }], [{ id: "a" }]]);
  await client.session.logOut();
  assert.deepEqual([refused.rows(), closed.rows()], [[], []]);
});
