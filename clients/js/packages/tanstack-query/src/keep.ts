import { GomError } from "@gom/client";
import type { Status } from "@gom/client";
import type { Query, QueryFunctionContext } from "@tanstack/query-core";

/** What keeps the data of a query current. */
export interface Source<Data> {
  /** Resolves with the first data, and rejects if there will be none. */
  readonly ready: Promise<void>;
  /** The same value until something changes. */
  data(): Data;
  readonly status: Status;
  /** Why it has ended, or what the newest data lacks. */
  readonly error: Error | undefined;
  /** Calls `listener` after each change. */
  subscribe(listener: () => void): void;
  close(): void;
}

/** The source of each query that is current. */
const kept = new WeakMap<object, Source<unknown>>();

/** For `staleTime`: what is kept current is not fetched again. */
export const isKept = (query: object): boolean => kept.has(query);

const ended = ({ error }: Source<unknown>): Error => error ?? new GomError("CLOSED", "The client was closed");

/** The function of a query: opens a source, which keeps the query's data current until the query is removed from the cache. */
export async function keep<Data>(open: () => Source<Data>, { client, queryKey, signal }: QueryFunctionContext): Promise<Data> {
  const queries = client.getQueryCache();
  const query = queries.find({ queryKey, exact: true }) as Query<Data> | undefined;
  if (!query) throw new Error(`No query has the key ${JSON.stringify(queryKey)}: pass the options to a query as they are`);
  const source = open();
  const earlier = kept.get(query);

  const show = (): void => {
    const { error } = source;
    const data = source.data();
    if (kept.get(query) !== source || (query.state.data === data && query.state.error === (error ?? null))) return;
    if (error) query.setState({ data, status: "error", error });
    // Of the query itself, which may have a hash function of its own.
    else query.setData(data, { manual: true });
  };
  const finish = (): void => {
    // Another source has taken its place.
    if ((kept.get(query) ?? source) !== source) return unsubscribe();
    kept.delete(query);
    // What is not kept current may not be shown to the next viewer.
    if (query.state.data !== undefined) query.setState({ data: undefined, status: "error", error: ended(source) });
  };
  const forget = (): void => {
    unsubscribe();
    if (kept.get(query) === source) kept.delete(query);
    source.close();
  };
  const unsubscribe = queries.subscribe((event) => {
    if (event.query !== query) return;
    if (event.type === "removed") {
      forget();
    } else if (event.type === "updated" && query.state.fetchStatus === "idle") {
      const { action } = event;
      // The application has reset the query.
      if (action.type === "setState" && query.state.status === "pending" && kept.get(query) === source) return forget();
      // A fetch ends later than its function, with what was current then; one that is cancelled goes back to what was current before.
      if (action.type === "setState" || (action.type === "success" && !action.manual)) (source.status === "closed" ? finish : show)();
    }
  });
  const changed = (): void => {
    if (source.status !== "connecting") earlier?.close();
    // The status comes before the error.
    if (source.status === "closed") queueMicrotask(finish);
    else show();
  };
  const abort = (): void => source.close();
  signal.addEventListener("abort", abort);
  try {
    await source.ready;
    if (source.status === "closed") throw ended(source);
  } catch (error) {
    unsubscribe();
    source.close();
    throw error;
  } finally {
    signal.removeEventListener("abort", abort);
  }
  kept.set(query, source);
  source.subscribe(changed);
  changed();
  return source.data();
}
