// Requests through the proxy without a pause until SIGTERM; then prints the outcomes. Readers query, one writer creates orders,
// one newcomer after the other logs in, queries and logs out, one subscriber follows: every order whose creation was answered must arrive once, in
// order.
//   node load.js ORIGIN SELLER PASSWORD CUSTOMER_CODE LOSSES ACCOUNT...
//       LOSSES      how many requests may fail (a server that is killed takes its own along)
//       ACCOUNT     newcomers log in to these in turn, since each has a limit of right logins (`login_limiter.right_logins`)
'use strict';

const { Shop, later, until } = require('./shop');

const [origin, username, password, code, allowed, ...accounts] = process.argv.slice(2);
const READERS = 4;
const state = { stop: false };
process.on('SIGTERM', () => { state.stop = true; });

const counts = { requests: 0, failures: [], slowest: 0 };
const servers = new Set();

async function attempt(act) {
  const started = Date.now();
  counts.requests += 1;
  try {
    const { server, data } = await act();
    if (server) servers.add(server);
    return data;
  } catch (error) {
    counts.failures.push(`${new Date().toISOString()} ${error.cause?.code ?? ''} ${error.message}`);
    return undefined;
  } finally {
    counts.slowest = Math.max(counts.slowest, Date.now() - started);
  }
}

async function main() {
  const shop = new Shop(origin);
  const { sub } = await shop.logIn({ grantType: 'password', username, password });

  // What somebody else has just written may still arrive.
  const run = `load ${Date.now()}`;
  const seen = [];
  const problems = [];
  const query = 'subscription($where: OrderSubscriptionWhereInput) { order(where: $where) { node { name } } }';
  const following = shop.follow(query, { where: { mutation_in: ['CREATED'], node: { assignedTo: { extUid: sub } } } }, (event) => {
    if (event.errors) problems.push(JSON.stringify(event.errors));
    else if (event.data.order.node.name.startsWith(run)) seen.push(event.data.order.node.name);
  });
  await until('the websocket is open', () => following.ready);
  await later(300);
  console.log('under way');

  const answered = [];
  let logins = 0;
  const CREATE = 'mutation($data: OrderCreateInput!) { createOrder(data: $data) { uid } }';
  const write = async () => {
    for (let n = 1; !state.stop; n += 1) {
      const name = `${run} ${n}`;
      const data = { name, assignedTo: { connect: { extUid: sub } }, issuedTo: { connect: { extUid: code } } };
      if (await attempt(() => shop.ask(CREATE, { data }))) answered.push(name);
      await later(20);
    }
  };
  const read = async () => {
    while (!state.stop) {
      await attempt(() => shop.ask('{ orders(first: 5, orderBy: createdAt_DESC) { uid name items { description } } }'));
      await later(10);
    }
  };
  const comeAnew = async () => {
    for (; !state.stop; await later(300)) {
      const newcomer = new Shop(origin);
      const account = accounts[logins % accounts.length];
      const inside = await attempt(async () => ({ data: await newcomer.logIn({ grantType: 'password', username: account, password }) }));
      // Whichever server answers next. A lost login is one failure, and leaves no session to query with.
      for (let n = 0; inside && n < 4; n += 1) await attempt(() => newcomer.ask('{ orders(first: 1) { uid } }'));
      // A user has a number of sessions (`session.per_user`): newcomers who stayed would end that of the reader and the writer.
      if (inside) await attempt(() => newcomer.logOut());
      logins += 1;
    }
  };
  await Promise.all([write(), comeAnew(), ...Array.from({ length: READERS }, read)]);

  // An answer that was lost with its server may have been written all the same; an answered write has been.
  await until('every order has arrived', () => answered.every((name) => seen.includes(name)), 20000).catch((error) => problems.push(error.message));
  await following.stop();
  const numbers = seen.map((name) => Number(name.split(' ')[2]));
  if (numbers.some((number, at) => at > 0 && number <= numbers[at - 1])) problems.push('events came twice or out of order');
  console.log(`${counts.requests} requests to ${servers.size} servers, ${counts.failures.length} failed, the slowest took ${counts.slowest} ms`);
  console.log(`${logins} logins, ${answered.length} orders, ${seen.length} events over ${following.connections} connections of one subscriber: ${problems.length === 0 ? 'none lost, none twice, all in order' : problems.join('; ')}`);
  for (const failure of counts.failures.slice(0, 10)) console.log(`  ${failure}`);
  return counts.failures.length <= Number(allowed) && problems.length === 0;
}

main().then((good) => process.exit(good ? 0 : 1), (error) => { console.error(error); process.exit(1); });
