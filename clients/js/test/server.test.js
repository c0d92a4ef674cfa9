// Sets, writes and sessions against a server with PostgreSQL, through cut connections, killed servers, trimmed logs and ended sessions.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { GomError, createClient } from "@gom/client";
import { iterate } from "@gom/client/iterate";
import { sse } from "@gom/client/sse";
import { applyPatch } from "@gom/client/patch";
import WebSocket from "ws";
import { browser } from "./browser.js";
import { runDocumented } from "./documented.js";
import { limits } from "./orders.js";
import { dice, startProxy, startServer, until } from "./place.js";

const FIELDS = "uid name stage assignedTo { extUid }";
const WHERE = '{ stage: OPEN, assignedTo: { extUid: "auth0|demo-paletas" } }';
const OPEN_ORDERS = `{ orders(where: ${WHERE}) { ${FIELDS} } }`;
const OPEN_EVENTS = `subscription { order(where: { node: ${WHERE} }) { mutation node { ${FIELDS} } previousValues { uid } } }`;
const CREATE = `mutation($name: String!) {
  createOrder(data: { name: $name, stage: OPEN, assignedTo: { connect: { extUid: "auth0|demo-paletas" } },
    issuedTo: { connect: { uid: "cdemobp000000000000000001" } } }) { uid } }`;
const UPDATE = "mutation($uid: ID!, $data: OrderUpdateInput!) { updateOrder(where: { uid: $uid }, data: $data) { uid } }";
const DELETE = "mutation($uid: ID!) { deleteOrder(where: { uid: $uid }) { uid } }";
const STAGES = ["OPEN", "OPEN", "WON", "CLOSED"];

let server;
let direct;
before(async () => {
  server = await startServer();
  direct = createClient({ url: `${server.address}/graphql`, token: () => server.token });
});
after(() => server?.stop());

const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
const byId = (rows) => rows.toSorted((left, right) => (left.uid < right.uid ? -1 : 1));
const openOrders = async () => byId((await direct.query(OPEN_ORDERS)).data.orders);
const setOf = (client) => client.set({ query: OPEN_ORDERS, subscription: OPEN_EVENTS, key: "uid" });

/** Removes the changes that clients who are away would resume from, which need their positions: the last write has to ask for its own. */
const trim = () => direct.mutate(`mutation { executeRaw(query: "select gom.trim_changes('0 s', 1, 100000)") }`, undefined, { idempotencyKey: false });

/** Waits until a set equals the query. */
const equals = (set, name, query = openOrders) =>
  until(
    async () => {
      assert.equal(set.error, undefined, `${name} has ended: ${set.error}`);
      return JSON.stringify(byId(set.rows())) === JSON.stringify(await query());
    },
    async () => `${name} (${set.status}) has ${JSON.stringify(byId(set.rows()))}, the query ${JSON.stringify(await query())}`,
  );

test("the program of docs/clients/javascript.md does what its page says", async () => {
  assert.deepEqual(await runDocumented("javascript.md", "Keep a list", server), ["one order less is open", "the query includes the write"]);
});

