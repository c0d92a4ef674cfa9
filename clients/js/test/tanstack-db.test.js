// Collections of TanStack DB with a scripted server: what they show in each moment, what they send, and what they leave open.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createCollection } from "@tanstack/db";
import { gomCollectionOptions } from "@gom/tanstack-db";
import { createClient } from "@gom/client";
import { answered, asPage, json, refused, turns, url } from "./scripts.js";
import { LIST, event, scripted } from "./scripted.js";
import { until } from "./place.js";
import { seconds } from "./seconds.js";

const WRITES = {
  insert: { mutation: "mutation insert { row { id name } }", variables: (row) => row },
  update: { mutation: "mutation update { row { id name } }", variables: ({ id }, changes) => ({ id, ...changes }) },
  delete: { mutation: "mutation remove { row { id } }", variables: ({ id }) => ({ id }) },
};
const rowsOf = (...rows) => answered({ rows: rows.map(([id, name]) => ({ id, name })) });
const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/** A collection whose reads and writes are answered by `read` and `write`. */
async function open({ read = () => rowsOf(["a", "1"]), write, more = {}, options = {} } = {}) {
  const server = scripted(async (body, count) => (body.query?.startsWith("mutation") ? write(body) : body.query ? read(count) : json({ success: true })), more);
  const collection = createCollection(gomCollectionOptions({ client: server.client, ...LIST, ...WRITES, ...options }));
  const changes = [];
  const subscription = collection.subscribeChanges((batch) => changes.push(...batch.map(({ type, key, value }) => [type, key, value.name])), { includeInitialState: true });
  await collection.preload();
  await until(() => server.started().length === 1);
  return {
    ...server,
    collection,
    changes,
    subscription,
    writes: () => server.requests.filter(({ query }) => query?.startsWith("mutation")),
    rows: () => collection.toArray.map(({ id, name }) => [id, name]).sort(),
  };
}

