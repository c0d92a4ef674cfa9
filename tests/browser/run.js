// A client's whole session in Chromium, for a seller and for a customer, with real cookies (`Secure`, on localhost): what only
// a browser shows of them.
//
//   node run.js PROGRAM      PROGRAM: the built server

import assert from "node:assert/strict";
import { chromium } from "playwright-core";
import { startProxy } from "./proxy.js";
import { startServer } from "./server.js";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

// All that breaks `atob` in a careless token: accents, `?`, `>`, `~`, emoji, in every alignment.
const BUSINESSES = ["¿Qué tal? > ~ 🌮 Paletas", "a¿Qué tal? > ~ 🌮", "ab~~~???>>>🍦ñandú"];
const SELLER = "auth0|demo-paletas";

let passed = 0;
const check = async (what, test) => {
  await test();
  passed += 1;
  console.log(`  ok: ${what}`);
};

const [program] = process.argv.slice(2);
const server = await startServer(program);
const proxy = await startProxy(server.address);
const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
try {
  await seller();
  for (const business of BUSINESSES) await customer(business);
} finally {
  await browser.close();
  proxy.close();
  await server.close();
}
console.log(`${passed} passed, 0 failed`);

/** A page of its own, with no cookies, that has opened the client's login. */
async function visit() {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(proxy.address);
  await page.evaluate(() => window.client.open());
  const cookies = async () => Object.fromEntries((await context.cookies()).map((cookie) => [cookie.name, cookie]));
  const does = (name, ...given) => page.evaluate(([name, given]) => window.client[name](...given), [name, given]);
  return { page, cookies, does, close: () => context.close() };
}

async function seller() {
  const { page, cookies, does, close } = await visit();
  const username = server.printed.match(/sellers: (\S+@\S+?),/)[1];
  const password = server.printed.match(/password: (\S+)/)[1];

  await check("a wrong password is invalid_grant", async () => {
    const reply = await does("logIn", { grantType: "password", username, password: "wrong" });
    assert.deepEqual([reply.status, reply.body.error], [403, "invalid_grant"]);
  });
  const before = (await cookies())["session-id"].value;
  await check("the right one logs in, under a new session", async () => {
    const reply = await does("logIn", { grantType: "password", username, password });
    assert.equal(reply.status, 200, JSON.stringify(reply));
    assert.equal(reply.body.sub, SELLER);
    assert.notEqual((await cookies())["session-id"].value, before);
  });
  await check("the cookies are as the client needs them", async () => {
    const { "session-id": id, "session-token": token, "csrf-token": csrf } = await cookies();
    assert.deepEqual([id.httpOnly, token.httpOnly, csrf.httpOnly], [true, false, false]);
    assert.ok([id, token, csrf].every((cookie) => cookie.secure && cookie.sameSite === "Lax" && cookie.path === "/"));
    assert.ok(id.expires > 0 && token.expires > 0);
    assert.ok(!(await page.evaluate(() => document.cookie)).includes("session-id"), "scripts do not see the session");
    assert.equal(token.value.split(".").length, 2, "the signature stays with the server");
  });
  await check("the page reads its user from the token", async () => {
    const payload = await does("payload");
    assert.equal(payload.sub, SELLER);
    assert.ok(payload.permissions.includes("role:seller"));
  });

  let order;
  await check("lists and details are the seller's own", async () => {
    const reply = await does("graphql", "query ($w: OrderWhereInput) { ordersConnection(where: $w, first: 15, orderBy: createdAt_DESC) { pageInfo { hasNextPage } edges { node { uid name issuedTo { uid name1 } } } } }", { w: { assignedTo: { extUid: SELLER } } });
    assert.equal(reply.body.data.ordersConnection.edges.length, 6, JSON.stringify(reply.body));
    const other = await does("graphql", "{ orders(where: { assignedTo: { extUid: \"auth0|demo-tacos\" } }) { uid } }");
    assert.deepEqual(other.body.data, { orders: [] });
  });
  await check("an order is created, changed and read", async () => {
    const data = { name: "Del navegador", assignedTo: { connect: { extUid: SELLER } }, issuedTo: { connect: { extUid: "DemoCode01" } }, items: { create: [{ quantity: 2, description: "Ñame", pricing: { create: { amount: 1.5, currency: "MXN" } } }] } };
    const created = await does("graphql", "mutation ($data: OrderCreateInput!) { createOrder(data: $data) { uid } }", { data });
    order = created.body.data.createOrder.uid;
    const changed = await does("graphql", "mutation ($uid: ID!) { updateOrder(where: { uid: $uid }, data: { stage: WON }) { stage } }", { uid: order });
    assert.equal(changed.body.data.updateOrder.stage, "WON");
    const read = await does("graphql", "query ($uid: ID!) { order(where: { uid: $uid }) { stage items { description pricing { amount } } } }", { uid: order });
    assert.deepEqual(read.body.data.order.items, [{ description: "Ñame", pricing: [{ amount: 1.5 }] }]);
  });
  await check("a customer who waits for an order is not deleted", async () => {
    const reply = await does("graphql", "mutation { deleteBp(where: { uid: \"cdemobp000000000000000001\" }) { uid } }");
    assert.equal(reply.body.errors[0].extensions.code, "BP_WITH_ACTIVE_ORDERS");
  });
  await check("without its CSRF token a request is refused, and a new one is to be had", async () => {
    const bare = await does("call", "POST", "/graphql", { query: "{ orders { uid } }" });
    assert.deepEqual([bare.status, bare.body.error], [403, "EBADCSRFTOKEN"]);
    await does("open");
    assert.equal(await does("cookie", "csrf-token"), null);
    const again = await does("graphql", "{ orders(first: 1) { uid } }");
    assert.equal(again.status, 200, JSON.stringify(again));
  });
  await check("logout ends it, in the browser and at the server", async () => {
    const old = await cookies();
    assert.ok((await does("call", "GET", "/auth/logout")).status < 300);
    const left = await cookies();
    assert.equal(left["session-token"], undefined);
    assert.equal(left["csrf-token"], undefined);
    // Whoever kept the cookies has nothing.
    await page.context().addCookies(Object.values(old));
    const reply = await does("graphql", "{ orders { uid } }");
    assert.deepEqual([reply.status, reply.body.error], [403, "jwt_error"]);
  });
  await close();
}

