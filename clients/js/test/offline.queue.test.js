// The queue of writes, with a server that the test plays: order, keys, refusals, unknown outcomes, viewers, and tabs.
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { until } from "./place.js";
import { openOffline } from "@gom/offline";
import { closeAll, databases, freshBrowser, openTab, playServer, withoutNumbers } from "./offline.place.js";
import { jwt, refused, url } from "./scripts.js";

beforeEach(freshBrowser);
afterEach(closeAll);
const numbers = (server) => server.mutations.map(({ variables }) => variables.n);
const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
const waits = async (tab) => (await tab.offline.writes()).map(({ variables }) => variables.n);

test("writes that were made without a network are sent in order after a reload, one at a time, each with its own key", async () => {
  const server = playServer();
  server.up = false;
  const first = await openTab(server);
  for (const n of [1, 2, 3, 4]) await first.write(n);
  await pause(50);
  assert.ok((await first.offline.writes()).every(({ sentAt }) => sentAt === undefined), "nothing has been sent");
  first.offline.close();

  let running = 0;
  let most = 0;
  server.mutate = async ({ variables }) => {
    most = Math.max(most, (running += 1));
    await pause(5);
    running -= 1;
    return { data: { write: variables.n } };
  };
  server.up = true;
  const second = await openTab(server);
  await second.offline.sent();
  assert.deepEqual([numbers(server), most, new Set(server.mutations.map(({ key }) => key)).size, await waits(second)], [[1, 2, 3, 4], 1, 4, []]);
  // The tab that has queued them is gone.
  await until(() => second.outcomes.length === 4);
  assert.deepEqual(second.outcomes, [1, 2, 3, 4].map((n) => ["done", n, undefined]));
});

test("a write without an answer is sent again with its key, before those behind it, also after a crash", async () => {
  const server = playServer();
  const lost = [new TypeError("cut"), new Response("a proxy's page", { status: 502 }), new Response("<html>", { status: 404 }), refused("OUTCOME_UNKNOWN"), refused("SERVICE_UNAVAILABLE")];
  server.mutate = ({ variables }) => lost.shift() ?? { data: { write: variables.n } };
  const { random } = Math;
  Math.random = () => 0;
  const { setTimeout: timer } = globalThis;
  globalThis.setTimeout = (call, milliseconds, ...rest) => timer(call, Math.min(milliseconds, 20), ...rest);
  try {
    const tab = await openTab(server);
    const { answer } = await tab.write(1);
    await tab.write(2);
    assert.deepEqual(await answer, { data: { write: 1 } });
    await tab.offline.sent();
  } finally {
    Math.random = random;
    globalThis.setTimeout = timer;
  }
  assert.deepEqual([numbers(server), new Set(server.mutations.slice(0, 6).map(({ key }) => key)).size], [[1, 1, 1, 1, 1, 1, 2], 1]);

  let hang = true;
  server.mutate = ({ variables }, signal) => (hang ? new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))) : { data: { write: variables.n } });
  server.mutations = [];
  const crashed = await openTab(server);
  await crashed.write(3);
  await until(() => server.mutations.length === 1);
  closeAll();
  hang = false;
  const next = await openTab(server);
  await next.offline.sent();
  assert.deepEqual([numbers(server), new Set(server.mutations.map(({ key }) => key)).size], [[3, 3], 1]);
});

test("a refusal is reported with its write, and the rest goes on", async () => {
  const server = playServer();
  server.mutate = ({ variables }) => (variables.n === 2 ? refused("BAD_USER_INPUT") : { data: { write: variables.n } });
  const tab = await openTab(server);
  const writes = [];
  for (const n of [1, 2, 3]) writes.push(await tab.write(n));
  await assert.rejects(writes[1].answer, { code: "BAD_USER_INPUT" });
  assert.deepEqual(await writes[2].answer, { data: { write: 3 } });
  await until(() => tab.outcomes.length === 3);
  assert.deepEqual(tab.outcomes, [["done", 1, undefined], ["refused", 2, "BAD_USER_INPUT"], ["done", 3, undefined]]);
  assert.deepEqual(await waits(tab), []);
});

