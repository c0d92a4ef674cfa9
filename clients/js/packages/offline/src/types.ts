import type { Answer, ClientOptions, GomError, Operation, Row, SetRules } from "@gom/client";

/**
 * `connecting`: there are no rows yet. `stored`: the rows of an earlier time, which the server has not continued yet. `open`: the rows follow the server. `reconnecting`: they
 * will again. `closed`: for good.
 */
export type OfflineStatus = "connecting" | "stored" | "open" | "reconnecting" | "closed";

/** One set, as tabs name it to each other. */
export interface Definition {
  /** A digest of the other fields. */
  readonly id: string;
  readonly query: string;
  readonly subscription: string;
  readonly variables: unknown;
  readonly key: string;
}

export interface OfflineSetOptions<R extends Row, Variables> extends SetRules<R> {
  /** Its first field is the list. */
  readonly query: Operation<unknown, Variables>;
  /** Its `node` filter equals the query's. */
  readonly subscription: Operation<unknown, Variables>;
  readonly variables?: Variables;
}

/** The rows of a query, kept equal to it, and stored. */
export interface OfflineSet<R extends Row> {
  /** The rows now: the same array until something changes. */
  rows(): readonly R[];
  /** Calls `listener` after each change of rows, status or error; returns what ends that. */
  subscribe(listener: () => void): () => void;
  /** Resolves with the first rows, stored or read, and rejects if there will be none. */
  readonly ready: Promise<void>;
  readonly status: OfflineStatus;
  /** Whether the rows would be there after a reload: `false` if they do not fit, or nothing can be stored here. */
  readonly persisted: boolean;
  /** Why the set has ended. */
  readonly error: GomError | undefined;
  /** Reads the query again. */
  refresh(): void;
  close(): void;
}

/** A write that waits for its answer. */
export interface QueuedWrite {
  /** Its idempotency key. */
  readonly id: string;
  readonly document: string;
  readonly variables: unknown;
  /** When it was queued, in milliseconds. */
  readonly queuedAt: number;
  /** When it was first sent: it may have been carried out since. */
  readonly sentAt?: number | undefined;
  /** Why the last attempt to send it has failed. */
  readonly lastError?: Failure | undefined;
  /** Whether the user had other claims (permissions, tenant) when it was queued: it is sent when those are back. */
  readonly otherClaims?: boolean | undefined;
  /** Why it was refused: with `onRefusal: "stop"`, it holds up the others until it is discarded. */
  readonly refusal?: Failure | undefined;
}

/** An error as it is stored. */
export interface Failure {
  readonly code: string;
  readonly message: string;
}

/**
 * What has become of a write. `done`: the server has answered. `refused`: the server has refused it (validation, rights, a conflict), and of fields without errors `data` has the results.
 * `unknown`: it may have been carried out, once; read before you write it again. `discarded`: by `discard`.
 */
export interface Outcome {
  readonly kind: "done" | "refused" | "unknown" | "discarded";
  readonly write: QueuedWrite;
  readonly data?: unknown;
  readonly error?: Failure | undefined;
}

export interface OfflineOptions extends ClientOptions {
  /** The database's name; another one for each server. `gom` by default. */
  readonly name?: string | undefined;
  /**
   * Who is logged in, or nothing if nobody is: for cookies that cannot be read, in workers and pages of other origins. Rejects if that cannot be known now. Otherwise the token or
   * the cookie `session-token` names the viewer.
   */
  readonly viewer?: (() => string | undefined | Promise<string | undefined>) | undefined;
  /** What is kept of sets: by default at most 50, of 16 MiB together, for 7 days after their last change (milliseconds). */
  readonly maxSets?: number | undefined;
  readonly maxBytes?: number | undefined;
  readonly keepFor?: number | undefined;
  /** The most writes that wait; 1,000 by default. */
  readonly maxWrites?: number | undefined;
  /** How long after a write was first sent it may be sent again, in milliseconds: less than `idempotency.keep_for` of the server. 23 hours by default. */
  readonly repeatFor?: number | undefined;
  /** Whether the writes behind a refused one are sent (`continue`, the default), or wait until it is discarded (`stop`). */
  readonly onRefusal?: "continue" | "stop" | undefined;
  /** Called with what has become of each write that this tab has queued, or a tab that is gone. */
  readonly onOutcome?: ((outcome: Outcome) => void) | undefined;
  /**
   * Called once if it ends otherwise than by this tab's `close` and `logOut`: with `UNAUTHENTICATED` if the user has logged out or has to log in again, with `VIEWER_CHANGED` if another one is logged in, or
   * the same with other claims: open again. Nothing is shown any more, and the rows are no longer stored.
   */
  readonly onEnd?: ((error: GomError) => void) | undefined;
}

/** What `write` gives once the write is stored. */
export interface Queued<Data> {
  readonly id: string;
  /** Rejects with the refusal, with `OUTCOME_UNKNOWN`, with `DISCARDED`, or with `CLOSED` if this tab closes before: the write is sent nevertheless. */
  readonly answer: Promise<Pick<Answer<Data>, "data">>;
}
