// What stands in front of the server in use: serves the page, and hands `/api/…` on without `/api`.

import { createServer, request } from "node:http";
import { readFile } from "node:fs/promises";

const FILES = {
  "/": ["page.html", "text/html; charset=utf-8"],
  "/page.js": ["page.js", "text/javascript; charset=utf-8"],
  "/worker.js": ["worker.js", "text/javascript; charset=utf-8"],
};

/** Serves at a free port of localhost; gives its address and a way to end it. */
export async function startProxy(backend) {
  const server = createServer(async (incoming, outgoing) => {
    if (incoming.url.startsWith("/api/")) {
      forward(backend, incoming, outgoing);
      return;
    }
    // History mode: any path that is no file is the page.
    const [file, type] = FILES[incoming.url] ?? FILES["/"];
    outgoing.writeHead(200, { "Content-Type": type, "Cache-Control": "no-store" });
    outgoing.end(await readFile(new URL(file, import.meta.url)));
  });
  await new Promise((ready) => server.listen(0, "localhost", ready));
  return { address: `http://localhost:${server.address().port}`, close: () => server.close() };
}

function forward(backend, incoming, outgoing) {
  const target = new URL(backend);
  const headers = {
    ...incoming.headers,
    host: target.host,
    "x-forwarded-for": incoming.socket.remoteAddress,
    "x-forwarded-host": incoming.headers.host,
    "x-forwarded-proto": "http",
  };
  const path = incoming.url.slice("/api".length);
  const options = { host: target.hostname, port: target.port, method: incoming.method, path, headers };
  const asked = request(options, (answer) => {
    outgoing.writeHead(answer.statusCode, answer.rawHeaders);
    answer.pipe(outgoing);
  });
  asked.on("error", () => outgoing.writeHead(502).end());
  incoming.pipe(asked);
}
