// Stored sets, with a server that the test plays: reloads, viewers, limits, and tabs.
import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { GomError } from "@gom/client";
import { openOffline } from "@gom/offline";
import { until } from "./place.js";
import { closeAll, dump, freshBrowser, leaderLocks, openTab, playServer, row, rowsOf } from "./offline.place.js";
import { jwt, url } from "./scripts.js";

beforeEach(freshBrowser);
afterEach(closeAll);
const shows = (set, expected) => until(() => rowsOf(set).join() === expected, () => `${set.status}: ${rowsOf(set)}`, 5_000);

test("after a reload without a network the rows are there, in order, and the tail goes on from their cursor", async () => {
  const server = playServer();
  server.rows = [row("b"), row("a"), row("c")];
  const first = await openTab(server);
  const set = first.set();
  await set.ready;
  await until(() => server.streams.length === 1);
  server.event("c1", { mutation: "UPDATED", node: row("b", "changed") });
  server.event("c2", { mutation: "CREATED", node: row("d") });
  server.event("c3", { mutation: "DELETED", previousValues: { id: "a" } });
  server.event("c4", null, [{ type: "Row", id: "c" }]);
  await shows(set, "b changed,d d");
  assert.deepEqual([set.status, set.persisted, server.queries], ["open", true, 1]);
  const { sets, rows } = await dump();
  assert.deepEqual([sets.map(({ cursor }) => cursor), rows.map(({ key, row: { name } }) => [key, name])], [["c4"], [["b", "changed"], ["d", "d"]]]);
  server.cut();
  first.offline.close();

  const second = await openTab(server);
  const again = second.set();
  await again.ready;
  assert.deepEqual([rowsOf(again), again.status], [["b changed", "d d"], "stored"]);
  server.up = true;
  await until(() => again.status === "open");
  assert.deepEqual([server.streams.map(({ from }) => from), server.queries], [["c4"], 1], "only the tail is read");
  server.event("c5", { mutation: "CREATED", node: row("e") });
  await shows(again, "b changed,d d,e e");
});

test("a cursor that is no longer kept leads to a new snapshot, which replaces what is stored", async () => {
  const server = playServer();
  const first = await openTab(server);
  await first.set().ready;
  first.offline.close();
  server.rows = [row("z")];
  server.cursor = "c9";
  const second = await openTab(server);
  const set = second.set();
  await until(() => server.streams.length === 1);
  server.streams[0].sink.fail(new GomError("RESYNC_REQUIRED", "too old"));
  await shows(set, "z z");
  const { sets, rows } = await dump();
  assert.deepEqual([sets[0].cursor, rows.map(({ key }) => key)], ["c9", ["z"]]);
});

test("an event that could not be read whole is not passed over by what is stored", async () => {
  const server = playServer();
  const first = await openTab(server);
  const set = first.set();
  await until(() => server.streams.length === 1);
  await set.ready;
  server.streams[0].sink.next({ data: { row: null }, errors: [{ message: "no" }], extensions: { cursor: "c1", left: [] } });
  server.event("c2", { mutation: "CREATED", node: row("n") });
  await new Promise((done) => setTimeout(done, 50));
  assert.equal((await dump()).sets[0].cursor, "c0", "a reload would miss the event");
  server.rows = [row("a", "read"), row("n")];
  server.cursor = "c3";
  await shows(set, "a read,n n");
  assert.equal((await dump()).sets[0].cursor, "c3");
});

test("another viewer, nobody, and other claims see nothing of the earlier rows, which are gone then", async () => {
  for (const token of [jwt("bea"), "", jwt("ana", 1, { permissions: ["other"] })]) {
    freshBrowser();
    const server = playServer();
    const first = await openTab(server);
    await first.set().ready;
    first.offline.close();
    assert.equal((await dump()).rows.length, 1);
    server.up = false;
    const open = openOffline({ url, token: () => token, fetch: server.fetch, transport: server.transport });
    if (token) {
      const second = await open;
      const set = second.set({ query: "{ rows { id name } }", subscription: "subscription { row { id } }" });
      let calls = 0;
      set.subscribe(() => (calls += set.rows().length));
      await new Promise((done) => setTimeout(done, 100));
      assert.deepEqual([set.rows(), calls, set.status], [[], 0, "connecting"]);
      second.close();
    } else {
      await assert.rejects(open, { code: "UNAUTHENTICATED" });
    }
    const { rows, sets } = await dump();
    assert.deepEqual([rows, sets], [[], []]);
  }
});

