// Notifications in Chromium: its cookies, database, locks, service worker and notifications, with a server. Only the push service is missing: the page makes
// up the subscription, and the test delivers the messages.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { after, before, test } from "node:test";
import { buildSync } from "esbuild";
import { chromium } from "playwright-core";
import { startServer, until } from "./place.js";

const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost"];
const documentOf = (name) => readFileSync(new URL(`../../../docs/${name}`, import.meta.url), "utf8");
const [, payload] = documentOf("PUSH.md").match(/### Message format\n\n```json\n(.*)\n```/);
const [code, ownWorker] = [...documentOf("clients/push.md").matchAll(/```js\n(.*?)```/gs)].map(([, block]) => block);

// The page as documented; the tests call its functions.
const page = { contents: `${code}\nimport * as push from "@gom/push"; Object.assign(window, { logIn, logOut, push });`, resolveDir: import.meta.dirname };
const PAGE = ["text/html", '<!doctype html><meta charset="utf-8"><button id="notifications" hidden></button><script type="module" src="/page.js"></script>'];
const FILES = {
  "/": PAGE,
  "/orders/UID": PAGE,
  "/page.js": ["text/javascript", buildSync({ stdin: page, bundle: true, format: "esm", write: false }).outputFiles[0].text],
  "/gom-push-sw.js": ["text/javascript", readFileSync(new URL("node_modules/@gom/push/dist/gom-push-sw.js", import.meta.url), "utf8")],
  "/sw.js": ["text/javascript", ownWorker],
};

/** In a page or worker: a push manager whose subscription is `subscription`, which `subscribe` makes. */
function pushManager() {
  const text = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const random = (count) => crypto.getRandomValues(new Uint8Array(count));
  const create = async (key) => {
    const pair = await crypto.subtle.generateKey({ name: "ECDH", namedCurve: "P-256" }, true, ["deriveBits"]);
    const keys = { p256dh: text(await crypto.subtle.exportKey("raw", pair.publicKey)), auth: text(random(16)) };
    return { key, json: { endpoint: `https://push.example/${text(random(24))}`, expirationTime: null, keys } };
  };
  const storage = globalThis.localStorage ?? { setItem: (_, value) => (storage.value = value), getItem: () => storage.value, removeItem: () => (storage.value = null) };
  const get = () => {
    const { key, json } = JSON.parse(storage.getItem("subscription") ?? "{}");
    if (!json) return null;
    const applicationServerKey = Uint8Array.from(atob(key.replaceAll("-", "+").replaceAll("_", "/")), (character) => character.charCodeAt(0)).buffer;
    return { options: { applicationServerKey }, toJSON: () => json, unsubscribe: async () => (storage.removeItem("subscription"), true) };
  };
  PushManager.prototype.getSubscription = async () => get();
  PushManager.prototype.subscribe = async ({ applicationServerKey }) => {
    storage.setItem("subscription", JSON.stringify(await create(applicationServerKey)));
    return get();
  };
}

let server, front, browser, origin;
before(async () => {
  server = await startServer();
  // As a proxy in front of the server: the page and its API are of one origin.
  front = createServer((incoming, outgoing) => {
    const file = FILES[incoming.url];
    if (file) return outgoing.writeHead(200, { "content-type": file[0] }).end(file[1]);
    const { method, headers } = incoming;
    const asked = request({ host: "127.0.0.1", port: server.port, method, path: incoming.url.replace("/api", ""), headers }, (answer) => {
      outgoing.writeHead(answer.statusCode, answer.rawHeaders);
      answer.pipe(outgoing);
    });
    asked.on("error", () => outgoing.writeHead(502).end());
    incoming.pipe(asked);
  });
  await new Promise((done) => front.listen(0, "localhost", done));
  origin = `http://localhost:${front.address().port}`;
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
});
after(async () => {
  await browser?.close();
  front?.close();
  front?.closeAllConnections();
  await server?.stop();
});

/** Whether the server has this subscription. */
async function isDevice(subscription) {
  const body = JSON.stringify({ old: subscription, new: subscription });
  const answer = await fetch(`${server.address}/webpush/renew`, { method: "POST", headers: { "content-type": "application/json" }, body });
  assert.equal(answer.status, 201);
  return answer.json();
}

/** A page in a new browser profile, whose functions are called by name. */
async function openPage() {
  const context = await browser.newContext();
  const tab = await context.newPage();
  await tab.addInitScript(pushManager);
  const session = await context.newCDPSession(tab);
  const registered = new Promise((resolve) => session.on("ServiceWorker.workerRegistrationUpdated", ({ registrations }) => registrations[0] && resolve(registrations[0].registrationId)));
  await session.send("ServiceWorker.enable");
  const load = async (path = "/") => {
    await tab.goto(origin + path);
    await tab.waitForFunction(() => window.push);
  };
  await load();
  const worker = async () => context.serviceWorkers()[0] ?? context.waitForEvent("serviceworker");
  return {
    context,
    tab,
    load,
    call: (name, more = {}) => tab.evaluate(([each, options]) => push[each](options), [name, { url: "/api/graphql", ...more }]),
    logIn: (username) => tab.evaluate(([name, password]) => logIn(name, password), [username, server.password]),
    button: (text) => tab.waitForFunction((expected) => document.querySelector("#notifications").textContent === expected, text, { timeout: 10_000 }),
    subscription: () => tab.evaluate(() => JSON.parse(localStorage.getItem("subscription"))?.json ?? null),
    worker,
    /** A message arrives; gives what is shown. */
    async deliver(data) {
      await session.send("ServiceWorker.deliverPushMessage", { origin, registrationId: await registered, data });
      const scope = await worker();
      return until(async () => {
        const shown = await scope.evaluate(async () => (await registration.getNotifications()).map(({ title, body, tag, icon, data: own }) => ({ title, body, tag, icon, data: own })));
        return shown.length > 0 && shown;
      });
    },
    /** Clicks what is shown; gives what the page is notified of. */
    async click() {
      await tab.evaluate(() => (window.clicked = new Promise((resolve) => push.onNotificationClick(resolve))) && undefined);
      await dispatch(await worker(), async () => new NotificationEvent("notificationclick", { notification: (await registration.getNotifications())[0] }));
      return tab.evaluate(() => window.clicked);
    },
  };
}

/** Dispatches the event that `create` makes in a worker, and waits for what the worker does. */
async function dispatch(worker, create) {
  await worker.evaluate(`(async () => {
    const event = await (${create})();
    // Only a browser's own events may be extended.
    let task;
    event.waitUntil = (each) => (task = each);
    dispatchEvent(event);
    await task;
  })()`);
}

test("the page of docs/clients/push.md turns notifications on, shows and renews them, also for other VAPID keys, and another user does not receive them", async () => {
  const { context, tab, load, call, logIn, button, subscription, worker, deliver, click } = await openPage();
  await logIn("paletas@demo.gom");
  assert.equal(await call("checkPush"), "off");
  await context.grantPermissions(["notifications"], { origin });
  await load();
  await button("Turn notifications on");
  await tab.click("#notifications");
  await button("Turn notifications off");
  const first = await subscription();
  assert.ok(await isDevice(first));
  await load();
  await button("Turn notifications off");
  assert.deepEqual(await subscription(), first);

  assert.deepEqual(await deliver(payload), [{ ...JSON.parse(payload), icon: "" }]);
  assert.deepEqual(await click(), { type: "gom-push-click", url: `${origin}/`, data: JSON.parse(payload).data, action: "" });

  // The browser replaces the subscription.
  const scope = await worker();
  await scope.evaluate(`(${pushManager})()`);
  await dispatch(scope, () => new ExtendableEvent("pushsubscriptionchange"));
  const second = await scope.evaluate(async () => ({ json: (await registration.pushManager.getSubscription()).toJSON(), key: await (await fetch("/api/webpush/key")).text() }));
  assert.deepEqual([await isDevice(first), await isDevice(second.json)], [false, true]);
  await tab.evaluate((value) => localStorage.setItem("subscription", JSON.stringify(value)), second);
  assert.deepEqual([await call("checkPush"), await subscription()], ["on", second.json]);

  // Another pair of VAPID keys ends every subscription at the push services.
  await server.kill();
  const pair = execFileSync(process.env.GOM, ["vapid", "generate"], { encoding: "utf8" });
  await server.restart({ VAPID_SUBJECT: "mailto:push@shop.example", ...Object.fromEntries([...pair.matchAll(/^(VAPID_\w+)=(\S+)$/gm)].map(([, name, value]) => [name, value])) });
  assert.equal(await call("checkPush"), "on");
  const third = await subscription();
  assert.deepEqual([await isDevice(second.json), await isDevice(third)], [false, true]);

  await tab.evaluate(() => logOut());
  await button("Turn notifications on");
  assert.equal(await isDevice(third), false);
  await logIn("paletas@demo.gom");
  await button("Turn notifications off");
  assert.equal(await isDevice(third), true);
  // The session has ended by itself: notifications go on, until another user logs in.
  await context.clearCookies();
  assert.deepEqual([await call("checkPush"), await isDevice(third)], ["on", true]);
  await logIn("tacos@demo.gom");
  await button("Turn notifications on");
  assert.deepEqual([await subscription(), await isDevice(third)], [null, false]);
  await tab.click("#notifications");
  await button("Turn notifications off");
  const fourth = await subscription();
  assert.ok(await isDevice(fourth));
  await tab.click("#notifications");
  await button("Turn notifications on");
  assert.deepEqual([await isDevice(fourth), await subscription()], [false, null]);
  await context.close();
});

test("a worker of the application that imports the ready one opens the page that it chooses", async () => {
  const own = await openPage();
  await own.logIn("paletas@demo.gom");
  await own.context.grantPermissions(["notifications"], { origin });
  assert.equal(await own.call("registerPush", { serviceWorker: "/sw.js" }), "on");
  const [shown] = await own.deliver(payload);
  assert.equal(shown.icon, `${origin}/icon.png`);
  await own.load("/orders/UID");
  assert.equal((await own.click()).url, `${origin}/orders/UID`);
  assert.equal(await own.call("unregisterPush", { serviceWorker: "/sw.js" }), "off");
  await own.context.close();
});

test("a user who blocks notifications is reported", async () => {
  const { context, call, logIn, tab, button } = await openPage();
  await logIn("paletas@demo.gom");
  const session = await context.newCDPSession(tab);
  await session.send("Browser.setPermission", { permission: { name: "notifications" }, setting: "denied", origin });
  assert.equal(await call("registerPush"), "denied");
  await tab.reload();
  await button("Notifications are blocked for this site");
  await context.close();
});
