// What is stored: the rows of sets with their cursors, writes, and what has become of them.
import { GomError } from "@gom/client";
import type { Row } from "@gom/client";
import { connect, result } from "./database.js";
import { LoggedOut, Superseded } from "./errors.js";
import type { Failure, Outcome, QueuedWrite } from "./types.js";
import type { Owner } from "./viewer.js";

/** A row as it is stored, with its place among the others. */
export interface StoredRow {
  readonly key: string;
  readonly position: number;
  readonly bytes: number;
  readonly row: Row;
}

export interface StoredSet {
  readonly cursor: string;
  /** In order. */
  readonly rows: readonly StoredRow[];
}

/** One step of a set: rows and cursor are stored together or not at all. */
export interface Step {
  readonly set: string;
  readonly cursor: string;
  /** Bytes of all rows after the step. */
  readonly bytes: number;
  /** Whether `put` are all rows. */
  readonly whole: boolean;
  readonly put: readonly StoredRow[];
  readonly gone: readonly string[];
  /** Sets that are in use, which do not give way. */
  readonly inUse: readonly string[];
}

/** A write as it is stored. */
export interface StoredWrite extends QueuedWrite {
  readonly seq: number;
  /** The tab that has queued it. */
  readonly tab: string;
  /** With whose claims it was queued, as a digest: it is sent with no others. */
  readonly viewer: string;
}

/** A write before it is stored. */
export type NewWrite = Omit<StoredWrite, "seq" | "viewer" | "otherClaims">;

export interface StoredOutcome extends Outcome {
  readonly seq: number;
  readonly tab: string;
}

/** The store of one viewer. No rows of another viewer come out of it, and no writes of another user; nor is one sent that the user has queued with other claims. */
export interface Store {
  /** Makes the viewer the owner of the rows; those of another are removed. Rejects with `LoggedOut` if the session has ended. */
  adopt(): Promise<void>;
  /** Makes this tab the leader: what earlier leaders store from now on is refused. Returns the leader's number. */
  lead(): Promise<number>;
  load(set: string): Promise<StoredSet | undefined>;
  /** `false`: it does not fit; the set is not stored any more. Rejects with `Superseded`. */
  save(leader: number, step: Step): Promise<boolean>;
  forget(set: string): Promise<void>;
  /** Removes the viewer's rows. `loggedOut`: the session that has ended, which cannot become the owner again. */
  wipe(loggedOut?: string): Promise<void>;
  /** The server has closed that session: the cookies of one that is opened within the same second may be equal. */
  allow(): Promise<void>;
  enqueue(write: NewWrite): Promise<void>;
  /** The user's, with any claims. */
  writes(): Promise<readonly StoredWrite[]>;
  /** The first of this viewer. */
  next(): Promise<StoredWrite | undefined>;
  /** Keeps why the last attempt has failed. */
  note(write: StoredWrite, lastError: Failure): Promise<void>;
  /** Stores when a write was first sent; `false` if it waits no more. Rejects with `Superseded`. */
  mark(leader: number, write: StoredWrite, sentAt: number): Promise<boolean>;
  /** Removes a write and keeps what has become of it, in one step; `false` if it is not there any more. `hold`: a refused write stays, and holds up the others. */
  settle(write: StoredWrite, outcome: Omit<Outcome, "write">, hold?: boolean): Promise<boolean>;
  /** Removes the user's writes, and what has become of earlier ones. */
  discardAll(): Promise<void>;
  outcomes(): Promise<readonly StoredOutcome[]>;
  /** Removes an outcome; whether it was there: one tab only takes it. */
  take(seq: number): Promise<boolean>;
  close(): void;
}

export interface Limits {
  readonly maxSets: number;
  readonly maxBytes: number;
  readonly keepFor: number;
  readonly maxWrites: number;
}

/** Writes of viewers who do not come back, and outcomes that nobody takes, are removed after this time. Milliseconds. */
const HELD_FOR = 7 * 86_400_000;
/** The most outcomes that wait for a tab. */
const MAX_OUTCOMES = 1_000;
/** Of a larger answer only the outcome is stored. Characters. */
const MAX_ANSWER = 65_536;
/** The server accepts no larger request (`limits.body_bytes`). */
const MAX_WRITE = 1_048_576;

interface SetRecord {
  readonly id: string;
  readonly cursor: string;
  readonly bytes: number;
  readonly savedAt: number;
}

export const queueFull = (limit: number): GomError => new GomError("QUEUE_FULL", `${limit} writes wait; send or discard some first (maxWrites)`);

export function checkSize({ id, document, variables }: NewWrite): void {
  // As the client sends it.
  const size = new TextEncoder().encode(JSON.stringify({ query: document, variables, extensions: { idempotencyKey: id } })).length;
  if (size > MAX_WRITE) throw new GomError("QUEUE_FULL", `The write has ${size} bytes; the limit is ${MAX_WRITE}`);
}

