/** A write from the moment at which it is sent until the collection shows it. */
export interface Trace {
  /**
   * To be called with the answer. Resolves when the rows show the write (`done`), or a later one of its row. If they do not soon, with a
   * snapshot that is read after this call: the write may have left no trace in the set.
   */
  shown(done: () => boolean): Promise<void>;
  /** Ends it, if it was refused. */
  drop(): void;
}

interface Entry {
  readonly id: string;
  /** The row as an earlier write has left it, in which this one cannot be seen yet, though it may look so: a value that was set back. */
  stale: unknown;
  done?: () => boolean;
  resolve?: () => void;
  timer?: ReturnType<typeof setTimeout>;
  late: boolean;
}

/** An event follows the answer to its mutation within milliseconds; after this the query is read again. Milliseconds. */
const GRACE = 1_000;
/** Every row is another one, also an absent one (`undefined`). */
const NONE = Symbol();

/** `late` is called for a write that only a new snapshot can show. */
export function createTraces(rowOf: (id: string) => unknown, late: () => void) {
  /** In the order in which they were sent. */
  const byRow = new Map<string, Entry[]>();

  const finish = (entry: Entry): void => {
    clearTimeout(entry.timer);
    const others = (byRow.get(entry.id) ?? []).filter((each) => each !== entry);
    if (others.length > 0) byRow.set(entry.id, others);
    else byRow.delete(entry.id);
    entry.resolve?.();
  };
  const check = (): void => {
    for (const [id, entries] of [...byRow]) {
      const row = rowOf(id);
      const text = JSON.stringify(row);
      const shows = ({ stale, done }: Entry): boolean => (stale === NONE || (stale !== row && JSON.stringify(stale) !== text)) && done?.() === true;
      // A row that shows a later write has had the earlier ones. But of two writes with another between them, it may show the first.
      const first = entries.findIndex(shows);
      if (first < 0) continue;
      const next = entries.findIndex((entry, at) => at > first && !shows(entry));
      const end = next < 0 ? entries.length : next;
      for (const entry of entries.slice(0, end)) finish(entry);
      for (const entry of entries.slice(end)) entry.stale = row;
    }
  };
  return {
    check,
    finish,
    add(id: string): Trace {
      const entries = byRow.get(id) ?? [];
      const entry: Entry = { id, stale: entries.length > 0 ? rowOf(id) : NONE, late: false };
      byRow.set(id, [...entries, entry]);
      return {
        shown: (done) =>
          new Promise((resolve) => {
            // The collection has ended meanwhile.
            if (!byRow.get(id)?.includes(entry)) return resolve();
            Object.assign(entry, { done, resolve });
            entry.timer = setTimeout(() => {
              entry.late = true;
              late();
            }, GRACE);
            check();
          }),
        drop: () => finish(entry),
      };
    },
    /** Those with an answer. */
    answered: (): Entry[] => [...byRow.values()].flat().filter(({ done }) => done),
    /** Ends all: what was written is written. */
    clear(): void {
      for (const entry of [...byRow.values()].flat()) finish(entry);
    },
  };
}
