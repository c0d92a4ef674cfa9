// What @gom/push adds to a page and a worker, and its types.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { buildSync } from "esbuild";

const root = new URL("..", import.meta.url).pathname;

/** Bytes of `code`: bundled, minified, gzip. */
function size(code) {
  const stdin = { contents: code, resolveDir: import.meta.dirname };
  const { outputFiles } = buildSync({ stdin, bundle: true, minify: true, format: "esm", target: "es2022", write: false });
  return gzipSync(outputFiles[0].contents, { level: 9 }).length;
}

test("notifications add at most 2.5 KiB to a page that has the client, and a worker has at most 3.5 KiB", () => {
  const added = size('export * from "@gom/client"; export * from "@gom/push"') - size('export * from "@gom/client"');
  assert.ok(added <= 2.5 * 1024, `${added} bytes`);
  const worker = size('import { installPush } from "@gom/push/worker"; installPush(self)');
  assert.ok(worker <= 3.5 * 1024, `${worker} bytes`);
});

test("the package has the ready worker, which imports nothing, and the client as its only dependency", () => {
  const folder = new URL("node_modules/@gom/push/", import.meta.url).pathname;
  assert.doesNotMatch(readFileSync(`${folder}dist/gom-push-sw.js`, "utf8"), /^\s*(import|export)\b/m);
  assert.ok(!readdirSync(`${folder}dist`).includes("gom-push-sw.d.ts"));
  const { dependencies, peerDependencies, sideEffects } = JSON.parse(readFileSync(`${folder}package.json`, "utf8"));
  assert.deepEqual([dependencies, peerDependencies, sideEffects], [undefined, { "@gom/client": "0.1.0" }, false]);
});

test("pages compile with the client's options, workers with their own types, and wrong uses do not compile", () => {
  const tsc = `${root}node_modules/typescript/bin/tsc`;
  for (const project of ["tsconfig.json", "worker.json"]) {
    const { status, stdout } = spawnSync(process.execPath, [tsc, "--project", `${root}test/push.types/${project}`], { encoding: "utf8" });
    assert.equal(status, 0, stdout);
  }
});
