// A browser and a server for the tests of @gom/push: its push manager, notifications, locks and cookies, and what is at `/webpush`.
import { IDBFactory } from "fake-indexeddb";
import { json, jwt } from "./scripts.js";

export const origin = "https://shop.test";
export const url = "/api/graphql";
const KEYS = ["A", "B", "C", "D"].map((letter) => `B${letter.repeat(86)}`);
const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (character) => character.charCodeAt(0)).buffer;
const define = (name, value) => Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
const GLOBALS = ["indexedDB", "navigator", "location", "document", "Notification", "PushManager", "fetch"];

/** Listeners, as an `EventTarget` has them; `count` is how many there are. */
export function target() {
  const listeners = new Set();
  return {
    addEventListener(_, listener, { signal } = {}) {
      listeners.add(listener);
      signal?.addEventListener("abort", () => listeners.delete(listener));
    },
    removeEventListener: (_, listener) => listeners.delete(listener),
    emit: (event) => [...listeners].forEach((listener) => listener(event)),
    count: () => listeners.size,
  };
}

/** Requests one after the other, as the Web Locks of one name. */
function createLocks() {
  let last = Promise.resolve();
  return {
    request(_, task) {
      const own = last.then(task);
      last = own.catch(() => undefined);
      return own;
    },
  };
}

/** `/webpush` as docs/PUSH.md has it. `fault(path)` may give `"before"` or `"after"`: where the connection is lost; or `"never"`. */
function createServer(browser) {
  const server = { devices: new Map(), key: KEYS[0], csrf: "c0", sent: [], fault: () => undefined, answer: () => undefined };
  const same = (device, { keys }) => device?.auth === keys.auth;
  const routes = {
    key: () => (server.key ? new Response(server.key) : json({ error: "Not Found" }, 404)),
    subscribe(body, headers) {
      if (!browser.user || browser.expired) return json({ error: "jwt_error", message: "jwt must be provided" }, 403);
      if (headers.get("x-csrf-token") !== server.csrf) return json({ error: "EBADCSRFTOKEN", message: "no" }, 403, { "x-csrf-token": server.csrf });
      const known = server.devices.get(body.endpoint);
      if (same(known, body) && known.key !== server.key) return json({ error: "Bad Request", message: ["was made for another key"] }, 400);
      server.devices.set(body.endpoint, { user: browser.user, session: browser.session, auth: body.keys.auth, key: server.key });
      return json(true, 201);
    },
    renew({ old, new: fresh }) {
      const found = server.devices.get(old.endpoint);
      if (!same(found, old)) return json(same(server.devices.get(fresh.endpoint), fresh), 201);
      server.devices.delete(old.endpoint);
      server.devices.set(fresh.endpoint, { ...found, auth: fresh.keys.auth, key: server.key });
      return json(true, 201);
    },
    unsubscribe: (body) => json(same(server.devices.get(body.endpoint), body) && server.devices.delete(body.endpoint), 201),
  };
  server.fetch = async (address, init = {}) => {
    const { pathname } = new URL(address);
    const path = pathname.replace("/api/webpush/", "");
    server.sent.push(path);
    const fault = server.fault(path);
    if (fault === "before") throw new TypeError("reset");
    const answer = server.answer(path) ?? (pathname === "/api/auth/ping" ? json({}, 200, { "x-csrf-token": server.csrf }) : routes[path](init.body && JSON.parse(init.body), new Headers(init.headers)));
    if (fault === "after") throw new TypeError("reset");
    if (fault === "never") return new Promise(() => undefined);
    return answer;
  };
  return server;
}

