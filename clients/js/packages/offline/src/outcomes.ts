// What has become of writes, for the tab that has queued them, or for another one if that is gone.
import type { Answer } from "@gom/client";
import { closedError, errorOf } from "./errors.js";
import type { Store, StoredOutcome } from "./store.js";
import type { OfflineOptions } from "./types.js";

export interface OutcomesOptions {
  readonly store: Store;
  readonly onOutcome: OfflineOptions["onOutcome"];
  tab(): string | undefined;
  isGone(tab: string): Promise<boolean>;
}

export interface Outcomes {
  /** The answer to a write. */
  expect<Data>(id: string): Promise<Pick<Answer<Data>, "data">>;
  /** The write was not stored. */
  forget(id: string): void;
  /** Reads what is stored and reports what concerns this tab. */
  collect(): void;
  /** Resolves with the next outcome of any tab, and when this tab ends. */
  next(): Promise<void>;
  close(): void;
}

interface Waiting {
  resolve(answer: { data: never }): void;
  reject(error: Error): void;
}

export function createOutcomes({ store, onOutcome, tab, isGone }: OutcomesOptions): Outcomes {
  const waiting = new Map<string, Waiting>();
  let signal = (): void => undefined;
  let upcoming = new Promise<void>((resolve) => (signal = resolve));
  let collecting = false;
  let again = false;
  let closed = false;

  const report = ({ seq: _seq, tab: _tab, ...stored }: StoredOutcome): void => {
    const { kind, write, data, error } = stored;
    const found = waiting.get(write.id);
    waiting.delete(write.id);
    if (kind === "done") found?.resolve({ data: data as never });
    else found?.reject(errorOf(kind === "unknown" ? { code: "OUTCOME_UNKNOWN", message: error?.message ?? "" } : (error ?? { code: "DISCARDED", message: "The write was discarded" })));
    queueMicrotask(() => onOutcome?.({ kind, write, data, error }));
  };
  const collect = async (): Promise<void> => {
    for (const outcome of await store.outcomes()) {
      const own = outcome.tab === tab();
      // A tab that lives reports its own.
      if (!own && !(onOutcome && (await isGone(outcome.tab)))) continue;
      if (closed) return;
      // Only one tab reports it.
      if (await store.take(outcome.seq)) report(outcome);
    }
  };
  return {
    expect<Data>(id: string) {
      const answer = new Promise<Pick<Answer<Data>, "data">>((resolve, reject) => (closed ? reject(closedError()) : waiting.set(id, { resolve, reject })));
      // Who does not wait for it has `onOutcome`.
      answer.catch(() => undefined);
      return answer;
    },
    forget: (id) => void waiting.delete(id),
    collect() {
      if (closed) return;
      const wake = signal;
      upcoming = new Promise<void>((resolve) => (signal = resolve));
      wake();
      again = true;
      if (collecting) return;
      collecting = true;
      void (async () => {
        while (again && !closed) {
          again = false;
          // A database that fails is read again with the next outcome.
          await collect().catch(() => undefined);
        }
        collecting = false;
      })();
    },
    next: () => upcoming,
    close() {
      closed = true;
      signal();
      for (const { reject } of waiting.values()) reject(closedError());
      waiting.clear();
    },
  };
}
