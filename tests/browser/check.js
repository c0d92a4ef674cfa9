// The client's session in Chromium, with real cookies that are `Secure`, through a proxy like the one in use.
//
//   node check.js PROGRAM PUSH_SERVICE FOLDER [CHROMIUM]
//
// PROGRAM is the built server; it gets a private database in FOLDER, which must be empty. PUSH_SERVICE is the built example.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { chromium } from "playwright-core";
import { graphiql, off, withoutIntrospection } from "./console.js";
import { otherOrigins } from "./origins.js";
import { startProxy } from "./proxy.js";
import { push, startPushService } from "./push.js";
import { briefWelcome, notReady, welcome } from "./welcome.js";

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // No network but this machine's.
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
];
const SELLER = { username: "paletas@demo.gom", subject: "auth0|demo-paletas" };
// Where they stand in a token's groups of three bytes differs.
const BUSINESSES = ["¿Paletas Marías? > ~ 🌮", "-¿Paletas Marías? > ~ 🌮", "--¿Paletas Marías? > ~ 🌮", "a?>~", "ñandú ~~~"];
const CUSTOMER = { code: "DemoCode01", phone: "5512345684" };
/** Seconds that an account's token lives here. */
const LIFETIME = 3;

/** Starts a server; gives its address, its development token, the demo sellers' password, and a way to end it. */
async function startServer(program, folder, pushService, more = {}) {
  const env = {
    PATH: process.env.PATH,
    GOM__EMBEDDED__PROGRAMS: process.env.GOM__EMBEDDED__PROGRAMS ?? "",
    GOM__SESSION__OPTIONS__SECURE: "true",
    GOM__ACCESS_TOKEN__OPTIONS__SECURE: "true",
    GOM__CSRF__OPTIONS__SECURE: "true",
    GOM__AUTH__ACCOUNTS__EXPIRATION: String(LIFETIME),
    GOM__SERVER__TRUSTED_PROXIES: "127.0.0.0/8,::1/128",
    GOM__PUSH__CA_FILE: pushService.caFile,
    GOM__PUSH__INSIDE: "127.0.0.0/8,::1/128",
    GOM__PUSH__ANY_PORT: "true",
    ...more,
  };
  if (env.GOM__EMBEDDED__PROGRAMS === "") delete env.GOM__EMBEDDED__PROGRAMS;
  const child = spawn(program, ["serve", "--port", "0"], { cwd: folder, env, stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const server = { stop: () => child.kill("SIGTERM") && ended };
  for await (const line of createInterface({ input: child.stdout })) {
    server.address ??= line.match(/http:\/\/\S+(?=\/graphql)/)?.[0];
    server.password ??= line.match(/Demo sellers: .*; password: (\S+)/)?.[1];
    if (/^ey[\w.-]+$/.test(line)) server.token = line;
    if (server.address && (more.DATABASE_URL || (server.password && server.token))) {
      child.stdout.resume();
      return server;
    }
  }
  throw new Error("the server ended before it was ready");
}

/** Asks on behalf of the service. */
async function ask(server, query, variables) {
  const headers = { "Content-Type": "application/json", Authorization: `Bearer ${server.token}` };
  const body = JSON.stringify({ query, variables });
  const answer = await (await fetch(`${server.address}/graphql`, { method: "POST", headers, body })).json();
  assert.equal(answer.errors, undefined, JSON.stringify(answer));
  return answer.data;
}

/** What the page's functions give. */
const client = (page) =>
  new Proxy({}, { get: (_, name) => (...given) => page.evaluate(([f, a]) => window.client[f](...a), [name, given]) });

/** The data of an answer without errors. */
function data(answer) {
  assert.equal(answer.status, 200, JSON.stringify(answer));
  assert.equal(answer.body.errors, undefined, JSON.stringify(answer.body));
  return answer.body.data;
}

async function seller(context, page, server) {
  const { cookie, call, open, logIn, graphql, payload } = client(page);
  const kept = async (name) => (await context.cookies()).find((found) => found.name === name);
  const credentials = { grantType: "password", username: SELLER.username, password: server.password };

  await open();
  assert.equal(await cookie("csrf-token"), null);
  const wrong = await logIn({ ...credentials, password: "wrong password" });
  assert.deepEqual([wrong.status, wrong.body.error], [403, "invalid_grant"]);
  const before = await kept("session-id");
  // The login page opens again: it throws the token away, and the session's name stays.
  await open();
  assert.equal(await cookie("csrf-token"), null);
  const right = await logIn(credentials);
  assert.deepEqual([right.status, right.body.sub], [200, SELLER.subject], JSON.stringify(right));
  assert.notEqual((await kept("session-id")).value, before.value, "a login gets a new session");
  for (const [name, httpOnly] of [["session-id", true], ["session-token", false], ["csrf-token", false]]) {
    const found = await kept(name);
    assert.deepEqual([found.secure, found.httpOnly, found.sameSite, found.path], [true, httpOnly, "Lax", "/"], name);
  }
  assert.equal(await cookie("session-id"), null, "scripts do not see it");
  assert.equal((await payload()).sub, SELLER.subject);
  assert.ok((await payload()).permissions.includes("role:seller"));

  const list = `query List($where: OrderWhereInput) {
    ordersConnection(where: $where, orderBy: createdAt_DESC, first: 15, skip: 0) { edges { node { uid name issuedTo { uid } } } }
  }`;
  const edges = data(await graphql(list, { where: { assignedTo: { extUid: SELLER.subject } } })).ordersConnection.edges;
  assert.ok(edges.length > 0);
  const make = `mutation New($data: OrderCreateInput!) { createOrder(data: $data) { uid items { uid pricing { amount } } } }`;
  const made = data(
    await graphql(make, {
      data: {
        name: "Pedido ñ 🌮",
        assignedTo: { connect: { extUid: SELLER.subject } },
        issuedTo: { connect: { uid: edges[0].node.issuedTo.uid } },
        items: { create: [{ quantity: 2, description: "Flan", pricing: { create: [{ amount: 15.5, currency: "MXN" }] } }] },
      },
    }),
  ).createOrder;
  assert.equal(made.items[0].pricing[0].amount, 15.5);
  const where = { uid: made.uid };
  const details = `query Details($where: OrderWhereUniqueInput!) { order(where: $where) { name items { uid } } }`;
  assert.equal(data(await graphql(details, { where })).order.name, "Pedido ñ 🌮");
  const change = `mutation Change($data: OrderUpdateInput!, $where: OrderWhereUniqueInput!) {
    updateOrder(data: $data, where: $where) { name items { uid } }
  }`;
  const changed = await graphql(change, { where, data: { name: "Otro", items: { delete: [{ uid: made.items[0].uid }] } } });
  assert.deepEqual(data(changed).updateOrder, { name: "Otro", items: [] });

  // The token is deleted while logged in: the next request gets one for the current session.
  await open();
  data(await graphql("{ orders(first: 1) { uid } }"));

  // The token ends, and is renewed for several requests at once.
  const first = await cookie("session-token");
  await sleep((LIFETIME + 0.5) * 1_000);
  const answers = await Promise.all([1, 2, 3, 4].map(() => graphql("{ orders(first: 1) { uid } }")));
  answers.forEach(data);
  assert.notEqual(await cookie("session-token"), first, "the cookie was renewed");
  assert.equal((await payload()).sub, SELLER.subject);

  // A second login page, in another tab.
  assert.equal((await logIn(credentials)).status, 204);
  data(await graphql("{ orders(first: 1) { uid } }"));

  // Its name for the session alone does not log anybody in.
  await page.evaluate(() => (document.cookie = "session-token=; Path=/; Secure; Max-Age=0"));
  const half = await graphql("{ orders(first: 1) { uid } }");
  assert.deepEqual([half.status, half.body.error], [403, "jwt_error"]);
  assert.equal((await logIn(credentials)).status, 200);

  assert.equal((await call("GET", "/auth/logout")).status, 204);
  assert.deepEqual((await context.cookies()).filter(({ name }) => name !== "device"), []);
  const after = await graphql("{ orders(first: 1) { uid } }");
  assert.deepEqual([after.status, after.body.error], [403, "jwt_error"]);
}

async function customer(context, page, server) {
  const { call, open, logIn, graphql, payload } = client(page);
  const rename = `mutation($business: String!, $seller: String!) {
    updateUser(data: { business: $business }, where: { extUid: $seller }) { uid }
  }`;
  for (const business of BUSINESSES) {
    await ask(server, rename, { business, seller: SELLER.subject });
    await open();
    const shown = await call("GET", `/auth/bp?code=${CUSTOMER.code}`);
    assert.deepEqual(shown.body, { phoneLast: CUSTOMER.phone.slice(-3), customerOf: business });
    const right = await logIn({ grantType: "phone", username: CUSTOMER.code, phone: CUSTOMER.phone });
    assert.deepEqual([right.status, right.body.business], [200, business], JSON.stringify(right));
    const claims = await payload();
    assert.deepEqual([claims.business, claims.eid, claims.seller], [business, CUSTOMER.code, SELLER.subject]);
    const mine = data(await graphql("{ orders { issuedTo { uid } } }")).orders;
    assert.ok(mine.every((order) => order.issuedTo.uid === claims.sub));
    assert.equal((await call("GET", "/auth/logout")).status, 204);
    assert.deepEqual((await context.cookies()).filter(({ name }) => name !== "device"), []);
  }
}

/** A page of another site sends what it can without a CORS preflight. */
async function otherSite(context, page, proxy, server) {
  const { open, logIn, graphql } = client(page);
  await open();
  const credentials = { grantType: "password", username: SELLER.username, password: server.password };
  assert.equal((await logIn(credentials)).status, 200);
  const evil = await context.newPage();
  await evil.goto(proxy.address.replace("localhost", "127.0.0.1").replace(/$/, "/"));
  await evil.evaluate(async (address) => {
    await fetch(`${address}/api/auth/logout`, { mode: "no-cors", credentials: "include" });
    await fetch(`${address}/api/auth/logout`, { mode: "no-cors", credentials: "include", method: "POST" });
    // A link that is followed does carry cookies.
    location.href = `${address}/api/auth/logout`;
  }, proxy.address);
  await evil.waitForURL(/auth\/logout/);
  const said = JSON.parse(await evil.evaluate(() => document.body.innerText));
  assert.equal(said.error, "EBADCSRFTOKEN");
  await evil.close();
  data(await graphql("{ orders(first: 1) { uid } }"));
}

/** Two browsers: the customer's order shows a notification in the seller's. */
async function pushed(context, page, proxy, server, pushService) {
  const others = await context.browser().newContext();
  const otherPage = await others.newPage();
  await otherPage.goto(`${proxy.address}/`);
  const [own, other] = [client(page), client(otherPage)];
  const { username, subject } = SELLER;
  assert.equal((await own.logIn({ grantType: "password", username, password: server.password })).status, 200);
  assert.equal((await other.logIn({ grantType: "phone", username: CUSTOMER.code, phone: CUSTOMER.phone })).status, 200);
  const parties = { seller: own, customer: other, sellerId: subject };
  await push({ context, page, origin: proxy.address, service: pushService, data, ...parties });
  await others.close();
}

const [program, pushProgram, folder, executablePath = "/usr/bin/chromium"] = process.argv.slice(2);
// For work on one part: PARTS=graphiql,off runs only these; PICTURES=FOLDER keeps the screenshots.
const parts = process.env.PARTS?.split(",");
const chosen = (part) => !parts || parts.includes(part.name);
const pictures = process.env.PICTURES ?? folder;
const pushService = await startPushService(pushProgram);
let server, proxy, browser;
// They serve the page at origins of their own, and no server.
const [listed, other] = await Promise.all([1, 2].map(() => startProxy("http://127.0.0.1:1")));
try {
  server = await startServer(program, folder, pushService, { GOM__SERVER__ORIGINS: listed.address });
  proxy = await startProxy(server.address);
  browser = await chromium.launch({ executablePath, args: FLAGS });
  for (const part of [seller, customer, otherSite, pushed].filter(chosen)) {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(`${proxy.address}/`);
    await (part.length > 3 ? part(context, page, proxy, server, pushService) : part(context, page, server));
    await context.close();
    console.log(`browser: ${part.name} ok`);
  }
  if (chosen(otherOrigins)) {
    const credentials = { grantType: "password", username: SELLER.username, password: server.password };
    await otherOrigins(browser, { listed: listed.address, other: other.address, api: `${proxy.address}/api`, credentials });
    console.log("browser: otherOrigins ok");
  }
  const pages = [
    [graphiql],
    [welcome],
    [withoutIntrospection, { GOM__GRAPHQL__INTROSPECTION: "false" }],
    [off, { GOM__GRAPHQL__CONSOLE: "false" }],
    [briefWelcome, { GOM__SERVER__WELCOME: "false" }],
    [notReady, { DATABASE_URL: "postgres://nobody@127.0.0.1:1/none", PRISMA_SECRET: "a secret of the test, long enough for all", APP_KEY: "k".repeat(32) }],
  ];
  for (const [part, settings] of pages.filter(([part]) => chosen(part))) {
    if (settings) {
      await server.stop();
      server = await startServer(program, folder, pushService, settings);
    }
    await part(browser, { server, proxy, ask, folder: pictures });
    console.log(`browser: ${part.name} ok`);
  }
} finally {
  await browser?.close();
  [proxy, listed, other].forEach((started) => started?.close());
  await server?.stop();
  await pushService.close();
}
