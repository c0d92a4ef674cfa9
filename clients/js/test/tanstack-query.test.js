// Queries of TanStack Query with a scripted server: what is in the cache in each moment, and what stays open.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { QueryClient, QueryObserver } from "@tanstack/query-core";
import { gomLiveOptions, gomSetOptions } from "@gom/tanstack-query";
import { answered, json, refused, turns } from "./scripts.js";
import { LIST, event, scripted } from "./scripted.js";
import { until } from "./place.js";
import { seconds } from "./seconds.js";

const queryKey = ["rows"];
const rowsOf = (...ids) => answered({ rows: ids.map((id) => ({ id })) });

/** An observed set, of which `seen` has each state that was shown. */
function observe(read, more = {}) {
  const server = scripted(async (body, count) => (body.query ? read(count) : json({ success: true })), more);
  const cache = new QueryClient();
  cache.mount();
  const options = gomSetOptions({ client: server.client, queryKey, ...LIST });
  const seen = [];
  const watch = (own = options) => new QueryObserver(cache, own).subscribe(({ data, status }) => {
    const text = `${status} ${data?.map(({ id }) => id) ?? "-"}`;
    if (seen.at(-1) !== text) seen.push(text);
  });
  const shown = (text) => until(() => seen.at(-1) === text, () => seen.join("; "));
  const closed = () => seconds(() => server.sockets.every((socket) => socket.closed) && !cache.getQueryCache().find({ queryKey }), () => "something stays open");
  return { ...server, cache, options, seen, watch, shown, closed, data: () => cache.getQueryData(queryKey)?.map(({ id }) => id).join() };
}

