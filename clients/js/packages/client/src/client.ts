import { createAuth } from "./auth.js";
import type { Auth, AuthOptions } from "./auth.js";
import { backoff, during, wait } from "./backoff.js";
import { GomError, mayRetry, positionOf, unauthenticated } from "./errors.js";
import { createHttp } from "./http.js";
import type { Http } from "./http.js";
import { openLive } from "./live.js";
import type { LiveResult, Patcher } from "./live.js";
import { newKey, textOf } from "./operation.js";
import { createSession } from "./session.js";
import type { Session } from "./session.js";
import { createSet } from "./set.js";
import type { Row, RowSet, SetRules } from "./set.js";
import { openStream } from "./stream.js";
import type { Stream } from "./stream.js";
import type { GraphQLErrorLike, Left, Operation, Status, Transport, WireRequest, WireResult } from "./types.js";
import { createWebSocketTransport } from "./websocket.js";
import type { WebSocketConstructor } from "./websocket.js";

/** How events are transferred: `sse()` of `@gom/client/sse`. */
export type TransportFactory = (endpoint: URL, auth: Auth, http: Http) => Transport;

export interface ClientOptions extends AuthOptions {
  /** The address of `/graphql`; a path belongs to the page's origin. */
  readonly url: string;
  /** Where events come from: by default a websocket; `sse()` of `@gom/client/sse`: event streams. */
  readonly transport?: TransportFactory;
  /** A class, such as that of npm's `ws`, where there is none (Node.js 20). */
  readonly WebSocket?: WebSocketConstructor;
  readonly fetch?: typeof fetch;
  /** The text of a document that was made without it: `print` of `graphql`, which accepts documents of its own type only. */
  readonly print?: (document: never) => string;
  /** How long queries and mutations are sent again, in milliseconds; 30,000 by default. */
  readonly retryFor?: number;
  readonly random?: () => number;
}

