// urql with a server, through cut connections, killed servers, trimmed logs and log-outs.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Client, cacheExchange } from "@urql/core";
import { cacheExchange as graphcache } from "@urql/exchange-graphcache";
import { createClient } from "@gom/client";
import { sse } from "@gom/client/sse";
import { gomExchange, keepList } from "@gom/urql";
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

const list = keepList({ subscription: OPEN_EVENTS, key: "uid" });
const normalized = () => graphcache({ keys: { Order: ({ uid }) => uid, User: ({ extUid }) => extUid } });

/** urql with a kept list, and what it shows. */
function start(options, cache) {
  const client = createClient(options);
  const urql = new Client({ url: options.url, exchanges: [cache, gomExchange({ client, readOwnWrites: true })] });
  const page = { client, urql, shown: undefined, error: undefined };
  const { unsubscribe } = urql.query(OPEN_ORDERS, {}, list).subscribe(({ data, error }) => {
    page.shown = data?.orders && plain(data.orders);
    page.error = error;
  });
  page.end = () => (unsubscribe(), client.close());
  return page;
}

test("the program of docs/clients/urql.md does what its page says", async () => {
  assert.deepEqual(await runDocumented("urql.md", "Keep a list", server), ["one order less is open", "the query includes the write"]);
});

test("two caches equal the query, and no write is lost or doubled, through cut connections, a killed server and a trimmed log", async () => {
  const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 32));
  console.log(`SEED=${seed}`);
  const random = dice(seed);
  const proxy = await startProxy(server.port, limits(random));
  const shared = { url: `${proxy.address}/graphql`, token: () => server.token, retryFor: 60_000, random: () => 0 };
  const pages = { "document cache": start({ ...shared, WebSocket }, cacheExchange), Graphcache: start({ ...shared, transport: sse() }, normalized()) };
  const all = Object.entries(pages);
  await until(() => all.every(([, { shown }]) => shown));
  let turns = 0;
  const write = async (mutation, variables) => {
    const { data, error } = await all[(turns += 1) % 2][1].urql.mutation(mutation, variables);
    assert.equal(error, undefined, `SEED=${seed}`);
    return data;
  };
  const rows = await writeThroughFaults({ server, proxy, direct, write, random, count: Number(process.env.WRITES ?? 9) });
  for (const [name, page] of all) {
    await until(
      async () => {
        assert.equal(page.error, undefined, `${name} has failed (SEED=${seed})`);
        return JSON.stringify(page.shown) === JSON.stringify(await openOrders(direct));
      },
      async () => `${name} shows ${JSON.stringify(page.shown)}, the query has ${JSON.stringify(await openOrders(direct))} (SEED=${seed})`,
    );
    const { data } = await page.urql.query(OPEN_ORDERS, {}, { requestPolicy: "cache-only" });
    assert.deepEqual(plain(data.orders), page.shown, `${name} (SEED=${seed})`);
  }
  assert.deepEqual(await written(direct), new Map([...rows].sort()), `SEED=${seed}`);
  assert.ok(proxy.cuts > 0);
  for (const [, page] of all) page.end();
  proxy.stop();
});

test("a log-out in another tab empties a kept list, and its cache", async () => {
  const own = browser();
  const Socket = class extends WebSocket {
    constructor(url, protocol) {
      super(url, protocol, { headers: { cookie: own.cookies(), origin: server.address } });
    }
  };
  const options = { url: `${server.address}/graphql`, fetch: own.fetch, csrfToken: own.csrfToken, WebSocket: Socket };
  const tab = createClient(options);
  await tab.session.logIn({ grantType: "password", username: "paletas@demo.gom", password: server.password });
  const page = start(options, normalized());
  await until(() => page.shown);
  await tab.mutate(CREATE, { name: "mine" });
  await until(() => page.shown.some(({ name }) => name === "mine"));
  await tab.session.logOut();
  await until(() => page.error);
  assert.deepEqual([page.error.networkError.code, page.shown], ["UNAUTHENTICATED", []]);
  const { data } = await page.urql.query(OPEN_ORDERS, {}, { requestPolicy: "cache-only" });
  assert.deepEqual(data.orders, []);
  page.end();
});