/** A write as applications see it. */
export const publicWrite = ({ id, document, variables, queuedAt, sentAt, refusal, lastError, viewer }: StoredWrite, reader = viewer): QueuedWrite => ({
  id,
  document,
  variables,
  queuedAt,
  sentAt,
  refusal,
  lastError,
  otherClaims: viewer !== reader,
});

/** An outcome whose answer is small enough to be kept. */
export function kept(outcome: Omit<Outcome, "write">): Omit<Outcome, "write"> {
  return (JSON.stringify(outcome.data) ?? "").length > MAX_ANSWER ? { ...outcome, data: undefined } : outcome;
}

/** The owner's part of a database. `lost` is called if it cannot be used any more. */
export async function openStore(name: string, { viewer, user, session }: Owner, limits: Limits, lost: () => void = () => undefined): Promise<Store> {
  const database = await connect(name, lost);
  const rowsOf = (set: string): IDBKeyRange => IDBKeyRange.bound([set], [set, []]);
  const own = IDBKeyRange.bound([user], [user, []]);
  const ownClaims = IDBKeyRange.bound([viewer], [viewer, []]);
  const write = <T>(work: (transaction: IDBTransaction) => Promise<T>, durability: IDBTransactionDurability = "relaxed"): Promise<T> =>
    database.transact("readwrite", durability, work);
  const read = <T>(work: (transaction: IDBTransaction) => Promise<T>): Promise<T> => database.transact("readonly", "default", work);
  const owner = (transaction: IDBTransaction): Promise<unknown> => result(transaction.objectStore("owner").get("viewer") as IDBRequest<unknown>);
  const leading = async (transaction: IDBTransaction, leader: number): Promise<void> => {
    if ((await result(transaction.objectStore("owner").get(`leader ${viewer}`) as IDBRequest<unknown>)) !== leader) throw new Superseded();
  };
  const removeSet = (transaction: IDBTransaction, set: string): void => {
    transaction.objectStore("sets").delete(set);
    transaction.objectStore("rows").delete(rowsOf(set));
  };
  const clear = (transaction: IDBTransaction): void => {
    transaction.objectStore("sets").clear();
    transaction.objectStore("rows").clear();
    transaction.objectStore("owner").delete("viewer");
  };
  /** For writes: they are on the disk when it resolves, for power may fail then; and rows give way to them. */
  const urgent = async <T>(work: (transaction: IDBTransaction) => Promise<T>): Promise<T> => {
    try {
      return await write(work, "strict");
    } catch (error) {
      if ((error as Error | undefined)?.name !== "QuotaExceededError") throw error;
      await write(async (transaction) => {
        transaction.objectStore("sets").clear();
        transaction.objectStore("rows").clear();
      });
      return write(work, "strict");
    }
  };
  /** Removes sets that are not in use, the oldest first, until `step` fits; `false` if it does not. */
  const makeRoom = async (transaction: IDBTransaction, step: Step): Promise<boolean> => {
    const all = await result(transaction.objectStore("sets").getAll() as IDBRequest<SetRecord[]>);
    const others = all.filter(({ id }) => id !== step.set).sort((left, right) => left.savedAt - right.savedAt);
    let bytes = others.reduce((sum, each) => sum + each.bytes, step.bytes);
    let count = others.length + 1;
    for (const each of others) {
      if (bytes <= limits.maxBytes && count <= limits.maxSets) break;
      if (step.inUse.includes(each.id)) continue;
      removeSet(transaction, each.id);
      bytes -= each.bytes;
      count -= 1;
    }
    return bytes <= limits.maxBytes && count <= limits.maxSets;
  };
  /** Removes what has been there too long; a write of this user stays. */
  const removeOld = (index: IDBIndex, always: boolean): void => {
    const request = index.openCursor(IDBKeyRange.upperBound(Date.now() - HELD_FOR));
    request.onsuccess = () => {
      const cursor = request.result;
      if (cursor && (always || (cursor.value as { user: string }).user !== user)) cursor.delete();
      cursor?.continue();
    };
  };

  return {
    adopt: () =>
      write(async (transaction) => {
        const mark = await result(transaction.objectStore("owner").get("logged out") as IDBRequest<unknown>);
        if (session !== undefined && mark === session) throw new LoggedOut();
        if ((await owner(transaction)) !== viewer) clear(transaction);
        transaction.objectStore("owner").put(viewer, "viewer");
        // Nobody is no other user: whose the writes are may come back.
        if (!user) return;
        removeOld(transaction.objectStore("outcomes").index("settledAt"), true);
        removeOld(transaction.objectStore("writes").index("queuedAt"), false);
      }),
    lead: () =>
      urgent(async (transaction) => {
        const store = transaction.objectStore("owner");
        const leader = (((await result(store.get(`leader ${viewer}`) as IDBRequest<unknown>)) as number | undefined) ?? 0) + 1;
        store.put(leader, `leader ${viewer}`);
        return leader;
      }),
    load: (set) =>
      read(async (transaction) => {
        if ((await owner(transaction)) !== viewer) return undefined;
        const record = await result(transaction.objectStore("sets").get(set) as IDBRequest<SetRecord | undefined>);
        if (!record || Math.abs(Date.now() - record.savedAt) > limits.keepFor) return undefined;
        const rows = await result(transaction.objectStore("rows").getAll(rowsOf(set)) as IDBRequest<StoredRow[]>);
        return { cursor: record.cursor, rows: rows.sort((left, right) => left.position - right.position) };
      }),
    save: async (leader, step) => {
      try {
        return await write(async (transaction) => {
          await leading(transaction, leader);
          // Another tab's viewer owns the rows now.
          if ((await owner(transaction)) !== viewer) return false;
          if (!(await makeRoom(transaction, step))) {
            removeSet(transaction, step.set);
            return false;
          }
          const rows = transaction.objectStore("rows");
          if (step.whole) rows.delete(rowsOf(step.set));
          // A set that has made room for another one is stored whole again by its next snapshot.
          else if (!(await result(transaction.objectStore("sets").getKey(step.set)))) return false;
          for (const key of step.gone) rows.delete([step.set, key]);
          for (const each of step.put) rows.put({ set: step.set, ...each });
          const record: SetRecord = { id: step.set, cursor: step.cursor, bytes: step.bytes, savedAt: Date.now() };
          transaction.objectStore("sets").put(record);
          return true;
        });
      } catch (error) {
        if (error instanceof Superseded) throw error;
        // The disk is full, or the browser has closed the database. What was stored before is still a state of its own cursor.
        return false;
      }
    },
    forget: (set) => write(async (transaction) => ((await owner(transaction)) === viewer ? removeSet(transaction, set) : undefined)),
    wipe: (loggedOut) =>
      write(async (transaction) => {
        if ((await owner(transaction)) === viewer) clear(transaction);
        if (loggedOut !== undefined) transaction.objectStore("owner").put(loggedOut, "logged out");
      }),
    allow: () => write(async (transaction) => void transaction.objectStore("owner").delete("logged out")),
    enqueue: async (queued) => {
      checkSize(queued);
      await urgent(async (transaction) => {
        const writes = transaction.objectStore("writes");
        if ((await result(writes.index("user").count(own))) >= limits.maxWrites) throw queueFull(limits.maxWrites);
        writes.add({ ...queued, user, viewer });
      });
    },
    writes: () => read((transaction) => result(transaction.objectStore("writes").index("user").getAll(own) as IDBRequest<StoredWrite[]>)),
    next: () => read((transaction) => result(transaction.objectStore("writes").index("viewer").get(ownClaims) as IDBRequest<StoredWrite | undefined>)),
    note: ({ seq }, lastError) =>
      write(async (transaction) => {
        const writes = transaction.objectStore("writes");
        const found = await result(writes.get(seq) as IDBRequest<StoredWrite | undefined>);
        if (found) writes.put({ ...found, lastError });
      }),
    mark: (leader, { seq }, sentAt) =>
      urgent(async (transaction) => {
        await leading(transaction, leader);
        const writes = transaction.objectStore("writes");
        const found = await result(writes.get(seq) as IDBRequest<StoredWrite | undefined>);
        if (found) writes.put({ ...found, sentAt });
        return found !== undefined;
      }),
    settle: ({ seq }, outcome, hold) =>
      urgent(async (transaction) => {
        const writes = transaction.objectStore("writes");
        const found = await result(writes.get(seq) as IDBRequest<StoredWrite | undefined>);
        if (!found) return false;
        if (hold) writes.put({ ...found, refusal: outcome.error });
        else writes.delete(seq);
        const outcomes = transaction.objectStore("outcomes");
        const count = await result(outcomes.index("user").count(own));
        if (count >= MAX_OUTCOMES) {
          const oldest = await result(outcomes.index("user").getKey(own));
          if (oldest !== undefined) outcomes.delete(oldest);
        }
        outcomes.put({ seq, tab: found.tab, user, viewer: found.viewer, settledAt: Date.now(), write: publicWrite(found, viewer), ...kept(outcome) });
        return true;
      }),
    discardAll: () =>
      write(async (transaction) => {
        for (const name of ["writes", "outcomes"]) {
          const store = transaction.objectStore(name);
          for (const key of await result(store.index("user").getAllKeys(own))) store.delete(key);
        }
      }),
    outcomes: () =>
      read(async (transaction) => {
        const all = await result(transaction.objectStore("outcomes").index("user").getAll(own) as IDBRequest<(StoredOutcome & { readonly viewer: string })[]>);
        // What a write has returned is for the claims that it was sent with.
        return all.map(({ viewer: of, ...each }) => (of === viewer ? each : { ...each, data: undefined }));
      }),
    take: (seq) =>
      write(async (transaction) => {
        const outcomes = transaction.objectStore("outcomes");
        if (!(await result(outcomes.getKey(seq)))) return false;
        outcomes.delete(seq);
        return true;
      }),
    close: () => database.close(),
  };
}