test("two clients and a writer, through cut connections and a killed server, lose and double nothing", async () => {
  const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 32));
  console.log(`SEED=${seed}`);
  const random = dice(seed);
  const proxy = await startProxy(server.port, limits(random));
  const snapshots = { websocket: 0, "event stream": 0 };
  /** A `fetch` that counts how often `tab` reads its query whole. */
  const counting = (tab) => (url, init) => {
    if (init.body.startsWith(JSON.stringify({ query: OPEN_ORDERS }).slice(0, -1))) snapshots[tab] += 1;
    return fetch(url, init);
  };
  const shared = { url: `${proxy.address}/graphql`, token: () => server.token, retryFor: 60_000 };
  const tabs = {
    websocket: createClient({ ...shared, fetch: counting("websocket"), WebSocket }),
    "event stream": createClient({ ...shared, fetch: counting("event stream"), transport: sse() }),
  };
  const writer = createClient(shared);
  const sets = Object.entries(tabs).map(([name, client]) => [name, setOf(client)]);
  await Promise.all(sets.map(([, set]) => set.ready));

  const rows = new Map();
  const count = Number(process.env.WRITES ?? 24);
  for (let write = 0; write < count; write += 1) {
    const known = [...rows.keys()];
    const uid = known[Math.floor(random() * known.length)];
    const dice = random();
    if (write === Math.floor(count / 3)) {
      const back = server.kill().then(() => server.restart());
      await Promise.all([back, pause(random() * 1_000)]);
    } else if (write === Math.floor((2 * count) / 3)) {
      // Longer than changes are kept.
      proxy.up = false;
      proxy.cut();
      for (const each of known) await direct.mutate(UPDATE, { uid: each, data: { stage: "OPEN", name: `${rows.get(each)} away` } });
      for (const each of known) rows.set(each, `${rows.get(each)} away`);
      // Two changes at least: the last one is kept.
      for (const name of ["made away", "made away too"]) rows.set((await direct.mutate(CREATE, { name }, { cursor: true })).data.createOrder.uid, name);
      await trim();
      const earlier = { ...snapshots };
      proxy.up = true;
      await until(() => Object.keys(tabs).every((tab) => snapshots[tab] > earlier[tab]), () => `the trimmed log leads to no snapshot: ${JSON.stringify([earlier, snapshots])} (SEED=${seed})`);
    } else if (dice < 0.1) {
      proxy.cut();
    }
    if (!uid || dice < 0.45) {
      const name = `made ${write}`;
      rows.set((await writer.mutate(CREATE, { name })).data.createOrder.uid, name);
    } else if (dice < 0.85) {
      const name = `changed ${write}`;
      const stage = STAGES[Math.floor(random() * STAGES.length)];
      await writer.mutate(UPDATE, { uid, data: { name, stage } });
      rows.set(uid, name);
    } else {
      // A repetition without its key would find no row.
      const { data } = await writer.mutate(DELETE, { uid });
      assert.equal(data.deleteOrder.uid, uid);
      rows.delete(uid);
    }
  }
  for (const [name, set] of sets) await equals(set, `the ${name}'s set (SEED=${seed})`);
  const { data } = await direct.query('{ orders(where: { OR: [{ name_starts_with: "made" }, { name_starts_with: "changed" }] }) { uid name } }');
  assert.deepEqual(new Map(byId(data.orders).map(({ uid, name }) => [uid, name])), new Map([...rows].sort()), `SEED=${seed}`);
  assert.ok(proxy.cuts > 0);
  for (const client of Object.values(tabs)) client.close();
  proxy.stop();
});

test("a position that is no longer kept leads to a new snapshot, and ends a subscription without one", async () => {
  const proxy = await startProxy(server.port);
  for (const [transport, how] of [["websocket", { WebSocket }], ["sse", { transport: sse() }]]) {
    const client = createClient({ url: `${proxy.address}/graphql`, token: () => server.token, ...how });
    let snapshots = 0;
    const ends = [];
    const cursors = [];
    const resync = async () => {
      snapshots += 1;
      return (await direct.query(OPEN_ORDERS)).cursor;
    };
    const statuses = [];
    client.subscribe(OPEN_EVENTS, undefined, { resync, onResult: ({ cursor }) => cursors.push(cursor), onStatus: (status) => statuses.push(status) });
    client.subscribe(OPEN_EVENTS, undefined, { onResult: () => undefined, onEnd: (error) => ends.push(error) });
    await until(() => statuses.includes("open"));
    assert.equal(snapshots, 1);
    proxy.up = false;
    proxy.cut();
    const { data } = await direct.mutate(CREATE, { name: `away ${transport}` });
    await direct.mutate(UPDATE, { uid: data.createOrder.uid, data: { name: `back ${transport}` } }, { cursor: true });
    await trim();
    proxy.up = true;
    await until(() => snapshots === 2 && ends.length === 1, () => JSON.stringify({ snapshots, ends }));
    assert.equal(ends[0].code, "RESYNC_REQUIRED");
    await until(() => statuses.at(-1) === "open");
    await direct.mutate(DELETE, { uid: data.createOrder.uid });
    await until(() => cursors.length > 0);
    client.close();
  }
  proxy.stop();
});