describe("a query", () => {
  test("has the rows of a set, each event, and the same rows until something changes; observers share it, and it ends after them", async () => {
    const place = observe(() => rowsOf("a"));
    const stops = [place.watch(), place.watch()];
    await place.shown("success a");
    const before = place.cache.getQueryData(queryKey);
    await until(() => place.started().length === 1);
    await turns();
    assert.equal(place.cache.getQueryData(queryKey), before);
    place.sockets[0].onclose({ code: 1006 });
    await until(() => place.started().length === 2);
    await turns();
    assert.equal(place.cache.getQueryData(queryKey), before, "a lost connection changes no row");
    place.receive(event("CREATED", "b", "c2"));
    await place.shown("success a,b");
    stops.push(place.watch());
    await turns(3);
    assert.deepEqual([place.requests.length, place.sockets.length, place.ended()], [1, 2, []]);
    stops.forEach((stop) => stop());
    // As StrictMode does.
    const again = place.watch();
    await turns(3);
    assert.deepEqual([place.requests.length, place.data()], [1, "a,b"]);
    again();
    await place.closed();
    assert.equal(place.started().length, 2);
  });

  test("whose observer leaves and comes back during its first fetch opens one subscription", async () => {
    const place = observe(() => rowsOf("a"));
    place.watch()();
    const stop = place.watch();
    await place.shown("success a");
    await until(() => place.started().length === 1);
    assert.deepEqual([place.requests.length, place.sockets.length], [1, 1]);
    stop();
    await place.closed();
  });

  test("is not overwritten by a fetch that ends later than an event", async () => {
    const place = observe(() => rowsOf("a"));
    const stop = place.watch();
    await until(() => place.started().length === 1);
    place.receive(event("CREATED", "b", "c2"));
    await place.shown("success a,b");
    await turns();
    assert.equal(place.data(), "a,b");
    // A second fetch, whose snapshot is older than the events that follow it at once.
    const refetched = place.cache.invalidateQueries({ queryKey });
    await until(() => place.started().length === 2);
    place.receive(event("CREATED", "c", "c3"));
    await refetched;
    await turns();
    assert.equal(place.data(), "a,c");
    await until(() => place.ended().length === 1);
    assert.equal(place.sockets.length, 1);
    stop();
    await place.closed();
  });

  test("keeps a change that comes after its function has returned and before its fetch has ended", async () => {
    const [older, newer] = [[{ id: "a" }], [{ id: "a" }, { id: "b" }]];
    let rows = older;
    const set = {
      ready: Promise.resolve(),
      rows: () => rows,
      status: "open",
      subscribe(listener) {
        queueMicrotask(() => {
          rows = newer;
          listener();
        });
      },
      close: () => undefined,
    };
    const cache = new QueryClient();
    const options = gomSetOptions({ client: { set: () => set }, queryKey, ...LIST });
    assert.equal(await cache.fetchQuery(options), older);
    assert.equal(cache.getQueryData(queryKey), newer);
    cache.clear();
  });

  test("that is cancelled while it fetches again keeps what is current", async () => {
    let answer;
    const place = observe((count) => (count === 1 ? rowsOf("a") : new Promise((done) => (answer = done))));
    const stop = place.watch();
    await until(() => place.started().length === 1);
    await place.shown("success a");
    void place.cache.invalidateQueries({ queryKey });
    await until(() => answer);
    place.receive(event("CREATED", "b", "c2"));
    await place.cache.cancelQueries({ queryKey });
    await turns();
    assert.equal(place.data(), "a,b");
    place.receive(event("CREATED", "c", "c3"));
    await place.shown("success a,b,c");
    // What had ended meanwhile does not come back.
    void place.cache.invalidateQueries({ queryKey });
    await turns();
    place.receive({ type: "error", payload: [{ message: "no", extensions: { code: "LIMIT_EXCEEDED" } }] });
    await turns();
    await place.cache.cancelQueries({ queryKey });
    await turns();
    assert.deepEqual([place.data(), place.cache.getQueryState(queryKey).fetchStatus], [undefined, "idle"]);
    stop();
    await place.closed();
  });

  test("is empty after a log-out, also without observers, and fetched for the next viewer", async () => {
    for (const observed of [true, false]) {
      const place = observe((count) => rowsOf(count === 1 ? "a" : "b"), { token: undefined, csrfToken: () => "c" });
      const stop = place.watch({ ...place.options, gcTime: 5_000 });
      await place.shown("success a");
      await until(() => place.started().length === 1);
      if (!observed) stop();
      const over = place.client.session.logOut();
      await turns(1);
      assert.equal(place.data(), undefined);
      assert.equal(place.cache.getQueryState(queryKey).error.code, "UNAUTHENTICATED");
      await over;
      if (observed) await place.cache.refetchQueries({ queryKey });
      const next = place.watch();
      await place.shown("success b");
      assert.ok(!place.seen.slice(place.seen.indexOf("success a") + 1).includes("success a"), place.seen.join("; "));
      next();
      stop();
      place.cache.clear();
      await place.closed();
    }
  });

  test("that is refused reports it once, and one that ends later shows no data", async () => {
    const place = observe((count) => (count === 1 ? refused("FORBIDDEN") : rowsOf("a")));
    const stop = place.watch();
    await place.shown("error -");
    assert.deepEqual([place.cache.getQueryState(queryKey).error.code, place.requests.length], ["FORBIDDEN", 1]);
    await place.cache.refetchQueries({ queryKey });
    await place.shown("success a");
    await until(() => place.started().length === 1);
    place.receive({ type: "error", payload: [{ message: "no", extensions: { code: "LIMIT_EXCEEDED" } }] });
    await place.shown("error -");
    stop();
    await place.closed();
  });

  test("that is removed while it fetches leaves nothing open", async () => {
    const place = observe(() => rowsOf("a"));
    const stop = place.watch();
    stop();
    place.cache.clear();
    await turns();
    await new Promise((done) => setTimeout(done, 50));
    assert.deepEqual([place.sockets.length, place.started().length], [0, 0]);
  });

  test("that is reset is empty, and is fetched again for its observers", async () => {
    const place = observe((count) => rowsOf(count === 1 ? "a" : "b"));
    await place.cache.fetchQuery(place.options);
    await until(() => place.started().length === 1);
    await place.cache.resetQueries({ queryKey });
    const { data, status } = place.cache.getQueryState(queryKey);
    assert.deepEqual([data, status], [undefined, "pending"]);
    await until(() => place.ended().length === 1);
    const stop = place.watch();
    await place.shown("success b");
    await place.cache.resetQueries({ queryKey });
    await place.shown("success b");
    await until(() => place.started().length === 3);
    place.receive(event("CREATED", "c", "c2"));
    await place.shown("success b,c");
    stop();
    await place.closed();
  });

  test("with a hash function of its own has each event", async () => {
    const place = observe(() => rowsOf("a"));
    const stop = place.watch({ ...place.options, queryKeyHashFn: (key) => `own ${key}` });
    await until(() => place.started().length === 1);
    place.receive(event("CREATED", "b", "c2"));
    await place.shown("success a,b");
    assert.equal(place.cache.getQueryCache().getAll().length, 1);
    stop();
    await seconds(() => place.cache.getQueryCache().getAll().length === 0 && place.sockets[0].closed);
  });

  test("with `@live` whose first result has no data is closed", async () => {
    const server = scripted();
    const cache = new QueryClient();
    const options = gomLiveOptions({ client: server.client, queryKey, document: "query @live { a }" });
    const fetched = assert.rejects(cache.fetchQuery(options), { code: "TOO_LARGE" });
    await until(() => server.started().length === 1);
    server.receive({ type: "next", payload: { data: null, errors: [{ message: "no", extensions: { code: "TOO_LARGE" } }], revision: 1 } });
    await fetched;
    await turns();
    assert.deepEqual([server.ended().length, server.sockets[0].closed], [1, true]);
    cache.clear();
  });

  test("with `@live` keeps the parts that did not change, and shows errors beside its data", async () => {
    const server = scripted();
    const cache = new QueryClient();
    const options = gomLiveOptions({ client: server.client, queryKey, document: "query @live { a { n } b }" });
    const observer = new QueryObserver(cache, options);
    let shown;
    const stop = observer.subscribe((result) => (shown = result));
    await until(() => server.started().length === 1);
    server.receive({ type: "next", payload: { data: { a: { n: 1 }, b: 1 }, revision: 1 } });
    await until(() => shown?.data);
    const { a } = shown.data;
    server.receive({ type: "next", payload: { patch: [{ op: "replace", path: "/b", value: 2 }], revision: 2 } });
    await until(() => shown.data.b === 2);
    assert.equal(shown.data.a, a);
    server.receive({ type: "next", payload: { data: { a: null, b: 3 }, errors: [{ message: "no", extensions: { code: "TOO_LARGE" } }], revision: 3 } });
    await until(() => shown.isError);
    assert.deepEqual([shown.data, shown.error.code], [{ a: null, b: 3 }, "TOO_LARGE"]);
    server.receive({ type: "next", payload: { data: { a: null, b: 4 }, revision: 4 } });
    await until(() => shown.isSuccess);
    assert.equal(shown.data.b, 4);
    stop();
    await seconds(() => server.sockets[0].closed);
  });
});
