import { GomError, errorOf, positionOf } from "./errors.js";
import { openStream } from "./stream.js";
import type { Stream, StreamOptions } from "./stream.js";
import type { Status, WireResult } from "./types.js";

export type Row = Readonly<Record<string, unknown>>;

export interface SetRules<R extends Row> {
  /** The field with the row's id; `id` by default. */
  readonly key?: string | undefined;
  /** The order of `rows()`; by default that of the query, with new rows at the end. */
  readonly compare?: ((left: R, right: R) => number) | undefined;
}

/** The rows of a query, kept equal to it. */
export interface RowSet<R extends Row> {
  /** The rows now: the same array until something changes. */
  rows(): readonly R[];
  /** Calls `listener` after each change of rows, status or error; returns what ends that. */
  subscribe(listener: () => void): () => void;
  /** Resolves with the first snapshot, and rejects if there will be none. */
  readonly ready: Promise<void>;
  readonly status: Status;
  /** Why the set has ended. */
  readonly error: Error | undefined;
  /** Reads the query again, which the viewer's changed permissions require. */
  refresh(): void;
  close(): void;
}

interface Event<R> {
  readonly mutation?: string;
  readonly node?: R | null;
  readonly previousValues?: Partial<R> | null;
}

const first = (data: unknown): unknown => Object.values((data ?? {}) as object)[0];

export interface SetSource extends Omit<StreamOptions, "onResult" | "onStatus" | "onEnd" | "snapshot" | "resync"> {
  /** The time until the client's log-out, after which no rows are shown, also if the set has ended before. */
  readonly era: AbortSignal;
}

/** `read` reads the query with its position; `source` opens the subscription. */
export function createSet<R extends Row>(
  read: (signal: AbortSignal) => Promise<WireResult>,
  source: SetSource,
  { key = "id", compare }: SetRules<R>,
): RowSet<R> {
  const listeners = new Set<() => void>();
  let kept = new Map<string, R>();
  let shown: readonly R[] | undefined;
  let error: Error | undefined;
  let settle: { resolve(): void; reject(error: Error): void } | undefined;
  const ready = new Promise<void>((resolve, reject) => (settle = { resolve, reject }));
  // Who does not wait for it sees the error in `error`.
  ready.catch(() => undefined);

  const notify = (): void => {
    for (const listener of [...listeners]) listener();
  };
  const changed = (): void => {
    shown = undefined;
    notify();
  };
  const idOf = (row: Partial<R>): string => {
    const id = row[key];
    if (id === undefined || id === null) throw new GomError("BAD_SELECTION", `Select ${key} in rows, node and previousValues`);
    return String(id);
  };

  const stream: Stream = openStream({
    ...source,
    resync: true,
    async snapshot(signal) {
      const result = await read(signal);
      const position = positionOf(result);
      const rows = first(result.data);
      signal.throwIfAborted();
      if (!Array.isArray(rows)) throw new GomError("BAD_SELECTION", "Select a list first");
      kept = new Map((rows as R[]).map((row) => [idOf(row), row]));
      settle?.resolve();
      changed();
      return position;
    },
    onResult(result) {
      const event = first(result.data) as Event<R> | null | undefined;
      const failed = errorOf(result);
      // Of a row that could not be read whole, the query says what is to be shown.
      if (failed) return false;
      if (event?.mutation === "DELETED") kept.delete(idOf(event.previousValues ?? {}));
      else if (event?.node) kept.set(idOf(event.node), event.node);
      for (const { id } of result.extensions?.left ?? []) kept.delete(id);
      changed();
      return true;
    },
    // The rows stay the same array.
    onStatus: notify,
    onEnd(reason) {
      error = reason;
      // A viewer who has logged out must not leave rows to the next one.
      if ((reason as GomError | undefined)?.code === "UNAUTHENTICATED") kept = new Map();
      settle?.reject(reason ?? new GomError("CLOSED", "Closed"));
      const last = [...listeners];
      listeners.clear();
      shown = undefined;
      // Each on its own: what one throws is no reason not to call the others.
      for (const listener of last) queueMicrotask(listener);
    },
  });
  return {
    rows() {
      if (source.era.aborted && kept.size > 0) {
        kept = new Map();
        shown = undefined;
      }
      if (!shown) {
        const rows = [...kept.values()];
        shown = compare ? rows.sort(compare) : rows;
      }
      return shown;
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    ready,
    get status() {
      return stream.status;
    },
    get error() {
      return error;
    },
    refresh: () => stream.refresh(),
    close: () => stream.close(),
  };
}
