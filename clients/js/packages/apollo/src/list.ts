import type { ApolloClient, OperationVariables, TypedDocumentNode } from "@apollo/client";
import { print } from "@apollo/client/utilities";
import { GomError } from "@gom/client";
import type { Client, EventResult, Row, Status } from "@gom/client";

export interface KeepListOptions<R extends Row, Variables extends OperationVariables> {
  readonly client: Client;
  /** Its only field is the list. */
  readonly query: TypedDocumentNode<unknown, Variables>;
  /** Its `node` filter equals the query's. */
  readonly subscription: TypedDocumentNode<unknown, Variables>;
  readonly variables?: Variables | undefined;
  /** The field with the row's id; `id` by default. */
  readonly key?: string | undefined;
  /** The order of the list; by default that of the query, with new rows at the end. */
  readonly compare?: ((left: R, right: R) => number) | undefined;
  readonly onStatus?: ((status: Status) => void) | undefined;
  /** Called once: with an error if the list is not kept any longer. */
  readonly onEnd?: ((error?: Error) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A list in the cache that is kept equal to its query. */
export interface KeptList {
  /** Resolves when the cache has the list, and rejects if it will not have it. */
  readonly ready: Promise<void>;
  readonly status: Status;
  /** Reads the query again, which the viewer's changed permissions require. */
  refresh(): void;
  /** Ends keeping the list, and leaves it in the cache. */
  close(): void;
}

/** Events that come within this time are written at once, since each write costs as much as the list is long. Milliseconds. */
const GATHER = 10;
/** What something else has written to the list is compared with the events after this time: the event of a newer value has mostly come by then. Milliseconds. */
const SETTLE = 1_000;
/** The longest wait after an event that could not be read. Milliseconds. */
const LONGEST = 30_000;

interface Event<R> {
  readonly mutation?: string;
  readonly node?: R | null;
  readonly previousValues?: Partial<R> | null;
}

/** Whether a value of the cache is what an event says. The event may have more fields. */
function agrees(cached: unknown, reported: unknown): boolean {
  if (cached === reported) return true;
  if (typeof cached !== "object" || typeof reported !== "object" || !cached || !reported) return false;
  if (Array.isArray(cached) && (!Array.isArray(reported) || cached.length !== reported.length)) return false;
  return Object.entries(cached).every(([name, value]) => Object.hasOwn(reported, name) && agrees(value, (reported as Record<string, unknown>)[name]));
}

/** Keeps a list in the cache equal to its query, until it is closed or the viewer ends. What `useQuery` and `watchQuery` of the query show follows the cache. */
export function keepList<R extends Row = Row, Variables extends OperationVariables = OperationVariables>(
  apollo: ApolloClient,
  { client, variables, key = "id", compare, onStatus, onEnd, signal, ...documents }: KeepListOptions<R, Variables>,
): KeptList {
  const { cache } = apollo;
  const query = apollo.documentTransform.transformDocument(documents.query);
  const subscription = apollo.documentTransform.transformDocument(documents.subscription);
  const place = { query, variables: (variables ?? {}) as Variables };
  /** The name of the list in the query's result. */
  let field: string | undefined;
  /** What the server has reported. */
  let rows = new Map<string, R>();
  /** The ids of rows that have not been written to the cache. */
  let changed = new Set<string>();
  let deleted: R[] = [];
  let removed = false;
  /** Something else has written to the list: which of two values is newer is unknown. */
  let foreign = false;
  /** The attempt that reads the query. */
  let reading: AbortSignal | undefined;
  let writing = false;
  let failures = 0;
  let gather: ReturnType<typeof setTimeout> | undefined;
  let settle: ReturnType<typeof setTimeout> | undefined;
  let retry: ReturnType<typeof setTimeout> | undefined;
  let settled: { resolve(): void; reject(error: Error): void } | undefined;
  const ready = new Promise<void>((resolve, reject) => (settled = { resolve, reject }));
  // Who does not wait for it receives the error in `onEnd`.
  ready.catch(() => undefined);

  const idOf = (row: Partial<R>): string => {
    const id = row[key];
    if (id === undefined || id === null) throw new GomError("BAD_SELECTION", `Select ${key} in rows, node and previousValues`);
    return String(id);
  };
  const listOf = (data: unknown): R[] => {
    const entries = Object.entries((data ?? {}) as Record<string, unknown>);
    const [[name, list] = []] = entries;
    if (entries.length !== 1 || !Array.isArray(list)) throw new GomError("BAD_SELECTION", "The query of a kept list selects one field, the list");
    field = name;
    return list as R[];
  };

  const evict = (row: R): void => {
    const id = cache.identify(row as Record<string, never>);
    if (id) cache.evict({ id });
  };
  const batch = (update: () => void): void => {
    writing = true;
    try {
      cache.batch({ update });
    } finally {
      writing = false;
    }
  };
  /** `compare` is the application's, and so are the merge functions of the cache: what they throw ends the list. */
  const guarded = (act: () => void) => (): void => {
    try {
      act();
    } catch (error) {
      stream.close(error instanceof Error ? error : new GomError("FAILED", String(error)));
    }
  };
  const cachedRows = (): readonly R[] | undefined => (field === undefined ? undefined : cache.readQuery<Record<string, R[]>>(place)?.[field]);
  /** Writes the rows that have changed; the others stay as the cache has them, since a mutation's result may have made them newer. */
  const write = (): void => {
    clearTimeout(gather);
    gather = undefined;
    if (field === undefined) return;
    const known = new Map(changed.size < rows.size ? cachedRows()?.map((row) => [idOf(row), row]) : []);
    const list = [...rows].map(([id, row]) => (changed.has(id) ? row : (known.get(id) ?? row)));
    if (compare) list.sort(compare);
    const name = field;
    batch(() => {
      deleted.forEach(evict);
      // A list that the application merges, such as pages, is replaced as well.
      cache.writeQuery({ ...place, data: { [name]: list }, overwrite: true });
    });
    changed.clear();
    deleted = [];
  };
  const later = (): void => {
    gather ??= setTimeout(guarded(write), GATHER);
  };
  /** Whether the list in the cache is what the events say. */
  const isCurrent = (): boolean => {
    const list = [...rows.values()];
    return agrees(cachedRows(), compare ? list.sort(compare) : list);
  };
  const settleLater = (): void => {
    settle ??= setTimeout(
      guarded(() => {
        settle = undefined;
        if (removed) cache.gc();
        removed = false;
        // Without events the cache may be newer: it is compared when they come again. A read of the query is not begun again before its end.
        if (!foreign || stream.status !== "open" || retry !== undefined || reading) return;
        foreign = false;
        // The cache may have the viewer's own write, whose event is still to come: only a new read says which is newer.
        if (!isCurrent()) stream.refresh();
      }),
      SETTLE,
    );
  };
  const noticed = (): void => {
    if (writing) return;
    foreign = true;
    settleLater();
  };
  const watch = (): (() => void) => cache.watch({ ...place, optimistic: false, callback: noticed });

  const receive = ({ data, left, errors }: EventResult<Readonly<Record<string, Event<R> | null>> | null>): void => {
    if (errors) {
      // Of a row that could not be read whole, the query says what is to be shown.
      stream.pause();
      stream.refresh();
      retry = setTimeout(
        () => {
          retry = undefined;
          stream.resume();
        },
        Math.min(LONGEST, 500 * 2 ** failures),
      );
      failures += 1;
      return;
    }
    failures = 0;
    const [event] = Object.values(data ?? {});
    const remove = (id: string, forever: boolean): void => {
      const row = rows.get(id);
      if (!row) return;
      rows.delete(id);
      changed.delete(id);
      if (forever) deleted.push(row);
      removed = true;
      settleLater();
    };
    if (event?.mutation === "DELETED") {
      remove(idOf(event.previousValues ?? {}), true);
    } else if (event?.node) {
      rows.set(idOf(event.node), event.node);
      changed.add(idOf(event.node));
    }
    for (const { id } of left) remove(id, false);
    later();
  };

  const stream = client.subscribe<Readonly<Record<string, Event<R> | null>> | null, Variables | undefined>(print(subscription), variables, {
    leaves: true,
    signal,
    async resync(stop) {
      // What is written after this may be newer than what is read here.
      foreign = false;
      reading = stop;
      try {
        const { data, cursor } = await client.query(print(query), variables, { signal: stop });
        stop.throwIfAborted();
        if (!cursor) throw new GomError("NETWORK", "No position");
        const list = listOf(data);
        removed ||= rows.size > 0;
        rows = new Map(list.map((row) => [idOf(row), row]));
        changed = new Set(rows.keys());
        write();
        if (foreign || removed) settleLater();
        settled?.resolve();
        return cursor;
      } finally {
        if (reading === stop) reading = undefined;
      }
    },
    onResult: receive,
    onStatus(status) {
      if (status === "open" && foreign) settleLater();
      onStatus?.(status);
    },
    onEnd(error) {
      for (const timer of [gather, settle, retry]) clearTimeout(timer);
      unwatch();
      forget();
      if (error instanceof GomError && error.code === "UNAUTHENTICATED") wipe();
      settled?.reject(error ?? new GomError("CLOSED", "Closed"));
      onEnd?.(error);
    },
  });
  /** A viewer who has logged out leaves no rows to the next one. */
  const wipe = (): void => {
    if (field === undefined) return;
    const name = field;
    batch(() => {
      cache.writeQuery({ ...place, data: { [name]: [] }, overwrite: true });
      rows.forEach(evict);
      deleted.forEach(evict);
    });
    rows.clear();
    cache.gc();
  };
  let unwatch = watch();
  // It may be another viewer's cache now, so what was read before is forgotten.
  const forget = apollo.onClearStore(async () => {
    for (const timer of [gather, settle]) clearTimeout(timer);
    gather = settle = undefined;
    // A result that came while the store was cleared may have been written.
    batch(() => [...rows.values(), ...deleted].forEach(evict));
    rows = new Map();
    changed = new Set();
    deleted = [];
    // Clearing ends every watch.
    unwatch();
    unwatch = watch();
    stream.refresh();
  });

  return {
    ready,
    get status() {
      return stream.status;
    },
    refresh: () => stream.refresh(),
    close: () => stream.close(),
  };
}
