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
    if (/^\/api([/?]|$)/.test(incoming.url)) {
      forward(backend, incoming, outgoing);
      return;
    }
    // History mode: any path that is no file is the page.
    const [file, type] = FILES[incoming.url] ?? FILES["/"];
    outgoing.writeHead(200, { "Content-Type": type, "Cache-Control": "no-store" });
    outgoing.end(await readFile(new URL(file, import.meta.url)));
  });
  server.on("upgrade", (incoming, socket, head) => upgrade(backend, incoming, socket, head));
  await new Promise((ready) => server.listen(0, "localhost", ready));
  return { address: `http://localhost:${server.address().port}`, close: () => server.close() };
}

/** The request to the server for the request received here. */
function handedOn(backend, incoming) {
  const target = new URL(backend);
  const headers = {
    ...incoming.headers,
    host: target.host,
    "x-forwarded-for": incoming.socket.remoteAddress,
    "x-forwarded-host": incoming.headers.host,
    "x-forwarded-proto": "http",
  };
  const path = incoming.url.slice("/api".length).replace(/^\/?/, "/");
  return { host: target.hostname, port: target.port, method: incoming.method, path, headers };
}

function forward(backend, incoming, outgoing) {
  const asked = request(handedOn(backend, incoming), (answer) => {
    outgoing.writeHead(answer.statusCode, answer.rawHeaders);
    answer.pipe(outgoing);
  });
  asked.on("error", () => outgoing.writeHead(502).end());
  incoming.pipe(asked);
}

/** Websockets: once the server has agreed, what comes at one side goes out at the other. */
function upgrade(backend, incoming, socket, head) {
  const asked = request(handedOn(backend, incoming));
  const begin = ({ statusCode, statusMessage, rawHeaders }) => {
    const lines = rawHeaders.map((part, i) => (i % 2 === 0 ? `${part}: ` : `${part}\r\n`)).join("");
    socket.write(`HTTP/1.1 ${statusCode} ${statusMessage}\r\n${lines}\r\n`);
  };
  asked.on("upgrade", (answer, other, rest) => {
    begin(answer);
    socket.write(rest);
    other.write(head);
    socket.pipe(other).pipe(socket);
    for (const [one, its] of [[socket, other], [other, socket]]) one.on("error", () => its.destroy());
  });
  asked.on("response", (answer) => {
    begin(answer);
    answer.pipe(socket);
  });
  asked.on("error", () => socket.destroy());
  asked.end();
}
