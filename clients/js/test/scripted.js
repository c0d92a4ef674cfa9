// A list of rows at a scripted server, for the packages that adapt the client.
import { createClient } from "@gom/client";
import { answered, scriptedSocket, url } from "./scripts.js";

export const LIST = { query: "query($stage: String, $of: String) { rows { id } }", subscription: "subscription { row { mutation node { id } previousValues { id } } }" };

/** An event of one row, of which `more` has further fields. */
export const event = (mutation, id, cursor, more) => ({
  type: "next",
  payload: { data: { row: { mutation, node: mutation === "DELETED" ? null : { id, ...more }, previousValues: mutation === "DELETED" ? { id } : null } }, extensions: { cursor, left: [] } },
});

/** A client whose queries `read` answers, and whose sockets acknowledge. */
export function scripted(read = async () => answered({ rows: [{ id: "a" }] }), more = {}) {
  const { Socket, sockets } = scriptedSocket();
  class Acknowledging extends Socket {
    send(text) {
      super.send(text);
      if (JSON.parse(text).type === "connection_init") queueMicrotask(() => this.receive({ type: "connection_ack" }));
    }
  }
  const requests = [];
  const fetch = async (address, init) => {
    const body = JSON.parse(init.body);
    requests.push({ path: new URL(address).pathname, ...body });
    const aborted = new Promise((_, reject) => init.signal?.addEventListener("abort", () => reject(init.signal.reason)));
    return Promise.race([read(body, requests.length), aborted]);
  };
  const client = createClient({ url, WebSocket: Acknowledging, fetch, token: () => "t", random: () => 0, retryFor: 0, ...more });
  const started = () => sockets.flatMap((socket) => socket.started);
  return {
    client,
    Socket: Acknowledging,
    requests,
    sockets,
    started,
    /** Sends `message` to the newest operation, or to that of `id`. */
    receive: (message, id = started().at(-1).id) => sockets.at(-1).receive({ id, ...message }),
    ended: () => sockets.flatMap((socket) => socket.sent.filter(({ type }) => type === "complete").map(({ id }) => id)),
  };
}
