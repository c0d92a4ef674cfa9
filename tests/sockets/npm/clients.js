// Each client sends a query and receives an event, as the service and as a seller. The server and the credentials come as an argument.
'use strict';

const assert = require('node:assert');
const WebSocket = require('ws');
const { createClient } = require('graphql-ws');
const sse = require('graphql-sse');
const { SubscriptionClient } = require('subscriptions-transport-ws');
const urql = require('@urql/core');
const apollo = require('@apollo/client');
const { input, endpoint, bearer, ask } = require('./service.js');

const socketAddress = endpoint.replace('http', 'ws');
const QUERY = '{ orders(orderBy: name_ASC) { name } }';
const SUBSCRIPTION =
  'subscription { order(where: { mutation_in: [UPDATED] }) { mutation updatedFields node { uid name assignedTo { extUid } } } }';
const SELLER = 'auth0|seller';

async function order(seller, customer, name) {
  const connect = (extUid) => ({ connect: { extUid } });
  const data = { name, assignedTo: connect(seller), issuedTo: connect(customer) };
  return (await ask('mutation($data: OrderCreateInput!) { createOrder(data: $data) { uid } }', { data })).createOrder.uid;
}

let own;
let others;
let round = 0;
const UPDATE = 'mutation($uid: ID!, $name: String) { updateOrder(where: { uid: $uid }, data: { name: $name }) { uid } }';

// The other seller's order first: subscribers who may not see it must receive no event for it.
async function write(role) {
  round += 1;
  if (role === 'seller') await ask(UPDATE, { uid: others, name: `theirs ${round}` });
  await ask(UPDATE, { uid: own, name: `mine ${round}` });
  return `mine ${round}`;
}

const later = (time) => new Promise((done) => setTimeout(done, time));

// `run(query, sink)` starts an operation and returns what ends it.
async function check(client, role, run) {
  const first = (query) => new Promise((next, error) => { run(query, { next, error, complete() {} }); });
  const answer = await first(QUERY);
  const seen = answer.data.orders.map(({ name }) => name.split(' ')[0]);
  assert.deepEqual(seen, role === 'seller' ? ['mine'] : ['mine', 'theirs'], JSON.stringify(answer));

  const events = [];
  const stop = run(SUBSCRIPTION, { next: (event) => events.push(event), error: (error) => events.push({ error }), complete() {} });
  await later(1_500);
  const name = await write(role);
  for (let waited = 0; events.length === 0 && waited < 10000; waited += 50) await later(50);
  const { mutation, updatedFields, node } = events[0].data.order;
  assert.equal(mutation, 'UPDATED');
  assert.ok(updatedFields.includes('name'));
  assert.deepEqual(node, { uid: own, name, assignedTo: { extUid: SELLER } });
  assert.equal(typeof events[0].extensions.cursor, 'string');
  stop();
  await later(200);
  await write(role);
  await later(300);
  assert.equal(events.length, 1, JSON.stringify(events));
  console.log(`${client} as ${role}: good`);
}

// Clients that name event streams among what they accept, or do not: each reads a list of several rows, whose JSON PostgreSQL breaks
// into lines. What they send is written down.
async function readLists() {
  const sent = [];
  const watched = (address, options) => {
    sent.push(new Headers(options.headers).get('accept'));
    return fetch(address, options);
  };
  const headers = { authorization: bearer };
  const client = new urql.Client({
    url: endpoint,
    exchanges: [urql.fetchExchange],
    fetch: watched,
    fetchOptions: { headers },
    fetchSubscriptions: true,
    preferGetMethod: false,
  });
  const read = await client.query(QUERY, {}).toPromise();
  assert.ifError(read.error);
  assert.ok(read.data.orders.length >= 2);
  console.log(`urql, which accepts ${sent.pop()}: good`);

  const link = new apollo.HttpLink({ uri: endpoint, headers, fetch: watched });
  const other = new apollo.ApolloClient({ link, cache: new apollo.InMemoryCache() });
  const { data } = await other.query({ query: apollo.gql(QUERY) });
  assert.deepEqual(data.orders.map(({ name }) => name), read.data.orders.map(({ name }) => name));
  console.log(`apollo, which accepts ${sent.pop()}: good`);

  await check('urql by fetch', 'service', (query, sink) => {
    const start = query.startsWith('subscription') ? client.subscription : client.query;
    const { unsubscribe } = start.call(client, query, {}, { requestPolicy: 'network-only' }).subscribe((result) => {
      if (result.error) sink.error(result.error);
      else sink.next({ data: result.data, extensions: result.extensions });
    });
    return unsubscribe;
  });
  console.log(`urql's subscriptions, which accept ${sent.pop()}: good`);
}

async function main() {
  own = await order(SELLER, input.customers[0], 'mine');
  others = await order('auth0|other', input.customers[1], 'theirs');
  const asSeller = class extends WebSocket {
    constructor(address, protocols) {
      super(address, protocols, { headers: { Cookie: input.cookies, Origin: input.address } });
    }
  };
  for (const [role, socket, parameters] of [['service', WebSocket, { authorization: bearer }], ['seller', asSeller, {}]]) {
    const modern = createClient({ url: socketAddress, webSocketImpl: socket, connectionParams: parameters });
    await check('graphql-ws', role, (query, sink) => modern.subscribe({ query }, sink));
    await modern.dispose();

    const legacy = new SubscriptionClient(socketAddress, { reconnect: true, lazy: true, connectionParams: parameters }, socket);
    await check('subscriptions-transport-ws', role, (query, sink) => {
      const { unsubscribe } = legacy.request({ query }).subscribe(sink);
      return unsubscribe;
    });
    legacy.close();

    const headers = role === 'seller' ? { cookie: input.cookies, 'x-csrf-token': input.csrf } : { authorization: bearer };
    const events = sse.createClient({ url: endpoint, headers });
    await check('graphql-sse', role, (query, sink) => events.subscribe({ query }, sink));
    events.dispose();
  }
}

main().then(readLists).then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
