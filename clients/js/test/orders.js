// The open orders of the demo's seller, as the tests of the adapters read and write them.
import { createClient } from "@gom/client";

const FIELDS = "uid name stage assignedTo { extUid }";
const WHERE = '{ stage: OPEN, assignedTo: { extUid: "auth0|demo-paletas" } }';
export const OPEN_ORDERS = `query OpenOrders { orders(where: ${WHERE}) { ${FIELDS} } }`;
export const OPEN_EVENTS = `subscription { order(where: { node: ${WHERE} }) { mutation node { ${FIELDS} } previousValues { uid } } }`;
export const CREATE = `mutation($name: String!) {
  createOrder(data: { name: $name, stage: OPEN, assignedTo: { connect: { extUid: "auth0|demo-paletas" } },
    issuedTo: { connect: { uid: "cdemobp000000000000000001" } } }) { uid name stage assignedTo { extUid } } }`;
export const UPDATE = "mutation($uid: ID!, $data: OrderUpdateInput!) { updateOrder(where: { uid: $uid }, data: $data) { uid name stage } }";
export const DELETE = "mutation($uid: ID!) { deleteOrder(where: { uid: $uid }) { uid } }";
const STAGES = ["OPEN", "OPEN", "WON", "CLOSED"];

/** Without what a client adds, in the order of the ids. */
export const plain = (rows) =>
  JSON.parse(JSON.stringify(rows, (name, value) => (name === "__typename" ? undefined : value))).sort((left, right) => (left.uid < right.uid ? -1 : 1));

/** A client without a proxy. */
export const directly = (server) => createClient({ url: `${server.address}/graphql`, token: () => server.token });

/** What the query has, for this viewer. */
export const openOrders = async (client) => plain((await client.query(OPEN_ORDERS)).data.orders);

/** Removes the changes from which clients who are away would resume. */
const trim = (direct) => direct.mutate(`mutation { executeRaw(query: "select gom.trim_changes('0 s', 1, 100000)") }`, undefined, { idempotencyKey: false });

/** After how many bytes of the server each connection is cut: the first two certainly, half of the others. */
export function limits(random) {
  let connections = 0;
  return () => ((connections += 1) <= 2 ? 500 : random() < 0.5 ? 300 + Math.floor(random() * 6_000) : Infinity);
}

const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/**
 * Creates, changes and deletes orders by `write`, which goes through `proxy`, while connections are cut, the server is killed, and the changes that clients missed are removed.
 * Returns the names that the orders must have in the end.
 */
export async function writeThroughFaults({ server, proxy, direct, write, random, count, between = () => undefined }) {
  const rows = new Map();
  for (let turn = 0; turn < count; turn += 1) {
    const known = [...rows.keys()];
    const uid = known[Math.floor(random() * known.length)];
    const choice = random();
    if (turn === Math.floor(count / 3)) {
      const back = server.kill().then(() => server.restart());
      await Promise.all([back, pause(random() * 500)]);
    } else if (turn === Math.floor((2 * count) / 3)) {
      proxy.up = false;
      proxy.cut();
      // Two changes at least: the last one is kept.
      for (const name of ["made away", "made away too"]) rows.set((await direct.mutate(CREATE, { name }, { cursor: true })).data.createOrder.uid, name);
      await trim(direct);
      proxy.up = true;
    } else if (choice < 0.15) {
      proxy.cut();
    }
    between(turn);
    if (!uid || choice < 0.45) {
      const name = `made ${turn}`;
      rows.set((await write(CREATE, { name })).createOrder.uid, name);
    } else if (choice < 0.85) {
      const name = `changed ${turn}`;
      await write(UPDATE, { uid, data: { name, stage: STAGES[Math.floor(random() * STAGES.length)] } });
      rows.set(uid, name);
    } else {
      // A repetition without its key would find no row.
      await write(DELETE, { uid });
      rows.delete(uid);
    }
  }
  return rows;
}

/** The orders that the faults have left, by id. */
export async function written(direct) {
  const { data } = await direct.query('{ orders(where: { OR: [{ name_starts_with: "made" }, { name_starts_with: "changed" }] }) { uid name } }');
  return new Map(plain(data.orders).map(({ uid, name }) => [uid, name]));
}
