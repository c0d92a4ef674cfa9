// @gom/offline in Chromium with the cookies of a session: reloads without a network, killed servers and tabs, log-outs, and a service worker.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { createClient } from "@gom/client";
import { chromium } from "playwright-core";
import { CREATE, QUERY } from "./offline/operations.js";
import { startSite } from "./offline/site.js";
import { dice, startProxy, startServer, until } from "./place.js";

const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1"];
const PALETAS = "paletas@demo.gom";
const TACOS = "tacos@demo.gom";
const UPDATE = "mutation($uid: ID!, $data: OrderUpdateInput!) { updateOrder(where: { uid: $uid }, data: $data) { uid } }";

let server;
let direct;
let proxy;
let site;
let browser;
let context;
before(async () => {
  [server, browser] = await Promise.all([startServer(), chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS })]);
  direct = createClient({ url: `${server.address}/graphql`, token: () => server.token });
});
after(async () => {
  await browser?.close();
  await server?.stop();
});
beforeEach(async () => {
  proxy = await startProxy(server.port);
  site = await startSite(new URL(proxy.address).port, { query: QUERY });
  context = await browser.newContext();
});
afterEach(async () => {
  await context.close();
  site.close();
  proxy.stop();
});

/** A tab; `call` runs a function of its page. */
async function newTab() {
  const tab = await context.newPage();
  await tab.goto(site.address);
  const call = (name, ...given) => tab.evaluate(([f, a]) => window.page[f](...a), [name, given]);
  const get = (name) => tab.evaluate((field) => window.page[field], name);
  const reload = async () => {
    await tab.reload();
    await tab.waitForFunction(() => window.page);
  };
  await tab.waitForFunction(() => window.page);
  return { tab, call, get, reload, logIn: (who = PALETAS) => call("logIn", who, server.password) };
}
const byId = (rows) => rows.toSorted((left, right) => (left.uid < right.uid ? -1 : 1));
const orders = async (seller = "paletas") => byId((await direct.query(`{ orders(where: { stage: OPEN, assignedTo: { extUid: "auth0|demo-${seller}" } }) { uid name stage } }`)).data.orders);
const create = async (name) => (await direct.mutate(CREATE, { name })).data.createOrder.uid;
const update = (uid, data) => direct.mutate(UPDATE, { uid, data });
/** Waits until a tab shows what the query gives. */
const equals = (tab, name) =>
  until(
    async () => JSON.stringify(byId((await tab.call("state")).rows)) === JSON.stringify(await orders()),
    async () => `${name}: ${JSON.stringify(await tab.call("state"))}`,
  );
const opens = (tab) => until(async () => (await tab.call("state")).status === "open", async () => JSON.stringify(await tab.call("state")));
const made = async (prefix) => (await direct.query(`{ orders(where: { name_starts_with: "${prefix}" }, orderBy: createdAt_ASC) { name } }`)).data.orders.map(({ name }) => name);

test("the program of docs/clients/offline.md does what its page says", async () => {
  const tab = await context.newPage();
  const alerts = [];
  tab.on("dialog", (dialog) => {
    if (dialog.type() === "alert") alerts.push(dialog.message());
    const answers = { User: PALETAS, Password: server.password };
    return dialog.accept(answers[dialog.message()] ?? "");
  });
  await tab.goto(`${site.address}/documented`);
  const text = () => tab.locator("pre").textContent({ timeout: 10_000 });
  const sorted = async () => (await orders()).map(({ name }) => name).sort((left, right) => left.localeCompare(right));
  const shows = (status, names) => until(async () => (await text()) === [status, ...names].join("\n"), text);
  await shows("open", await sorted());
  proxy.up = false;
  proxy.cut();
  await tab.getByRole("button").click();
  // The click stores it later.
  const waiting = () =>
    tab.evaluate(async () => {
      const [{ name }] = await indexedDB.databases();
      const database = await new Promise((done) => (indexedDB.open(name).onsuccess = ({ target }) => done(target.result)));
      const count = await new Promise((done) => (database.transaction("writes").objectStore("writes").count().onsuccess = ({ target }) => done(target.result)));
      database.close();
      return count;
    });
  await until(async () => (await waiting()) === 1);
  await tab.reload();
  await shows("stored", await sorted());
  const [first] = await sorted();
  proxy.up = true;
  // At once, and not after the next delay.
  await tab.reload();
  await until(async () => (await sorted()).includes(`${first}!`));
  await shows("open", await sorted());
  assert.deepEqual(alerts, []);
});

