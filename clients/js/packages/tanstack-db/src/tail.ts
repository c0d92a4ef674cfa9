import { GomError } from "@gom/client";
import type { Row, RowSet } from "@gom/client";
import { createTraces } from "./traces.js";
import type { Trace } from "./traces.js";

/** What a collection receives: rows that came, changed or went in one step; nothing more after `end`, until the next `ready`. */
export interface TailHandlers<R> {
  apply(changes: { readonly put: readonly R[]; readonly removed: readonly string[] }, before: ReadonlyMap<string, R>): void;
  ready(): void;
  end(error: Error): void;
}

export interface Tail<R> {
  /** The rows that the collection has received. */
  readonly rows: ReadonlyMap<string, R>;
  /** Follows a write of the row `id`, which is sent now. */
  trace(id: string): Trace;
  refresh(): void;
  close(): void;
}

/** Follows a set, and replaces it by a newer one where only a new snapshot can show what was written. */
export function openTail<R extends Row>(open: () => RowSet<R>, idOf: (row: R) => string, handlers: TailHandlers<R>): Tail<R> {
  let rows: ReadonlyMap<string, R> = new Map();
  let current: RowSet<R> | undefined;
  /** The set that will replace the current one. */
  let next: RowSet<R> | undefined;
  let closed = false;
  /** The set that the current one has replaced, until the current one is open: the last subscription takes the socket with it. */
  let replaced: RowSet<R> | undefined;
  const traces = createTraces((id) => rows.get(id), () => renew());

  const over = (): void => {
    replaced?.close();
    replaced = undefined;
  };
  const end = (error: Error | undefined): void => {
    current = undefined;
    rows = new Map();
    traces.clear();
    handlers.end(error ?? new GomError("CLOSED", "The client was closed"));
  };
  const follow = (set: RowSet<R>): void => {
    const changed = (): void => {
      if (current !== set) return;
      if (set.status !== "connecting") over();
      // The status comes before the error.
      if (set.status === "closed") return queueMicrotask(() => current === set && end(set.error));
      const before = rows;
      const after = new Map(set.rows().map((row) => [idOf(row), row]));
      // A snapshot has new objects for rows that did not change.
      const put = [...after].filter(([id, row]) => before.get(id) !== row && JSON.stringify(before.get(id)) !== JSON.stringify(row)).map(([, row]) => row);
      const removed = [...before.keys()].filter((id) => !after.has(id));
      rows = after;
      if (put.length > 0 || removed.length > 0) handlers.apply({ put, removed }, before);
      traces.check();
    };
    current = set;
    set.subscribe(changed);
    changed();
  };
  /** Opens another set, which takes the place of the current one with its first snapshot. */
  const renew = (): void => {
    if (closed || next) return;
    const covered = traces.answered();
    const set = (next = open());
    const read = (): void => {
      for (const entry of covered) traces.finish(entry);
      if (traces.answered().some(({ late }) => late)) renew();
    };
    set.ready.then(
      () => {
        if (next !== set) return;
        next = undefined;
        over();
        replaced = current;
        follow(set);
        if (set.status === "closed") return;
        handlers.ready();
        read();
      },
      (error: Error) => {
        if (next !== set) return;
        next = undefined;
        // The current set goes on, and will show what was written.
        if (current) read();
        else end(error);
      },
    );
  };

  renew();
  return {
    get rows() {
      return rows;
    },
    trace(id) {
      const trace = traces.add(id);
      // What has ended shows nothing more.
      if (!current && !next) traces.clear();
      return trace;
    },
    refresh() {
      if (current && current.status !== "closed") current.refresh();
      else renew();
    },
    close() {
      closed = true;
      const ended = [current, next, replaced];
      current = next = replaced = undefined;
      for (const set of ended) set?.close();
      traces.clear();
    },
  };
}
