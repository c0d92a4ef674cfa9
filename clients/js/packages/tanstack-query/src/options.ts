import { GomError } from "@gom/client";
import type { Client, Operation, Row, SetOptions } from "@gom/client";
import { applyPatch } from "@gom/client/patch";
import type { QueryFunctionContext, QueryKey } from "@tanstack/query-core";
import { isKept, keep } from "./keep.js";
import type { Source } from "./keep.js";

/** Options for `useQuery`, `QueryObserver`, `fetchQuery` and `prefetchQuery`. */
export interface GomQueryOptions<Data> {
  readonly queryKey: QueryKey;
  readonly queryFn: (context: QueryFunctionContext) => Promise<Data>;
  /** Infinite while the data is kept current, otherwise 0. */
  readonly staleTime: (query: object) => number;
  /** How long the data is kept current without an observer, in milliseconds. */
  readonly gcTime: number;
  /** The client repeats what a repetition may cure. */
  readonly retry: false;
  /** What did not change is the same object already. */
  readonly structuralSharing: false;
}

export interface GomSetOptions<R extends Row, Variables> extends Omit<SetOptions<R, Variables>, "signal"> {
  readonly client: Client;
  /** Names the query in the cache: other documents or variables need another key. */
  readonly queryKey: QueryKey;
}

export interface GomLiveOptions<Data, Variables> {
  readonly client: Client;
  /** Names the query in the cache: another document or other variables need another key. */
  readonly queryKey: QueryKey;
  /** A query with `@live`. */
  readonly document: Operation<Data, Variables>;
  readonly variables?: Variables;
}

/** After this without an observer, the query is removed from the cache and its source ended. Milliseconds. */
const LINGER = 1_000;

const optionsOf = <Data>(queryKey: QueryKey, open: () => Source<Data>): GomQueryOptions<Data> => ({
  queryKey,
  queryFn: (context) => keep(open, context),
  staleTime: (query) => (isKept(query) ? Infinity : 0),
  gcTime: LINGER,
  retry: false,
  structuralSharing: false,
});

/** A query whose data is the rows of a set, as `client.set` keeps them. */
export function gomSetOptions<R extends Row, Variables = unknown>({ client, queryKey, ...options }: GomSetOptions<R, Variables>): GomQueryOptions<readonly R[]> {
  return optionsOf(queryKey, () => {
    const set = client.set<R, Variables>(options);
    return {
      ready: set.ready,
      data: set.rows,
      get status() {
        return set.status;
      },
      get error() {
        return set.error;
      },
      subscribe: set.subscribe,
      close: set.close,
    };
  });
}

/** A query whose data is the newest result of a live query; its parts that did not change stay the same objects. */
export function gomLiveOptions<Data, Variables>({ client, queryKey, document, variables }: GomLiveOptions<Data, Variables>): GomQueryOptions<Data> {
  return optionsOf(queryKey, () => {
    let listener = (): void => undefined;
    let data: Data | undefined;
    let error: Error | undefined;
    let settle: { resolve(): void; reject(error: Error): void } | undefined;
    const ready = new Promise<void>((resolve, reject) => (settle = { resolve, reject }));
    const stream = client.live(document, variables, {
      patch: applyPatch,
      onResult({ data: newest, errors }) {
        data = newest;
        error = errors?.[0] && new GomError(errors[0].extensions?.code ?? "GRAPHQL_ERROR", errors[0].message, { errors, data });
        if (error && !data) settle?.reject(error);
        settle?.resolve();
        listener();
      },
      onStatus: () => listener(),
      onEnd(reason) {
        error = reason;
        settle?.reject(reason ?? new GomError("CLOSED", "Closed"));
        listener();
      },
    });
    return {
      ready,
      data: () => data as Data,
      get status() {
        return stream.status;
      },
      get error() {
        return error;
      },
      subscribe: (called) => void (listener = called),
      close: () => stream.close(),
    };
  });
}
