// What the tests of @gom/offline share: a browser's storage and locks in Node.js, and a server that the test plays.
import "fake-indexeddb/auto";
import { openOffline } from "@gom/offline";
import { jwt, url } from "./scripts.js";

/** Calls `task` while storing a leader's number fails as on a full disk; gives how often that was tried. */
export async function withoutNumbers(task) {
  const { put } = IDBObjectStore.prototype;
  let tried = 0;
  IDBObjectStore.prototype.put = function (value, ...key) {
    if (!String(key[0]).startsWith("leader")) return put.call(this, value, ...key);
    tried += 1;
    this.transaction.abort();
    throw new DOMException("full", "QuotaExceededError");
  };
  try {
    await task(() => tried);
  } finally {
    IDBObjectStore.prototype.put = put;
  }
}

/** Keeps every database that is opened from now on in the array that it gives. */
export function databases() {
  const opened = [];
  const { open } = globalThis.indexedDB;
  globalThis.indexedDB.open = function (...given) {
    const request = open.apply(this, given);
    request.addEventListener("success", () => opened.push(request.result));
    return request;
  };
  return opened;
}

/** The name of the lock of a user's leader, as this process has asked for it; the channel's name is the first part. */
export function leaderLocks() {
  const names = [];
  const { request } = navigator.locks;
  navigator.locks.request = (name, ...rest) => {
    if (!name.includes(" tab ")) names.push(name);
    return request(name, ...rest);
  };
  return { names, request, channel: () => names[0].split(" ").slice(0, -1).join(" ") };
}

/** The Web Locks API, of one process. `drop` returns a lock without a notice to its owner, as of a page that was suspended. */
export function locks() {
  const held = new Map();
  const waiting = [];
  const grant = () => {
    for (const each of [...waiting]) {
      if (held.has(each.name)) continue;
      waiting.splice(waiting.indexOf(each), 1);
      run(each);
    }
  };
  const run = ({ name, callback, resolve, reject }) => {
    const own = { reject };
    held.set(name, own);
    // A lock is granted later, as in browsers.
    Promise.resolve()
      .then(() => callback({ name }))
      .then(resolve, reject)
      .finally(() => {
        if (held.get(name) === own) held.delete(name);
        grant();
      });
  };
  return {
    request(name, ...rest) {
      const callback = rest.at(-1);
      const { signal, ifAvailable, steal } = rest.length > 1 ? rest[0] : {};
      return new Promise((resolve, reject) => {
        const request = { name, callback, resolve, reject };
        if (signal?.aborted) return reject(signal.reason);
        if (steal) {
          held.get(name)?.reject(new DOMException("stolen", "AbortError"));
          return run(request);
        }
        if (ifAvailable && (held.has(name) || waiting.some((each) => each.name === name))) return resolve(callback(null));
        waiting.push(request);
        signal?.addEventListener("abort", () => {
          if (!waiting.includes(request)) return;
          waiting.splice(waiting.indexOf(request), 1);
          reject(signal.reason);
        });
        grant();
      });
    },
  };
}

/** Makes this process a browser with nothing stored. */
export function freshBrowser() {
  globalThis.indexedDB = new globalThis.IDBFactory();
  Object.defineProperty(globalThis, "navigator", { value: { locks: locks() }, configurable: true });
}

export const rowsOf = (set) => set.rows().map(({ id, name }) => `${id} ${name}`);
export const row = (id, name = id) => ({ id, name });

/** A server: `rows` and `cursor` answer queries, `mutate` mutations; `streams` are the subscriptions that run. `up` is false while there is no network. */
export function playServer() {
  const server = { up: true, rows: [row("a")], cursor: "c0", queries: 0, mutations: [], streams: [], refuses: undefined, mutate: () => ({ data: {} }) };
  const answer = (body, status = 200) => new Response(JSON.stringify(body), { status, headers: { "content-type": "application/json" } });
  server.fetch = async (_url, { body, headers, signal }) => {
    if (!server.up) throw new TypeError("no network");
    const { query, variables, extensions } = JSON.parse(body);
    const token = headers.authorization?.slice(7);
    if (server.refuses?.(token)) return answer({ message: "no", error: "invalid_token" }, 401);
    if (query.startsWith("mutation")) {
      const mutation = { query, variables, key: extensions.idempotencyKey, token };
      server.mutations.push(mutation);
      const given = await server.mutate(mutation, signal);
      if (given instanceof Error) throw given;
      return given instanceof Response ? given : answer(given);
    }
    if (query === "{ __typename }") return answer({ data: { __typename: "Query" }, extensions: { cursor: "p" } });
    server.queries += 1;
    return answer({ data: { rows: server.rows }, extensions: { cursor: server.cursor } });
  };
  server.transport = (_endpoint, auth) => ({
    start(request, sink) {
      const stream = { request, sink, from: request.extensions.cursor, live: true };
      void (async () => {
        const token = await auth.token().catch(() => undefined);
        if (!stream.live || (auth.bearer && token === undefined)) return stream.live && sink.lost();
        if (!server.up) return sink.lost();
        server.streams.push(stream);
        sink.open(auth.viewer(token));
      })();
      return () => {
        stream.live = false;
        server.streams = server.streams.filter((each) => each !== stream);
      };
    },
  });
  /** Sends an event to every stream. */
  server.event = (cursor, event, left = []) => {
    for (const { sink } of [...server.streams]) sink.next({ data: { row: event }, extensions: { cursor, left } });
  };
  /** The network ends, or is back. */
  server.cut = () => {
    server.up = false;
    for (const { sink } of [...server.streams]) sink.lost();
    server.streams = [];
  };
  return server;
}

const opened = new Set();
/** A tab of `sub`. */
export async function openTab(server, options = {}) {
  const tab = { token: jwt(options.sub ?? "ana"), outcomes: [], ended: undefined };
  tab.offline = await openOffline({
    url,
    token: async () => tab.token,
    fetch: server.fetch,
    transport: server.transport,
    random: () => 0,
    onOutcome: ({ kind, write, error }) => tab.outcomes.push([kind, write.variables?.n, error?.code]),
    onEnd: (error) => (tab.ended = error.code),
    ...options,
  });
  opened.add(tab.offline);
  tab.set = (more = {}) => tab.offline.set({ query: "{ rows { id name } }", subscription: "subscription { row { id } }", ...more });
  tab.write = (n) => tab.offline.write("mutation($n: Int) { write(n: $n) }", { n });
  return tab;
}
export const closeAll = () => {
  for (const offline of opened) offline.close();
  opened.clear();
};

/** Everything in the database. */
export async function dump() {
  const [{ name }] = await indexedDB.databases();
  const database = await new Promise((done) => (indexedDB.open(name).onsuccess = ({ target }) => done(target.result)));
  const all = {};
  for (const store of database.objectStoreNames) all[store] = await new Promise((done) => (database.transaction(store).objectStore(store).getAll().onsuccess = ({ target }) => done(target.result)));
  database.close();
  return all;
}
