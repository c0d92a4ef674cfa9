import type { Auth } from "./auth.js";
import { GomError, completed, errorOf, unauthenticated } from "./errors.js";
import type { GraphQLErrorLike, ReconnectHint, Sink, Transport, WireRequest, WireResult } from "./types.js";

/** What this package needs of a websocket: the browsers' own, or npm's `ws`. */
export interface WebSocketLike {
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(data: string): void;
  close(code?: number): void;
}

export type WebSocketConstructor = new (url: string, protocol: string) => WebSocketLike;

interface Message {
  readonly type: string;
  readonly id?: string;
  readonly payload?: WireResult | readonly GraphQLErrorLike[] | { readonly reconnect?: ReconnectHint };
}

/** A socket from which nothing has come for this long is pinged; one that stays silent as long again is dropped. Milliseconds. */
const SILENCE = 20_000;
/** Close codes that another attempt would receive again: the request or this package is at fault. */
const FAULTS = /^(100[2379]|44(0[0169]|29))$/;

/** All operations over one websocket (`graphql-transport-ws`), which is open while there are some. */
export function createWebSocketTransport(endpoint: URL, auth: Auth, Socket: WebSocketConstructor | undefined): Transport {
  const url = endpoint.href.replace(/^http/, "ws");
  const operations = new Map<string, { request: WireRequest; sink: Sink }>();
  let socket: WebSocketLike | undefined;
  let opening = false;
  let ready = false;
  let viewer = "";
  /** A token that was had for a refused one, for a source that gives the refused one once more. */
  let renewal: readonly [refused: string, token: string] | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const send = (message: object): void => socket?.send(JSON.stringify(message));
  const subscribe = (id: string, request: WireRequest, sink: Sink): void => {
    // The socket's viewer is not the one whose rows a stream shows: everything is read again, over another socket.
    if (sink.open(viewer)) send({ type: "subscribe", id, payload: request });
    else all((each) => each.lost(true));
  };

  /** Forgets the socket, whose later events count no more. */
  const drop = (): void => {
    clearTimeout(timer);
    const old = socket;
    socket = undefined;
    ready = false;
    if (!old) return;
    old.onopen = old.onmessage = old.onclose = null;
    // npm's `ws` throws errors that nobody receives.
    old.onerror = () => undefined;
    old.close(1000);
  };
  const all = (report: (sink: Sink) => void): void => {
    drop();
    const ended = [...operations.values()];
    operations.clear();
    for (const { sink } of ended) report(sink);
  };
  const watch = (pinged: boolean): void => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (pinged || !ready) return all((sink) => sink.lost());
      send({ type: "ping" });
      watch(true);
    }, SILENCE);
  };

  const receive = (text: string): void => {
    const { type, id = "", payload } = JSON.parse(text) as Message;
    watch(false);
    if (type === "connection_ack") {
      transport.hint = (payload as { reconnect?: ReconnectHint } | undefined)?.reconnect ?? transport.hint;
      ready = true;
      // A copy: what is started meanwhile is sent by `start`.
      for (const [each, { request, sink }] of [...operations]) subscribe(each, request, sink);
    } else if (type === "ping") {
      send({ type: "pong" });
    }
    const operation = operations.get(id);
    if (!operation) return;
    if (type === "next") return operation.sink.next(payload as WireResult);
    if (type !== "error" && type !== "complete") return;
    operations.delete(id);
    idle();
    operation.sink.fail(type === "complete" ? completed() : (errorOf({ errors: payload as GraphQLErrorLike[] }) as Error));
  };

  const closed = async (code: number, token: string | undefined): Promise<void> => {
    if (code === 4403) {
      const ended: Sink[] = [];
      all((sink) => ended.push(sink));
      // A source that fails, such as without a network, has not refused: it is called again.
      const renewed = token && (await auth.token(undefined, token).catch(() => ""));
      const refused = renewed === undefined || renewed === token;
      if (token && renewed) renewal = [token, renewed];
      // What another token may read is read again.
      for (const sink of ended) refused ? sink.fail(unauthenticated()) : sink.lost(true);
    } else if (FAULTS.test(String(code))) {
      all((sink) => sink.fail(new GomError(`CLOSED_${code}`, `Closed with ${code}`)));
    } else {
      all((sink) => sink.lost());
    }
  };

  const open = async (): Promise<void> => {
    opening = true;
    let token: string | undefined;
    try {
      token = await auth.token();
    } finally {
      opening = false;
    }
    if (renewal?.[0] === token) token = renewal?.[1];
    renewal = undefined;
    if (operations.size === 0 || !Socket) return;
    viewer = auth.viewer(token);
    const own = (socket = new Socket(url, "graphql-transport-ws"));
    own.onopen = () => send({ type: "connection_init", payload: token && { Authorization: `Bearer ${token}` } });
    own.onmessage = (event: { data: string }) => socket === own && receive(event.data);
    own.onclose = (event: { code: number }) => socket === own && void closed(event.code, token);
    own.onerror = () => undefined;
    watch(false);
  };

  let ids = 0;
  const idle = (): void => {
    if (operations.size === 0) drop();
  };
  const transport: Transport = {
    start(request, sink) {
      // Queries and mutations need none.
      if (!Socket) throw new TypeError("Pass a WebSocket");
      const id = String((ids += 1));
      operations.set(id, { request, sink });
      if (ready) subscribe(id, request, sink);
      else if (!socket && !opening) open().catch(() => all((each) => each.lost()));
      return () => {
        if (!operations.delete(id)) return;
        if (ready) send({ type: "complete", id });
        idle();
      };
    },
  };
  return transport;
}
