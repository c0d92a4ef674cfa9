import { GomError } from "@gom/client";

/** What a browser's profile keeps for the pages and the worker of one origin. */

/** The subscription that was sent to the server last. */
export interface Kept {
  /** The address of `/graphql`, for the worker. */
  readonly endpoint: string;
  /** Who has turned notifications on in this browser. */
  readonly viewer: string;
  readonly subscription: PushSubscriptionJSON;
  /** The server's key for which it was made. */
  readonly key?: string | undefined;
  /** The browser's own subscription, where it is another one: to be removed as well. */
  readonly other?: PushSubscriptionJSON | undefined;
  /**
   * Notifications are off. `ended`: it is to be ended, or has not been confirmed, and the server may have it. `pausing`: the user logs out, and the server may
   * have it until a request has removed it. `paused`: the server has removed it, until the next log-in of the same user.
   */
  readonly off?: "ended" | "pausing" | "paused" | undefined;
}

const DATABASE = "gom-push";
const STORE = "state";

function open(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error as Error);
  });
}

/** Runs `task` in one transaction; what its request gives. */
async function transaction<Value>(mode: IDBTransactionMode, task: (store: IDBObjectStore) => IDBRequest<Value>): Promise<Value> {
  const database = await open();
  try {
    return await new Promise((resolve, reject) => {
      const running = database.transaction(STORE, mode);
      const request = task(running.objectStore(STORE));
      running.oncomplete = () => resolve(request.result);
      running.onabort = () => reject(running.error as Error);
    });
  } finally {
    database.close();
  }
}

export const read = (): Promise<Kept | undefined> => transaction("readonly", (store) => store.get("kept") as IDBRequest<Kept | undefined>);
export const write = (kept: Kept): Promise<unknown> => transaction("readwrite", (store) => store.put(kept, "kept"));
export const remove = (): Promise<unknown> => transaction("readwrite", (store) => store.delete("kept"));

/** Counts one more notification; gives how many there are. */
export async function countUp(): Promise<number> {
  let count = 1;
  await transaction("readwrite", (store) => {
    const request = store.get("badge") as IDBRequest<number | undefined>;
    request.onsuccess = () => {
      count = (request.result ?? 0) + 1;
      store.put(count, "badge");
    };
    return request;
  });
  return count;
}

export const resetCount = (): Promise<unknown> => transaction("readwrite", (store) => store.delete("badge"));

/** Runs `task` while no other page and no worker of this origin changes the subscription. */
export async function exclusive<Result>(task: () => Promise<Result>): Promise<Result> {
  try {
    return (await navigator.locks.request("gom-push", task)) as Result;
  } catch (error) {
    // Of the lock or the database, such as where the user has blocked a site's data.
    throw error instanceof DOMException ? new GomError("STORAGE", `The browser refuses its locks or its database: ${String(error)}`) : error;
  }
}
