// The page of test/offline.browser.test.js: what the test calls is in `window.page`.
import { createClient } from "@gom/client";
import { openOffline } from "@gom/offline";
import { CREATE, EVENTS, QUERY } from "./operations.js";

const page = {
  outcomes: [],
  ended: undefined,
  /** Every row that was shown since the page was loaded. */
  shown: [],
  async logIn(username, password) {
    return createClient({ url: "/graphql" }).session.logIn({ grantType: "password", username, password });
  },
  logOutElsewhere: () => createClient({ url: "/graphql" }).session.logOut(),
  async open(options = {}) {
    const report = ({ kind, write, error }) => page.outcomes.push([kind, write.variables.name, error?.code]);
    page.offline = await openOffline({ url: "/graphql", onOutcome: report, onEnd: ({ code }) => (page.ended = code), ...options });
    page.set = page.offline.set({ query: QUERY, subscription: EVENTS, key: "uid" });
    const note = () => page.shown.push(...page.set.rows().map(({ name }) => name));
    page.set.subscribe(note);
    return page.state();
  },
  async tryToOpen() {
    return page.open().then(() => "opened", ({ code }) => code);
  },
  state: () => ({
    status: page.set.status,
    rows: page.set.rows().map(({ uid, name, stage }) => ({ uid, name, stage })),
    leads: page.offline.leads,
    persisted: page.set.persisted,
    storage: page.offline.storage,
    error: page.set.error?.code,
  }),
  write: async (name) => (await page.offline.write(CREATE, { name })).id,
  answer: async (name) => (await page.offline.write(CREATE, { name })).answer.then(({ data }) => data.createOrder.uid, ({ code }) => code),
  writes: async () => (await page.offline.writes()).map(({ variables }) => variables.name),
  logOut: () => page.offline.logOut(),
  sent: () => page.offline.sent(),
  /** Everything that is stored, as text. */
  async stored() {
    let all = "";
    for (const { name } of await indexedDB.databases()) {
      const database = await new Promise((done) => (indexedDB.open(name).onsuccess = ({ target }) => done(target.result)));
      for (const store of database.objectStoreNames) {
        all += JSON.stringify(await new Promise((done) => (database.transaction(store).objectStore(store).getAll().onsuccess = ({ target }) => done(target.result))));
      }
      database.close();
    }
    return all;
  },
};
window.page = page;
