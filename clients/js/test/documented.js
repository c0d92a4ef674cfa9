// Programs of the documentation, run as they stand there.
import { execFile } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { promisify } from "node:util";

/** Runs the first block under `heading` of docs/clients/`page` with `server`, and returns the lines that it printed, sorted. */
export async function runDocumented(page, heading, server) {
  const text = readFileSync(new URL(`../../../docs/clients/${page}`, import.meta.url), "utf8");
  const [, program] = text.split(`## ${heading}\n`)[1].match(/```js\n(.*?)```/s);
  const path = new URL(`documented.${page}.mjs`, import.meta.url).pathname;
  writeFileSync(path, program);
  try {
    const env = { ...process.env, GOM_URL: `${server.address}/graphql`, GOM_TOKEN: server.token };
    const { stdout } = await promisify(execFile)(process.execPath, [path], { env, timeout: 20_000 });
    return stdout.trim().split("\n").sort();
  } finally {
    rmSync(path, { force: true });
  }
}
