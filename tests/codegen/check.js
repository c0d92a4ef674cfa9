// Types for a client, made as docs/clients/types.md describes: from the schema and from a running server; programs that
// use them, and some that must not compile.
//
//   node check.js PROGRAM FOLDER [DOCUMENTS]
//
// PROGRAM is the built server; it gets a private database in FOLDER, which must be empty. DOCUMENTS is a file of a client's
// operations, `{ name: { query } }`, which are compiled as well.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { compileDocumented, installClient } from "./documented.js";

const run = promisify(execFile);
const here = import.meta.dirname;
const tool = (name, args, env, cwd = here) =>
  run(join(here, "node_modules/.bin", name), args, { cwd, env: { ...process.env, ...env }, maxBuffer: 1 << 26 }).catch((error) => {
    throw new Error(`${name} ${args.join(" ")}: ${error.stdout}${error.stderr}`);
  });
const generate = (environment, target, config = "codegen.yml") =>
  tool("graphql-codegen", ["--config", config, "--silent"], { TARGET: target, ...environment });
const compile = (...args) => tool("tsc", args);

/** Starts a server with the demo shop. */
async function startServer(program, folder) {
  const child = spawn(program, ["serve", "--port", "0"], { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const server = { stop: () => child.kill("SIGTERM") && ended };
  for await (const line of createInterface({ input: child.stdout })) {
    server.url ??= line.match(/http:\/\/\S+\/graphql/)?.[0];
    if (/^ey[\w.-]+$/.test(line)) server.token = line;
    if (server.url && server.token) {
      child.stdout.resume();
      return server;
    }
  }
  throw new Error("the server ended before it was ready");
}

/** The lines that the compiler complains about are those that are marked, each by itself. */
async function onlyWrongLinesFail() {
  const marked = (await readFile(join(here, "wrong.ts"), "utf8"))
    .split("\n")
    .flatMap((line, i) => (line.includes("// wrong: ") ? [i + 1] : []));
  const failure = await compile("-p", "wrong.json").then(
    () => assert.fail("wrong.ts compiles"),
    (error) => error.message,
  );
  const found = [...failure.matchAll(/wrong\.ts\((\d+),/g)].map((match) => Number(match[1]));
  assert.deepEqual([...new Set(found)], marked, failure);
  assert.ok(!/program\.ts|made\//.test(failure), failure);
}

async function main(program, folder, documents) {
  const schema = join(here, "made/schema.graphql");
  await mkdir(join(here, "made"), { recursive: true });
  const chat = join(here, "made/chat.graphql");
  const schemaOf = async (...args) => (await run(program, ["schema", ...args], { cwd: folder, maxBuffer: 1 << 26 })).stdout;
  await writeFile(schema, await schemaOf());
  await writeFile(chat, await schemaOf("--datamodel", join(here, "chat.prisma")));
  const own = "operations/*.graphql";

  await installClient(tool);
  await generate({ SCHEMA: schema, DOCUMENTS: own }, "made/api.ts");
  await compile("-p", "tsconfig.json");
  await onlyWrongLinesFail();
  console.log("codegen: types from `gom schema`; the program compiles, and the wrong one does not");

  const runDocumented = await compileDocumented(tool, schema, chat);
  console.log("codegen: the programs of docs/clients/types.md compile, and wrong ones do not");

  if (documents !== undefined) {
    const file = join(here, "made/client.graphql");
    const operations = Object.values(JSON.parse(await readFile(documents, "utf8"))).map(({ query }) => query);
    await writeFile(file, operations.join("\n"));
    await generate({ SCHEMA: schema, DOCUMENTS: file }, "made/client.ts");
    await compile("-p", "client.json");
    console.log(`codegen: the client's own ${operations.length} operations are typed`);
  }

  const server = await startServer(program, folder);
  try {
    await generate({ SCHEMA: server.url, TOKEN: server.token, DOCUMENTS: own }, "made/by-url.ts", "codegen-url.yml");
    const [byFile, byUrl] = await Promise.all(["api", "by-url"].map((name) => readFile(join(here, `made/${name}.ts`), "utf8")));
    assert.equal(byUrl, byFile, "introspection and `gom schema` give the same types");
    await compile("-p", "tsconfig.json", "--noEmit", "false", "--outDir", "made/program");
    const today = () => new Date().toISOString().slice(0, 10);
    const before = today();
    const { stdout } = await run(process.execPath, [join(here, "made/program/program.js"), server.url, server.token]);
    const answer = JSON.parse(stdout);
    // Midnight may have passed in between.
    const day = answer.lines[0]?.startsWith(before) ? before : today();
    assert.deepEqual(answer, { amount: 15.5, count: 1, name: "Typed", lines: [`${day} Typed OPEN María Hernández`] });
    await runDocumented(run, server);
    console.log("codegen: the same types by introspection; the programs run against the server");
  } finally {
    await server.stop();
  }
}

const [program, folder, documents] = process.argv.slice(2);
await main(resolve(program), resolve(folder), documents && resolve(documents));
