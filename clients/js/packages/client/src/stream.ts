import { UNKNOWN } from "./auth.js";
import type { Auth } from "./auth.js";
import { backoff, wait } from "./backoff.js";
import { GomError, mayRetry, unauthenticated } from "./errors.js";
import type { Sink, Status, Transport, WireRequest, WireResult } from "./types.js";

export interface StreamOptions {
  readonly transport: Transport;
  readonly auth: Auth;
  /** The request of one attempt, which goes on after `cursor`. */
  request(cursor: string | undefined): WireRequest;
  readonly cursor?: string | undefined;
  /** Reads what is shown and gives its position: before the first attempt if there is no cursor. */
  readonly snapshot?: ((signal: AbortSignal) => Promise<string>) | undefined;
  /** Whether a position that the server no longer has is cured by a snapshot. */
  readonly resync: boolean;
  /** `false`: the result cannot be used, and a snapshot is read after a delay. */
  onResult(result: WireResult): unknown;
  onStatus?: ((status: Status) => void) | undefined;
  /** It is called once: with an error if the stream cannot go on, without if it was closed. */
  onEnd?: ((error?: Error) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly random?: (() => number) | undefined;
  /** Has each stream that runs. */
  readonly running: Set<Stream>;
}

/** A subscription or live query that outlives its connections. */
export interface Stream {
  /** The position of the last event that the handler has taken. */
  readonly cursor: string | undefined;
  readonly status: Status;
  /** Ends the stream; with an error if what it has shown may be shown no more. */
  close(error?: Error): void;
  /** Stops receiving; `resume` goes on after the last event. */
  pause(): void;
  resume(): void;
  /** Reads a new snapshot. */
  refresh(): void;
}

/** A connection that has lived this long was a good one. Milliseconds. */
const STEADY = 10_000;

/** Applications may throw anything. */
const asError = (error: unknown): Error => (error instanceof Error ? error : new GomError("FAILED", String(error)));

/** Runs attempts one after the other: snapshot, cursor, tail; after a loss from the cursor, and after `RESYNC_REQUIRED` from a snapshot. */
export function openStream(options: StreamOptions): Stream {
  const { transport, auth, request, snapshot, onResult, onStatus, onEnd, signal } = options;
  let cursor = options.cursor;
  let status: Status = "connecting";
  let failures = 0;
  /** Ends the attempt in flight, which then reports nothing more. */
  let attempt = new AbortController();
  let paused = false;
  let again = false;
  let opened = Infinity;
  /** Whose permissions decided what was shown. With cookies, another viewer's page has to open streams of its own. */
  let who = auth.bearer ? undefined : auth.viewer();

  const enter = (next: Status): void => {
    if (status === next || status === "closed") return;
    status = next;
    // An error of the handler must not stop the transport.
    queueMicrotask(() => onStatus?.(next));
  };
  const close = (error?: Error): void => {
    if (status === "closed") return;
    attempt.abort();
    signal?.removeEventListener("abort", aborted);
    options.running.delete(stream);
    enter("closed");
    queueMicrotask(() => onEnd?.(error));
  };
  const aborted = (): void => close();

  const retry = (after = 0): void => {
    attempt.abort();
    // A server that accepts and closes at once is not returned to without delay.
    if (Date.now() - opened > STEADY) failures = 0;
    opened = Infinity;
    enter("reconnecting");
    connect(Math.max(backoff(failures, transport.hint, options.random), after));
    failures += 1;
  };
  const failed = (error: unknown): void => {
    if (!(error instanceof GomError)) return close(asError(error));
    if (error.code === "RESYNC_REQUIRED" && options.resync) again = true;
    else if (!mayRetry(error)) return close(error);
    retry(error.details.retryAfter);
  };

  const connect = (delay: number): void => {
    const own = (attempt = new AbortController());
    if (paused) return;
    // An event of an earlier attempt comes too late: it would be delivered twice.
    const current = (): boolean => !own.signal.aborted && status !== "closed";
    const sink: Sink = {
      open(viewer) {
        // Nothing comes of an attempt that is over.
        if (!current()) return true;
        if ((who ??= viewer) !== viewer) {
          if (!auth.bearer && auth.viewer() !== who) close(unauthenticated());
          return false;
        }
        opened = Date.now();
        enter("open");
        return true;
      },
      reached(position) {
        if (current()) cursor = position;
      },
      next(result) {
        if (!current()) return;
        let usable: unknown;
        try {
          usable = onResult(result);
        } catch (error) {
          return close(asError(error));
        }
        if (!current()) return;
        if (usable === false) {
          again = options.resync;
          return retry();
        }
        cursor = result.extensions?.cursor ?? cursor;
        failures = 0;
        enter("open");
      },
      fail: (error) => current() && failed(error),
      lost(permissions = false) {
        if (!current()) return;
        // Cookies that cannot be read may be another viewer's.
        again ||= (permissions || who === UNKNOWN) && options.resync;
        if (permissions && auth.bearer) who = undefined;
        retry();
      },
    };
    const run = async (): Promise<void> => {
      if (delay > 0) await wait(delay, own.signal);
      if (snapshot && (again || cursor === undefined)) {
        const reader = auth.viewer(await auth.token(own.signal));
        if (!current()) return;
        if (!auth.bearer && reader !== who) throw unauthenticated();
        const position = await snapshot(own.signal);
        if (!current()) return;
        who = reader;
        cursor = position;
        again = false;
      }
      const stop = transport.start(request(cursor), sink);
      if (own.signal.aborted) return stop();
      own.signal.addEventListener("abort", stop, { once: true });
    };
    run().catch((error: unknown) => current() && failed(error));
  };

  const restart = (): void => {
    attempt.abort();
    if (status !== "closed") connect(0);
  };
  const stream: Stream = {
    get cursor() {
      return cursor;
    },
    get status() {
      return status;
    },
    close,
    pause() {
      paused = true;
      attempt.abort();
    },
    resume() {
      if (!paused) return;
      paused = false;
      restart();
    },
    refresh() {
      again = options.resync;
      restart();
    },
  };
  options.running.add(stream);
  signal?.addEventListener("abort", aborted, { once: true });
  // The caller has the stream before its handlers are called.
  queueMicrotask(() => (signal?.aborted ? close() : restart()));
  return stream;
}