test("with onRefusal stop, the rest waits until the refused write is discarded, also after a reload", async () => {
  const server = playServer();
  server.mutate = ({ variables }) => (variables.n === 1 ? refused("CONSTRAINT") : { data: { write: variables.n } });
  const first = await openTab(server, { onRefusal: "stop" });
  const { answer } = await first.write(1);
  await first.write(2);
  await assert.rejects(answer, { code: "CONSTRAINT" });
  await first.offline.sent();
  first.offline.close();
  const second = await openTab(server, { onRefusal: "stop" });
  await second.offline.sent();
  const [head, next] = await second.offline.writes();
  assert.deepEqual([head.variables.n, head.refusal.code, next.variables.n, numbers(server)], [1, "CONSTRAINT", 2, [1]]);
  assert.equal(await second.offline.discard(head.id), true);
  assert.equal(await second.offline.discard(head.id), false);
  await second.offline.sent();
  assert.deepEqual(numbers(server), [1, 2]);
});

test("a write whose key may be forgotten, and a repetition whose refusal does not say whether it was carried out, are of unknown outcome", async () => {
  const server = playServer();
  server.mutate = () => new TypeError("cut");
  const first = await openTab(server);
  await first.write(1);
  await until(async () => (await first.offline.writes())[0].sentAt);
  await first.write(2);
  first.offline.close();
  server.mutations = [];
  await pause(20);
  server.mutate = ({ variables }) => ({ data: { write: variables.n } });
  const second = await openTab(server, { repeatFor: 10 });
  await second.offline.sent();
  await until(() => second.outcomes.length === 2);
  assert.deepEqual(second.outcomes, [["unknown", 1, "OUTCOME_UNKNOWN"], ["done", 2, undefined]]);
  assert.deepEqual(numbers(server), [2], "a write that was never sent has no key to be forgotten");
  second.offline.close();

  const answers = [new TypeError("cut"), refused("LIMIT_EXCEEDED"), refused("LIMIT_EXCEEDED")];
  server.mutate = () => answers.shift();
  const third = await openTab(server);
  const repeated = await third.write(3);
  await assert.rejects(repeated.answer, { code: "OUTCOME_UNKNOWN" });
  const fresh = await third.write(4);
  await assert.rejects(fresh.answer, { code: "LIMIT_EXCEEDED" });
});

test("writes belong to their viewer: another one neither sees nor sends them, and they go on when the first is back", async () => {
  const server = playServer();
  server.up = false;
  const ana = await openTab(server);
  await ana.write(1);
  ana.offline.close();
  server.up = true;
  const bea = await openTab(server, { sub: "bea" });
  assert.deepEqual(await waits(bea), []);
  await bea.write(2);
  await bea.offline.sent();
  await pause(50);
  assert.deepEqual([numbers(server), bea.outcomes.map(([, n]) => n)], [[2], [2]]);
  bea.offline.close();
  const back = await openTab(server);
  await back.offline.sent();
  assert.deepEqual(server.mutations.map(({ variables, token }) => [variables.n, token]), [[2, jwt("bea")], [1, jwt("ana")]]);
});

test("a viewer that changes while a write waits for its repetition does not send it", async () => {
  const server = playServer();
  const tab = await openTab(server);
  server.mutate = () => {
    tab.token = jwt("bea");
    return new TypeError("cut");
  };
  const { answer } = await tab.write(1);
  await assert.rejects(answer, { code: "CLOSED" });
  await until(() => tab.ended);
  await pause(50);
  assert.deepEqual([tab.ended, server.mutations.map(({ token }) => token)], ["VIEWER_CHANGED", [jwt("ana")]]);
  const back = await openTab(server);
  assert.deepEqual(await waits(back), [1]);
});