async function customer(business) {
  await asService("mutation ($name: String!) { updateUser(where: { extUid: \"auth0|demo-paletas\" }, data: { business: $name }) { uid } }", { name: business });
  const { does, close } = await visit();
  await check(`a customer of «${business}» logs in by telephone and reads that name from the token`, async () => {
    const shown = await does("call", "GET", "/auth/bp?code=DemoCode01");
    assert.deepEqual([shown.status, shown.body], [200, { phoneLast: "684", customerOf: business }]);
    const reply = await does("logIn", { grantType: "phone", username: "DemoCode01", phone: "5512345684" });
    assert.equal(reply.status, 200, JSON.stringify(reply));
    const payload = await does("payload");
    assert.deepEqual([payload.business, payload.eid, payload.seller, payload.sub], [business, "DemoCode01", SELLER, "cdemobp000000000000000001"]);
    const orders = await does("graphql", "{ orders(where: { issuedTo: { uid: \"cdemobp000000000000000001\" } }) { uid assignedTo { business } } bp(where: { extUid: \"DemoCode02\" }) { uid } }");
    assert.equal(orders.body.errors[0].extensions.code, "FORBIDDEN", "customers do not look up customers");
    assert.ok(orders.body.data.orders.length > 0 && orders.body.data.orders.every((order) => order.assignedTo.business === business));
    assert.ok((await does("call", "POST", "/auth/logout", undefined, { "X-Csrf-Token": await does("cookie", "csrf-token") })).status < 300);
  });
  await close();
}

async function asService(query, variables) {
  const reply = await fetch(`${server.address}/graphql`, {
    method: "POST",
    headers: { Authorization: `Bearer ${server.token}`, "Content-Type": "application/json" },
    body: JSON.stringify({ query, variables }),
  });
  const body = await reply.json();
  assert.equal(body.errors, undefined, JSON.stringify(body));
}
