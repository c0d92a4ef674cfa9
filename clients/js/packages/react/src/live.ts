"use client";
import type { Client, GraphQLErrorLike, Operation, Status } from "@gom/client";
import { applyPatch } from "@gom/client/patch";
import { keyOf } from "./keys.js";
import { useShared } from "./shared.js";
import type { Source } from "./shared.js";

export interface LiveView<Data> {
  /** The newest result; its parts that did not change stay the same objects. Undefined before the first and after the end. */
  readonly data: Data | undefined;
  /** The errors of this result. */
  readonly errors: readonly GraphQLErrorLike[] | undefined;
  /** `connecting` until the first result. */
  readonly status: Status;
  /** Why the live query has ended. */
  readonly error: Error | undefined;
}

export interface UseLive<Data> extends LiveView<Data> {
  /** Reads the whole result again; opens a live query that has ended again. */
  readonly refresh: () => void;
}

const WAITING: LiveView<never> = { data: undefined, errors: undefined, status: "connecting", error: undefined };
const NOTHING: LiveView<never> = { ...WAITING, status: "closed" };

function openLive<Data, Variables>(client: Client, document: Operation<Data, Variables>, variables: Variables | undefined): Source<LiveView<Data>> {
  const listeners = new Set<() => void>();
  let result: Pick<LiveView<Data>, "data" | "errors"> = WAITING;
  let error: Error | undefined;
  let shown: LiveView<Data> = WAITING;
  const notify = (): void => {
    for (const listener of [...listeners]) listener();
  };
  const stream = client.live(document, variables, {
    patch: applyPatch,
    onResult({ data, errors }) {
      result = { data, errors };
      notify();
    },
    onStatus: notify,
    onEnd(reason) {
      error = reason;
      notify();
    },
  });
  return {
    view() {
      const status = result === WAITING && stream.status !== "closed" ? "connecting" : stream.status;
      // As with sets: a log-out would not reach a result that stays.
      const { data, errors } = status === "closed" ? NOTHING : result;
      if (shown.data !== data || shown.errors !== errors || shown.status !== status || shown.error !== error) shown = { data, errors, status, error };
      return shown;
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    get ended() {
      return stream.status === "closed";
    },
    refresh: () => stream.refresh(),
    close: () => stream.close(),
  };
}

/** The result of a query with `@live`, kept current while the component is mounted. Without a document nothing is opened. */
export function useLive<Data, Variables>(document: Operation<Data, Variables> | undefined, variables?: Variables): UseLive<Data> {
  const key = document && keyOf("live", [document], variables);
  const open = (client: Client): Source<LiveView<Data>> => openLive(client, document as Operation<Data, Variables>, variables);
  return useShared<LiveView<Data>>(key, open, document ? WAITING : NOTHING);
}
