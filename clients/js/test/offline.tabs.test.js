// The lead of several tabs and the end of a session, at unlucky moments: suspended tabs, late messages, lost log-outs, full disks.
import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { GomError } from "@gom/client";
import { until } from "./place.js";
import { closeAll, dump, freshBrowser, leaderLocks, openTab, playServer, row, rowsOf, withoutNumbers } from "./offline.place.js";
import { jwt, url } from "./scripts.js";

beforeEach(freshBrowser);
afterEach(closeAll);
const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
const shows = (set, expected) => until(() => rowsOf(set).join() === expected, () => `${set.status}: ${rowsOf(set)}`, 5_000);

test("of two tabs that were both given the lead, one leads in the end: the other wakes late, learns of its lock, and then of its theft", async () => {
  const { request } = navigator.locks;
  const { setInterval: every } = globalThis;
  let thaw;
  const frozen = new Promise((done) => (thaw = done));
  const server = playServer();
  const first = await openTab(server);
  let late = true;
  navigator.locks.request = (name, ...rest) => {
    if (!late || name.includes(" tab ")) return request(name, ...rest);
    late = false;
    const callback = rest.pop();
    const given = request(name, ...rest, async (lock) => (await frozen, callback(lock)));
    return given.catch(async (error) => {
      await frozen;
      await pause(0);
      throw error;
    });
  };
  try {
    // A hidden tab does not look for its leader.
    globalThis.setInterval = () => 0;
    const asleep = await openTab(server);
    globalThis.setInterval = (call) => every(call, 30);
    const awake = await openTab(server);
    globalThis.setInterval = every;
    first.offline.close();
    await until(() => awake.offline.leads);
    const set = awake.set();
    await until(() => set.status === "open");
    thaw();
    await until(async () => (await dump()).owner.includes(3));
    server.event("c1", { mutation: "CREATED", node: row("b") });
    const { answer } = await awake.write(1);
    assert.deepEqual(await answer, { data: {} });
    await until(() => server.streams.length === 1 && awake.offline.leads !== asleep.offline.leads);
    server.event("c2", { mutation: "CREATED", node: row("c") });
    await until(() => rowsOf(set).includes("c c"));
    assert.equal(server.mutations.length, 1);
  } finally {
    globalThis.setInterval = every;
  }
});

test("a leader that learns of the next one before it learns of the theft shows what that one sends", async () => {
  const { request } = navigator.locks;
  const { setInterval: every } = globalThis;
  const { postMessage } = BroadcastChannel.prototype;
  let thaw;
  const frozen = new Promise((done) => (thaw = done));
  let count = 0;
  navigator.locks.request = (name, ...rest) => {
    const given = request(name, ...rest);
    return name.includes(" tab ") || count++ > 0 ? given : given.catch((error) => frozen.then(() => Promise.reject(error)));
  };
  const server = playServer();
  try {
    globalThis.setInterval = () => 0;
    const old = await openTab(server);
    const set = old.set();
    await set.ready;
    BroadcastChannel.prototype.postMessage = function (envelope) {
      if (envelope.message.type !== "pong") postMessage.call(this, envelope);
    };
    globalThis.setInterval = (call) => every(call, 30);
    const next = await openTab(server);
    globalThis.setInterval = every;
    await until(() => next.offline.leads);
    await until(async () => (await dump()).owner.includes(2));
    await pause(20);
    thaw();
    await until(() => !old.offline.leads && server.streams.length === 1);
    server.event("c1", { mutation: "CREATED", node: row("b") });
    await shows(set, "a a,b b");
  } finally {
    globalThis.setInterval = every;
    BroadcastChannel.prototype.postMessage = postMessage;
  }
});

test("messages of tabs that follow do not keep a suspended leader in its place", async () => {
  const { names, request } = leaderLocks();
  const server = playServer();
  (await openTab(server)).offline.close();
  server.up = false;
  request(names[0], () => new Promise(() => undefined)).catch(() => undefined);
  mock.timers.enable({ apis: ["setInterval"] });
  try {
    const tabs = [await openTab(server), await openTab(server)];
    for (let tick = 0; tick < 4; tick += 1) {
      mock.timers.tick(10_000);
      for (const tab of tabs) await tab.write(tick);
      await pause(20);
    }
    assert.deepEqual(tabs.map((tab) => tab.offline.leads).sort(), [false, true]);
  } finally {
    mock.timers.reset();
  }
});

