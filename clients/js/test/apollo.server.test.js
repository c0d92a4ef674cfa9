// Apollo Client with a server, through cut connections, killed servers, trimmed logs and log-outs.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ApolloClient, InMemoryCache, gql } from "@apollo/client";
import { GomLink, keepList } from "@gom/apollo";
import { createClient } from "@gom/client";
import { sse } from "@gom/client/sse";
import WebSocket from "ws";
import { browser } from "./browser.js";
import { runDocumented } from "./documented.js";
import { CREATE, OPEN_EVENTS, OPEN_ORDERS, directly, limits, openOrders, plain, writeThroughFaults, written } from "./orders.js";
import { dice, startProxy, startServer, until } from "./place.js";

let server;
let direct;
before(async () => {
  server = await startServer();
  direct = directly(server);
});
after(() => server?.stop());

const query = gql(OPEN_ORDERS);
const subscription = gql(OPEN_EVENTS);
const byKey = () => new InMemoryCache({ typePolicies: { Order: { keyFields: ["uid"] }, User: { keyFields: ["extUid"] } } });

/** Apollo Client with a kept list, and what `watchQuery` of it shows. */
function start(options) {
  const client = createClient(options);
  const apollo = new ApolloClient({ cache: byKey(), link: new GomLink({ client, readOwnWrites: true }) });
  const ends = [];
  const list = keepList(apollo, { client, query, subscription, key: "uid", onEnd: (error) => ends.push(error) });
  const page = { client, apollo, list, ends, shown: undefined };
  page.watching = apollo.watchQuery({ query, fetchPolicy: "cache-only" }).subscribe(({ data }) => (page.shown = data?.orders && plain(data.orders)));
  page.end = () => (page.watching.unsubscribe(), list.close(), client.close());
  return page;
}

test("the program of docs/clients/apollo.md does what its page says", async () => {
  assert.deepEqual(await runDocumented("apollo.md", "Keep a list in the cache", server), ["one order less is open", "the query includes the write"]);
});

test("two caches equal the query, and no write is lost or doubled, through cut connections, a killed server and a trimmed log", async () => {
  const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 32));
  console.log(`SEED=${seed}`);
  const random = dice(seed);
  const proxy = await startProxy(server.port, limits(random));
  const shared = { url: `${proxy.address}/graphql`, token: () => server.token, retryFor: 60_000, random: () => 0 };
  const pages = { websocket: start({ ...shared, WebSocket }), "event stream": start({ ...shared, transport: sse() }) };
  const all = Object.entries(pages);
  await Promise.all(all.map(([, { list }]) => list.ready));
  const write = async (mutation, variables) => (await pages.websocket.apollo.mutate({ mutation: gql(mutation), variables })).data;
  // Results of other queries of the same list, which may come later than newer events.
  const reads = [];
  const between = (turn) => {
    if (turn % 2 === 0) reads.push(...all.map(([, { apollo }]) => apollo.query({ query, fetchPolicy: "network-only" })));
  };
  const rows = await writeThroughFaults({ server, proxy, direct, write, random, count: Number(process.env.WRITES ?? 9), between });
  await Promise.all(reads);
  // By then what those have overwritten is corrected, and what they have read is not taken for the kept list.
  await new Promise((later) => setTimeout(later, 1_500));
  for (const [name, page] of all) {
    await until(
      async () => {
        assert.deepEqual(page.ends, [], `${name} has ended (SEED=${seed})`);
        return JSON.stringify(page.shown) === JSON.stringify(await openOrders(direct));
      },
      async () => `${name} (${page.list.status}) shows ${JSON.stringify(page.shown)}, the query has ${JSON.stringify(await openOrders(direct))} (SEED=${seed})`,
    );
    const cached = Object.values(page.apollo.cache.extract()).filter(({ __typename }) => __typename === "Order");
    const exists = (await direct.query("{ orders { uid } }")).data.orders.map(({ uid }) => uid);
    await until(() => Object.keys(page.apollo.cache.extract()).filter((key) => key.startsWith("Order:")).every((key) => exists.includes(JSON.parse(key.slice(6)).uid)), () => `a deleted order is in the cache: ${JSON.stringify(cached)} (SEED=${seed})`);
  }
  assert.deepEqual(await written(direct), new Map([...rows].sort()), `SEED=${seed}`);
  assert.ok(proxy.cuts > 0);
  for (const [, page] of all) page.end();
  proxy.stop();
});

test("a query after an own mutation includes it", async () => {
  const page = start({ url: `${server.address}/graphql`, token: () => server.token, transport: sse() });
  for (let turn = 0; turn < 5; turn += 1) {
    const { data } = await page.apollo.mutate({ mutation: gql(CREATE), variables: { name: `own ${turn}` } });
    const result = await page.apollo.query({ query, fetchPolicy: "no-cache" });
    assert.ok(result.data.orders.some(({ uid }) => uid === data.createOrder.uid));
  }
  page.end();
});

test("a log-out in another tab takes the rows out of the cache, and the next viewer sees none of them", async () => {
  const own = browser();
  const Socket = class extends WebSocket {
    constructor(url, protocol) {
      super(url, protocol, { headers: { cookie: own.cookies(), origin: server.address } });
    }
  };
  const options = { url: `${server.address}/graphql`, fetch: own.fetch, csrfToken: own.csrfToken, WebSocket: Socket };
  const tab = createClient(options);
  await tab.session.logIn({ grantType: "password", username: "paletas@demo.gom", password: server.password });
  const page = start(options);
  await page.list.ready;
  await tab.mutate(CREATE, { name: "mine" });
  await until(() => page.shown?.some(({ name }) => name === "mine"), () => page.list.status);
  await tab.session.logOut();
  await until(() => page.ends.length === 1, () => page.list.status);
  assert.equal(page.ends[0].code, "UNAUTHENTICATED");
  await until(() => page.shown?.length === 0);
  assert.deepEqual(Object.keys(page.apollo.cache.extract()).filter((name) => /^(Order|User)/.test(name)), []);
  await assert.rejects(page.apollo.query({ query, fetchPolicy: "network-only" }), { code: "UNAUTHENTICATED" });
  // The next viewer, with the same cache: a list that is the viewer's own.
  await tab.session.logIn({ grantType: "password", username: "tacos@demo.gom", password: server.password });
  const orders = "query All { orders { uid name } }";
  const events = "subscription { order { mutation node { uid name } previousValues { uid } } }";
  const list = keepList(page.apollo, { client: page.client, query: gql(orders), subscription: gql(events), key: "uid" });
  await list.ready;
  const mine = plain((await tab.query(orders)).data.orders);
  assert.deepEqual(plain(page.apollo.readQuery({ query: gql(orders) }).orders), mine);
  const cached = Object.keys(page.apollo.cache.extract()).filter((name) => name.startsWith("Order:"));
  assert.deepEqual(cached.sort(), mine.map(({ uid }) => `Order:${JSON.stringify({ uid })}`));
  assert.ok(mine.length > 0 && mine.length < (await direct.query(orders)).data.orders.length, "the viewers' orders differ");
  list.close();
  page.end();
});
