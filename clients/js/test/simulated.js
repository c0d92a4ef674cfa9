// A server of rows in memory: every answer and event is late by a random time, answers get lost, sockets break, positions are forgotten.
import { json } from "./scripts.js";

const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
const refusal = (code) => ({ message: code, extensions: { code } });

/** `random` decides; nothing fails any more after `calm()`. A row is in the list that its field `list` names; the variable `of` names the list that is read. */
export function simulate(random) {
  const rows = new Map();
  /** What each transaction did: the row, and the lists that it was in before and after. */
  const log = [];
  const answers = new Map();
  const sockets = new Set();
  let faults = true;
  let forgotten = 0;
  const happens = (chance) => faults && random() < chance;
  const listOf = (id) => rows.get(id)?.list;

  /** Carries a write out, once for each key. */
  const write = ({ query, variables: { id, ...values } }, key) => {
    if (answers.has(key)) return answers.get(key);
    const before = listOf(id);
    const created = !rows.has(id);
    if (query.includes("remove")) rows.delete(id);
    else rows.set(id, { id, ...rows.get(id), ...values });
    log.push({ id, before, after: listOf(id), created });
    const answer = { data: { row: rows.get(id) ?? { id } } };
    answers.set(key, answer);
    return answer;
  };
  const list = (of = "a") => [...rows.values()].filter((row) => row.list === of).map((row) => ({ ...row }));

  /** The message of a transaction, with the row as it is when it is read. */
  const message = ({ id, before, after, created }, of, cursor) => {
    const result = (row, left = []) => ({ data: { row }, extensions: { cursor, left } });
    if (before === of && after !== of) return rows.has(id) ? result(null, [{ type: "Row", id }]) : result({ mutation: "DELETED", node: null, previousValues: { id } });
    if (after !== of || listOf(id) !== of) return undefined;
    return result({ mutation: created ? "CREATED" : "UPDATED", node: { ...rows.get(id) }, previousValues: null });
  };

  class Socket {
    running = new Map();
    constructor() {
      sockets.add(this);
      setTimeout(() => this.onopen?.(), 1);
    }
    send(text) {
      const { type, id, payload } = JSON.parse(text);
      if (type === "connection_init") setTimeout(() => this.receive({ type: "connection_ack" }), 1);
      else if (type === "complete") this.running.delete(id);
      else if (type === "subscribe") void this.follow(id, Number(payload.extensions.cursor), payload.variables?.of ?? "a");
    }
    receive(each) {
      this.onmessage?.({ data: JSON.stringify(each) });
    }
    async follow(id, from, of) {
      if (from < forgotten) return this.receive({ type: "error", id, payload: [refusal("RESYNC_REQUIRED")] });
      const own = {};
      this.running.set(id, own);
      for (let position = from; this.running.get(id) === own; ) {
        // Sometimes the answers of several writes come before their events.
        await pause(random() * (happens(0.05) ? 150 : 8));
        if (happens(0.01)) return this.break();
        if (this.running.get(id) !== own || position === log.length) continue;
        const payload = message(log[position], of, String((position += 1)));
        if (payload) this.receive({ type: "next", id, payload });
      }
    }
    break() {
      if (!sockets.has(this)) return;
      this.close();
      this.onclose?.({ code: 1006 });
    }
    close() {
      sockets.delete(this);
      this.running.clear();
    }
  }

  return {
    Socket,
    sockets,
    list,
    /** Positions before now are forgotten. */
    forget() {
      forgotten = log.length;
      for (const socket of [...sockets]) socket.break();
    },
    calm: () => (faults = false),
    write,
    async fetch(_, init) {
      const body = JSON.parse(init.body);
      await pause(random() * 8);
      init.signal?.throwIfAborted();
      if (happens(0.1)) throw new TypeError("the request is lost");
      const position = String(log.length);
      const answer = body.query.startsWith("mutation") ? write(body, body.extensions.idempotencyKey) : { data: { rows: list(body.variables?.of) }, extensions: { cursor: position } };
      const text = JSON.stringify(answer);
      await pause(random() * 12);
      init.signal?.throwIfAborted();
      if (happens(0.1)) throw new TypeError("the answer is lost");
      return json(JSON.parse(text));
    },
  };
}