test("a tab that learns late of a log-out leaves the rows and the tabs of the next session alone", async () => {
  const Real = globalThis.BroadcastChannel;
  const held = [];
  let holds = false;
  const channels = [];
  globalThis.BroadcastChannel = class extends Real {
    constructor(name) {
      super(name);
      channels.push(this);
    }
    set onmessage(call) {
      super.onmessage = (event) => (holds && this === channels[1] ? held.push(() => call(event)) : call(event));
    }
  };
  try {
    const server = playServer();
    const first = await openTab(server);
    const { request } = navigator.locks;
    // It does not run, and so does not lead either.
    navigator.locks.request = (name, ...rest) => (name.includes(" tab ") ? request(name, ...rest) : new Promise(() => undefined));
    const late = await openTab(server);
    navigator.locks.request = request;
    await first.set().ready;
    holds = true;
    await first.offline.logOut();
    const again = await openTab(server);
    const set = again.set();
    await set.ready;
    await until(async () => (await dump()).rows.length === 1);
    await until(() => held.length > 0);
    for (const call of held) call();
    await until(() => late.ended);
    await pause(50);
    assert.deepEqual([again.ended, rowsOf(set), (await dump()).rows.length], [undefined, ["a a"], 1]);
  } finally {
    globalThis.BroadcastChannel = Real;
  }
});

test("after a log-out for which the server was not reached, no tab opens with the cookies that are left, and the next one closes the session", async () => {
  globalThis.location = { origin: new URL(url).origin, href: url };
  const session = `session-token=${encodeURIComponent(jwt("ana").split(".").slice(0, 2).join("."))}; csrf-token=c`;
  globalThis.document = Object.assign(new EventTarget(), { cookie: session, visibilityState: "visible" });
  const server = playServer();
  const { fetch } = server;
  let logOuts = 0;
  let reached = false;
  server.fetch = async (address, init) => {
    if (!String(address).endsWith("/auth/logout")) return fetch(address, init);
    logOuts += 1;
    await pause(20);
    if (!reached) throw new TypeError("no network");
    document.cookie = "";
    return new Response("{}");
  };
  try {
    const opening = [];
    const open = () => openTab(server, { token: undefined, onEnd: () => opening.push(open()) });
    const [first, other] = [await open(), await open()];
    for (const tab of [first, other]) await tab.set().ready;
    await assert.rejects(first.offline.logOut(), { code: "NETWORK" });
    await until(() => opening.length === 1);
    await assert.rejects(opening[0], { code: "UNAUTHENTICATED" });
    assert.deepEqual([(await dump()).rows, document.cookie, logOuts], [[], session, 2]);
    reached = true;
    await assert.rejects(open(), { code: "UNAUTHENTICATED" });
    assert.deepEqual([document.cookie, logOuts], ["", 3]);
    // Another session of the same user, whose cookie may be equal.
    document.cookie = session;
    const set = (await open()).set();
    await shows(set, "a a");
  } finally {
    closeAll();
    delete globalThis.location;
    delete globalThis.document;
  }
});

test("tabs that have ended do not lead", async () => {
  const server = playServer();
  const tabs = [await openTab(server), await openTab(server), await openTab(server)];
  await until(() => tabs[0].offline.leads);
  await tabs[0].set().ready;
  await withoutNumbers(async (tried) => {
    await tabs[0].offline.logOut();
    await until(() => tabs[1].ended && tabs[2].ended);
    await pause(50);
    assert.equal(tried(), 0);
  });
});

test("a tab that cannot store that it leads shows the stored rows, follows the server by itself, and leaves the lead to others", async () => {
  const server = playServer();
  const first = await openTab(server);
  await first.set().ready;
  first.offline.close();
  const { clear } = IDBObjectStore.prototype;
  // Rows would give way.
  IDBObjectStore.prototype.clear = () => undefined;
  const { setTimeout: timer } = globalThis;
  globalThis.setTimeout = (call, milliseconds, ...rest) => timer(call, Math.min(milliseconds, 5), ...rest);
  try {
    await withoutNumbers(async () => {
      server.up = false;
      const tab = await openTab(server);
      await until(() => tab.offline.storage === "memory");
      const set = tab.set();
      await set.ready;
      assert.deepEqual([rowsOf(set), set.status], [["a a"], "stored"]);
      await assert.rejects(tab.write(1), { code: "NOT_STORED" });
      server.up = true;
      await until(() => set.status === "open");
      server.event("c1", { mutation: "CREATED", node: row("b") });
      await shows(set, "a a,b b");
      assert.equal(set.persisted, false);
      server.streams[0].sink.fail(new GomError("FORBIDDEN", "no"));
      await until(() => set.status === "closed");
      assert.deepEqual(set.rows(), []);
    });
    const next = await openTab(server);
    await until(() => next.offline.leads);
    assert.equal(next.offline.storage, "indexeddb");
  } finally {
    globalThis.setTimeout = timer;
    IDBObjectStore.prototype.clear = clear;
  }
});
