// The program of docs/clients/javascript.md does what its page says.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { startServer } from "./place.js";

test("the program of the documentation runs as it stands", async () => {
  const page = readFileSync(new URL("../../../docs/clients/javascript.md", import.meta.url), "utf8");
  const [, program] = page.match(/## Keep a list\n\n```js\n(.*?)```/s);
  const path = new URL("documented.mjs", import.meta.url).pathname;
  const server = await startServer();
  try {
    writeFileSync(path, program);
    const env = { ...process.env, GOM_URL: `${server.address}/graphql`, GOM_TOKEN: server.token };
    const said = execFileSync(process.execPath, [path], { env, encoding: "utf8", timeout: 20_000 });
    assert.deepEqual(said.trim().split("\n").sort(), ["one order less is open", "the query includes the write"]);
  } finally {
    rmSync(path, { force: true });
    await server.stop();
  }
});