test("a tab whose viewer no longer owns what is stored shows and stores nothing of the other's", async () => {
  const server = playServer();
  const ana = await openTab(server);
  const set = ana.set();
  await set.ready;
  server.rows = [row("secret")];
  const bea = await openTab(server, { sub: "bea" });
  await shows(bea.set({ variables: { of: "bea" } }), "secret secret");
  await until(async () => (await dump()).rows.length === 1);
  server.cut();
  const other = ana.set({ variables: { of: "bea" } });
  await new Promise((done) => setTimeout(done, 50));
  assert.deepEqual([other.rows(), other.status, rowsOf(set)], [[], "connecting", ["a a"]]);
  assert.deepEqual((await dump()).rows.map(({ key }) => key), ["secret"]);
});

test("a page whose cookies have become another viewer's hides the rows when they are looked at, and when it becomes visible", async () => {
  const cookie = (...claims) => `session-token=${encodeURIComponent(jwt(...claims).split(".").slice(0, 2).join("."))}`;
  for (const [changed, code] of [[cookie("bea"), "VIEWER_CHANGED"], [cookie("ana", 1, { permissions: [] }), "VIEWER_CHANGED"], ["", "UNAUTHENTICATED"]]) {
    for (const look of [(set) => set.rows(), () => document.dispatchEvent(new Event("visibilitychange"))]) {
      freshBrowser();
      globalThis.location = { origin: new URL(url).origin, href: url };
      globalThis.document = Object.assign(new EventTarget(), { cookie: cookie("ana"), visibilityState: "visible" });
      try {
        const tab = await openTab(playServer(), { token: undefined });
        const set = tab.set();
        await shows(set, "a a");
        document.cookie = cookie("ana", 99);
        assert.deepEqual(rowsOf(set), ["a a"], "a renewed token");
        document.cookie = changed;
        look(set);
        assert.deepEqual([set.rows(), set.status, set.error?.code], [[], "closed", code]);
        await until(() => tab.ended === code);
        assert.deepEqual((await dump()).rows, []);
      } finally {
        closeAll();
        delete globalThis.location;
        delete globalThis.document;
      }
    }
  }
});

test("a renewed token of the same viewer keeps the rows; a viewer who cannot be known sees none, and removes none", async () => {
  const server = playServer();
  const first = await openTab(server);
  await first.set().ready;
  first.offline.close();
  await assert.rejects(openOffline({ url, token: () => Promise.reject(new Error("no network")), fetch: server.fetch }), { code: "NETWORK" });
  server.up = false;
  const second = await openTab(server, { token: () => jwt("ana", 99) });
  const set = second.set();
  await set.ready;
  assert.deepEqual(rowsOf(set), ["a a"]);
});

test("a log-out, another viewer's token and a session that has ended take the rows from every tab and from the disk", async () => {
  const ends = {
    "log-out": ["UNAUTHENTICATED", ({ tab }) => tab.offline.logOut()],
    "another viewer": [
      "VIEWER_CHANGED",
      ({ tab, server }) => {
        tab.token = jwt("bea");
        server.cut();
        server.up = true;
      },
    ],
    "other claims": [
      "VIEWER_CHANGED",
      ({ tab, server }) => {
        tab.token = jwt("ana", 1, { permissions: [] });
        server.cut();
        server.up = true;
      },
    ],
    "an ended session": [
      "UNAUTHENTICATED",
      ({ server }) => {
        server.refuses = () => true;
        for (const { sink } of [...server.streams]) sink.lost(true);
      },
    ],
  };
  for (const [name, [code, act]] of Object.entries(ends)) {
    freshBrowser();
    const server = playServer();
    const tab = await openTab(server);
    const other = await openTab(server);
    const sets = [tab.set(), other.set()];
    for (const set of sets) await shows(set, "a a");
    await until(() => server.streams.length === 1);
    await act({ tab, server });
    for (const set of sets) await until(() => set.status === "closed", () => `${name}: ${set.status}`, 10_000);
    assert.deepEqual(sets.map((set) => [set.rows(), set.error.code]), [[[], code], [[], code]], name);
    await until(() => (tab.ended || name === "log-out") && other.ended, () => name);
    await until(async () => (await dump()).rows.length === 0, () => name, 2_000);
    assert.equal(server.streams.length, 0, name);
    // The tab that has called `logOut` is not notified of it.
    assert.deepEqual([tab.ended, other.ended], [name === "log-out" ? undefined : code, code]);
    await assert.rejects(tab.write(1), { code });
    closeAll();
  }
});

