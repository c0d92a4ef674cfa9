// The page at the root in Chromium: in each state, at several sizes, behind the proxy with a slash and without.

import assert from "node:assert/strict";
import { join } from "node:path";
import { watch } from "./console.js";

const SIZES = {
  wide: { viewport: { width: 1280, height: 720 } },
  dark: { viewport: { width: 1280, height: 720 }, colorScheme: "dark" },
  narrow: { viewport: { width: 360, height: 640 } },
};

/** Opens an address at every size, and gives what the page shows. */
async function open(browser, url, folder, name) {
  let shown;
  for (const [size, options] of Object.entries(SIZES)) {
    const context = await browser.newContext(options);
    const page = await context.newPage();
    const allIsWell = await watch(page, url);
    const answer = await page.goto(url);
    assert.equal(answer.status(), 200);
    const [text, links, beyond] = await page.evaluate(() => [
      document.body.innerText,
      [...document.links].map(({ href }) => href),
      document.documentElement.scrollWidth - innerWidth,
    ]);
    assert.ok(beyond <= 0, `${size}: the page is ${beyond} pixels too wide`);
    const styled = await page.evaluate(() => getComputedStyle(document.querySelector("main")).maxWidth !== "none");
    assert.ok(styled, "the policy lets the style through");
    await page.screenshot({ path: join(folder, `welcome-${name}-${size}.png`) });
    allIsWell();
    shown = { text, links };
    await context.close();
  }
  return shown;
}

/** A server that is ready: the links lead where they say, wherever the page is. */
export async function welcome(browser, { server, proxy, folder }) {
  for (const url of [`${server.address}/`, `${proxy.address}/api/`, `${proxy.address}/api`]) {
    const { text, links } = await open(browser, url, folder, "ready");
    assert.match(text, /Ready/);
    assert.ok(links.length >= 2, text);
    const root = url.replace(/\/$/, "");
    for (const link of links) {
      assert.ok(link.startsWith(`${root}/`), `${link} at ${url}`);
      const answer = await fetch(link, { headers: { Accept: "text/html" } });
      assert.equal(answer.status, 200, link);
    }
  }
}

/** As in production: the name and the state. */
export async function briefWelcome(browser, { server, folder }) {
  const { text, links } = await open(browser, `${server.address}/`, folder, "brief");
  assert.match(text, /^Gom\s+Ready\s*$/);
  assert.deepEqual(links, []);
}

/** Without its database. */
export async function notReady(browser, { server, folder }) {
  const { text } = await open(browser, `${server.address}/`, folder, "not-ready");
  assert.match(text, /Not ready/);
  assert.match(text, /The database has not been reached yet/);
}
