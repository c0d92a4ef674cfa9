// The server on its embedded defaults, in a folder of its own, with cookies as in production.

import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Starts `program`; gives its address, the service token and the demo password that it prints, and a way to end it. */
export async function startServer(program) {
  const folder = await mkdtemp(join(tmpdir(), "gom-browser-"));
  const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(GOM_|DATABASE_URL|REDIS_|APP_KEY|PRISMA_)/.test(name) || name.startsWith("GOM__EMBEDDED__PROGRAMS")));
  const secure = { GOM__SESSION__OPTIONS__SECURE: "true", GOM__ACCESS_TOKEN__OPTIONS__SECURE: "true", GOM__CSRF__OPTIONS__SECURE: "true" };
  const child = spawn(program, ["serve", "--port", "0"], {
    env: { ...environment, ...secure, GOM__EMBEDDED__DATA_DIR: join(folder, "data"), GOM__LOG__LEVEL: "warn" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let printed = "";
  const close = async () => {
    const ended = new Promise((done) => child.once("exit", done));
    child.kill("SIGTERM");
    await ended;
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await new Promise((ready, failed) => {
      const patience = setTimeout(() => failed(new Error(`the server does not start: ${printed}`)), 60_000);
      child.once("exit", (code) => failed(new Error(`the server ended with ${code}: ${printed}`)));
      child.stdout.on("data", (chunk) => {
        printed += chunk;
        // The token is the last that it prints.
        if (/^eyJ\S+$/m.test(printed)) {
          clearTimeout(patience);
          ready();
        }
      });
    });
  } catch (error) {
    await close();
    throw error;
  }
  const [, address] = printed.match(/serves (http:\S+)\/graphql/);
  const [token] = printed.match(/^eyJ\S+$/m);
  return { address, token, printed, close };
}
