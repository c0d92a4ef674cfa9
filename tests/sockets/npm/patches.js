// npm's @n1ru4l/graphql-live-query-patch-json-patch shows what a query answers, by graphql-ws and by graphql-sse, while orders come,
// change, move and go. The server and the credentials come as an argument.
'use strict';

const assert = require('node:assert');
const WebSocket = require('ws');
const { createClient } = require('graphql-ws');
const sse = require('graphql-sse');
const { applyLiveQueryJSONPatch } = require('@n1ru4l/graphql-live-query-patch-json-patch');
const { input, endpoint, bearer, ask } = require('./service.js');

const QUERY = '{ orders(orderBy: name_ASC) { name uid stage items { code quantity } assignedTo { extUid } } }';
const PATCHES = { query: `query @live ${QUERY}`, extensions: { patch: 'json-patch', cursor: true } };
const NAME = 'a name that is as long as those that people give to their orders';

async function order(name, code) {
  const connect = (extUid) => ({ connect: { extUid } });
  const data = { name: `${name} ${NAME}`, stage: 'OPEN', assignedTo: connect('auth0|seller'), issuedTo: connect(input.customer), items: { create: [{ code, quantity: 0.1 }] } };
  return (await ask('mutation($data: OrderCreateInput!) { createOrder(data: $data) { uid } }', { data })).createOrder.uid;
}

const update = (uid, data) => ask('mutation($uid: ID!, $data: OrderUpdateInput!) { updateOrder(where: { uid: $uid }, data: $data) { uid } }', { uid, data });
const later = (time) => new Promise((done) => setTimeout(done, time));

async function check(client, iterate) {
  const received = [];
  const source = iterate(PATCHES);
  async function* watched() {
    for await (const message of source) {
      // What is applied may be changed by its reader.
      received.push(structuredClone(message));
      yield message;
    }
  }
  let shown;
  let failed;
  const reading = (async () => {
    for await (const result of applyLiveQueryJSONPatch(watched())) shown = result;
  })().catch((error) => { failed = error; });
  const settles = async (what) => {
    const expected = await ask(QUERY);
    for (let waited = 0; waited < 20_000; waited += 20) {
      if (failed) throw failed;
      try {
        assert.deepEqual(shown?.data, expected);
        assert.equal(typeof shown.extensions.cursor, 'string');
        return;
      } catch { await later(20); }
    }
    assert.deepEqual(shown?.data, expected, what);
  };

  await settles('the first answer');
  assert.equal(received.length, 1);
  assert.equal(received[0].revision, 1);
  const whole = JSON.stringify(received[0]).length;

  const uid = await order(`000 ${client}`, 'first');
  await settles('a row at the top');
  const added = received.at(-1);
  assert.equal(added.revision, received.length);
  assert.equal(added.data, undefined);
  assert.deepEqual(added.patch.map(({ op, path }) => [op, path]), [['add', '/orders/0']]);
  const size = JSON.stringify(added).length;
  assert.ok(size * 10 < whole, `${size} of ${whole} bytes`);

  await update(uid, { stage: 'WON' });
  await settles('a changed value');
  assert.deepEqual(received.at(-1).patch, [{ op: 'replace', path: '/orders/0/stage', value: 'WON' }]);
  await update(uid, { items: { create: [{ code: '/a~b"\u2028', quantity: 1e21 }], deleteMany: [{ code: 'first' }] } });
  await settles('other items');
  await update(uid, { name: `zzz ${NAME}` });
  await settles('a row that moves to the end');
  await update(uid, { assignedTo: { connect: { extUid: 'auth0|other' } } });
  await settles('a link');
  await ask('mutation { updateManyOrders(where: { name_contains: "1" }, data: { stage: CLOSED }) { count } }');
  await settles('many rows');
  await ask('mutation { updateManyOrders(where: {}, data: { stage: OPEN }) { count } }');
  await settles('every row');
  await ask('mutation($uid: ID!) { deleteOrder(where: { uid: $uid }) { uid } }', { uid });
  await settles('a row that goes');

  const patches = received.filter(({ patch }) => patch);
  assert.ok(patches.length >= 7, JSON.stringify(received));
  for (const [at, { revision, patch }] of received.entries()) {
    assert.equal(revision, patch ? received[at - 1].revision + 1 : 1);
  }
  await source.return();
  await reading;
  console.log(`${client}: ${patches.length} patches, ${size} bytes for a row at the top of ${whole}`);
}

// How the package reads what the server sends where there is no patch.
async function reads() {
  const errors = [{ message: 'hidden' }];
  async function* messages() {
    yield { data: { a: 1 }, revision: 1 };
    yield { data: null, errors };
    yield { data: { a: 2 }, revision: 1 };
    yield { patch: [{ op: 'replace', path: '/a', value: 3 }], errors, revision: 2 };
    yield { patch: [], revision: 3 };
    yield { data: { a: 4 }, errors, revision: 1 };
  }
  const published = [];
  for await (const result of applyLiveQueryJSONPatch(messages())) published.push(structuredClone(result));
  assert.deepEqual(published, [
    { data: { a: 1 } },
    { data: null, errors },
    { data: { a: 2 } },
    { data: { a: 3 }, errors },
    { data: { a: 3 } },
    { data: { a: 4 }, errors },
  ]);
}

async function main() {
  await reads();
  for (let at = 0; at < 60; at += 1) await order(`order ${100 + at}`, `c${at}`);
  const socket = createClient({ url: endpoint.replace('http', 'ws'), webSocketImpl: WebSocket, connectionParams: { authorization: bearer } });
  await check('graphql-ws', (payload) => socket.iterate(payload));
  await socket.dispose();
  const events = sse.createClient({ url: endpoint, headers: { authorization: bearer } });
  await check('graphql-sse', (payload) => events.iterate(payload));
  events.dispose();
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