test("a query after a mutation's position includes it, and a repeated key writes once", async () => {
  const name = `own ${Math.random()}`;
  const first = await direct.mutate(CREATE, { name }, { idempotencyKey: name.replace(" ", "-"), cursor: true });
  const second = await direct.mutate(CREATE, { name }, { idempotencyKey: name.replace(" ", "-"), cursor: true });
  assert.deepEqual(first.data, second.data);
  const { data } = await direct.query(`{ orders(where: { name: "${name}" }) { uid } }`, undefined, { after: first.cursor });
  assert.deepEqual(data.orders, [first.data.createOrder]);
  await assert.rejects(direct.query("{ nothing }"), (error) => error instanceof GomError && error.code === "GRAPHQL_VALIDATION_FAILED");
});

test("live queries go on after a cut, and events are read as an async iterable", async () => {
  const proxy = await startProxy(server.port);
  for (const [transport, how] of [["websocket", { WebSocket }], ["sse", { transport: sse() }]]) {
    const client = createClient({ url: `${proxy.address}/graphql`, token: () => server.token, ...how });
    const name = `live ${transport} ${Math.random()}`;
    let last;
    client.live(`query @live { orders(where: { name_starts_with: "${name}" }, orderBy: name_ASC) { name } }`, undefined, {
      patch: applyPatch,
      onResult: ({ data }) => (last = data.orders.map((order) => order.name)),
    });
    await until(() => last);
    const events = iterate((handlers) => client.subscribe("subscription { order { mutation node { name } } }", undefined, handlers), 2);
    const seen = [];
    const reading = (async () => {
      for await (const { data } of events) {
        if (data.order.node?.name.startsWith(name)) seen.push(data.order.node.name);
        // Slower than the events: the buffer of two is full, and receiving pauses.
        await pause(30);
        if (seen.length === 6) return;
      }
    })();
    await pause(300);
    for (const each of [1, 2, 3, 4, 5, 6]) {
      await direct.mutate(CREATE, { name: `${name} ${each}` });
      if (each === 3) proxy.cut();
    }
    const expected = [1, 2, 3, 4, 5, 6].map((each) => `${name} ${each}`);
    await until(() => JSON.stringify(last) === JSON.stringify(expected), () => JSON.stringify(last));
    await reading;
    assert.deepEqual(seen, expected);
    client.close();
  }
  proxy.stop();
});

test("a row that leaves the filter leaves the set, and a log-out in one tab ends the sets of the other and takes their rows", async () => {
  for (const [transport, how] of [["websocket", { WebSocket }], ["sse", { transport: sse() }]]) {
    const own = browser();
    const Socket = class extends WebSocket {
      constructor(url, protocol) {
        super(url, protocol, { headers: { cookie: own.cookies(), origin: server.address } });
      }
    };
    const options = { url: `${server.address}/graphql`, fetch: own.fetch, csrfToken: own.csrfToken, ...how, ...(how.WebSocket && { WebSocket: Socket }) };
    const [tab, other] = [createClient(options), createClient(options)];
    await assert.rejects(tab.session.logIn({ grantType: "password", username: "paletas@demo.gom", password: "wrong" }), { code: "invalid_grant" });
    const profile = await tab.session.logIn({ grantType: "password", username: "paletas@demo.gom", password: server.password });
    assert.equal(profile.sub, "auth0|demo-paletas");
    const set = setOf(other);
    await set.ready;
    await equals(set, "the other tab's set");
    const { data } = await tab.mutate(CREATE, { name: `mine by ${transport}` });
    await until(() => set.rows().some(({ uid }) => uid === data.createOrder.uid), () => `${set.status} ${set.error}`);
    await tab.mutate(UPDATE, { uid: data.createOrder.uid, data: { stage: "WON" } });
    await until(() => !set.rows().some(({ uid }) => uid === data.createOrder.uid), () => "the order has not left", 10_000);
    await tab.session.logOut();
    await until(() => set.status === "closed", () => set.status);
    assert.deepEqual([set.error.code, set.rows()], ["UNAUTHENTICATED", []]);
    await assert.rejects(other.query(OPEN_ORDERS), { code: "UNAUTHENTICATED" });
  }
});
