// Both roles log in through the proxy; one subscribes on one server while the other server is written to.
//   node session.js ORIGIN SELLER PASSWORD CUSTOMER_CODE CUSTOMER_PHONE
'use strict';

const assert = require('node:assert');
const { Shop, later, until } = require('./shop');

const [origin, username, password, code, phone] = process.argv.slice(2);
const SUBSCRIPTION = 'subscription($seller: String) { order(where: { node: { assignedTo: { extUid: $seller } } }) { mutation node { name } } }';
const CREATE = `mutation($data: OrderCreateInput!) { createOrder(data: $data) { uid } }`;

async function serverSentEvents(shop, variables) {
  const headers = { Cookie: shop.cookie, Origin: origin, 'X-Csrf-Token': shop.cookies.get('csrf-token'), 'Content-Type': 'application/json', Accept: 'text/event-stream' };
  const stop = new AbortController();
  const answer = await fetch(`${origin}/api/graphql`, { method: 'POST', headers, signal: stop.signal, body: JSON.stringify({ query: SUBSCRIPTION, variables }) });
  assert.equal(answer.status, 200);
  const seen = { text: '', server: answer.headers.get('request-id').split('-')[0], stop: () => stop.abort() };
  (async () => { for await (const bytes of answer.body) seen.text += Buffer.from(bytes); })().catch(() => {});
  return seen;
}

async function main() {
  const seller = new Shop(origin);
  const { sub } = await seller.logIn({ grantType: 'password', username, password });
  const customer = new Shop(origin);
  const lookedUp = await customer.call('GET', `/auth/bp?code=${code}`);
  assert.equal(lookedUp.body.phoneLast, phone.slice(-3));
  const own = await customer.logIn({ grantType: 'phone', username: code, phone });
  console.log(`seller ${sub} and customer ${own.sub} have logged in, over TLS, with cookies for TLS alone`);

  const { data } = await customer.ask('{ orders { name assignedTo { extUid } issuedTo { uid } } }');
  assert.ok(data.orders.every((order) => order.issuedTo.uid === own.sub), 'a customer sees own orders only');
  assert.equal((await seller.call('GET', '/metrics')).status, 404, 'metrics are not for everybody');
  assert.equal((await new Shop(origin).call('POST', '/graphql', { query: '{ orders { uid } }' })).status, 403);

  const events = [];
  const following = seller.follow(SUBSCRIPTION, { seller: sub }, (event) => events.push(event));
  await until('the websocket is open', () => following.ready);
  const stream = await serverSentEvents(seller, { seller: sub });
  await later(500);

  // Orders, until each server has taken one.
  const taken = new Set();
  const names = [];
  for (let n = 1; n <= 40 && (taken.size < 2 || names.length < 4); n += 1) {
    const data = { name: `order ${n}`, assignedTo: { connect: { extUid: sub } }, issuedTo: { connect: { extUid: code } } };
    const { server } = await customer.ask(CREATE, { data });
    taken.add(server);
    names.push(data.name);
  }
  assert.equal(taken.size, 2, 'the proxy asks both servers');
  await until('all events are there', () => events.length >= names.length);
  await later(300);
  assert.deepEqual(events.map((event) => event.data.order.node.name), names);
  await until('the stream has them too', () => names.every((name) => stream.text.includes(`"${name}"`)));
  stream.stop();
  await following.stop();
  console.log(`${names.length} orders were written through servers ${[...taken].join(' and ')}; the websocket on ${following.at} and the event stream on ${stream.server} saw each once, in order`);

  for (const shop of [seller, customer]) {
    await shop.logOut();
    assert.equal((await shop.call('POST', '/graphql', { query: '{ orders { uid } }' })).status, 403);
  }
  console.log('both have logged out');
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