test("one tab has the subscription, and another one goes on from the stored cursor when it is gone", async () => {
  const server = playServer();
  const tabs = [await openTab(server), await openTab(server), await openTab(server)];
  const sets = tabs.map((tab) => tab.set());
  for (const set of sets) await shows(set, "a a");
  await until(() => server.streams.length === 1);
  assert.deepEqual(tabs.map((tab) => tab.offline.leads), [true, false, false]);
  server.event("c1", { mutation: "CREATED", node: row("b") });
  for (const set of sets) await shows(set, "a a,b b");
  assert.deepEqual(sets.map((set) => set.status), ["open", "open", "open"]);
  tabs[0].offline.close();
  await until(() => tabs[1].offline.leads && server.streams.length === 1);
  assert.deepEqual([server.streams[0].from, server.queries], ["c1", 1]);
  server.event("c2", { mutation: "CREATED", node: row("c") });
  for (const set of sets.slice(1)) await shows(set, "a a,b b,c c");
  // Only the tab that has left shows a set of its own: its subscription ends with it.
  const own = tabs[2].set({ variables: { other: true } });
  await own.ready;
  await until(() => server.streams.length === 2);
  tabs[2].offline.close();
  await until(() => server.streams.length === 1);
  sets[1].close();
  await until(() => server.streams.length === 0);
});

test("a leader that another one has superseded stores and shows nothing of that time, and gives up its lock", async () => {
  const server = playServer();
  const [old, other] = [await openTab(server), await openTab(server)];
  const sets = [old.set(), other.set()];
  for (const set of sets) await shows(set, "a a");
  await until(() => server.streams.length === 1);
  const [{ sink }] = server.streams;
  const [lock] = (await indexedDB.databases()).map(({ name }) => name);
  assert.ok(lock);
  // Another leader has its number, of which the first has not been notified.
  const database = await new Promise((done) => (indexedDB.open(lock).onsuccess = ({ target }) => done(target.result)));
  await new Promise((done) => {
    const transaction = database.transaction("owner", "readwrite");
    const store = transaction.objectStore("owner");
    store.getAllKeys().onsuccess = ({ target }) => store.put(2, target.result.find((key) => key.startsWith("leader")));
    transaction.oncomplete = done;
  });
  database.close();
  sink.next({ data: { row: { mutation: "CREATED", node: row("late") } }, extensions: { cursor: "c1", left: [] } });
  // The lock is free, so that one of the two leads with a later number, from the stored cursor.
  await until(() => server.streams.length === 1 && server.streams[0].sink !== sink, () => "the first one leads, or nobody");
  assert.deepEqual([server.streams[0].from, (await dump()).sets[0].cursor, rowsOf(sets[1])], ["c0", "c0", ["a a"]]);
  assert.deepEqual((await dump()).owner.filter(Number.isInteger), [3]);
  server.event("c1", { mutation: "CREATED", node: row("next") });
  for (const set of sets) await shows(set, "a a,next next");
});

test("a tab takes the place of a leader that does not answer, and not that of one that does", async () => {
  mock.timers.enable({ apis: ["setInterval"] });
  try {
    const { names, request, channel: channelName } = leaderLocks();
    const server = playServer();
    (await openTab(server)).offline.close();
    // A page that was suspended holds the lock.
    let lost = false;
    request(names[0], () => new Promise(() => undefined)).catch(() => (lost = true));
    const tab = await openTab(server);
    const set = tab.set();
    for (const tick of [1, 2]) {
      mock.timers.tick(10_000);
      await new Promise((done) => setTimeout(done, 20));
      assert.deepEqual([tab.offline.leads, lost], [false, false], String(tick));
    }
    mock.timers.tick(10_000);
    await shows(set, "a a");
    assert.deepEqual([tab.offline.leads, lost], [true, true]);
    // What the suspended page sends when it wakes is not shown, and a leader that answers keeps its place.
    const channel = new BroadcastChannel(channelName());
    const heard = [];
    channel.onmessage = ({ data }) => heard.push(data);
    const other = await openTab(server);
    const second = other.set();
    await shows(second, "a a");
    const { viewer, message } = await until(() => heard.find((each) => each.message.type === "state"));
    assert.equal(message.version.leader, 2);
    channel.postMessage({ viewer, message: { ...message, version: { leader: 1, step: 99 }, rows: [row("late")] } });
    for (let tick = 0; tick < 6; tick += 1) {
      mock.timers.tick(10_000);
      await new Promise((done) => setTimeout(done, 20));
      assert.deepEqual([tab.offline.leads, other.offline.leads, rowsOf(second)], [true, false, ["a a"]], String(tick));
    }
    channel.close();
  } finally {
    mock.timers.reset();
  }
});