describe("a collection", () => {
  test("has the snapshot and each event, and a new snapshot changes only what differs", async () => {
    const place = await open({ read: (count) => (count === 1 ? rowsOf(["a", "1"], ["b", "2"]) : rowsOf(["b", "2"], ["c", "3"], ["d", "5"])) });
    place.receive(event("CREATED", "c", "c2", { name: "3" }));
    place.receive(event("UPDATED", "c", "c3", { name: "4" }));
    place.receive({ type: "next", payload: { data: { row: null }, extensions: { cursor: "c4", left: [{ type: "Row", id: "a" }] } } });
    assert.deepEqual(place.rows(), [["b", "2"], ["c", "4"]]);
    place.receive({ type: "error", payload: [{ message: "no", extensions: { code: "RESYNC_REQUIRED" } }] });
    await until(() => place.collection.has("d"));
    assert.deepEqual(place.rows(), [["b", "2"], ["c", "3"], ["d", "5"]]);
    place.receive(event("DELETED", "b", "c9"));
    const seen = place.changes.map((each) => each.join(" "));
    assert.deepEqual(seen, ["insert a 1", "insert b 2", "insert c 3", "update c 4", "delete a 1", "update c 3", "insert d 5", "delete b 2"]);
    assert.equal(place.requests.length, 2);
    await place.collection.cleanup();
    await until(() => place.sockets.every(({ closed }) => closed));
  });

  test("shows an update until its event has come, and never the value before", async () => {
    for (const order of ["answer first", "event first"]) {
      const place = await open({
        async write({ variables }) {
          if (order === "event first") place.receive(event("UPDATED", "a", "c2", { name: variables.name }));
          await pause(20);
          return answered({ row: { id: "a", name: variables.name } });
        },
      });
      const change = place.collection.update("a", (row) => void (row.name = "2"));
      if (order === "answer first") {
        await until(() => place.writes().length === 1);
        await pause(100);
        assert.equal(change.state, "persisting", "the answer alone is not enough");
        place.receive(event("UPDATED", "a", "c2", { name: "2" }));
      }
      await change.isPersisted.promise;
      place.receive(event("UPDATED", "a", "c3", { name: "3" }));
      assert.deepEqual(place.changes.map(([, , name]) => name).filter((name, at, all) => name !== all[at - 1]), ["1", "2", "3"], order);
      assert.equal(place.requests.length, 2, "nothing was read again");
      await place.collection.cleanup();
    }
  });

  test("shows an inserted row, and hides a deleted one, without a moment in between", async () => {
    const place = await open({
      write: async ({ query, variables }) => {
        setTimeout(() => place.receive(event(query.includes("insert") ? "CREATED" : "DELETED", variables.id, "c2", { name: variables.name })), 30);
        return answered({ row: { id: variables.id } });
      },
    });
    await place.collection.insert({ id: "b", name: "2" }).isPersisted.promise;
    await place.collection.delete("a").isPersisted.promise;
    assert.deepEqual(place.changes.map((each) => each.slice(0, 2).join(" ")).filter((each) => !each.startsWith("update")), ["insert a", "insert b", "delete a"]);
    assert.deepEqual(place.rows(), [["b", "2"]]);
    await place.collection.cleanup();
  });

  test("does not show a row that was inserted and deleted before its events come", async () => {
    const place = await open({ write: ({ variables }) => answered({ row: { id: variables.id } }) });
    const writes = [place.collection.insert({ id: "b", name: "2" }), place.collection.delete("b")];
    await until(() => place.writes().length === 2);
    await pause(50);
    place.receive(event("CREATED", "b", "c2", { name: "2" }));
    place.receive(event("DELETED", "b", "c3"));
    await Promise.all(writes.map(({ isPersisted }) => isPersisted.promise));
    assert.deepEqual(place.changes.map((each) => each.slice(0, 2).join(" ")), ["insert a", "insert b", "delete b"]);
    await place.collection.cleanup();
  });

  test("reads its query again for a write that leaves no trace in it, once for several", async () => {
    const place = await open({ write: ({ variables }) => answered({ row: { id: variables.id } }), read: () => rowsOf(["a", "1"]) });
    const inserted = ["x", "y"].map((id) => place.collection.insert({ id, name: "elsewhere" }));
    await until(() => place.writes().length === 2);
    assert.equal(place.rows().length, 3);
    await seconds(() => inserted.every(({ state }) => state === "completed"));
    assert.deepEqual(place.rows(), [["a", "1"]]);
    const reads = place.requests.length - place.writes().length;
    assert.ok(reads <= 3, `${reads} reads`);
    await until(() => place.started().length === 2 && place.ended().length === 1);
    assert.equal(place.sockets.length, 1);
    place.receive(event("CREATED", "z", "c2", { name: "9" }));
    assert.deepEqual(place.rows(), [["a", "1"], ["z", "9"]]);
    await place.collection.cleanup();
    await until(() => place.sockets.every(({ closed }) => closed));
  });

  test("sends writes in their order, each with its key, and takes back what was refused", async () => {
    const outcomes = [new TypeError("reset"), () => answered({ row: { id: "a", name: "2" } }), () => refused("FORBIDDEN"), () => answered({ row: { id: "a", name: "4" } })];
    const place = await open({
      write: () => {
        const outcome = outcomes.shift();
        if (outcome instanceof Error) throw outcome;
        return outcome();
      },
      more: { retryFor: 5_000 },
      read: (count) => rowsOf(["a", count === 1 ? "1" : "4"]),
    });
    const transactions = ["2", "3", "4"].map((name) => place.collection.update("a", (row) => void (row.name = name)));
    const updates = transactions.map(({ isPersisted }) => isPersisted.promise.catch(({ code }) => code));
    await until(() => place.writes().length === 4);
    place.receive(event("UPDATED", "a", "c2", { name: "4" }));
    const [, refusal] = await Promise.all(updates);
    assert.equal(refusal, "FORBIDDEN");
    assert.deepEqual(place.writes().map(({ variables }) => variables.name), ["2", "2", "3", "4"]);
    const keys = place.writes().map(({ extensions }) => extensions.idempotencyKey);
    const [first, second, third] = transactions.map(({ mutations }) => mutations[0].mutationId);
    assert.deepEqual(keys, [first, first, second, third]);
    assert.deepEqual(place.rows(), [["a", "4"]]);
    await place.collection.cleanup();
  });

  test("shows a value that is set back, and not the value between them when its event comes", async () => {
    const place = await open({ write: ({ variables }) => answered({ row: { id: "a", name: variables.name } }) });
    const names = ["on", "1", "on", "1"];
    const writes = names.map((name) => place.collection.update("a", (row) => void (row.name = name)));
    await until(() => place.writes().length === names.length);
    await turns();
    assert.deepEqual(writes.map(({ state }) => state), names.map(() => "persisting"), "the answers alone are not enough");
    for (const [at, name] of names.entries()) {
      place.receive(event("UPDATED", "a", `c${at + 2}`, { name }));
      await turns();
      assert.deepEqual(place.rows(), [["a", "1"]]);
    }
    await Promise.all(writes.map(({ isPersisted }) => isPersisted.promise));
    const shown = place.changes.map(([, , name]) => name).filter((name, at, all) => name !== all[at - 1]);
    assert.deepEqual(shown, ["1", ...names]);
    assert.equal(place.requests.length, 1 + names.length, "nothing was read again");
    await place.collection.cleanup();
  });

  test("a value that is set back without an event is shown with what the query says after it", async () => {
    const place = await open({ write: ({ variables }) => answered({ row: { id: "a", name: variables.name } }) });
    const writes = ["2", "1"].map((name) => place.collection.update("a", (row) => void (row.name = name)));
    await until(() => place.writes().length === 2);
    await seconds(() => writes.every(({ state }) => state === "completed"));
    assert.deepEqual(place.rows(), [["a", "1"]]);
    await place.collection.cleanup();
  });

  test("is empty at once when its stream is refused while a write hangs, as after a log-out in another tab", async () => {
    let hangs = false;
    const place = await open({ write: () => new Promise(() => (hangs = true)), read: () => rowsOf(["a", "1"], ["b", "1"]) });
    const codes = ["a", "b"].map((id) => place.collection.update(id, (row) => void (row.name = "2")).isPersisted.promise.catch(({ code }) => code));
    await until(() => hangs);
    place.receive({ type: "error", payload: [{ message: "no", extensions: { code: "UNAUTHENTICATED" } }] });
    await turns();
    assert.deepEqual([place.rows(), place.collection.status], [[], "error"]);
    assert.deepEqual(await Promise.all(codes), ["OUTCOME_UNKNOWN", "CLOSED"]);
    assert.equal(place.writes().length, 1);
    await place.collection.cleanup();
  });

  for (const [what, fails] of [["is refused", true], ["is answered", false]]) {
    test(`sends nothing that waited as a viewer who has logged in meanwhile in another tab, if the write before ${what}`, async () => {
      await asPage(async ({ logIn }) => {
        logIn("alice");
        const { Socket, started, sockets } = scripted();
        const sent = [];
        let answer;
        const fetch = async (_, { body }) => {
          const { query, variables } = JSON.parse(body);
          if (!query.startsWith("mutation")) return rowsOf(["a", "1"]);
          sent.push(variables.name);
          await new Promise((done) => (answer = done));
          if (fails) throw new TypeError("offline");
          return answered({ row: { id: "a", name: variables.name } });
        };
        const client = createClient({ url, WebSocket: Socket, fetch, random: () => 0 });
        const collection = createCollection(gomCollectionOptions({ client, ...LIST, ...WRITES }));
        collection.subscribeChanges(() => undefined, { includeInitialState: true });
        await collection.preload();
        await until(() => started().length === 1);
        const codes = ["2", "3"].map((name) => collection.update("a", (row) => void (row.name = name)).isPersisted.promise.then(() => "written", ({ code }) => code));
        await until(() => answer);
        logIn("bob");
        answer();
        await turns();
        sockets[0].receive({ id: started()[0].id, ...event("UPDATED", "a", "c2", { name: "2" }) });
        assert.deepEqual(await Promise.all(codes), fails ? ["UNAUTHENTICATED", "CLOSED"] : ["written", "UNAUTHENTICATED"]);
        assert.deepEqual(sent, ["2"]);
        client.close();
      });
    });
  }

  test("that is cleaned up rejects what waits, and sends it to no later viewer", async () => {
    let hangs = false;
    const place = await open({ write: () => new Promise(() => (hangs = true)), more: { token: undefined, csrfToken: () => "c" } });
    const codes = ["2", "3"].map((name) => place.collection.update("a", (row) => void (row.name = name)).isPersisted.promise.catch(({ code }) => code));
    await until(() => hangs);
    place.subscription.unsubscribe();
    await place.collection.cleanup();
    assert.equal(await codes[1], "CLOSED");
    await place.client.session.logOut();
    assert.equal(await codes[0], "UNAUTHENTICATED");
    await turns();
    assert.deepEqual([place.writes().length, place.collection.utils.error()], [1, undefined]);
  });

  test("a write whose variables are no JSON rejects, and does not let a later one overtake an earlier one", async () => {
    const answers = [];
    const place = await open({
      write: ({ variables }) => new Promise((done) => answers.push(() => done(answered({ row: variables })))),
      options: { update: { ...WRITES.update, variables: ({ id }, changes) => ({ id, ...changes, ...(changes.name === "bad" && { n: 1n }) }) } },
    });
    const writes = ["2", "bad", "3"].map((name) => place.collection.update("a", (row) => void (row.name = name)).isPersisted.promise);
    await assert.rejects(writes[1], TypeError);
    await turns();
    assert.deepEqual(place.writes().map(({ variables }) => variables.name), ["2"]);
    for (const name of ["2", "3"]) {
      await until(() => answers.length > 0);
      answers.shift()();
      await turns();
      place.receive(event("UPDATED", "a", `c${name}`, { name }));
    }
    await Promise.all([writes[0], writes[2]]);
    await place.collection.cleanup();
  });

  test("a mutation that does not return the row rejects, and the collection goes on", async () => {
    const place = await open({ write: () => answered({ row: "id" }) });
    await assert.rejects(place.collection.insert({ id: "b", name: "2" }).isPersisted.promise, { code: "BAD_SELECTION" });
    place.receive(event("CREATED", "b", "c2", { name: "2" }));
    assert.deepEqual([place.collection.status, place.rows()], ["ready", [["a", "1"], ["b", "2"]]]);
    await place.collection.cleanup();
  });

  test("is empty after a log-out, sends nothing that waited as the next viewer, and is opened again by `refresh`", async () => {
    let answer;
    const place = await open({ write: () => new Promise((done) => (answer = done)), more: { token: undefined, csrfToken: () => "c" }, read: (count) => (count === 1 ? rowsOf(["a", "1"]) : rowsOf(["b", "2"])) });
    const codes = ["2", "3"].map((name) => place.collection.update("a", (row) => void (row.name = name)).isPersisted.promise.catch(({ code }) => code));
    await until(() => answer);
    const over = place.client.session.logOut();
    await turns(2);
    assert.deepEqual([place.rows(), place.collection.status], [[], "error"]);
    assert.deepEqual(await Promise.all(codes), ["UNAUTHENTICATED", "CLOSED"]);
    await over;
    assert.deepEqual([place.writes().length, place.rows(), place.collection.utils.error().code], [1, [], "UNAUTHENTICATED"]);
    place.collection.utils.refresh();
    await until(() => place.collection.status === "ready");
    assert.deepEqual([place.rows(), place.collection.utils.error()], [[["b", "2"]], undefined]);
    await place.collection.cleanup();
    await until(() => place.sockets.every(({ closed }) => closed));
  });

  test("that cannot be read rejects, and one that is cleaned up during a write ends it", async () => {
    const server = scripted(async () => refused("FORBIDDEN"));
    const refusedCollection = createCollection(gomCollectionOptions({ client: server.client, ...LIST }));
    await assert.rejects(refusedCollection.preload(), { code: "FORBIDDEN" });
    assert.equal(refusedCollection.status, "error");
    const place = await open({ write: () => answered({ row: { id: "b" } }) });
    const insert = place.collection.insert({ id: "b", name: "2" });
    await until(() => place.writes().length === 1);
    await turns();
    place.subscription.unsubscribe();
    await place.collection.cleanup();
    await insert.isPersisted.promise;
    await until(() => place.sockets.every(({ closed }) => closed));
  });
});
