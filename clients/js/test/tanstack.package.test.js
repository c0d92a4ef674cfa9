// The packed packages for TanStack DB and TanStack Query: their types and their size.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { buildSync } from "esbuild";

const root = new URL("..", import.meta.url).pathname;

test("collections and queries have the types of their documents, and wrong uses do not compile", () => {
  const tsc = `${root}node_modules/typescript/bin/tsc`;
  const { status, stdout } = spawnSync(process.execPath, [tsc, "--project", `${root}test/types/tanstack`], { encoding: "utf8" });
  assert.equal(status, 0, stdout);
});

test("each package adds at most 2.25 KiB to the client and the library, of which it imports types only", () => {
  for (const name of ["tanstack-db", "tanstack-query"]) {
    const stdin = { contents: `export * from "@gom/${name}"`, resolveDir: import.meta.dirname };
    const { outputFiles } = buildSync({ stdin, bundle: true, minify: true, format: "esm", target: "es2022", write: false, external: ["@gom/client"], logLevel: "error" });
    const { length } = gzipSync(outputFiles[0].contents, { level: 9 });
    assert.ok(length <= 2_304, `${name}: ${length} bytes`);
  }
});
