"use client";
import { useMemo } from "react";
import type { Client, Row, SetOptions, Status } from "@gom/client";
import { keyOf } from "./keys.js";
import { useShared } from "./shared.js";
import type { Source } from "./shared.js";

/** As those of `client.set`. Equal options of several components are one set, whatever their `compare`. */
export type UseSetOptions<R extends Row, Variables> = Omit<SetOptions<R, Variables>, "signal">;

export interface SetView<R extends Row> {
  /** The same array until something changes. Empty before the first snapshot and after the end. */
  readonly rows: readonly R[];
  /** `connecting` until the rows are there. */
  readonly status: Status;
  /** Why the set has ended. */
  readonly error: Error | undefined;
}

export interface UseSet<R extends Row> extends SetView<R> {
  /** Reads the query again; opens a set that has ended again. */
  readonly refresh: () => void;
}

const NO_ROWS: readonly never[] = [];
const WAITING: SetView<never> = { rows: NO_ROWS, status: "connecting", error: undefined };
const NOTHING: SetView<never> = { rows: NO_ROWS, status: "closed", error: undefined };

function openSet<R extends Row, Variables>(client: Client, options: UseSetOptions<R, Variables>): Source<SetView<R>> {
  const { query, subscription, variables, key } = options;
  const set = client.set<R, Variables>({ query, subscription, key, ...(variables !== undefined && { variables }) });
  let shown: SetView<R> = WAITING;
  let read = false;
  const ready = set.ready.then(
    () => (read = true),
    () => undefined,
  );
  return {
    view() {
      const { error } = set;
      // Without a server the stream reconnects, and an empty list would look as if it had been read.
      const status = read || set.status === "closed" ? set.status : "connecting";
      // Rows of a set that has ended would stay after a log-out, of which it learns no more.
      const rows = status === "closed" ? NO_ROWS : set.rows();
      if (shown.rows !== rows || shown.status !== status || shown.error !== error) shown = { rows, status, error };
      return shown;
    },
    subscribe(listener) {
      void ready.then(listener);
      return set.subscribe(listener);
    },
    get ended() {
      return set.status === "closed";
    },
    refresh: set.refresh,
    close: set.close,
  };
}

/**
 * The rows of a query, kept equal to it while the component is mounted. Without options nothing is opened.
 *
 * A `compare` that is made in each render sorts in each render.
 */
export function useSet<R extends Row, Variables = unknown>(options: UseSetOptions<R, Variables> | undefined): UseSet<R> {
  const key = options && keyOf("set", [options.query, options.subscription], options.key ?? "id", options.variables);
  // Without options it is not called.
  const open = (client: Client): Source<SetView<R>> => openSet(client, options as UseSetOptions<R, Variables>);
  const view = useShared<SetView<R>>(key, open, options ? WAITING : NOTHING);
  const compare = options?.compare;
  return useMemo(() => (compare ? { ...view, rows: [...view.rows].sort(compare) } : view), [view, compare]);
}
