// GraphiQL in Chromium: with no network but the server, and a policy under which nothing may be missing.

import assert from "node:assert/strict";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const SELLER = { username: "paletas@demo.gom", subject: "auth0|demo-paletas" };
/** Milliseconds in which what is waited for must be there. */
const PATIENCE = 15_000;

/** Records requests to other origins, and what the browser refuses. */
export async function watch(page, origin) {
  const wrong = [];
  const own = (url) => /^(data|blob):/.test(url) || new URL(url).host === new URL(origin).host;
  page.on("request", (request) => own(request.url()) || wrong.push(`asked ${request.url()}`));
  page.on("websocket", (socket) => own(socket.url()) || wrong.push(`opened ${socket.url()}`));
  page.on("pageerror", (error) => wrong.push(`threw ${error.stack}`));
  page.on("console", (message) => {
    // A refused request is shown by the page, and by the browser as well.
    if (message.type() === "error" && !/Failed to load resource|WebSocket connection/.test(message.text())) wrong.push(message.text());
  });
  await page.exposeFunction("violated", (directive, uri) => wrong.push(`${directive} forbids ${uri}`));
  await page.addInitScript(() =>
    document.addEventListener("securitypolicyviolation", (event) => window.violated(event.violatedDirective, event.blockedURI)),
  );
  return () => assert.deepEqual(wrong, []);
}

/** What a person does with the page. */
function hands(page) {
  page.setDefaultTimeout(PATIENCE);
  const account = page.locator("button.account");
  const dialog = page.locator("dialog.account-dialog");
  const answer = () => page.evaluate(() => document.querySelector(".result-window .CodeMirror").CodeMirror.getValue());
  const until = async (holds, what) => {
    for (const end = Date.now() + PATIENCE; ; await sleep(50)) {
      const found = await answer();
      if (holds(found)) return found;
      if (Date.now() > end) throw new Error(`${what} is not shown, but ${found}`);
    }
  };
  return {
    account,
    dialog,
    answer,
    until,
    logIn: async (username, password) => {
      if (!(await dialog.isVisible())) await account.click();
      await dialog.getByLabel("Name").fill(username);
      await dialog.getByLabel("Password").fill(password);
      await dialog.getByRole("button", { name: "Log in" }).click();
    },
    write: async (text) => {
      await page.evaluate((t) => document.querySelector(".graphiql-query-editor .CodeMirror").CodeMirror.setValue(t), text);
      // GraphiQL parses the editor after a pause.
      await sleep(1500);
    },
    /** Runs the only operation, or the named one of several. */
    run: async (name) => {
      await page.locator("button.graphiql-execute-button").click();
      if (name) await page.getByRole("menuitem", { name }).click();
    },
    stop: () => page.locator("button.graphiql-execute-button").click(),
  };
}

const stageOf = `mutation($uid: ID!, $stage: OrderStage!) { updateOrder(where: { uid: $uid }, data: { stage: $stage }) { uid } }`;
const ORDER = "cdemoorder000000000000001";