test("writes of a user who does not come back are removed after a week, and those of one who does are not", async () => {
  const server = playServer();
  server.up = false;
  const { now } = Date;
  Date.now = () => now() - 8 * 86_400_000;
  for (const sub of ["ana", "carl"]) {
    const tab = await openTab(server, { sub });
    await tab.write(1);
    tab.offline.close();
  }
  Date.now = now;
  // Nobody is no other user.
  await assert.rejects(openOffline({ url, token: () => "", fetch: server.fetch }), { code: "UNAUTHENTICATED" });
  // Carl's are removed with Ana's visit.
  for (const [sub, left] of [["ana", [1]], ["carl", []]]) {
    const back = await openTab(server, { sub });
    assert.deepEqual(await waits(back), left, sub);
    back.offline.close();
  }
});

test("a session that has ended ends the tab, and keeps the write", async () => {
  const server = playServer();
  server.refuses = () => true;
  const tab = await openTab(server);
  const { answer } = await tab.write(1);
  await assert.rejects(answer, { code: "CLOSED" });
  await until(() => tab.ended);
  server.refuses = undefined;
  const back = await openTab(server);
  await back.offline.sent();
  assert.deepEqual([tab.ended, numbers(server)], ["UNAUTHENTICATED", [1]]);
});

test("with other claims, what the user has queued is listed and not sent, and is sent when those are back", async () => {
  const server = playServer();
  const [first, second] = [await openTab(server), await openTab(server)];
  for (const tab of [first, second]) await tab.set().ready;
  server.cut();
  await first.write(1);
  second.token = first.token = jwt("ana", 1, { permissions: ["more"] });
  const next = await openTab(server, { token: () => first.token });
  const set = next.set();
  await until(() => first.ended && second.ended);
  assert.deepEqual([first.ended, second.ended, set.rows(), await waits(next)], ["VIEWER_CHANGED", "VIEWER_CHANGED", [], [1]]);
  server.up = true;
  await next.write(2);
  await next.offline.sent();
  await set.ready;
  assert.deepEqual(server.mutations.map(({ variables, token }) => [variables.n, token]), [[2, first.token]]);
  assert.deepEqual((await next.offline.writes()).map(({ variables, otherClaims }) => [variables.n, otherClaims]), [[1, true]]);
  next.offline.close();
  server.mutate = () => ({ data: { write: "secret" } });
  const back = await openTab(server);
  assert.deepEqual((await back.offline.writes()).map(({ otherClaims }) => otherClaims), [false]);
  await back.offline.sent();
  assert.deepEqual([numbers(server), server.mutations.at(-1).token], [[2, 1], jwt("ana")]);
});

test("a write with other claims can be discarded, and what one has returned is reported to other claims without its data", async () => {
  const server = playServer();
  server.mutate = () => ({ data: { write: "secret" } });
  const [leader, gone] = [await openTab(server, { onOutcome: undefined }), await openTab(server)];
  server.up = false;
  await gone.write(1);
  gone.offline.close();
  server.up = true;
  await leader.offline.sent();
  server.up = false;
  const { id } = await leader.write(2);
  leader.offline.close();
  const reported = [];
  const token = jwt("ana", 1, { tenant: "other" });
  const next = await openTab(server, { token: () => token, onOutcome: ({ kind, data }) => reported.push([kind, data]) });
  assert.equal(await next.offline.discard(id), true);
  await until(() => reported.length === 2);
  assert.deepEqual([reported, await waits(next)], [[["done", undefined], ["discarded", undefined]], []]);
});

test("a log-out keeps the writes for their viewer, or removes them", async () => {
  for (const discard of [false, true]) {
    freshBrowser();
    const server = playServer();
    server.up = false;
    const tab = await openTab(server);
    await tab.write(1);
    await tab.offline.logOut({ discard });
    const back = await openTab(server);
    assert.deepEqual(await waits(back), discard ? [] : [1]);
    closeAll();
  }
});

