// The packed hooks: their types, their size, and the program of their page.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { buildSync } from "esbuild";

const root = new URL("..", import.meta.url).pathname;

test("the hooks and the program of docs/clients/react.md have the types of their documents", () => {
  const page = readFileSync(new URL("../../../docs/clients/react.md", import.meta.url), "utf8");
  const folder = `${root}test/types/react/documented`;
  mkdirSync(folder, { recursive: true });
  try {
    const programs = [...page.matchAll(/, `(\w+\.tsx)`:\n\n```tsx\n(.*?)```/gs)];
    assert.deepEqual(programs.map(([, name]) => name), ["orders.tsx", "main.tsx"]);
    for (const [, name, program] of programs) writeFileSync(`${folder}/${name}`, program);
    const tsc = `${root}node_modules/typescript/bin/tsc`;
    const { status, stdout } = spawnSync(process.execPath, [tsc, "--project", `${root}test/types/react`], { encoding: "utf8" });
    assert.equal(status, 0, stdout);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("the hooks add less than 2.5 KiB to the client and React", () => {
  const stdin = { contents: 'export * from "@gom/react"', resolveDir: import.meta.dirname };
  const { outputFiles } = buildSync({ stdin, bundle: true, minify: true, format: "esm", target: "es2022", write: false, external: ["react", "@gom/client"], logLevel: "error" });
  const { length } = gzipSync(outputFiles[0].contents, { level: 9 });
  assert.ok(length < 2_560, `${length} bytes`);
});
