// Components against a server with PostgreSQL, through cut connections, a killed server, a trimmed log and another viewer.
import assert from "node:assert/strict";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { createClient } from "@gom/client";
import { sse } from "@gom/client/sse";
import { transformSync } from "esbuild";
import WebSocket from "ws";
import { createElement, gom, mount, unmountAll } from "./react.page.js";
import { CREATE, DELETE, OPEN_EVENTS, OPEN_ORDERS, UPDATE, browser, byId, counting, startOrders, survive } from "./orders.js";
import { until } from "./place.js";

const { useLive, useSet } = gom;
const SET = { query: OPEN_ORDERS, subscription: OPEN_EVENTS, key: "uid" };
const LIVE = OPEN_ORDERS.replace("{", "query @live {");

let place;
before(async () => (place = await startOrders()));
after(async () => {
  unmountAll();
  await place?.stop();
});

/** A component whose newest rows `shown` has. */
function List({ shown }) {
  const { rows, status, error } = useSet(SET);
  Object.assign(shown, { rows, status, error });
  return rows.map(({ uid, name }) => createElement("p", { key: uid }, name));
}
function Live({ shown }) {
  const { data, error } = useLive(LIVE);
  Object.assign(shown, { rows: data?.orders ?? [], error });
  return null;
}

test("mounted lists equal the query after cut connections, a killed server and a trimmed log, and nothing stays open", async () => {
  await survive(place, async (address) => {
    const shared = { url: `${address}/graphql`, token: () => place.server.token, retryFor: 60_000 };
    const open = new Set();
    class Counted extends WebSocket {
      constructor(...all) {
        super(...all);
        open.add(this);
        this.on("close", () => open.delete(this));
      }
    }
    const reads = [{ count: 0 }, { count: 0 }];
    const tabs = [{ WebSocket: Counted }, { transport: sse() }].map((how, at) => createClient({ ...shared, fetch: counting(reads[at]), ...how }));
    const writer = createClient(shared);
    const shown = tabs.map(() => [{}, {}, {}]);
    const pages = tabs.map((client, at) => mount(client, [List, List, Live].map((each, key) => createElement(each, { key, shown: shown[at][key] }))));
    await until(() => shown.flat().every(({ rows }) => rows?.length > 0));
    return {
      reads,
      writer: {
        create: async (name) => (await writer.mutate(CREATE, { name })).data.createOrder.uid,
        update: (uid, data) => writer.mutate(UPDATE, { uid, data }),
        remove: (uid) => writer.mutate(DELETE, { uid }),
      },
      async check(seed) {
        for (const [at, page] of pages.entries()) {
          for (const each of shown[at]) {
            await place.equals(() => each.rows, `page ${at} (SEED=${seed}, ${each.error})`);
          }
          // What the components have returned is also what the page shows.
          const names = shown[at][0].rows.map(({ name }) => name).join("");
          await until(() => page.text() === names + names, () => page.text());
        }
      },
      async close() {
        pages.forEach((page) => page.unmount());
        await until(() => open.size === 0, () => `${open.size} sockets stay open`);
      },
    };
  });
});

test("a log-out in another tab empties the page, and after a log-in the list is there again", async () => {
  const { server } = place;
  const own = browser(WebSocket, server.address);
  const logIn = { grantType: "password", username: "paletas@demo.gom", password: server.password };
  const [tab, other] = [1, 2].map(() => createClient({ url: `${server.address}/graphql`, ...own }));
  await tab.session.logIn(logIn);
  const shown = {};
  const page = mount(other, createElement(List, { key: 1, shown }));
  await until(() => shown.rows?.length > 0, () => shown.error);
  await place.equals(() => shown.rows, "the other tab");
  await tab.session.logOut();
  await until(() => shown.error, () => shown.status);
  assert.deepEqual([shown.error.code, shown.rows, page.text()], ["UNAUTHENTICATED", [], ""]);
  await other.session.logIn(logIn);
  page.show(createElement(List, { key: 2, shown }));
  await until(() => shown.rows.length > 0, () => shown.error);
  await place.equals(() => shown.rows, "the other tab after the log-in");
  page.unmount();
});

test("the component of docs/clients/react.md shows the open orders, and one less after a click", async () => {
  const page = readFileSync(new URL("../../../docs/clients/react.md", import.meta.url), "utf8");
  const [, program] = page.match(/, `orders\.tsx`:\n\n```tsx\n(.*?)```/s);
  const path = new URL("documented.react.mjs", import.meta.url).pathname;
  writeFileSync(path, transformSync(program, { loader: "tsx", jsx: "automatic", format: "esm" }).code);
  try {
    const { Orders } = await import(path);
    const client = createClient({ url: `${place.server.address}/graphql`, token: () => place.server.token, WebSocket });
    const { data } = await place.direct.query("{ orders(where: { stage: OPEN }) { uid name } }");
    const mounted = mount(client, createElement(Orders));
    const items = () => [...mounted.element.querySelectorAll("li")];
    await until(() => items().length === data.orders.length, mounted.text);
    const [first] = byId(data.orders).toSorted((left, right) => left.name.localeCompare(right.name));
    assert.match(items()[0].textContent, new RegExp(`^${first.name} `));
    items()[0].querySelector("button").click();
    await until(() => items().length === data.orders.length - 1, mounted.text);
    mounted.unmount();
  } finally {
    rmSync(path, { force: true });
  }
});