test("a write of any tab is sent once by the leader, and its answer reaches the tab that has queued it, also from the next leader", async () => {
  const server = playServer();
  server.mutate = ({ variables }) => ({ data: { write: variables.n } });
  const [leader, second, third] = [await openTab(server), await openTab(server), await openTab(server)];
  const { answer } = await second.write(1);
  assert.deepEqual(await answer, { data: { write: 1 } });
  await until(() => second.outcomes.length === 1);
  let release;
  server.mutate = ({ variables }, signal) =>
    variables.n === 2 && !release ? new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), (release = true))) : { data: { write: variables.n } };
  const waiting = [await third.write(2), await second.write(3)];
  await until(() => release);
  leader.offline.close();
  assert.deepEqual(await Promise.all(waiting.map((each) => each.answer)), [{ data: { write: 2 } }, { data: { write: 3 } }]);
  assert.deepEqual(numbers(server), [1, 2, 2, 3]);
  assert.deepEqual([leader.outcomes, second.outcomes.map(([, n]) => n), third.outcomes.map(([, n]) => n)], [[], [1, 3], [2]], "each tab has its own outcomes");
});

test("the queue is bounded, and a write that cannot be stored is refused with that", async () => {
  const server = playServer();
  server.up = false;
  const tab = await openTab(server, { maxWrites: 2 });
  await tab.write(1);
  await tab.write(2);
  await assert.rejects(tab.write(3), { code: "QUEUE_FULL" });
  await assert.rejects(tab.offline.write("mutation", { text: "x".repeat(2 ** 20) }), { code: "QUEUE_FULL" });
  const { add } = IDBObjectStore.prototype;
  IDBObjectStore.prototype.add = function () {
    this.transaction.abort();
    throw new DOMException("full", "QuotaExceededError");
  };
  try {
    assert.equal(await tab.offline.discard((await tab.offline.writes())[0].id), true);
    await assert.rejects(tab.write(4), { code: "NOT_STORED" });
  } finally {
    IDBObjectStore.prototype.add = add;
  }
  assert.deepEqual(await waits(tab), [2]);
});

/** Lets timers end soon while `task` runs. */
async function soon(task) {
  const { setTimeout: timer } = globalThis;
  globalThis.setTimeout = (call, milliseconds, ...rest) => timer(call, Math.min(milliseconds, 5), ...rest);
  try {
    await task();
  } finally {
    globalThis.setTimeout = timer;
  }
}

test("a write whose key is forgotten while the server is looked for is not sent again", async () => {
  const server = playServer();
  server.mutate = () => new TypeError("cut");
  const first = await openTab(server);
  await first.write(1);
  await until(async () => (await first.offline.writes())[0].sentAt);
  first.offline.close();
  server.mutations = [];
  const { now } = Date;
  const { fetch } = server;
  // The page is suspended for three days.
  server.fetch = (...given) => ((Date.now = () => now() + 3 * 86_400_000), fetch(...given));
  try {
    const second = await openTab(server);
    await until(() => second.outcomes.length === 1);
    assert.deepEqual([second.outcomes, numbers(server)], [[["unknown", 1, "OUTCOME_UNKNOWN"]], []]);
  } finally {
    Date.now = now;
  }
});

test("a repetition that is refused before its key is looked up is of unknown outcome, and one that was carried out and failed is refused", async () => {
  for (const [code, kind] of [["GRAPHQL_VALIDATION_FAILED", "unknown"], ["BAD_USER_INPUT", "unknown"], ["INTERNAL_SERVER_ERROR", "unknown"], ["GRAPHQL_EXECUTION_ERROR", "refused"], ["CHECK_VIOLATION", "refused"]]) {
    const server = playServer();
    const answers = [new TypeError("cut"), refused(code)];
    server.mutate = () => answers.shift();
    await soon(async () => {
      const tab = await openTab(server);
      await tab.write(1);
      await until(() => tab.outcomes.length === 1);
      assert.deepEqual(tab.outcomes, [[kind, 1, code]]);
      tab.offline.close();
    });
  }
});

