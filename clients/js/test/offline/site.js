// A site of one page, which passes `/graphql` and `/auth` on to a server.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { connect } from "node:net";
import { buildSync } from "esbuild";

const bundle = (name) => buildSync({ entryPoints: [new URL(name, import.meta.url).pathname], bundle: true, format: "esm", write: false }).outputFiles[0].text;

/** The first program of docs/clients/offline.md. */
function documented() {
  const page = readFileSync(new URL("../../../../docs/clients/offline.md", import.meta.url), "utf8");
  const [, program] = page.match(/## Show stored rows, and queue writes\n\n```js\n(.*?)```/s);
  return buildSync({ stdin: { contents: program, resolveDir: import.meta.dirname }, bundle: true, format: "esm", write: false }).outputFiles[0].text;
}

/** `port` is the server's. `reads` counts how often the query was read whole, `sockets` the websockets that are open. */
export async function startSite(port, { query }) {
  const files = {
    "/": ["text/html", '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script type="module" src="/page.js"></script>'],
    "/page.js": ["text/javascript", bundle("page.js")],
    "/documented": ["text/html", '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><body><script type="module" src="/documented.js"></script></body>'],
    "/documented.js": ["text/javascript", documented()],
    "/worker.js": ["text/javascript", bundle("worker.js")],
  };
  const site = { reads: 0, sockets: 0, most: 0 };
  const server = createServer((incoming, outgoing) => {
    const file = files[incoming.url];
    if (file) return outgoing.writeHead(200, { "content-type": file[0], "cache-control": "no-store" }).end(file[1]);
    const { method, url: path, headers } = incoming;
    const passed = request({ host: "127.0.0.1", port, method, path, headers, agent: false }, (answer) => {
      outgoing.writeHead(answer.statusCode, answer.rawHeaders);
      answer.on("error", () => outgoing.destroy()).pipe(outgoing);
    });
    // As without a network: the browser has no answer.
    passed.on("error", () => outgoing.destroy());
    let body = "";
    incoming.on("data", (part) => (body += part)).on("end", () => body.includes(JSON.stringify(query)) && (site.reads += 1));
    incoming.pipe(passed);
  });
  server.on("upgrade", ({ url: path, rawHeaders }, socket, head) => {
    const target = connect(port, "127.0.0.1");
    target.write(`GET ${path} HTTP/1.1\r\n${rawHeaders.map((part, index) => (index % 2 ? `${part}\r\n` : `${part}: `)).join("")}\r\n`);
    target.write(head);
    site.sockets += 1;
    site.most = Math.max(site.most, site.sockets);
    socket.on("close", () => (site.sockets -= 1));
    for (const [one, other] of [[socket, target], [target, socket]]) one.on("error", () => other.destroy()).on("close", () => other.destroy()).pipe(other);
  });
  server.listen(0, "localhost");
  await once(server, "listening");
  return Object.assign(site, {
    address: `http://localhost:${server.address().port}`,
    close() {
      server.close();
      server.closeAllConnections();
    },
  });
}