/** Installs a page in a new browser as the globals; `close` removes them. */
export function openBrowser() {
  const browser = { user: undefined, expired: false, subscription: null, shown: [], badges: [], focused: [], opened: [], pages: [], answer: "granted", ids: 0, session: 0 };
  const server = createServer(browser);
  const manager = {
    getSubscription: async () => browser.subscription,
    subscribe: async ({ applicationServerKey }) => {
      if (browser.subscription) throw new Error("InvalidStateError");
      return (browser.subscription = browser.create(applicationServerKey));
    },
  };
  browser.create = (key) => {
    const id = (browser.ids += 1);
    const subscription = {
      options: { applicationServerKey: bytes(key) },
      toJSON: () => ({ endpoint: `https://push.test/${id}`, expirationTime: null, keys: { p256dh: `p${id}`, auth: `a${id}` } }),
      unsubscribe: async () => {
        if (browser.keeps) return browser.keeps();
        if (browser.subscription === subscription) browser.subscription = null;
        return true;
      },
    };
    return subscription;
  };
  const container = Object.assign(target(), {
    startMessages: () => undefined,
    register: async (script) => ((browser.registered = script), registration),
    getRegistration: async () => browser.registered && registration,
  });
  const registration = {
    active: {},
    scope: `${origin}/`,
    pushManager: manager,
    showNotification: async (title, options) => {
      if (browser.refuses?.(options)) throw new TypeError("refused");
      browser.shown.push({ title, ...options });
    },
    getNotifications: async () => browser.shown.map((each) => ({ close: () => (browser.shown = browser.shown.filter((other) => other !== each)) })),
  };
  const listeners = new Map();
  const scope = {
    registration,
    clients: {
      matchAll: async () => browser.pages,
      openWindow: async (address) => (browser.opened.push(address), { postMessage: (message) => browser.focused.push(message) }),
    },
    addEventListener: (type, listener) => listeners.set(type, listener),
  };
  const document = Object.assign(target(), { cookie: "", visibilityState: "visible" });
  const replaced = new Map(GLOBALS.map((name) => [name, Object.getOwnPropertyDescriptor(globalThis, name)]));
  define("indexedDB", new IDBFactory());
  define("navigator", {
    serviceWorker: container,
    locks: createLocks(),
    setAppBadge: async (count) => browser.badges.push(count),
    clearAppBadge: async () => browser.badges.push(0),
  });
  define("location", { origin, href: `${origin}/orders` });
  define("document", document);
  define("PushManager", class {});
  define("Notification", { permission: "default", requestPermission: async () => (Notification.permission = browser.answer) });
  define("fetch", server.fetch);
  return Object.assign(browser, {
    server,
    scope,
    container,
    document,
    KEYS,
    /** Sends an event to the worker, and waits for what it does. */
    async dispatch(type, event = {}) {
      const tasks = [];
      listeners.get(type)({ waitUntil: (task) => tasks.push(task), ...event });
      await Promise.all(tasks);
    },
    /** A new session of `user`; `claims` are more of its token. */
    logIn(user, claims) {
      browser.user = user;
      browser.session += 1;
      browser.expired = false;
      server.csrf = `c-${user}`;
      document.cookie = `csrf-token=${server.csrf}; session-token=${encodeURIComponent(jwt(user, 1, claims).split(".").slice(0, 2).join("."))}`;
    },
    /** A page that is closed has no locks any more. */
    closePage: () => (navigator.locks = createLocks()),
    /** As `/auth/logout`: the devices that were subscribed last in this session are removed. */
    logOut() {
      for (const [endpoint, { session }] of server.devices) if (session === browser.session) server.devices.delete(endpoint);
      browser.leave();
    },
    /** The session has ended by itself. */
    leave() {
      browser.user = undefined;
      document.cookie = "";
    },
    /** Who receives notifications in this browser. */
    receiver() {
      const { endpoint, keys } = browser.subscription?.toJSON() ?? {};
      const device = server.devices.get(endpoint);
      return device?.auth === keys?.auth && device?.key === server.key ? device?.user : undefined;
    },
    close() {
      for (const [name, descriptor] of replaced) descriptor ? Object.defineProperty(globalThis, name, descriptor) : delete globalThis[name];
    },
  });
}
