// A tab's side of a set: the rows that it shows, as the leader counts them.
import type { GomError, Row } from "@gom/client";
import { closedError, errorOf } from "./errors.js";
import type { SetMessage, Version } from "./messages.js";
import type { StoredSet } from "./store.js";
import type { OfflineSet, OfflineStatus } from "./types.js";

export interface ViewOptions<R extends Row> {
  /** The field with the row's id. */
  readonly key: string;
  readonly compare: ((left: R, right: R) => number) | undefined;
  /** Whether the rows may still be shown. */
  allowed(): boolean;
  /** Asks the leader for the whole. */
  want(): void;
  refresh(): void;
  closed(): void;
}

export interface View<R extends Row> {
  readonly set: OfflineSet<R>;
  receive(message: SetMessage): void;
  /** Shows what was stored, if there was nothing from the leader yet. */
  show(stored: StoredSet): void;
  /** There is a leader: asks it for the whole. */
  follow(): void;
  /** Ends it, without rows. */
  end(error: GomError): void;
}

export function createView<R extends Row>({ key, compare, allowed, want, refresh, closed }: ViewOptions<R>): View<R> {
  const listeners = new Set<() => void>();
  let kept = new Map<string, R>();
  let shown: readonly R[] | undefined;
  let version: Version | undefined;
  let status: OfflineStatus = "connecting";
  let error: GomError | undefined;
  let persisted = false;
  let settle: { resolve(): void; reject(error: Error): void } | undefined;
  const ready = new Promise<void>((resolve, reject) => (settle = { resolve, reject }));
  // Who does not wait for it sees the error in `error`.
  ready.catch(() => undefined);

  const changed = (): void => {
    shown = undefined;
    // Each on its own: what one throws is no reason not to call the others.
    for (const listener of [...listeners]) queueMicrotask(() => listeners.has(listener) && listener());
  };
  const put = (rows: readonly Row[]): void => rows.forEach((row) => kept.set(String(row[key]), row as R));
  const finish = (last: GomError | undefined): void => {
    if (status === "closed") return;
    status = "closed";
    error = last;
    settle?.reject(last ?? closedError());
    shown = undefined;
    for (const listener of [...listeners]) queueMicrotask(listener);
    listeners.clear();
    closed();
  };
  const set: OfflineSet<R> = {
    rows() {
      if (!allowed() && kept.size > 0) {
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
      if (status !== "closed") listeners.add(listener);
      return () => listeners.delete(listener);
    },
    ready,
    get status() {
      return status;
    },
    get persisted() {
      return persisted;
    },
    get error() {
      return error;
    },
    refresh,
    close: () => finish(undefined),
  };
  return {
    set,
    follow() {
      version = undefined;
      want();
    },
    receive(message) {
      if (status === "closed") return;
      const { leader, step } = message.version;
      // A leader that was suspended does not know yet that another one leads.
      if (version && leader < version.leader) return;
      if (message.type === "state") {
        // Also sent to the tabs that have it.
        if (version && leader === version.leader && step < version.step) return;
        if (message.rows) {
          kept = new Map();
          put(message.rows);
          settle?.resolve();
        }
      } else {
        if (!version || leader !== version.leader || step > version.step + 1) return want();
        if (step < version.step) return;
        put(message.put);
        for (const name of message.gone) kept.delete(name);
      }
      version = message.version;
      persisted = message.persisted;
      if (message.error) return finish(errorOf(message.error));
      // Stored rows are shown before the leader has them.
      status = message.status === "connecting" && kept.size > 0 ? "stored" : message.status;
      changed();
    },
    show({ rows }) {
      if (version || status === "closed") return;
      put(rows.map(({ row }) => row));
      status = "stored";
      persisted = true;
      settle?.resolve();
      changed();
    },
    end(last) {
      kept = new Map();
      finish(last);
    },
  };
}