test("a reload without a network shows the rows, and what has changed meanwhile comes without reading the query again", async () => {
  const tab = await newTab();
  await tab.logIn();
  await tab.call("open");
  await opens(tab);
  const uid = await create("stored");
  await equals(tab, "before");
  const before = (await tab.call("state")).rows;
  proxy.up = false;
  proxy.cut();
  await update(uid, { name: "changed away" });
  await update(before.find((row) => row.uid !== uid).uid, { stage: "WON" });
  await tab.reload();
  await tab.call("open");
  const stored = await until(async () => {
    const state = await tab.call("state");
    return state.rows.length > 0 && state;
  });
  assert.deepEqual([stored.status, stored.persisted, stored.storage, stored.rows], ["stored", true, "indexeddb", before]);
  assert.equal(site.reads, 1);
  proxy.up = true;
  await equals(tab, "after");
  assert.equal(site.reads, 1, "only the tail is read");
});

test("tabs share one connection, and a closed or crashed leader and a killed server lose nothing", async () => {
  const tabs = [await newTab(), await newTab(), await newTab()];
  await tabs[0].logIn();
  for (const tab of tabs) {
    await tab.call("open");
    await equals(tab, "at first");
  }
  assert.deepEqual([site.sockets, site.reads, await Promise.all(tabs.map(async (tab) => (await tab.call("state")).leads))], [1, 1, [true, false, false]]);
  await create("before the close");
  await tabs[0].tab.close();
  await create("after the close");
  for (const tab of tabs.slice(1)) await equals(tab, "after the leader was closed");
  assert.equal((await tabs[1].call("state")).leads, true);
  await server.kill();
  await server.restart();
  await create("after the kill");
  for (const tab of tabs.slice(1)) await equals(tab, "after the server was killed");
  await create("before the crash");
  const crash = await context.newCDPSession(tabs[1].tab);
  crash.send("Page.crash").catch(() => undefined);
  await create("after the crash");
  await until(async () => (await tabs[2].call("state")).leads);
  await equals(tabs[2], "after the leader has crashed");
  assert.equal(site.reads, 1, "each leader goes on from the stored cursor");
});

test("writes of two tabs through cut connections, reloads and a killed server are carried out once, in order", async () => {
  const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 32));
  console.log(`SEED=${seed}`);
  const random = dice(seed);
  const tabs = [await newTab(), await newTab()];
  await tabs[0].logIn();
  for (const tab of tabs) await tab.call("open");
  for (const tab of tabs) await opens(tab);
  proxy.up = false;
  proxy.cut();
  const expected = [];
  const write = async () => {
    const name = `queued ${String(expected.length).padStart(3, "0")}`;
    expected.push(name);
    await tabs[Math.floor(random() * 2)].call("write", name);
  };
  for (let count = 0; count < 6; count += 1) await write();
  await tabs[0].reload();
  await tabs[0].call("open");
  assert.deepEqual(await tabs[0].call("writes"), expected);
  proxy.up = true;
  proxy.limit = () => (random() < 0.6 ? 100 + Math.floor(random() * 1_500) : Infinity);
  const count = Number(process.env.WRITES ?? 14);
  while (expected.length < count) {
    await write();
    const chance = random();
    if (expected.length === count - 4) await server.kill().then(() => server.restart());
    else if (chance < 0.3) proxy.cut();
    else if (chance < 0.5) {
      const tab = tabs[Math.floor(random() * 2)];
      await tab.reload();
      await tab.call("open");
    }
  }
  // What is cut by chance is repeated after up to 30 s: from here on, nothing is.
  proxy.limit = () => Infinity;
  await until(async () => (await tabs[1].call("writes")).length === 0, async () => `${await tabs[1].call("writes")} wait (SEED=${seed})`, 60_000);
  assert.deepEqual(await made("queued"), expected, `SEED=${seed}`);
  for (const tab of tabs) await equals(tab, `a tab (SEED=${seed})`);
  // A tab that was reloaded before it could report one has left it to another.
  const reported = async () => (await Promise.all(tabs.map((tab) => tab.get("outcomes")))).flat();
  assert.ok((await reported()).every(([kind]) => kind === "done"), JSON.stringify(await reported()));
});

