// The service worker shows every message, opens only pages of its own origin, and renews a subscription that the browser has replaced.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mock, test } from "node:test";
import { createContext, runInContext } from "node:vm";
import { checkPush, registerPush, unregisterPush } from "@gom/push";
import { installPush } from "@gom/push/worker";
import { openBrowser, origin, url } from "./push.world.js";
import { json, turns } from "./scripts.js";

/** The payload as docs/PUSH.md has it. */
const [, documented] = readFileSync(new URL("../../../docs/PUSH.md", import.meta.url), "utf8").match(/### Message format\n\n```json\n(.*)\n```/);
const message = (payload) => ({ data: { json: () => JSON.parse(payload) } });

/** Runs `task` with a worker that was installed with `options`. */
async function withWorker(options, task) {
  const browser = openBrowser();
  try {
    installPush(browser.scope, options);
    await task(browser, browser.server);
  } finally {
    browser.close();
  }
}
const page = (address, more = {}) => {
  const own = { url: address, received: [], focus: async () => (own.focused = true), postMessage: (sent) => own.received.push(sent), ...more };
  return own;
};
/** Clicks the newest notification. */
const click = async (browser, action = "") => {
  const notification = { data: browser.shown.at(-1).data, close: () => (notification.closed = true) };
  await browser.dispatch("notificationclick", { notification, action });
  return notification;
};

test("the server's message is shown as documented, and one of a server without tags gets the same tag", () =>
  withWorker({}, async (browser) => {
    const { title, body, tag, data } = JSON.parse(documented);
    const expected = { title, body, tag, data };
    const { tag: _, ...former } = expected;
    await browser.dispatch("push", message(documented));
    await browser.dispatch("push", message(JSON.stringify(former)));
    assert.deepEqual(browser.shown, [expected, expected]);
    assert.equal(tag, `order:${data.uid}`);
  }));

test("pictures and buttons of a payload are shown, and those of the options where it has none", () =>
  withWorker({ icon: "/icon.png", badge: "/badge.png" }, async (browser) => {
    const actions = [{ action: "open", title: "Open" }];
    await browser.dispatch("push", message(JSON.stringify({ title: "a", icon: "/own.png", url: "/a", actions: [...actions, null, { action: 1 }] })));
    await browser.dispatch("push", message(JSON.stringify({ title: "b" })));
    assert.deepEqual(browser.shown, [
      { title: "a", icon: "/own.png", badge: "/badge.png", actions, data: { url: "/a" } },
      { title: "b", icon: "/icon.png", badge: "/badge.png", data: {} },
    ]);
  }));

test("a message that cannot be read, or whose pictures the browser refuses, is shown nevertheless", () =>
  withWorker({}, async (browser) => {
    for (const event of [{ data: null }, message("no JSON"), message("null"), message("[1]"), message('{"title":7,"body":[],"data":"x","tag":{},"actions":{}}')]) await browser.dispatch("push", event);
    assert.deepEqual(browser.shown, Array(5).fill({ title: "shop.test", data: {} }));
    browser.refuses = ({ icon }) => icon !== undefined;
    await browser.dispatch("push", message('{"title":"a","icon":"bad:","tag":"t"}'));
    assert.deepEqual(browser.shown.at(-1), { title: "a", tag: "t", data: {} });
  }));

test("a click focuses the page of the notification if one is open, opens it otherwise, and reports the click to it", () =>
  withWorker({ url: ({ type, uid }, action) => `/${type}s/${uid}${action && `?${action}`}` }, async (browser) => {
    await browser.dispatch("push", message('{"title":"a","data":{"type":"order","uid":"7"}}'));
    const data = { type: "order", uid: "7" };
    const other = page(`${origin}/orders/8`);
    const own = page(`${origin}/orders/7`);
    browser.pages = [other, own];
    assert.ok((await click(browser)).closed);
    assert.deepEqual([own.focused, own.received, other.received, browser.opened], [true, [{ type: "gom-push-click", url: own.url, data, action: "" }], [], []]);
    await click(browser, "pay");
    assert.deepEqual([browser.opened, browser.focused], [[`${origin}/orders/7?pay`], [{ type: "gom-push-click", url: `${origin}/orders/7?pay`, data, action: "pay" }]]);
    browser.pages = [page(own.url, { focus: () => Promise.reject(new Error("no")) })];
    await click(browser);
    assert.equal(browser.pages[0].received.length, 1, "also if the browser does not focus it");
  }));

test("a click opens no page of another origin and runs no script", () =>
  withWorker({}, async (browser) => {
    const targets = ["https://evil.test/", "//evil.test/", "javascript:alert(1)", `blob:${origin}/x`, "data:text/html,x", "http://shop.test/", "https://shop.test:8443/", "http://[", 7, null, {}];
    for (const target of targets) {
      await browser.dispatch("push", message(JSON.stringify({ title: "a", data: { url: target } })));
      await click(browser);
    }
    assert.deepEqual(browser.opened, targets.map(() => `${origin}/`));
    await browser.dispatch("push", message('{"title":"a","data":{"url":"/a"},"url":"b?c#d"}'));
    await click(browser);
    assert.equal(browser.opened.at(-1), `${origin}/b?c#d`, "the payload's own");
  }));

test("an application whose function fails opens the worker's scope", () =>
  withWorker({ url: ({ uid }) => `/orders/${uid.slice(2)}` }, async (browser) => {
    await browser.dispatch("push", message("no JSON"));
    await click(browser);
    assert.deepEqual([browser.opened, browser.badges], [[`${origin}/`], [1, 0]]);
  }));

test("the icon's number counts what came while no page was shown, and a click removes it", () =>
  withWorker({}, async (browser) => {
    const push = () => browser.dispatch("push", message('{"title":"a"}'));
    await Promise.all([push(), push()]);
    browser.pages = [page(`${origin}/`, { visibilityState: "visible" })];
    await push();
    browser.pages = [page(`${origin}/x`, { visibilityState: "hidden" })];
    await push();
    await click(browser);
    await push();
    assert.deepEqual(browser.badges, [1, 2, 3, 0, 1]);
    delete navigator.setAppBadge;
    delete navigator.clearAppBadge;
    await push();
    await click(browser);
    assert.equal(browser.shown.length, 6);
  }));

test("a subscription that the browser replaces is renewed without a session, with the server's present key", () =>
  withWorker({}, async (browser, server) => {
    browser.logIn("ana");
    await registerPush({ url });
    browser.leave();
    browser.subscription = browser.create(server.key);
    await browser.dispatch("pushsubscriptionchange");
    assert.deepEqual([browser.receiver(), server.devices.size], ["ana", 1]);
    server.key = browser.KEYS[1];
    browser.subscription = null;
    await browser.dispatch("pushsubscriptionchange");
    assert.deepEqual([browser.receiver(), server.devices.size], ["ana", 1]);
  }));

test("a renewal is retried after the server's delay, and a device that was turned off is not renewed", () =>
  withWorker({}, async (browser, server) => {
    browser.logIn("ana");
    await registerPush({ url });
    browser.subscription = browser.create(server.key);
    const answers = [json({ error: "Too Many Requests" }, 429, { "retry-after": "30" }), new Error("reset")];
    server.answer = (path) => {
      const answer = path === "renew" && answers.shift();
      if (answer instanceof Error) throw answer;
      return answer || undefined;
    };
    mock.timers.enable({ apis: ["setTimeout"] });
    try {
      const renewed = browser.dispatch("pushsubscriptionchange");
      const renewals = () => server.sent.filter((path) => path === "renew").length;
      const attempts = [];
      for (const delay of [0, 29_000, 1_000, 10_000]) {
        mock.timers.tick(delay);
        await turns(40);
        attempts.push(renewals());
      }
      await renewed;
      assert.deepEqual([attempts, browser.receiver()], [[1, 1, 2, 3], "ana"]);
    } finally {
      mock.timers.reset();
    }
    server.fault = () => "before";
    await assert.rejects(unregisterPush({ url }), { code: "NETWORK" });
    server.fault = () => undefined;
    const before = server.sent.length;
    browser.subscription = browser.create(server.key);
    await browser.dispatch("pushsubscriptionchange");
    assert.equal(server.sent.length, before);
    assert.deepEqual([await checkPush({ url }), browser.receiver()], ["off", undefined]);
  }));

test("the ready worker is one classic script, which takes the options of a worker that imports it", async () => {
  const script = readFileSync(new URL("node_modules/@gom/push/dist/gom-push-sw.js", import.meta.url), "utf8");
  const browser = openBrowser();
  try {
    const globals = { ...browser.scope, URL, indexedDB, navigator, gomPush: { title: "Orders" } };
    runInContext(script, createContext(globals));
    await browser.dispatch("push", { data: null });
    assert.equal(browser.shown[0].title, "Orders");
  } finally {
    browser.close();
  }
});
