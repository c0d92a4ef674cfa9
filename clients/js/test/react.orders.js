// The demo's open orders of one seller, and a random schedule of writes and faults that a list of them has to survive.
import assert from "node:assert/strict";
import { createClient } from "@gom/client";
import { startProxy, startServer, dice, until } from "./place.js";

export const FIELDS = "uid name stage assignedTo { extUid }";
const WHERE = '{ stage: OPEN, assignedTo: { extUid: "auth0|demo-paletas" } }';
export const OPEN_ORDERS = `{ orders(where: ${WHERE}) { ${FIELDS} } }`;
export const OPEN_EVENTS = `subscription { order(where: { node: ${WHERE} }) { mutation node { ${FIELDS} } previousValues { uid } } }`;
export const CREATE = `mutation($uid: ID, $name: String!) {
  createOrder(data: { uid: $uid, name: $name, stage: OPEN, assignedTo: { connect: { extUid: "auth0|demo-paletas" } },
    issuedTo: { connect: { uid: "cdemobp000000000000000001" } } }) { ${FIELDS} } }`;
export const UPDATE = `mutation($uid: ID!, $data: OrderUpdateInput!) { updateOrder(where: { uid: $uid }, data: $data) { ${FIELDS} } }`;
export const DELETE = "mutation($uid: ID!) { deleteOrder(where: { uid: $uid }) { uid } }";
const STAGES = ["OPEN", "OPEN", "WON", "CLOSED"];

export const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
export const byId = (rows) => rows.toSorted((left, right) => (left.uid < right.uid ? -1 : 1));

/** A server, a client that reaches it directly, and what a list of the open orders has to be. */
export async function startOrders() {
  const server = await startServer();
  const direct = createClient({ url: `${server.address}/graphql`, token: () => server.token });
  const openOrders = async () => byId((await direct.query(OPEN_ORDERS)).data.orders);
  /** Removes the changes that clients who are away would resume from. */
  const trim = () => direct.mutate(`mutation { executeRaw(query: "select gom.trim_changes('0 s', 1, 100000)") }`, undefined, { idempotencyKey: false });
  return {
    server,
    direct,
    openOrders,
    trim,
    stop: () => server.stop(),
    /** Waits until `rows` equals the viewer's own query. */
    equals: (rows, name) =>
      until(
        async () => JSON.stringify(byId(rows())) === JSON.stringify(await openOrders()),
        async () => `${name} has ${JSON.stringify(byId(rows()))}, the query ${JSON.stringify(await openOrders())}`,
      ),
  };
}

/** A `fetch` that counts in `reads.count` how often the list is read whole. */
export function counting(reads) {
  return (url, init) => {
    if (JSON.parse(init.body).query === OPEN_ORDERS) reads.count += 1;
    return fetch(url, init);
  };
}

/**
 * Random writes through connections that are cut at random bytes, a SIGKILL, and an absence that is longer than changes are kept.
 * `open` is called with the address of the proxy and gives `writer` (`create(name)`, `update(uid, data)`, `remove(uid)`), `reads` (a list of counters of whole reads) and `check`, which is called with the seed.
 */
export async function survive({ server, direct, trim }, open) {
  const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 32));
  console.log(`SEED=${seed}`);
  const random = dice(seed);
  const proxy = await startProxy(server.port, () => (random() < 0.5 ? 100 + Math.floor(random() * 8_000) : Infinity));
  try {
    const { writer, reads, check, close } = await open(proxy.address);
    const prefix = `s${seed} `;
    const rows = new Map();
    const count = Number(process.env.WRITES ?? 12);
    for (let write = 0; write < count; write += 1) {
      const known = [...rows.keys()];
      const uid = known[Math.floor(random() * known.length)];
      const dice = random();
      if (write === Math.floor(count / 3)) {
        const back = server.kill().then(() => server.restart());
        await Promise.all([back, pause(random() * 1_000)]);
      } else if (write === Math.floor((2 * count) / 3)) {
        proxy.up = false;
        proxy.cut();
        for (const each of known) {
          rows.set(each, `${rows.get(each)} away`);
          await direct.mutate(UPDATE, { uid: each, data: { stage: "OPEN", name: rows.get(each) } });
        }
        // Two changes at least: the last one is kept, which needs its position.
        for (const name of [`${prefix}away`, `${prefix}away too`]) rows.set((await direct.mutate(CREATE, { name }, { cursor: true })).data.createOrder.uid, name);
        await trim();
        const earlier = reads.map((each) => each.count);
        proxy.up = true;
        await until(() => reads.every((each, at) => each.count > earlier[at]), () => `the trimmed log leads to no snapshot (SEED=${seed})`);
      } else if (write === 2 || dice < 0.1) {
        proxy.cut();
      }
      if (!uid || dice < 0.45) {
        const name = `${prefix}made ${write}`;
        rows.set(await writer.create(name), name);
      } else if (dice < 0.85) {
        const name = `${prefix}changed ${write}`;
        await writer.update(uid, { name, stage: STAGES[Math.floor(random() * STAGES.length)] });
        rows.set(uid, name);
      } else {
        await writer.remove(uid);
        rows.delete(uid);
      }
    }
    // The faults are over.
    proxy.limit = () => Infinity;
    await check(seed);
    const { data } = await direct.query(`{ orders(where: { name_starts_with: "${prefix}" }) { uid name } }`);
    assert.deepEqual(new Map(byId(data.orders).map(({ uid, name }) => [uid, name])), new Map([...rows].sort()), `SEED=${seed}`);
    await close();
  } finally {
    proxy.stop();
  }
}

/** A browser's cookies, and the CSRF token that its pages read. */
export function browser(Socket, origin) {
  const jar = new Map();
  const cookies = () => [...jar].map(([name, value]) => `${name}=${value}`).join("; ");
  return {
    csrfToken: () => jar.get("csrf-token"),
    WebSocket: class extends Socket {
      constructor(url, protocol) {
        super(url, protocol, { headers: { cookie: cookies(), origin } });
      }
    },
    async fetch(url, init = {}) {
      const headers = new Headers(init.headers);
      if (jar.size > 0) headers.set("cookie", cookies());
      headers.set("origin", origin);
      const response = await fetch(url, { ...init, headers });
      for (const cookie of response.headers.getSetCookie()) {
        const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie);
        if (value === "" || /max-age=0/i.test(cookie)) jar.delete(name);
        else jar.set(name, decodeURIComponent(value));
      }
      return response;
    },
  };
}
