// What the tests with a scripted server share: what it answers, and whom it knows.
export const url = "http://server.test/graphql";
export const json = (body, status = 200, headers = {}) => new Response(JSON.stringify(body), { status, headers: { "content-type": "application/json", ...headers } });
export const refused = (code) => json({ data: null, errors: [{ message: code, extensions: { code } }] });
export const answered = (data, cursor = "c1") => json({ data, extensions: { cursor } });

const part = (value) => btoa(JSON.stringify(value)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
/** A token of `sub`; `exp` makes it another text of the same viewer. */
export const jwt = (sub, exp = 1, more = {}) => `${part({ alg: "none" })}.${part({ sub, exp, iat: exp, ...more })}.s`;

export const flush = () => new Promise((done) => setImmediate(done));
/** Lets everything happen that waits for nothing. */
export async function turns(count = 10) {
  for (let turn = 0; turn < count; turn += 1) await flush();
}

/** Runs `task` as a page of the server, in a browser whose cookies `logIn` sets. */
export async function asPage(task) {
  globalThis.location = { origin: new URL(url).origin, href: url };
  globalThis.document = { cookie: "" };
  try {
    await task({ logIn: (sub, exp, more) => (document.cookie = `csrf-token=c; session-token=${encodeURIComponent(jwt(sub, exp, more).split(".").slice(0, 2).join("."))}`) });
  } finally {
    delete globalThis.location;
    delete globalThis.document;
  }
}

/** A `fetch` that answers with each of `answers` in turn, and keeps what was sent. */
export function script(...answers) {
  const sent = [];
  const fetch = async (address, init = {}) => {
    sent.push({ path: new URL(address).pathname, headers: new Headers(init.headers), body: init.body && JSON.parse(init.body) });
    const answer = answers.shift();
    if (!answer) throw new Error("nothing more is scripted");
    if (answer instanceof Error) throw answer;
    return answer;
  };
  return { sent, fetch };
}

/** A websocket class whose instances the test plays the server of. */
export function scriptedSocket() {
  const sockets = [];
  class Socket {
    sent = [];
    constructor() {
      sockets.push(this);
      queueMicrotask(() => this.onopen?.());
    }
    send(text) {
      this.sent.push(JSON.parse(text));
    }
    close() {
      this.closed = true;
    }
    receive(message) {
      this.onmessage?.({ data: JSON.stringify(message) });
    }
    /** The subscriptions that the client has started. */
    get started() {
      return this.sent.filter(({ type }) => type === "subscribe");
    }
  }
  return { Socket, sockets };
}

