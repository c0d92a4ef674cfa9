// Pages of other origins, in Chromium: an allowed one logs in, queries and subscribes; another reads nothing.

import assert from "node:assert/strict";

/** In the page: what it reads of an answer, or the error that the browser gives it instead. */
async function ask({ address, path, token, body, accept = "application/json" }) {
  const headers = { Accept: accept };
  if (body) headers["Content-Type"] = "application/json";
  if (token) headers["X-Csrf-Token"] = token;
  const options = { method: body ? "POST" : "GET", headers, credentials: "include" };
  if (body) options.body = JSON.stringify(body);
  try {
    const answer = await fetch(`${address}${path}`, options);
    return {
      status: answer.status,
      token: answer.headers.get("X-Csrf-Token"),
      request: answer.headers.get("Request-Id"),
      body: await answer.json().catch(() => null),
    };
  } catch (error) {
    return { error: error.name };
  }
}

/** In the page: whether a stream of events opens. */
function listens({ address, query }) {
  return new Promise((done) => {
    const events = new EventSource(`${address}/graphql?query=${encodeURIComponent(query)}`, { withCredentials: true });
    events.onopen = () => done(events.close() ?? true);
    events.onerror = () => done(events.close() ?? false);
  });
}

/** `listed`, `other`: addresses of the page; `api`: where the server is, at a third origin. */
export async function otherOrigins(browser, { listed, other, api, credentials }) {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`${listed}/`);
  const query = { query: "{ orders(first: 1) { uid } }" };
  const subscription = "subscription { order { mutation } }";
  const from = (given) => page.evaluate(ask, { address: api, ...given });

  const ping = await from({ path: "/auth/ping" });
  assert.equal(ping.status, 200, JSON.stringify(ping));
  assert.ok(ping.token && ping.request, "the headers can be read");
  const without = await from({ path: "/auth/login", body: credentials });
  assert.deepEqual([without.status, without.body.error], [403, "EBADCSRFTOKEN"]);
  const loggedIn = await from({ path: "/auth/login", body: credentials, token: without.token });
  assert.equal(loggedIn.status, 200, JSON.stringify(loggedIn));
  const asked = await from({ path: "/graphql", body: query, token: loggedIn.token });
  assert.ok(asked.body.data.orders.length > 0, JSON.stringify(asked));
  assert.equal(await page.evaluate(listens, { address: api, query: subscription }), true);
  const again = await from({ path: "/auth/ping" });
  assert.equal((await from({ path: "/graphql", body: query, token: again.token })).status, 200, "after a reload");

  // With the same cookies, a page of an origin that is not in the settings.
  await page.goto(`${other}/`);
  for (const given of [{ path: "/auth/ping" }, { path: "/graphql", body: query, token: again.token }]) {
    assert.deepEqual(await from(given), { error: "TypeError" }, given.path);
  }
  assert.equal(await page.evaluate(listens, { address: api, query: subscription }), false);
  await context.close();
}
