// The leader's side of a set: it follows the server, and each step is stored before any tab shows it.
import { GomError } from "@gom/client";
import type { Client, GraphQLErrorLike, Left, Row, Status, Stream } from "@gom/client";
import { backoff } from "./backoff.js";
import { Superseded, asError, closedError, endsViewer, failureOf } from "./errors.js";
import type { SetMessage, SetState } from "./messages.js";
import type { Store, StoredRow } from "./store.js";
import type { Definition, OfflineStatus } from "./types.js";
import type { Guard } from "./viewer.js";

export interface HostOptions {
  readonly client: Client;
  readonly store: Store;
  readonly guard: Guard;
  /** The leader's number. */
  readonly leader: number;
  /** Sets that are in use. */
  inUse(): readonly string[];
  publish(message: SetMessage): void;
  /** The viewer is not logged in any more. */
  end(error: GomError): void;
  /** Another tab leads. */
  superseded(): void;
}

export interface Host {
  state(): SetState;
  refresh(): void;
  close(): void;
}

interface Event {
  readonly mutation?: string;
  readonly node?: Row | null;
  readonly previousValues?: Row | null;
}

/** What has changed since the last step. */
interface Batch {
  /** All rows, if the query was read. */
  whole?: Map<string, Row>;
  readonly put: Map<string, Row>;
  readonly gone: Set<string>;
  cursor?: string | undefined;
}

const first = (data: unknown): unknown => Object.values((data ?? {}) as object)[0];
const newBatch = (): Batch => ({ put: new Map(), gone: new Set() });

