// Prisma 1's two client libraries as they are by default, and the client of its older socket protocol: each writes, reads
// and gets an event at each address. The address, the service secret and the program come as an argument.
'use strict';

const assert = require('node:assert');
const { execFileSync } = require('node:child_process');
const { sign } = require('jsonwebtoken');
const WebSocket = require('ws');
const { Prisma } = require('prisma-binding');
const { makePrismaClientClass } = require('prisma-client-lib');
const { SubscriptionClient } = require('subscriptions-transport-ws');

const { address, secret, gom } = JSON.parse(process.argv[2]);
const typeDefs = execFileSync(gom, ['schema'], { encoding: 'utf8', maxBuffer: 1e8 });
const PATHS = ['', '/', '/default/default', '/my-shop/dev', '/graphql'];
const models = [{ name: 'User', embedded: false }];
let count = 0;
const later = (time) => new Promise((done) => setTimeout(done, time));

function user(client) {
  count += 1;
  return { extUid: `${client} ${count}`, business: 'Tacos' };
}

// The server does not acknowledge that a subscription has begun: writes until an event of one of the writes arrives.
async function checkEvents(create, next) {
  const event = next();
  const written = [];
  let come;
  event.then((value) => { come = value; }, (error) => { come = { error }; });
  for (let round = 0; come === undefined && round < 100; round += 1) {
    written.push((await create()).extUid);
    await later(100);
  }
  const { mutation, node } = (await event).user ?? (await event);
  if (mutation !== undefined) assert.equal(mutation, 'CREATED');
  assert.ok(written.includes(node.extUid), JSON.stringify([node, written]));
}

async function binding(endpoint) {
  const prisma = new Prisma({ typeDefs, endpoint, secret });
  const create = () => prisma.mutation.createUser({ data: user('prisma-binding') }, '{ uid extUid }');
  const made = await create();
  assert.deepEqual(await prisma.query.user({ where: { uid: made.uid } }, '{ extUid }'), { extUid: made.extUid });
  const events = await prisma.subscription.user({ where: { mutation_in: ['CREATED'] } }, '{ mutation node { extUid } }');
  await checkEvents(create, async () => (await events.next()).value);
  await events.return();
}

async function client(endpoint) {
  const Client = makePrismaClientClass({ typeDefs, endpoint, secret, models });
  const prisma = new Client();
  const create = () => prisma.createUser(user('prisma-client'));
  const made = await create();
  assert.equal((await prisma.user({ uid: made.uid })).extUid, made.extUid);
  assert.equal(await prisma.$exists.user({ extUid: made.extUid }), true);
  const events = await prisma.$subscribe.user({ mutation_in: ['CREATED'] }).node();
  await checkEvents(create, async () => ({ node: (await events.next()).value }));
  await events.return?.();
  prisma._subscriptionClient.close();
}

async function oldest(endpoint) {
  const prisma = new Prisma({ typeDefs, endpoint, secret });
  const create = () => prisma.mutation.createUser({ data: user('oldest') }, '{ extUid }');
  const token = sign({}, secret);
  const socket = new SubscriptionClient(endpoint.replace(/^http/, 'ws'), { connectionParams: { Authorization: `Bearer ${token}` } }, WebSocket);
  const query = 'subscription { user(where: { mutation_in: [CREATED] }) { mutation node { extUid } } }';
  const heard = [];
  const first = () => new Promise((done, fail) => {
    const id = socket.subscribe({ query }, (errors, data) => {
      heard.push(data);
      if (errors) fail(new Error(JSON.stringify(errors)));
      else done(data);
      socket.unsubscribe(id);
    });
  });
  await checkEvents(create, first);
  const errors = await new Promise((done) => { socket.subscribe({ query: 'subscription { nothing { node { uid } } }' }, done); });
  assert.match(errors[0].message, /nothing/);
  socket.close();
  await assert.rejects(new Promise((done, fail) => {
    const stranger = new SubscriptionClient(endpoint.replace(/^http/, 'ws'), {
      connectionParams: { Authorization: `Bearer ${sign({}, `another ${secret}`)}` },
      connectionCallback: (error) => { stranger.close(); (error ? fail : done)(new Error(error)); },
    }, WebSocket);
  }), /Authentication token is invalid/);
}

async function main() {
  const clients = { 'prisma-binding': binding, 'prisma-client-lib': client, 'graphql-subscriptions': oldest };
  for (const [name, check] of Object.entries(clients)) {
    for (const path of PATHS) {
      await check(`${address}${path}`);
      console.log(`${name} at "${path}": good`);
    }
  }
  // A token of another secret opens nothing.
  const Client = makePrismaClientClass({ typeDefs, endpoint: address, secret: `another ${secret}`, models });
  await assert.rejects(async () => await new Client().users(), /Your token is invalid/);
  console.log('strangers: refused');
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
