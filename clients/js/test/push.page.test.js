// Notifications are turned on, kept on and turned off in a page, whatever happens to the subscription, the network and the session.
import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { checkPush, clearBadge, onNotificationClick, pausePush, registerPush, unregisterPush } from "@gom/push";
import { installPush } from "@gom/push/worker";
import { dice, until } from "./place.js";
import { openBrowser, origin, target, url } from "./push.world.js";
import { json, turns } from "./scripts.js";

const options = { url };

/** Runs `task` in a new browser. */
async function inBrowser(task) {
  const browser = openBrowser();
  try {
    await task(browser, browser.server);
  } finally {
    browser.close();
  }
}
const endpoints = ({ devices }) => [...devices.keys()];

test("a click turns notifications on, a second page keeps them on without a new subscription, and another click turns them off", () =>
  inBrowser(async (browser, server) => {
    browser.logIn("ana");
    assert.equal(await checkPush(options), "off");
    assert.deepEqual([server.sent, browser.registered], [[], undefined], "nothing is requested before the user has decided");
    assert.equal(await registerPush(options), "on");
    assert.deepEqual([browser.receiver(), browser.registered], ["ana", "/gom-push-sw.js"]);
    assert.equal(await checkPush(options), "on");
    assert.deepEqual([browser.ids, endpoints(server)], [1, ["https://push.test/1"]]);
    assert.equal(await unregisterPush(options), "off");
    assert.deepEqual([browser.subscription, endpoints(server), await checkPush(options)], [null, [], "off"]);
    assert.deepEqual([await registerPush(options), browser.receiver()], ["on", "ana"]);
  }));

test("what the user answers to the browser's question is the state", () =>
  inBrowser(async (browser, server) => {
    await assert.rejects(registerPush(options), { code: "UNAUTHENTICATED" });
    browser.logIn("ana");
    for (const [answer, state] of [["default", "off"], ["denied", "denied"]]) {
      browser.answer = answer;
      assert.deepEqual([await registerPush(options), await checkPush(options)], [state, state]);
    }
    assert.deepEqual(server.sent, []);
    delete globalThis.PushManager;
    for (const each of [registerPush, checkPush, pausePush, unregisterPush]) assert.equal(await each(options), "unsupported");
  }));

test("a permission that the user has taken back ends the device at the server", () =>
  inBrowser(async (browser, server) => {
    browser.logIn("ana");
    await registerPush(options);
    Notification.permission = "denied";
    browser.subscription = null;
    assert.deepEqual([await checkPush(options), endpoints(server)], ["denied", []]);
  }));

test("a server without keys, and an address that is no server, are reported", () =>
  inBrowser(async (browser, server) => {
    browser.logIn("ana");
    server.key = undefined;
    assert.equal(await registerPush(options), "unsupported");
    server.answer = () => new Response("<!doctype html>");
    await assert.rejects(registerPush(options), { code: "BAD_KEY", message: /https:\/\/shop\.test\/api\/webpush\/key/ });
  }));

test("a subscription that has vanished or changed, and one for an old VAPID key, is replaced at the server, also if nobody is logged in", () =>
  inBrowser(async (browser, server) => {
    browser.logIn("ana");
    await registerPush(options);
    browser.leave();
    const changes = [() => (browser.subscription = null), () => (browser.subscription = browser.create(server.key)), () => (server.key = browser.KEYS[1])];
    for (const change of changes) {
      change();
      assert.equal(browser.receiver(), undefined);
      assert.deepEqual([await checkPush(options), browser.receiver(), server.devices.size], ["on", "ana", 1], String(change));
    }
  }));

test("the user who was logged out receives nothing until the next log-in, and another user nothing at all", () =>
  inBrowser(async (browser, server) => {
    browser.logIn("ana");
    await registerPush(options);
    browser.logOut();
    assert.deepEqual([await checkPush(options), browser.receiver()], ["off", undefined]);
    browser.logIn("ana");
    assert.deepEqual([await checkPush(options), browser.receiver()], ["on", "ana"]);
    browser.leave();
    browser.logIn("bea");
    assert.deepEqual([await checkPush(options), browser.subscription, endpoints(server)], ["off", null, []]);
    await registerPush(options);
    assert.deepEqual([browser.receiver(), server.devices.size], ["bea", 1]);
    browser.logIn("ana");
    assert.equal(await registerPush(options), "on");
    assert.deepEqual([browser.receiver(), server.devices.size, browser.subscription.toJSON().endpoint], ["ana", 1, "https://push.test/3"], "not over the other user's subscription");
  }));

test("a session that has ended while its cookie is still there leaves the device as it is", () =>
  inBrowser(async (browser) => {
    browser.logIn("ana");
    await registerPush(options);
    browser.expired = true;
    assert.deepEqual([await checkPush(options), browser.receiver()], ["on", "ana"]);
  }));