test("a full disk ends storing, not the set; what is stored stays a state of its cursor", async () => {
  const server = playServer();
  const first = await openTab(server);
  const set = first.set();
  await set.ready;
  await until(() => server.streams.length === 1);
  const { put } = IDBObjectStore.prototype;
  IDBObjectStore.prototype.put = function (value, ...key) {
    if (this.name === "rows") {
      this.transaction.abort();
      throw new DOMException("full", "QuotaExceededError");
    }
    return put.call(this, value, ...key);
  };
  try {
    server.event("c1", { mutation: "CREATED", node: row("b") });
    await shows(set, "a a,b b");
    assert.deepEqual([set.status, set.persisted], ["open", false]);
  } finally {
    IDBObjectStore.prototype.put = put;
  }
  const { sets, rows } = await dump();
  assert.deepEqual([sets[0].cursor, rows.map(({ key }) => key)], ["c0", ["a"]]);
});

test("without a place to store, a tab goes on in memory and reports it", async () => {
  delete globalThis.navigator.locks;
  const server = playServer();
  const tab = await openTab(server);
  assert.equal(tab.offline.storage, "memory");
  const set = tab.set();
  await shows(set, "a a");
  assert.equal(set.persisted, false);
  assert.deepEqual(await (await tab.write(1)).answer, { data: {} });
});

test("a newer program's database is left alone: its tabs store, and those of this one go on in memory", async () => {
  const server = playServer();
  const tab = await openTab(server);
  const set = tab.set();
  await set.ready;
  await until(() => server.streams.length === 1);
  const [{ name }] = await indexedDB.databases();
  // It opens, for the tab that is open makes way.
  const newer = await new Promise((done) => (indexedDB.open(name, 99).onsuccess = ({ target }) => done(target.result)));
  server.rows = [row("a"), row("b")];
  await shows(set, "a a,b b");
  await until(() => set.status === "open");
  assert.deepEqual([set.persisted, tab.offline.storage], [false, "memory"]);
  await assert.rejects(tab.write(1), { code: "NOT_STORED" });
  await assert.rejects(tab.offline.sent(), { code: "NOT_STORED" });
  const other = await openTab(server);
  assert.equal(other.offline.storage, "memory");
  await shows(other.set(), "a a,b b");
  newer.close();
});

test("sets are bounded in number, bytes and age", async () => {
  const server = playServer();
  const few = await openTab(server, { maxSets: 2 });
  for (const n of [1, 2, 3]) {
    const set = few.set({ variables: { n } });
    await set.ready;
    assert.equal(set.persisted, true);
    set.close();
    await until(() => server.streams.length === 0);
  }
  assert.equal((await dump()).sets.length, 2);
  // Sets in use do not give way.
  const sets = [4, 5, 6].map((n) => few.set({ variables: { n } }));
  for (const set of sets) await set.ready;
  assert.deepEqual(sets.map((set) => set.persisted).sort(), [false, true, true]);
  few.offline.close();
  const small = await openTab(server, { maxBytes: 10 });
  const set = small.set();
  await shows(set, "a a");
  assert.equal(set.persisted, false);
  small.offline.close();
  const old = await openTab(server, { keepFor: -1 });
  server.up = false;
  const before = old.set({ variables: { n: 6 } });
  await new Promise((done) => setTimeout(done, 50));
  assert.deepEqual([before.rows(), before.status], [[], "connecting"]);
});

test("a set that the server forbids shows nothing and is not stored any more", async () => {
  const server = playServer();
  const tab = await openTab(server);
  const set = tab.set();
  await set.ready;
  await until(() => server.streams.length === 1);
  server.streams[0].sink.fail(new GomError("FORBIDDEN", "no"));
  await until(() => set.status === "closed");
  assert.deepEqual([set.rows(), set.error.code, tab.ended], [[], "FORBIDDEN", undefined]);
  await until(async () => (await dump()).rows.length === 0);
});