/** A seller's visit. `url`: of the page. */
async function visit(browser, { url, server, ask, picture }) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  const page = await context.newPage();
  const allIsWell = await watch(page, url);
  const { account, dialog, until, logIn, write, run, stop } = hands(page);
  await page.goto(url);
  await page.getByText("Queries are answered to those who are known").waitFor();
  await picture(page, "nobody");

  await logIn(SELLER.username, "wrong");
  await dialog.getByText("This name with this password is not known").waitFor();
  await picture(page, "log-in");
  await logIn(SELLER.username, server.password);
  await account.getByText(`${SELLER.subject} · seller`).waitFor();
  assert.equal(await page.locator(".notice").count(), 0);

  await run("OpenOrders");
  const orders = JSON.parse(await until((text) => text.includes('"data"'), "an answer"));
  assert.equal(orders.errors, undefined);
  assert.ok(orders.data.orders.some(({ uid }) => uid === ORDER));
  await picture(page, "answer");

  await page.getByRole("button", { name: "Show Documentation Explorer" }).click();
  await page.locator(".graphiql-doc-explorer").getByText("query: Query").waitFor();
  await page.locator(".graphiql-doc-explorer a", { hasText: "Query" }).first().click();
  await page.locator(".graphiql-doc-explorer").getByText("ordersConnection").first().waitFor();
  await picture(page, "documentation");
  await page.getByRole("button", { name: "Hide Documentation Explorer" }).click();

  await run("OrderEvents");
  await page.locator(".live.open").waitFor();
  // Longer than a token lives here: the socket ends with it, and comes back.
  for (const [stage, pause] of [["IN_PROCESS", 1_500], ["OPEN", 4_000]]) {
    await sleep(pause);
    await ask(server, stageOf, { uid: ORDER, stage });
    const event = JSON.parse(await until((text) => text.includes(`"stage": "${stage}"`), `the event of ${stage}`));
    assert.deepEqual([event.data.order.mutation, event.data.order.node.uid], ["UPDATED", ORDER]);
  }
  await page.locator(".live", { hasText: "2 answers" }).waitFor();
  await picture(page, "live");
  await stop();
  await page.locator(".live").waitFor({ state: "detached" });

  await run("OrdersNow");
  await until((text) => text.includes('"ordersConnection"'), "the live query's first answer");
  await ask(server, stageOf, { uid: ORDER, stage: "IN_PROCESS" });
  await until((text) => text.includes("Paletas para la fiesta de Sofía"), "the live query's next answer");
  await stop();
  await ask(server, stageOf, { uid: ORDER, stage: "OPEN" });

  await write("{ orders(first: 1) { nope } }");
  await run();
  await until((text) => text.includes('Cannot query field') || text.includes("nope"), "what is wrong with the query");
  await picture(page, "error");

  await page.getByRole("button", { name: "Open settings dialog" }).click();
  await page.getByText("Adjust how the interface appears").waitFor();
  await page.getByRole("button", { name: "Dark" }).click();
  await picture(page, "settings");
  await page.getByRole("button", { name: "System" }).click();
  await page.keyboard.press("Escape");

  // Another tab is logged in as well, for the session is the browser's.
  await account.click();
  await dialog.getByRole("button", { name: "Log out" }).click();
  await page.getByText("Queries are answered to those who are known").waitFor();
  assert.ok(!(await context.cookies()).some(({ name }) => name === "session-token"));
  allIsWell();
  await context.close();
}

/** A visit with a token, which must not outlive its tab. */
async function byToken(browser, { url, server, picture }) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: "dark" });
  const page = await context.newPage();
  const allIsWell = await watch(page, url);
  const { account, dialog, until, write, run } = hands(page);
  await page.goto(url);
  await account.click();
  const use = async (text) => {
    await dialog.getByLabel("Bearer token").fill(text);
    await dialog.getByRole("button", { name: "Use the token" }).click();
  };
  await use("no.token");
  await dialog.getByText("This is no JSON Web Token").waitFor();
  // Signed with another key: the server reports it.
  await use(`${server.token.slice(0, -4)}AAAA`);
  await page.getByText("The server does not know you any more").waitFor();
  await account.click();
  await dialog.getByRole("button", { name: "Forget the token" }).click();
  await account.getByText("Log in").waitFor();
  await account.click();
  await use(`TOKEN=${server.token}`);
  await account.getByText("Service token").waitFor();
  await write("{ users { extUid business } }");
  await run();
  const found = JSON.parse(await until((text) => text.includes('"users"'), "an answer"));
  assert.equal(found.data.users.length, 2);
  await write("subscription { bp { mutation } }");
  await run();
  await page.locator(".live.open").waitFor();
  await picture(page, "token");

  const kept = await page.evaluate(() => JSON.stringify({ ...localStorage }) + document.cookie + location.href);
  assert.ok(!kept.includes(server.token.slice(-40)), "the token is kept");
  await page.reload();
  await account.getByText("Service token").waitFor();
  const other = await context.newPage();
  await other.goto(url);
  await other.locator("button.account", { hasText: "Log in" }).waitFor();
  allIsWell();
  await context.close();
}