test("a log-in in another tab between the check and its request does not give the device to that user", () =>
  inBrowser(async (browser, server) => {
    browser.logIn("ana");
    await registerPush(options);
    server.answer = (path) => {
      // The token of the session before is refused; by the repetition the cookies are of another user.
      if (path === "subscribe" && browser.user === "ana") return browser.logIn("bea"), json({ error: "EBADCSRFTOKEN", message: "no" }, 403);
    };
    assert.deepEqual([await checkPush(options), browser.receiver(), server.devices.size], ["off", undefined, 0]);
  }));

test("a log-in in another tab while the browser asks does not turn notifications on for that user", () =>
  inBrowser(async (browser, server) => {
    browser.logIn("ana");
    const { requestPermission } = Notification;
    Notification.requestPermission = async () => (browser.logIn("bea"), requestPermission());
    await assert.rejects(registerPush(options), { code: "UNAUTHENTICATED" });
    assert.deepEqual([server.devices.size, await checkPush(options)], [0, "off"]);
    await registerPush(options);
    browser.logIn("ana");
    await assert.rejects(registerPush(options), { code: "UNAUTHENTICATED" });
    assert.equal(browser.receiver(), "bea", "that user's own stay on");
  }));

test("what a page that was closed has begun is ended by the next one", () =>
  inBrowser(async (browser, server) => {
    browser.logIn("ana");
    server.fault = (path) => (path === "subscribe" ? "never" : undefined);
    // The closed page's own timer never ends.
    mock.timers.enable({ apis: ["setTimeout"] });
    void registerPush(options);
    await turns(40);
    mock.timers.reset();
    assert.equal(browser.receiver(), "ana");
    browser.closePage();
    server.fault = () => undefined;
    assert.deepEqual([await checkPush(options), browser.subscription, endpoints(server)], ["off", null, []]);
  }));

test("what is refused or lost while it is turned on leaves nothing behind", () =>
  inBrowser(async (browser, server) => {
    browser.logIn("ana");
    server.answer = (path) => (path === "subscribe" ? json({ error: "Bad Request", message: ["endpoint is of a host that is not allowed"] }, 400) : undefined);
    await assert.rejects(registerPush(options), { code: "Bad Request", message: /not allowed/ });
    assert.deepEqual([browser.subscription, await checkPush(options)], [null, "off"]);
    server.answer = () => undefined;
    server.fault = (path) => ({ subscribe: "after", unsubscribe: "before" })[path];
    await assert.rejects(registerPush(options), { code: "NETWORK" });
    assert.deepEqual([browser.subscription, endpoints(server)], [null, ["https://push.test/2"]]);
    server.fault = () => undefined;
    assert.deepEqual([await checkPush(options), endpoints(server)], ["off", []], "the next page ends it");
  }));

test("turned off without a network: nothing is shown, and the next page removes the device", () =>
  inBrowser(async (browser, server) => {
    browser.logIn("ana");
    await registerPush(options);
    server.fault = () => "before";
    await assert.rejects(unregisterPush(options), { code: "NETWORK" });
    assert.deepEqual([browser.subscription, server.devices.size], [null, 1]);
    server.fault = () => undefined;
    assert.deepEqual([await checkPush(options), server.devices.size], ["off", 0]);
  }));

test("a subscription that the server does not accept any more can be turned off", () =>
  inBrowser(async (browser, server) => {
    browser.logIn("ana");
    await registerPush(options);
    server.answer = (path) => (path === "unsubscribe" ? json({ error: "Bad Request" }, 400) : undefined);
    assert.equal(await unregisterPush(options), "off");
    const before = server.sent.length;
    assert.deepEqual([await checkPush(options), server.sent.length], ["off", before]);
  }));

test("pages that check at the same time, while one of them turns off, agree", () =>
  inBrowser(async (browser, server) => {
    browser.logIn("ana");
    await registerPush(options);
    server.key = browser.KEYS[1];
    const states = await Promise.all([checkPush(options), unregisterPush(options), checkPush(options), checkPush(options)]);
    assert.deepEqual([states, browser.subscription, server.devices.size], [["on", "off", "off", "off"], null, 0]);
  }));

test("pages of another origin have to name their viewer", () =>
  inBrowser(async (browser) => {
    const other = { url: "https://api.test/api/graphql" };
    await assert.rejects(registerPush(other), TypeError);
    browser.user = "ana";
    assert.equal(await registerPush({ ...other, viewer: () => browser.user }), "on", "the CSRF token comes with a response");
    assert.equal(browser.receiver(), "ana");
    browser.user = "bea";
    assert.deepEqual([await checkPush({ ...other, viewer: () => browser.user }), browser.receiver()], ["off", undefined]);
  }));

test("a worker that cannot be registered or installed is named, and one that is installed is waited for", () =>
  inBrowser(async (browser) => {
    browser.logIn("ana");
    const { registration } = browser.scope;
    const installing = Object.assign(target(), { state: "installing" });
    const waiting = { ...registration, active: null, installing };
    browser.container.register = async () => Promise.reject(new TypeError("404"));
    const own = { url, serviceWorker: "/sw.js" };
    await assert.rejects(registerPush(own), { code: "SERVICE_WORKER", message: /\/sw\.js.*gom-push-sw\.js/ });
    browser.container.register = async () => waiting;
    const register = async (state, active) => {
      const result = registerPush(own).catch((error) => error);
      await until(() => installing.count() === 1);
      Object.assign(installing, { state });
      Object.assign(waiting, { active });
      installing.emit();
      return result;
    };
    assert.equal((await register("redundant", null)).code, "SERVICE_WORKER");
    assert.equal(browser.subscription, null);
    assert.deepEqual([await register("activating", installing), installing.count()], ["on", 0]);
  }));