test("a write that something before the server refuses holds up the others for a while only, and lists its last error", async () => {
  const server = playServer();
  server.mutate = ({ variables }) => (variables.n === 1 ? new Response("too large", { status: 413 }) : { data: { write: variables.n } });
  const tab = await openTab(server);
  await tab.write(1);
  await tab.write(2);
  assert.deepEqual(await until(async () => (await tab.offline.writes())[0]?.lastError), { code: "HTTP_413", message: "413" });
  tab.offline.close();
  await soon(async () => {
    const next = await openTab(server);
    await next.offline.sent();
    await until(() => next.outcomes.length === 2);
    assert.deepEqual(next.outcomes, [["unknown", 1, "HTTP_413"], ["done", 2, undefined]]);
    next.offline.close();
  });
  // What no request is answered with is no fault of one write.
  server.mutations = [];
  server.mutate = () => ({ data: {} });
  const { fetch } = server;
  server.fetch = async () => new Response("log in to this network", { status: 403 });
  await soon(async () => {
    const portal = await openTab(server);
    await portal.write(3);
    await pause(200);
    assert.deepEqual([await waits(portal), numbers(server)], [[3], []]);
    server.fetch = fetch;
  });
});

test("an answer settles whenever the tab closes", async () => {
  const server = playServer();
  server.up = false;
  for (const shared of [true, false]) {
    if (!shared) delete globalThis.navigator.locks;
    const tab = await openTab(server);
    const writing = tab.write(1);
    tab.offline.close();
    const outcome = await writing.then(({ answer }) => answer.then(() => "answered", ({ code }) => code), ({ code }) => code);
    assert.equal(outcome, "CLOSED");
  }
});

test("a tab that has ended while it looked who is logged in stores no write", async () => {
  const server = playServer();
  server.up = false;
  let gate = Promise.resolve();
  const viewer = () => gate.then(() => "ana");
  const [tab, other] = [await openTab(server, { token: undefined, viewer }), await openTab(server, { token: undefined, viewer })];
  let open;
  gate = new Promise((done) => (open = done));
  const writing = tab.write(1);
  writing.catch(() => undefined);
  const out = other.offline.logOut().catch(() => undefined);
  await until(() => tab.ended);
  open();
  await assert.rejects(writing, { code: "UNAUTHENTICATED" });
  await out;
});

test("a disk that is full for a moment keeps no leader from the queue, nor does a database that the browser closes", async () => {
  const server = playServer();
  const opened = databases();
  let tab;
  await withoutNumbers(async (tried) => {
    tab = await openTab(server);
    await until(() => tried() > 0);
  });
  await tab.write(1);
  await tab.offline.sent();
  const other = await openTab(server);
  // Without an event, and with one.
  opened[0].close();
  assert.deepEqual(await (await other.write(2)).answer, { data: {} });
  opened[0].onclose?.();
  assert.deepEqual(await (await tab.write(3)).answer, { data: {} });
  assert.deepEqual([numbers(server), tab.offline.leads, tab.offline.storage, opened.length], [[1, 2, 3], true, "indexeddb", 3]);
});

test("discard reports whether the write was there, and a log-out of a tab that has ended removes the writes too", async () => {
  const server = playServer();
  server.up = false;
  const [tab, other] = [await openTab(server), await openTab(server)];
  const { id } = await tab.write(1);
  assert.deepEqual((await Promise.all([tab.offline.discard(id), other.offline.discard(id)])).sort(), [false, true]);
  await other.write(2);
  await tab.offline.logOut();
  await until(() => other.ended);
  await other.offline.logOut({ discard: true });
  assert.deepEqual(await waits(await openTab(server)), []);
});

test("a write is bounded by the bytes of its request", async () => {
  const server = playServer();
  server.up = false;
  const tab = await openTab(server);
  await assert.rejects(tab.offline.write("mutation", { text: "é".repeat(2 ** 19) }), { code: "QUEUE_FULL" });
  await tab.offline.write("mutation", { text: "é".repeat(2 ** 19 - 200) });
});
