// The configurations and programs of docs/clients/types.md: each is set up in a folder of its own as the page describes, generated, compiled, and run.

import assert from "node:assert/strict";
import { copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { build } from "esbuild";

const here = import.meta.dirname;

/** Lines that must not compile after a documented program, of the client preset and gql.tada. */
const WRONG = [
  "export const unknown = first?.nmae;",
  "export const nullable: string | undefined = first?.createdAt;",
  "await client.query(Orders, { where: { stage: 'OPENED' } });",
  "await client.query(Orders, { where: { nmae: 'x' } });",
  "await client.mutate(Rename, { uid: 'x' });",
];

/** The sections that are set up, and how their projects differ from `tsconfig.json`. */
const PROGRAMS = [
  { title: "Use the client preset", folder: "preset", wrong: WRONG },
  { title: "Use gql.tada", folder: "tada", wrong: WRONG },
  {
    title: "Use genql",
    folder: "genql",
    options: { module: "esnext", moduleResolution: "bundler" },
    wrong: [
      "export const unknown = first?.nmae;",
      "export const nullable: string | undefined = first?.createdAt;",
      "await query({ orders: { __args: { where: { stage: 'OPENED' } }, uid: true } });",
      "await mutate({ updateOrder: { __args: { where: { uid: 'x' } }, name: true } });",
    ],
  },
];

/** A section's configuration with another program, for another datamodel. */
const CHAT = {
  title: "Use the client preset",
  folder: "chat",
  program: "chat.ts",
  wrong: [
    "export const json: string | undefined = first?.extra;",
    "export const day: Date | undefined = first?.createdAt;",
    "await client.query(Messages, { room: 7 });",
    "await client.mutate(Post, { message: { ...message, labels: { set: [7] } } });",
  ],
};

/** The blocks of code of a section, each with the file that the line before it names. */
async function blocksOf(title) {
  const page = await readFile(join(here, "../../docs/clients/types.md"), "utf8");
  const section = page.split(/^## /m).find((each) => each.startsWith(`${title}\n`));
  const blocks = [...section.matchAll(/^([^\n]+)\n\n```(\w+)\n(.*?)```/gms)];
  assert.ok(blocks.length >= 2, title);
  return blocks.map(([, line, language, text]) => ({ language, text, file: [...line.matchAll(/`([\w./-]+\.(?:ts|json))`/g)].at(-1)?.[1] }));
}

/** Installs `@gom/client` for the programs, from its source. */
export async function installClient(tool) {
  const [source, target] = [join(here, "../../clients/js/packages/client"), join(here, "node_modules/@gom/client")];
  await rm(target, { recursive: true, force: true });
  await mkdir(target, { recursive: true });
  await copyFile(join(source, "package.json"), join(target, "package.json"));
  await tool("tsc", ["--project", source, "--outDir", join(target, "dist")], {});
}

/** Sets up a section's project in an empty folder, and generates what its commands generate. */
async function setUp(tool, { title, folder, options = {}, program }, schema) {
  const place = join(here, "made", folder);
  await rm(place, { recursive: true, force: true });
  await mkdir(join(place, "src"), { recursive: true });
  await copyFile(schema, join(place, "schema.graphql"));
  await writeFile(join(place, "environment.d.ts"), "declare const process: { env: Record<string, string | undefined> };\n");
  const commands = [];
  let compilerOptions = options;
  for (const { language, text, file } of await blocksOf(title)) {
    if (language === "json") compilerOptions = { ...options, ...JSON.parse(text) };
    else if (language === "sh") commands.push(...text.split("\n").filter((line) => line.startsWith("npx ")));
    else await writeFile(join(place, file), text);
  }
  if (program) await copyFile(join(here, program), join(place, "src/orders.ts"));
  const project = { extends: "../../tsconfig.json", compilerOptions, files: [], include: ["src", "environment.d.ts"] };
  await writeFile(join(place, "tsconfig.json"), JSON.stringify(project));
  assert.equal(commands.length, 1, title);
  const [name, ...args] = commands[0].split(" ").slice(1);
  await tool(name, args, {}, place);
  return place;
}

/** The program compiles; of the lines that are added to a copy of it, the compiler reports each by itself. */
async function onlyWrongLinesFail(tool, place, wrong) {
  const program = await readFile(join(place, "src/orders.ts"), "utf8");
  const first = program.split("\n").length;
  await writeFile(join(place, "src/wrong.ts"), program + wrong.join("\n"));
  const failure = await tool("tsc", ["--project", place], {}).then(
    () => assert.fail(`${place}: src/wrong.ts compiles`),
    (error) => error.message,
  );
  const found = [...failure.matchAll(/([\w./-]+)\((\d+),\d+\): error/g)].map(([, name, line]) => `${name.split("/").at(-1)} ${line}`);
  assert.deepEqual([...new Set(found)], wrong.map((_, index) => `wrong.ts ${first + index}`), failure);
}

/** Sets up and compiles the documented programs for the shop's schema, and one for the chat's; gives what runs the documented ones against a server. */
export async function compileDocumented(tool, shop, chat) {
  const compiled = async (section, schema) => {
    const place = await setUp(tool, section, schema);
    await onlyWrongLinesFail(tool, place, section.wrong);
    return { section, place };
  };
  const [, ...programs] = await Promise.all([compiled(CHAT, chat), ...PROGRAMS.map((section) => compiled(section, shop))]);
  return async (run, server) => {
    for (const { section, place } of programs) {
      const outfile = join(place, "program.mjs");
      await build({ entryPoints: [join(place, "src/orders.ts")], bundle: true, platform: "node", format: "esm", outfile, logLevel: "error" });
      const env = { ...process.env, GOM_URL: server.url, GOM_TOKEN: server.token };
      const { stdout } = await run(process.execPath, [outfile], { cwd: dirname(outfile), env });
      assert.equal(stdout, "Typed OPEN true\n", section.title);
    }
  };
}