export interface QueryOptions {
  /** A position that the result has to include: of a mutation or an event. */
  readonly after?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface MutateOptions {
  /** By default a new key for each call. `false`: no key, and no repetition of a request whose outcome is unknown. */
  readonly idempotencyKey?: string | false | undefined;
  /** Ask for the position of the write, for `after`: one more transaction on the server. `false` by default. */
  readonly cursor?: boolean | undefined;
  /** Send it after this, as the viewer of the call; if this rejects, send nothing. */
  readonly turn?: Promise<unknown> | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Answer<Data> {
  readonly data: Data;
  /** The position of the result, for `after` and `subscribe`. That of a mutation only if it was asked for. */
  readonly cursor: string | undefined;
}

export interface EventResult<Data> {
  readonly data: Data;
  readonly cursor: string | undefined;
  readonly left: readonly Left[];
  readonly errors?: readonly GraphQLErrorLike[] | undefined;
}

export interface StreamHandlers<Value> {
  onResult(value: Value): void;
  readonly onStatus?: ((status: Status) => void) | undefined;
  /** Called once: with an error if it cannot go on. */
  readonly onEnd?: ((error?: Error) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface SubscribeHandlers<Value> extends StreamHandlers<Value> {
  /** Go on after this position. */
  readonly cursor?: string | undefined;
  /** Report rows that leave. */
  readonly leaves?: boolean | undefined;
  /** Reads again what is shown and gives its position, where changes are no longer kept. Without it the subscription ends with `RESYNC_REQUIRED`. */
  readonly resync?: ((signal: AbortSignal) => Promise<string>) | undefined;
}

export interface SetOptions<R extends Row, Variables> extends SetRules<R> {
  /** Its first field is the list. */
  readonly query: Operation<unknown, Variables>;
  /** Its `node` filter equals the query's. */
  readonly subscription: Operation<unknown, Variables>;
  readonly variables?: Variables;
  readonly signal?: AbortSignal | undefined;
}

export interface Client {
  query<Data, Variables>(document: Operation<Data, Variables>, variables?: Variables, options?: QueryOptions): Promise<Answer<Data>>;
  mutate<Data, Variables>(document: Operation<Data, Variables>, variables?: Variables, options?: MutateOptions): Promise<Answer<Data>>;
  subscribe<Data, Variables>(document: Operation<Data, Variables>, variables: Variables | undefined, handlers: SubscribeHandlers<EventResult<Data>>): Stream;
  live<Data, Variables>(
    document: Operation<Data, Variables>,
    variables: Variables | undefined,
    handlers: StreamHandlers<LiveResult<Data>> & { readonly patch?: Patcher | undefined },
  ): Stream;
  set<R extends Row, Variables = unknown>(options: SetOptions<R, Variables>): RowSet<R>;
  readonly session: Session;
  /** Ends every set, subscription and live query. */
  close(): void;
}

export function createClient(options: ClientOptions): Client {
  const endpoint = new URL(options.url, globalThis.location?.href);
  const auth = createAuth(endpoint, options);
  const http = createHttp(endpoint, auth, options.fetch ?? ((input, init) => fetch(input, init)));
  const Socket = options.WebSocket ?? (globalThis.WebSocket as WebSocketConstructor | undefined);
  const transport = options.transport?.(endpoint, auth, http) ?? createWebSocketTransport(endpoint, auth, Socket);
  const { print, random, retryFor = 30_000 } = options;
  const running = new Set<Stream>();
  let era = new AbortController();
  const end = (error?: Error): void => {
    if (error) {
      // What waits to be sent again must not go out as the next viewer.
      era.abort(error);
      era = new AbortController();
    }
    for (const stream of [...running]) stream.close(error);
  };

  // A copy: each repetition is equal, also if the caller changes the variables meanwhile.
  const requestOf = (document: Operation<unknown, never>, variables: unknown): WireRequest =>
    JSON.parse(JSON.stringify({ query: textOf(document, print), variables })) as WireRequest;

  /** Sends a request until it is answered, for `retryFor`. */
  const send = (request: WireRequest, signal: AbortSignal | undefined, repeatable: boolean, turn?: Promise<unknown>): Promise<WireResult> =>
    during([signal, era.signal], async (own) => {
      let who = auth.bearer ? undefined : auth.viewer();
      await turn;
      const until = Date.now() + retryFor;
      const as = (viewer: string): void => {
        if ((who ??= viewer) !== viewer) throw unauthenticated();
      };
      for (let attempt = 0; ; attempt += 1) {
        try {
          return await http.request(request, own.signal, as);
        } catch (error) {
          if (!mayRetry(error, repeatable)) throw error;
          const delay = Math.max(backoff(attempt, transport.hint, random), error.details.retryAfter ?? 0);
          if (Date.now() + delay > until) throw error;
          await wait(delay, own.signal);
        }
      }
    });
  const answer = <Data>({ data, extensions }: WireResult): Answer<Data> => ({ data: data as Data, cursor: extensions?.cursor ?? undefined });
  const positioned = (request: WireRequest, signal?: AbortSignal): Promise<WireResult> => http.request({ ...request, extensions: { cursor: true } }, signal);
  const common = { transport, auth, random, running };

  return {
    async query(document, variables, { after, signal } = {}) {
      return answer(await send({ ...requestOf(document, variables), extensions: { cursor: true, after } }, signal, true));
    },
    async mutate(document, variables, { idempotencyKey = newKey(), cursor, turn, signal } = {}) {
      const extensions = { cursor: cursor || undefined, idempotencyKey: idempotencyKey || undefined };
      try {
        return answer(await send({ ...requestOf(document, variables), extensions }, signal, idempotencyKey !== false, turn));
      } catch (error) {
        if (!(error instanceof GomError) || idempotencyKey === false) throw error;
        throw new GomError(error.code, error.message, { ...error.details, idempotencyKey });
      }
    },
    subscribe<Data, Variables>(document: Operation<Data, Variables>, variables: Variables | undefined, handlers: SubscribeHandlers<EventResult<Data>>) {
      const request = requestOf(document, variables);
      const { resync, leaves, onResult, onStatus, onEnd, cursor, signal } = handlers;
      return openStream({
        ...common,
        cursor,
        signal,
        onStatus,
        resync: resync !== undefined,
        // From now on: a connection that is lost before the first event loses none either.
        snapshot: resync ?? (async (stop) => positionOf(await positioned({ query: "{ __typename }" }, stop))),
        request: (from) => ({ ...request, extensions: { cursor: from, leaves: leaves || undefined } }),
        onResult({ data, errors, extensions }) {
          onResult({ data: data as Data, cursor: extensions?.cursor ?? undefined, left: extensions?.left ?? [], errors });
        },
        onEnd,
      });
    },
    live(document, variables, { patch, onResult, onStatus, onEnd, signal }) {
      const request = requestOf(document, variables);
      return openLive({ ...common, signal, onStatus, onEnd }, request, onResult, patch);
    },
    set({ query, subscription, variables, signal, ...rules }) {
      const read = requestOf(query, variables);
      const watch = requestOf(subscription, variables);
      const source = {
        ...common,
        era: era.signal,
        signal,
        request: (from: string | undefined) => ({ ...watch, extensions: { cursor: from, leaves: true } }),
      };
      return createSet((stop) => positioned(read, stop), source, rules);
    },
    session: createSession(endpoint, http, end),
    close: () => end(),
  };
}
