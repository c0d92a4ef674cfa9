// IndexedDB as promises.

/** A store of this version; another version's rows are thrown away, and its writes kept. */
const VERSION = 1;
/** A database that has not opened after this time is not used. Milliseconds. */
const TIMEOUT = 5_000;

export const STORES = ["owner", "sets", "rows", "writes", "outcomes"] as const;

export const result = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error as Error);
  });

function upgrade(database: IDBDatabase): void {
  // Rows can be read again.
  for (const name of ["owner", "sets", "rows"]) if (database.objectStoreNames.contains(name)) database.deleteObjectStore(name);
  database.createObjectStore("owner");
  database.createObjectStore("sets", { keyPath: "id" });
  database.createObjectStore("rows", { keyPath: ["set", "key"] });
  if (!database.objectStoreNames.contains("writes")) {
    const writes = database.createObjectStore("writes", { keyPath: "seq", autoIncrement: true });
    writes.createIndex("user", ["user", "seq"]);
    writes.createIndex("viewer", ["viewer", "seq"]);
    writes.createIndex("queuedAt", "queuedAt");
    const outcomes = database.createObjectStore("outcomes", { keyPath: "seq" });
    outcomes.createIndex("user", ["user", "seq"]);
    outcomes.createIndex("settledAt", "settledAt");
  }
}

/** Opens the database; rejects if there is none here, if a newer program has made it, or if it does not open in time. */
function openDatabase(name: string): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(name, VERSION);
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      reject(new Error("The database does not open"));
    }, TIMEOUT);
    request.onupgradeneeded = () => upgrade(request.result);
    request.onerror = () => {
      clearTimeout(timer);
      reject(request.error as Error);
    };
    request.onsuccess = () => {
      clearTimeout(timer);
      const database = request.result;
      if (late) database.close();
      resolve(database);
    };
  });
}

/** Runs `work` in `transaction`, which is undone if it rejects. Resolves when everything is stored. */
function complete<T>(transaction: IDBTransaction, work: (transaction: IDBTransaction) => Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    let value: T;
    let failure: unknown;
    transaction.oncomplete = () => resolve(value);
    transaction.onabort = () => reject((failure ?? transaction.error ?? new Error("The transaction was undone")) as Error);
    work(transaction).then(
      (given) => (value = given),
      (error: unknown) => {
        // An error of a request has undone it already, and is reported by `onabort`.
        failure = transaction.error ?? error;
        try {
          transaction.abort();
        } catch {
          reject(failure as Error);
        }
      },
    );
  });
}

/** A database that is opened again when the browser has closed it. */
export interface Connection {
  /** Runs `work` in one transaction, which is undone if it rejects. Resolves when everything is stored. */
  transact<T>(mode: IDBTransactionMode, durability: IDBTransactionDurability, work: (transaction: IDBTransaction) => Promise<T>): Promise<T>;
  close(): void;
}

/** `lost` is called once if the browser has closed it and it does not open again, as when a newer program has it. */
export async function connect(name: string, lost: () => void): Promise<Connection> {
  let closed = false;
  let current = openDatabase(name);
  let live: IDBDatabase | undefined;
  const reopen = (): Promise<IDBDatabase> => {
    live = undefined;
    const opening = openDatabase(name);
    opening.then(watch, () => {
      if (!closed) lost();
      closed = true;
    });
    return (current = opening);
  };
  const watch = (database: IDBDatabase): void => {
    const again = (): void => {
      if (!closed && live === database) void reopen();
    };
    if (closed) return database.close();
    live = database;
    database.onclose = again;
    // A newer program in another tab must not wait for this one.
    database.onversionchange = () => {
      database.close();
      again();
    };
  };
  watch(await current);
  const begin = async (...[mode, durability]: [IDBTransactionMode, IDBTransactionDurability]): Promise<IDBTransaction> => {
    const opened = current;
    const database = await opened;
    if (closed) throw new Error("The database was closed");
    try {
      return database.transaction(STORES, mode, { durability });
    } catch (error) {
      if ((error as Error).name !== "InvalidStateError") throw error;
      // The browser has closed it, and `onclose` is still to come.
      return (await (current === opened ? reopen() : current)).transaction(STORES, mode, { durability });
    }
  };
  return {
    transact: async (mode, durability, work) => complete(await begin(mode, durability), work),
    close() {
      closed = true;
      current.then((database) => database.close(), () => undefined);
    },
  };
}
