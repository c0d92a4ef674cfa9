// The packed files are what other tools expect, and small.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { buildSync } from "esbuild";

const root = new URL("..", import.meta.url).pathname;
const packs = readdirSync(`${root}packs`).map((name) => `${root}packs/${name}`);

/** Bytes that `code` adds to an application: bundled, minified, gzip. */
function size(code, external = []) {
  const stdin = { contents: code, resolveDir: import.meta.dirname };
  const { outputFiles } = buildSync({ stdin, bundle: true, minify: true, format: "esm", target: "es2022", write: false, external });
  return gzipSync(outputFiles[0].contents, { level: 9 }).length;
}

test("publint and arethetypeswrong find nothing in the packed files", () => {
  assert.ok(packs.length > 0);
  for (const pack of packs) {
    execFileSync(`${root}node_modules/.bin/publint`, ["run", pack, "--strict"], { encoding: "utf8" });
    execFileSync(`${root}node_modules/.bin/attw`, [pack, "--profile", "esm-only"], { encoding: "utf8" });
  }
});

test("the core has at most 5 KiB, minified and compressed, and no dependencies", () => {
  const whole = size('export * from "@gom/client"');
  assert.ok(whole <= 5 * 1024, `${whole} bytes`);
  assert.ok(size('export { GomError } from "@gom/client"') < 500, "what is not used is left out");
  for (const entry of ["patch", "iterate", "positions"]) assert.ok(size(`export * from "@gom/client/${entry}"`) < 1024, entry);
  assert.ok(size('export * from "@gom/client/sse"') < 1_536, "sse");
  const { dependencies, sideEffects } = JSON.parse(readFileSync(`${root}packages/client/package.json`, "utf8"));
  assert.deepEqual([dependencies, sideEffects], [undefined, false]);
});

test("@gom/offline adds at most 11 KiB to the core, its only peer", () => {
  const whole = size('export * from "@gom/offline"', ["@gom/client"]);
  assert.ok(whole <= 11 * 1024, `${whole} bytes`);
  const { dependencies, peerDependencies, sideEffects } = JSON.parse(readFileSync(`${root}packages/offline/package.json`, "utf8"));
  assert.deepEqual([dependencies, Object.keys(peerDependencies), sideEffects], [undefined, ["@gom/client"], false]);
});

test("typed documents give their types to results and variables, and wrong uses do not compile", () => {
  const tsc = `${root}node_modules/typescript/bin/tsc`;
  for (const project of ["types", "types/adapters"]) {
    const { status, stdout } = spawnSync(process.execPath, [tsc, "--project", `${root}test/${project}`], { encoding: "utf8" });
    assert.equal(status, 0, stdout);
  }
});