export function hostSet(definition: Definition, options: HostOptions): Host {
  const { id, query, subscription, variables, key } = definition;
  const { client, store, guard, leader, publish } = options;
  let rows = new Map<string, StoredRow>();
  let loaded = false;
  let cursor: string | undefined;
  let bytes = 0;
  let positions = 0;
  let step = 0;
  let persisted = false;
  let batch: Batch | undefined;
  let saving = false;
  /** A row could not be read: nothing is stored until the query was read again. */
  let incomplete = false;
  let failures = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let connected = false;
  let seen = false;
  let error: GomError | undefined;
  let stream: Stream | undefined;
  let closed = false;

  const status = (): OfflineStatus => {
    if (error) return "closed";
    if (!loaded) return "connecting";
    return connected ? "open" : seen ? "reconnecting" : "stored";
  };
  const common = () => ({ set: id, version: { leader, step }, status: status(), error: error && failureOf(error), persisted });
  const state = (): SetState => ({ type: "state", ...common(), rows: loaded ? Array.from(rows.values(), ({ row }) => row) : undefined });
  const publishStatus = (): void => {
    if (!closed) publish({ type: "change", ...common(), put: [], gone: [] });
  };

  const idOf = (row: Row | null | undefined): string => {
    const found = row?.[key];
    if (found === undefined || found === null) throw new GomError("BAD_SELECTION", `Select ${key} in rows, node and previousValues`);
    return String(found);
  };
  const remove = (name: string): void => {
    bytes -= rows.get(name)?.bytes ?? 0;
    rows.delete(name);
  };
  const set = (name: string, row: Row): StoredRow => {
    const before = rows.get(name);
    const now = { key: name, position: before?.position ?? (positions += 1), bytes: JSON.stringify(row).length, row };
    bytes += now.bytes - (before?.bytes ?? 0);
    rows.set(name, now);
    return now;
  };

  /** Applies what has come to the rows; gives what has to be stored for it. */
  const apply = ({ whole, put, gone, cursor: position }: Batch) => {
    if (whole) {
      rows = new Map();
      bytes = positions = 0;
      for (const [name, row] of whole) set(name, row);
      loaded = true;
    }
    gone.forEach(remove);
    const changed = Array.from(put, ([name, row]) => set(name, row));
    cursor = position ?? cursor;
    return { whole: whole !== undefined, put: whole ? [...rows.values()] : changed, gone: [...gone] };
  };
  const save = async (): Promise<void> => {
    if (saving) return;
    saving = true;
    try {
      while (batch && !closed) {
        const taken = batch;
        batch = undefined;
        const change = apply(taken);
        if (cursor !== undefined && (persisted || change.whole)) persisted = await store.save(leader, { set: id, cursor, bytes, ...change, inUse: options.inUse() });
        if (closed) return;
        if (!guard.still()) return void guard.check().catch(() => undefined);
        step += 1;
        publish(change.whole ? state() : { type: "change", ...common(), put: change.put.map(({ row }) => row), gone: change.gone });
      }
    } catch (reason) {
      if (reason instanceof Superseded) options.superseded();
      else ended(asError(reason));
    } finally {
      saving = false;
    }
  };

  const snapshot = async (signal: AbortSignal): Promise<string> => {
    await guard.check();
    const result = await client.query<unknown, unknown>(query, variables, { signal });
    await guard.check();
    signal.throwIfAborted();
    const list = first(result.data);
    if (!Array.isArray(list)) throw new GomError("BAD_SELECTION", "Select a list first");
    if (result.cursor === undefined) throw new GomError("NETWORK", "No position");
    batch = { ...newBatch(), whole: new Map((list as Row[]).map((row) => [idOf(row), row])), cursor: result.cursor };
    incomplete = false;
    failures = 0;
    clearTimeout(timer);
    void save();
    return result.cursor;
  };
  const readAgain = (): void => {
    incomplete = true;
    clearTimeout(timer);
    timer = setTimeout(() => stream?.refresh(), backoff(failures));
    failures += 1;
  };
  const receive = ({ data, cursor: position, left, errors }: { data: unknown; cursor: string | undefined; left: readonly Left[]; errors?: readonly GraphQLErrorLike[] | undefined }): void => {
    if (!guard.still()) return void guard.check().catch(() => undefined);
    if (incomplete) return;
    // Of a row that could not be read whole, the query says what is to be shown.
    if (errors?.length) return readAgain();
    batch ??= newBatch();
    const event = first(data) as Event | null | undefined;
    const leave = (name: string): void => {
      batch?.put.delete(name);
      batch?.gone.add(name);
    };
    if (event?.mutation === "DELETED") leave(idOf(event.previousValues));
    else if (event?.node) {
      const name = idOf(event.node);
      batch.gone.delete(name);
      batch.put.set(name, event.node);
    }
    for (const each of left) leave(each.id);
    batch.cursor = position ?? batch.cursor;
    void save();
  };
  const ended = (reason: Error = closedError()): void => {
    if (closed || error) return;
    error = asError(reason);
    clearTimeout(timer);
    stream?.close();
    if (endsViewer(error.code)) return options.end(error);
    // What cannot go on from its cursor is read again by the next page; and what may not be read is not shown.
    store.forget(id).catch(() => undefined);
    persisted = false;
    if (error.code === "FORBIDDEN") {
      rows = new Map();
      // Tabs may show stored rows that this one has not.
      loaded = true;
    }
    step += 1;
    publish(state());
  };
  const onStatus = (next: Status): void => {
    connected = next === "open";
    seen ||= connected;
    if (next !== "closed") publishStatus();
  };

  const start = async (): Promise<void> => {
    const found = await store.load(id).catch(() => undefined);
    if (closed) return;
    if (found) {
      rows = new Map(found.rows.map((each) => [each.key, each]));
      for (const each of found.rows) positions = Math.max(positions, each.position);
      for (const each of found.rows) bytes += each.bytes;
      cursor = found.cursor;
      loaded = persisted = true;
    }
    publish(state());
    stream = client.subscribe<unknown, unknown>(subscription, variables, { cursor, leaves: true, resync: snapshot, onResult: receive, onStatus, onEnd: ended });
  };
  void start();

  return {
    state,
    refresh: () => stream?.refresh(),
    close() {
      closed = true;
      clearTimeout(timer);
      stream?.close();
    },
  };
}