/** Its appearance: on a telephone, and in dark mode. */
async function looks(browser, { url, server, picture }) {
  for (const [name, options] of Object.entries({
    narrow: { viewport: { width: 390, height: 780 } },
    "narrow-dark": { viewport: { width: 390, height: 780 }, colorScheme: "dark" },
    wide: { viewport: { width: 1600, height: 900 }, colorScheme: "dark" },
  })) {
    const context = await browser.newContext(options);
    const page = await context.newPage();
    const allIsWell = await watch(page, url);
    const { account, dialog, until, logIn, run } = hands(page);
    await page.goto(url);
    await picture(page, `${name}-nobody`);
    await account.click();
    await picture(page, `${name}-log-in`);
    await logIn(SELLER.username, server.password);
    await dialog.waitFor({ state: "hidden" });
    await run("Customers");
    await until((text) => text.includes('"bpsConnection"'), "an answer");
    await picture(page, `${name}-answer`);
    const beyond = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(beyond <= 0, `${name}: the page is ${beyond} pixels too wide`);
    await page.getByRole("button", { name: "Show Documentation Explorer" }).click();
    await page.locator(".graphiql-doc-explorer").getByText("query: Query").waitFor();
    await picture(page, `${name}-documentation`);
    allIsWell();
    await context.close();
  }
}

/** All of it, at the server's own addresses and behind the proxy. `ask` sends requests of the service role. */
export async function graphiql(browser, { server, proxy, ask, folder }) {
  const pictures = (place) => (page, name) => page.screenshot({ path: join(folder, `${place}-${name}.png`) });
  const places = { own: `${server.address}/graphql`, slash: `${server.address}/graphql/`, proxy: `${proxy.address}/api/graphql` };
  for (const [place, url] of Object.entries(places)) await visit(browser, { url, server, ask, picture: pictures(place) });
  for (const place of ["own", "proxy"]) await byToken(browser, { url: places[place], server, picture: pictures(place) });
  await looks(browser, { url: places.own, server, picture: pictures("looks") });
}

/** Where introspection is off: the documentation is missing, and the page shows why. */
export async function withoutIntrospection(browser, { server, folder }) {
  const url = `${server.address}/graphql`;
  const context = await browser.newContext();
  const page = await context.newPage();
  const allIsWell = await watch(page, url);
  const { account, dialog, until, logIn, write, run } = hands(page);
  await page.goto(url);
  await logIn(SELLER.username, server.password);
  await page.getByText("graphql.introspection is off").waitFor();
  await write("{ orders(first: 1) { uid } }");
  await run();
  await until((text) => text.includes('"uid"'), "an answer");
  await page.getByText("graphql.introspection is off").waitFor();
  await page.screenshot({ path: join(folder, "no-introspection.png") });
  await page.getByRole("button", { name: "Use a token" }).click();
  await dialog.getByRole("button", { name: "Log out" }).click();
  await account.click();
  await dialog.getByLabel("Bearer token").fill(server.token);
  await dialog.getByRole("button", { name: "Use the token" }).click();
  await page.getByRole("button", { name: "Show Documentation Explorer" }).click();
  await page.locator(".graphiql-doc-explorer").getByText("query: Query").waitFor();
  assert.equal(await page.locator(".notice").count(), 0);
  allIsWell();
  await context.close();
}

/** Where it is off: nothing of it is there. */
export async function off(browser, { server }) {
  const context = await browser.newContext();
  const page = await context.newPage();
  const answer = await page.goto(`${server.address}/graphql`);
  assert.equal(answer.status(), 403);
  assert.equal(JSON.parse(await page.evaluate(() => document.body.innerText)).error, "jwt_error");
  await context.close();
}
