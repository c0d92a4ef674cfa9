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
    writes.createIndex("queuedAt", "queuedAt");
    const outcomes = database.createObjectStore("outcomes", { keyPath: "seq" });
    outcomes.createIndex("user", ["user", "seq"]);
    outcomes.createIndex("settledAt", "settledAt");
  }
}

/** Opens the database; rejects if there is none here, if a newer program has made it, or if it does not open in time. */
export function openDatabase(name: string): Promise<IDBDatabase> {
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
      // A newer program in another tab must not wait for this one.
      database.onversionchange = () => database.close();
      if (late) database.close();
      resolve(database);
    };
  });
}

/** Runs `work` in one transaction, which is undone if it rejects. Resolves when everything is stored. */
export function transact<T>(database: IDBDatabase, mode: IDBTransactionMode, durability: IDBTransactionDurability, work: (transaction: IDBTransaction) => Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const transaction = database.transaction(STORES, mode, { durability });
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
