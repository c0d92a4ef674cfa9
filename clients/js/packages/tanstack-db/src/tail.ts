import { GomError } from "@gom/client";
import type { Row, RowSet } from "@gom/client";

/** What a collection receives: rows that came, changed or went in one step; nothing more after `end`, until the next `ready`. */
export interface TailHandlers<R> {
  apply(changes: { readonly put: readonly R[]; readonly removed: readonly string[] }, before: ReadonlyMap<string, R>): void;
  ready(): void;
  end(error: Error): void;
}

/** One write that the collection does not show yet. */
export interface Trace {
  /** The written row. */
  readonly id: string;
  /** Whether the write makes the row come. */
  readonly comes: boolean;
  /** Whether the rows show the write. */
  readonly done: () => boolean;
}

export interface Tail<R> {
  /** Another number after each end: a log-out may have been the reason. */
  readonly era: number;
  /** The rows that the collection has received. */
  readonly rows: ReadonlyMap<string, R>;
  /**
   * Resolves when the rows show a write that was carried out, or a later one of its row. If they do not soon, with a snapshot that is read
   * after this call: the write may have left no trace in the set.
   */
  shows(trace: Trace): Promise<void>;
  refresh(): void;
  close(): void;
}

/** An event follows the answer to its mutation within milliseconds; after this the query is read again. Milliseconds. */
const GRACE = 1_000;

interface Waiter extends Trace {
  readonly resolve: () => void;
  timer?: ReturnType<typeof setTimeout>;
  late: boolean;
}

/** Follows a set, and replaces it by a newer one where only a new snapshot can show what was written. */
export function openTail<R extends Row>(open: () => RowSet<R>, idOf: (row: R) => string, handlers: TailHandlers<R>): Tail<R> {
  let rows: ReadonlyMap<string, R> = new Map();
  let current: RowSet<R> | undefined;
  /** The set that will replace the current one. */
  let next: RowSet<R> | undefined;
  let closed = false;
  let ends = 0;
  /** The set that the current one has replaced, until the current one is open: the last subscription takes the socket with it. */
  let replaced: RowSet<R> | undefined;
  const waiters = new Set<Waiter>();

  const finish = (waiter: Waiter): void => {
    clearTimeout(waiter.timer);
    waiters.delete(waiter);
    waiter.resolve();
  };
  const check = (): void => {
    // While a row has not come yet, its absence shows nothing of later writes.
    const coming = new Set([...waiters].filter(({ comes, done }) => comes && !done()).map(({ id }) => id));
    const rowsShown = new Set<string>();
    const shown: Waiter[] = [];
    // A row that shows a later write has had the earlier ones.
    for (const waiter of [...waiters].reverse()) {
      if (coming.has(waiter.id) || (!rowsShown.has(waiter.id) && !waiter.done())) continue;
      rowsShown.add(waiter.id);
      shown.push(waiter);
    }
    // In the order of the writes: a later one is not dropped while an earlier one is still shown.
    for (const waiter of shown.reverse()) finish(waiter);
  };
  const end = (error: Error | undefined): void => {
    ends += 1;
    current = undefined;
    rows = new Map();
    // What was written is written.
    for (const waiter of [...waiters]) finish(waiter);
    handlers.end(error ?? new GomError("CLOSED", "The client was closed"));
  };
  const follow = (set: RowSet<R>): void => {
    const changed = (): void => {
      if (current !== set) return;
      if (set.status !== "connecting") replaced?.close();
      // The status comes before the error.
      if (set.status === "closed") return queueMicrotask(() => current === set && end(set.error));
      const before = rows;
      const after = new Map(set.rows().map((row) => [idOf(row), row]));
      // A snapshot has new objects for rows that did not change.
      const put = [...after].filter(([id, row]) => before.get(id) !== row && JSON.stringify(before.get(id)) !== JSON.stringify(row)).map(([, row]) => row);
      const removed = [...before.keys()].filter((id) => !after.has(id));
      rows = after;
      if (put.length > 0 || removed.length > 0) handlers.apply({ put, removed }, before);
      check();
    };
    current = set;
    set.subscribe(changed);
    changed();
  };
  /** Opens another set, which takes the place of the current one with its first snapshot. */
  const renew = (): void => {
    if (closed || next) return;
    const covered = [...waiters];
    const set = (next = open());
    const over = (): void => {
      for (const waiter of covered) finish(waiter);
      if ([...waiters].some(({ late }) => late)) renew();
    };
    set.ready.then(
      () => {
        if (next !== set) return;
        next = undefined;
        replaced?.close();
        replaced = current;
        follow(set);
        if (set.status === "closed") return;
        handlers.ready();
        over();
      },
      (error: Error) => {
        if (next !== set) return;
        next = undefined;
        // The current set goes on, and will show what was written.
        if (current) over();
        else end(error);
      },
    );
  };

  renew();
  return {
    get era() {
      // Its listener is called later.
      return current?.status === "closed" ? ends + 1 : ends;
    },
    get rows() {
      return rows;
    },
    shows: (trace) =>
      new Promise((resolve) => {
        // What has ended shows nothing more.
        if (!current && !next) return resolve();
        const waiter: Waiter = { ...trace, resolve, late: false };
        waiter.timer = setTimeout(() => {
          waiter.late = true;
          renew();
        }, GRACE);
        waiters.add(waiter);
        check();
      }),
    refresh() {
      if (current && current.status !== "closed") current.refresh();
      else renew();
    },
    close() {
      closed = true;
      const ended = [current, next, replaced];
      current = next = undefined;
      for (const set of ended) set?.close();
      for (const waiter of [...waiters]) finish(waiter);
    },
  };
}