test("a page is notified of clicks, and removes the number when it is shown, until it stops", () =>
  inBrowser(async ({ container, document, badges }) => {
    const clicks = [];
    const stops = [onNotificationClick(({ url: address }) => clicks.push(address)), clearBadge()];
    for (const data of [null, "x", { type: "other" }, { type: "gom-push-click", url: `${origin}/a`, data: {}, action: "" }]) container.emit({ data });
    document.visibilityState = "hidden";
    document.emit();
    document.visibilityState = "visible";
    document.emit();
    await turns();
    assert.deepEqual([clicks, badges], [[`${origin}/a`], [0, 0]]);
    stops.forEach((stop) => stop());
    assert.deepEqual([container.count(), document.count()], [0, 0]);
  }));

/** Users, logins, subscriptions, keys and networks that change at random: who has turned notifications on, and nobody else, receives them. */
async function schedule(seed, steps) {
  const random = dice(seed);
  const pick = (list) => list[Math.floor(random() * list.length)];
  await inBrowser(async (browser, server) => {
    installPush(browser.scope);
    const log = [];
    let wanted;
    let out = false;
    let faulty = 0;
    let lost = 0;
    server.fault = () => (random() < faulty ? ((lost += 1), pick(["before", "after"])) : undefined);
    const run = async (task) => {
      try {
        return await task(options);
      } catch (error) {
        assert.match(error.code, /^(NETWORK|UNAUTHENTICATED)$/, String(error.stack));
        return error.code;
      }
    };
    const events = {
      logIn: () => ((out = false), browser.logIn(pick(["ana", "bea"]))),
      /** As documented. */
      async logOut() {
        if (!browser.user) return;
        await run(pausePush);
        if (browser.user !== wanted) wanted = undefined;
        browser.logOut();
        out = true;
      },
      leave: () => browser.leave(),
      vanish: () => (browser.subscription = null),
      replace: () => browser.subscription && (browser.subscription = browser.create(server.key)),
      key: () => (server.key = pick(browser.KEYS)),
      network: () => (faulty = pick([0, 0, 0.3, 1])),
      async change() {
        const network = faulty;
        // Its delays between attempts are tested elsewhere.
        faulty = 0;
        await browser.dispatch("pushsubscriptionchange");
        faulty = network;
      },
      async register() {
        const state = await run(registerPush);
        if (state === "on") wanted = browser.user;
        else if (wanted !== browser.user && browser.user) wanted = undefined;
      },
      async unregister() {
        await run(unregisterPush);
        wanted = undefined;
      },
      check: () => settle(),
    };
    const settle = async () => {
      const state = await run(checkPush);
      if (browser.user && browser.user !== wanted) wanted = undefined;
      if (state === "NETWORK") return;
      const receiver = browser.receiver();
      if (out) assert.deepEqual([state, receiver], ["off", undefined], "after a log-out nobody receives");
      if (wanted === undefined || !browser.user) assert.ok([undefined, wanted].includes(receiver), `${receiver} receives`);
      if (wanted === undefined) assert.deepEqual([state, browser.subscription], ["off", null]);
      else if (browser.user) assert.deepEqual([state, receiver], ["on", wanted]);
      else assert.equal(state === "on", receiver !== undefined);
    };
    try {
      for (let step = 0; step < steps; step += 1) {
        const name = pick(Object.keys(events));
        log.push(`${name} (${browser.user}, ${wanted})`);
        await events[name]();
        const receiver = browser.receiver();
        // Between a log-in and the next check, a device whose session has ended by itself is still the earlier user's.
        assert.ok(receiver === undefined || name !== "check" || !browser.user || receiver === browser.user || faulty > 0);
      }
      faulty = 0;
      await settle();
      // After a renewal whose answer was lost, the server may have one more, until the push service answers that it is gone.
      const left = lost > 0 ? [] : [...server.devices.keys()].filter((endpoint) => endpoint !== browser.subscription?.toJSON().endpoint);
      assert.deepEqual(left, [], "devices that no browser has");
    } catch (error) {
      throw new Error(`seed ${seed}: ${log.join(", ")}\n${error.stack}`);
    }
  });
}

test("after any schedule of log-ins, lost requests, changed keys and subscriptions, who wanted notifications receives them and nobody else", async () => {
  const { GOM_PUSH_SEED: given, GOM_PUSH_SCHEDULES: count = 150 } = process.env;
  const first = given ? Number(given) : Math.floor(Math.random() * 2 ** 31);
  console.log(`first seed: ${first}`);
  for (let seed = first; seed < first + Number(given ? 1 : count); seed += 1) await schedule(seed, 40);
});
