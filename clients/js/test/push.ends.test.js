// What ends notifications ends them everywhere: for another user, after a log-out, and also if the browser, its push service or the server fails.
import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { checkPush, pausePush, registerPush, unregisterPush } from "@gom/push";
import { openBrowser, target, url } from "./push.world.js";
import { turns } from "./scripts.js";

const options = { url };

/** Runs `task` in a new browser in which ana has turned notifications on. */
async function withAna(task) {
  const browser = openBrowser();
  try {
    browser.logIn("ana");
    assert.equal(await registerPush(options), "on");
    await task(browser, browser.server);
  } finally {
    browser.close();
  }
}

/** Gives the error of `task`, whose timers end after `seconds`. */
async function after(seconds, task) {
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    let ended = false;
    const result = task().then(() => assert.fail("it resolves"), (error) => ((ended = true), error));
    await turns(40);
    mock.timers.tick(seconds * 1_000 - 1);
    await turns(40);
    assert.ok(!ended, "not before");
    mock.timers.tick(1);
    await turns(40);
    assert.ok(ended);
    return await result;
  } finally {
    mock.timers.reset();
  }
}

test("a browser that keeps the subscription of one user gives it to no other one, and the server has it no more", async () => {
  for (const keeps of [async () => false, async () => Promise.reject(new DOMException("no", "AbortError"))]) {
    await withAna(async (browser, server) => {
      browser.keeps = keeps;
      await assert.rejects(unregisterPush(options), { code: "PUSH_SERVICE" });
      assert.equal(server.devices.size, 0);
      browser.logIn("bea");
      for (const each of [checkPush, registerPush, unregisterPush]) {
        await assert.rejects(each(options), { code: "PUSH_SERVICE" });
        assert.deepEqual([browser.ids, server.devices.size], [1, 0]);
      }
      browser.keeps = undefined;
      assert.deepEqual([await checkPush(options), browser.subscription], ["off", null]);
      assert.deepEqual([await registerPush(options), browser.receiver(), browser.ids], ["on", "bea", 2]);
    });
  }
});

test("after a log-out nobody receives, also if the device was of an earlier session, until the same user's next log-in", () =>
  withAna(async (browser, server) => {
    browser.leave();
    browser.logIn("ana");
    assert.equal(await pausePush(options), "off");
    browser.logOut();
    assert.equal(browser.receiver(), undefined);
    const before = server.sent.length;
    assert.deepEqual([await checkPush(options), server.sent.length], ["off", before], "no request is left to send");
    browser.logIn("ana");
    assert.deepEqual([await checkPush(options), browser.receiver(), browser.ids], ["on", "ana", 1]);
    browser.leave();
    assert.deepEqual([await checkPush(options), browser.receiver()], ["on", "ana"], "the session has ended by itself");
  }));

test("a log-out whose requests are lost is completed by the next page, also for a subscription that was replaced", async () => {
  for (const fault of ["before", "after"]) {
    await withAna(async (browser, server) => {
      browser.leave();
      browser.logIn("ana");
      browser.subscription = browser.create(server.key);
      server.fault = (path) => (path === "renew" ? "after" : undefined);
      await assert.rejects(checkPush(options), { code: "NETWORK" });
      server.fault = () => fault;
      await assert.rejects(pausePush(options), { code: "NETWORK" });
      server.fault = () => undefined;
      browser.leave();
      assert.deepEqual([await checkPush(options), server.devices.size], ["off", 0]);
    });
  }
});

test("after a log-out, a session that has ended while its cookie is still there turns nothing on", () =>
  withAna(async (browser, server) => {
    await pausePush(options);
    browser.logOut();
    browser.logIn("ana");
    browser.expired = true;
    assert.deepEqual([await checkPush(options), server.devices.size], ["off", 0]);
    server.fault = (path) => (path === "subscribe" ? "after" : undefined);
    browser.expired = false;
    await assert.rejects(registerPush(options), { code: "NETWORK" });
    server.fault = () => undefined;
    browser.leave();
    assert.deepEqual([await checkPush(options), server.devices.size], ["off", 0]);
  }));

test("a log-out whose request was lost, of a session that has ended while its cookie is still there, is completed", () =>
  withAna(async (browser, server) => {
    server.fault = () => "before";
    await assert.rejects(pausePush(options), { code: "NETWORK" });
    server.fault = () => undefined;
    browser.expired = true;
    assert.deepEqual([await checkPush(options), server.devices.size], ["off", 0]);
  }));

test("a customer at another seller is another user", () =>
  withAna(async (browser, server) => {
    browser.logIn("cleo", { seller: "s" });
    await registerPush(options);
    browser.logIn("cleo", { seller: "t" });
    assert.deepEqual([await checkPush(options), browser.subscription, server.devices.size], ["off", null, 0]);
  }));

