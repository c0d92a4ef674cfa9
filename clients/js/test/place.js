// A server with a database of its own, and a proxy that cuts connections.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  return port;
}

/** Starts GOM (a built server) in a new folder. `kill` is SIGKILL; `restart` uses the same port and database, and more settings. */
export async function startServer(more = {}) {
  const program = process.env.GOM;
  if (!program) throw new Error("GOM has to name the built server");
  const folder = mkdtempSync(join(tmpdir(), "gom-clients-"));
  const port = await freePort();
  const server = { port, address: `http://127.0.0.1:${port}`, token: undefined, password: undefined };
  let child;
  const env = { PATH: process.env.PATH, HOME: folder, ...more };
  if (process.env.GOM__EMBEDDED__PROGRAMS) env.GOM__EMBEDDED__PROGRAMS = process.env.GOM__EMBEDDED__PROGRAMS;
  const run = async (changed = {}) => {
    child = spawn(program, ["serve", "--port", String(port), "--execute-raw"], { cwd: folder, env: { ...env, ...changed }, stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    child.stderr.on("data", (part) => (said = (said + part).slice(-4_000)));
    const own = child;
    for await (const line of createInterface({ input: own.stdout })) {
      server.password = line.match(/Demo sellers: .*; password: (\S+)/)?.[1] ?? server.password;
      if (!/^ey[\w.-]+$/.test(line)) continue;
      server.token = line;
      own.stdout.resume();
      return;
    }
    throw new Error(`the server ended before it was ready:\n${said}`);
  };
  const end = async (signal) => {
    const ended = once(child, "exit");
    child.kill(signal);
    await ended;
  };
  await run();
  return Object.assign(server, {
    kill: () => end("SIGKILL"),
    restart: run,
    async stop() {
      if (child.exitCode === null && child.signalCode === null) await end("SIGTERM");
      rmSync(folder, { recursive: true, force: true });
    },
  });
}

/** Passes connections on to `port`. `limit()` gives after how many bytes of the server a connection is cut; `up` is false while there is no network. */
export async function startProxy(port, limit = () => Infinity) {
  const open = new Set();
  const proxy = { up: true, limit, cuts: 0 };
  const server = createServer((client) => {
    if (!proxy.up) return client.destroy();
    const target = connect(port, "127.0.0.1");
    let left = proxy.limit();
    const cut = () => {
      open.delete(cut);
      client.destroy();
      target.destroy();
    };
    open.add(cut);
    target.on("data", (part) => {
      client.write(part.subarray(0, left));
      left -= part.length;
      if (left > 0) return;
      proxy.cuts += 1;
      client.once("drain", cut);
      setTimeout(cut, 5);
    });
    client.on("data", (part) => target.write(part));
    for (const socket of [client, target]) socket.on("error", cut).on("close", cut);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return Object.assign(proxy, {
    address: `http://127.0.0.1:${server.address().port}`,
    cut: () => [...open].forEach((each) => each()),
    stop() {
      proxy.up = false;
      proxy.cut();
      server.close();
    },
  });
}

/** Numbers from 0 to 1 that a seed decides (mulberry32). */
export function dice(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Waits until `condition` gives something; the error has what `show` gives. */
export async function until(condition, show = () => "", milliseconds = 30_000) {
  for (const end = Date.now() + milliseconds; ; ) {
    const found = await condition();
    if (found) return found;
    if (Date.now() > end) throw new Error(`it has not come: ${await show()}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}