test("an answer and a refusal reach the tab that has written, through the leader", async () => {
  const [leader, other] = [await newTab(), await newTab()];
  await leader.logIn();
  await leader.call("open");
  await opens(leader);
  await other.call("open");
  const uid = await other.call("answer", "answered");
  assert.match(uid, /^c/);
  assert.equal(await other.call("answer", null), "BAD_USER_INPUT");
  await until(async () => (await other.get("outcomes")).length === 2);
  assert.deepEqual(await other.get("outcomes"), [["done", "answered", undefined], ["refused", null, "BAD_USER_INPUT"]]);
  assert.deepEqual(await leader.get("outcomes"), []);
  await equals(leader, "the leader");
});

test("a log-out takes the rows from every tab and from the disk, and another viewer sees nothing of them", async () => {
  const [tab, other] = [await newTab(), await newTab()];
  await tab.logIn();
  for (const each of [tab, other]) {
    await each.call("open");
    await equals(each, "at first");
  }
  const secret = (await tab.call("state")).rows[0].name;
  assert.ok((await tab.call("stored")).includes(secret));
  await tab.call("logOut");
  await until(async () => (await other.get("ended")) === "UNAUTHENTICATED");
  for (const each of [tab, other]) assert.deepEqual((await each.call("state")).rows, []);
  assert.ok(!(await tab.call("stored")).includes(secret));
  assert.equal(await tab.call("tryToOpen"), "UNAUTHENTICATED");

  // Rows that are stored when the viewer changes without this package: in another tab, or while no page is open.
  await tab.reload();
  await tab.logIn();
  await tab.call("open");
  await equals(tab, "again");
  proxy.up = false;
  proxy.cut();
  await tab.call("write", "written offline");
  proxy.up = true;
  // Until the queue is empty, its text is stored too.
  await until(async () => (await tab.call("writes")).length === 0);
  await tab.tab.goto("about:blank");
  await other.call("logOutElsewhere");
  await other.logIn(TACOS);
  await tab.tab.goto(site.address);
  await tab.tab.waitForFunction(() => window.page);
  assert.ok((await tab.call("stored")).includes(secret), "they are still there");
  await tab.call("open");
  await opens(tab);
  const mine = new Set((await orders("tacos")).map(({ name }) => name));
  assert.deepEqual((await tab.get("shown")).filter((name) => !mine.has(name)), []);
  assert.ok(!(await tab.call("stored")).includes(secret));
  // And a log-out in another tab, by the client alone.
  await other.call("logOutElsewhere");
  await until(async () => (await tab.get("ended")) === "UNAUTHENTICATED");
  assert.deepEqual((await tab.call("state")).rows, []);
});

test("writes that wait are not sent as another viewer, and a service worker sends them for theirs, without a page", async () => {
  const tab = await newTab();
  await tab.tab.evaluate(async () => {
    await navigator.serviceWorker.register("/worker.js", { type: "module" });
    await navigator.serviceWorker.ready;
  });
  await tab.logIn();
  await tab.call("open");
  await opens(tab);
  proxy.up = false;
  proxy.cut();
  const expected = ["worker 1", "worker 2"];
  for (const name of expected) await tab.call("write", name);
  await tab.tab.goto("about:blank");
  const [worker] = context.serviceWorkers();
  const page = await newTab();
  proxy.up = true;
  await page.call("logOutElsewhere");
  await page.logIn(TACOS);
  assert.equal(await worker.evaluate(() => self.send()), "indexeddb");
  assert.deepEqual(await made("worker"), []);
  await page.call("logOutElsewhere");
  await page.logIn();
  await page.tab.goto("about:blank");
  assert.equal(await worker.evaluate(() => self.send()), "indexeddb");
  assert.deepEqual(await made("worker"), expected);
});