test("what was shown, and the icon's number, go with the user", async () => {
  const relogged = (browser) => (browser.logIn("bea"), checkPush(options));
  for (const leave of [() => unregisterPush(options), () => pausePush(options), relogged]) {
    await withAna(async (browser) => {
      browser.shown.push({ title: "a" }, { title: "b" });
      // Also if the browser keeps the subscription.
      browser.keeps = async () => false;
      await leave(browser).catch(() => undefined);
      assert.deepEqual([browser.shown, browser.badges], [[], [0]]);
    });
  }
});

test("a subscription without a record, or beside it, is removed from the server by the next page if its request was lost", () =>
  withAna(async (browser, server) => {
    const own = async () => {
      browser.subscription = browser.create(server.key);
      const { endpoint, keys } = browser.subscription.toJSON();
      server.devices.set(endpoint, { user: "ana", session: browser.session, auth: keys.auth, key: server.key });
    };
    for (let round = 0; round < 2; round += 1) {
      await own();
      server.fault = (path) => (path === "unsubscribe" ? "before" : undefined);
      await assert.rejects(unregisterPush(options), { code: "NETWORK" });
      assert.equal(browser.subscription, null);
      server.fault = () => undefined;
      assert.deepEqual([await checkPush(options), server.devices.size], ["off", 0], `round ${round}`);
    }
  }));

test("a subscription that has expired, or whose key the browser does not report after another key came, is replaced", () =>
  withAna(async (browser, server) => {
    browser.subscription.expirationTime = Date.now() - 1;
    assert.deepEqual([await checkPush(options), browser.ids, browser.receiver(), server.devices.size], ["on", 2, "ana", 1]);
    delete browser.subscription.options;
    assert.deepEqual([await checkPush(options), browser.ids], ["on", 2]);
    server.key = browser.KEYS[1];
    assert.deepEqual([await checkPush(options), browser.ids, browser.receiver(), server.devices.size], ["on", 3, "ana", 1]);
  }));

test("an answer that is no JSON, and a browser without its database or locks, are errors with codes", () =>
  withAna(async (browser, server) => {
    browser.leave();
    server.answer = (path) => (path === "renew" ? new Response("<!doctype html>") : undefined);
    await assert.rejects(checkPush(options), { name: "GomError", code: "NETWORK" });
    const refuse = () => {
      throw new DOMException("blocked", "SecurityError");
    };
    const { open } = indexedDB;
    indexedDB.open = refuse;
    await assert.rejects(checkPush(options), { name: "GomError", code: "STORAGE" });
    indexedDB.open = open;
    navigator.locks = { request: refuse };
    await assert.rejects(checkPush(options), { name: "GomError", code: "STORAGE" });
  }));

test("a token among the options does not replace the session", () =>
  withAna(async (browser) => {
    assert.deepEqual([await checkPush({ ...options, token: () => "x" }), browser.receiver()], ["on", "ana"]);
  }));

test("a server, a body, a push service and a worker that do not answer are errors after their time, and leave no listener", () =>
  withAna(async (browser, server) => {
    server.fault = (path) => (path === "key" ? "never" : undefined);
    assert.equal((await after(20, () => checkPush(options))).code, "NETWORK");
    server.fault = () => undefined;
    server.answer = (path) => (path === "subscribe" ? new Response(new ReadableStream({}), { status: 403 }) : undefined);
    assert.equal((await after(20, () => checkPush(options))).code, "NETWORK");
    server.answer = () => undefined;
    const { pushManager } = browser.scope.registration;
    const { getSubscription } = pushManager;
    let report;
    let calls = 0;
    // The second call is that before the end of the subscription.
    pushManager.getSubscription = async () => ((calls += 1) === 1 ? browser.subscription : new Promise((resolve) => (report = () => resolve(browser.subscription))));
    assert.equal((await after(30, () => unregisterPush(options))).code, "PUSH_SERVICE");
    assert.equal(server.devices.size, 0);
    let late = 0;
    browser.subscription.unsubscribe = async () => (late += 1);
    report();
    await turns();
    assert.equal(late, 0, "nothing begins outside of the lock");
    pushManager.getSubscription = getSubscription;
    browser.subscription = null;
    assert.equal(await checkPush(options), "off");
    const installing = Object.assign(target(), { state: "installing" });
    browser.container.register = async () => ({ ...browser.scope.registration, active: null, installing });
    assert.equal((await after(30, () => registerPush(options))).code, "SERVICE_WORKER");
    assert.equal(installing.count(), 0);
  }));
