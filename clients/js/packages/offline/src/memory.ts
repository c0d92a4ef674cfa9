// What takes the store's place where nothing can be stored: a queue in memory, of this tab alone.
import { checkSize, kept, publicWrite, queueFull } from "./store.js";
import type { Limits, Store, StoredOutcome, StoredWrite } from "./store.js";

export function openMemory({ maxWrites }: Limits): Store {
  const writes = new Map<number, StoredWrite>();
  const outcomes = new Map<number, StoredOutcome>();
  let last = 0;
  return {
    adopt: async () => undefined,
    lead: async () => 0,
    load: async () => undefined,
    save: async () => false,
    forget: async () => undefined,
    wipe: async () => undefined,
    allow: async () => undefined,
    note: async ({ seq }, lastError) => {
      const found = writes.get(seq);
      if (found) writes.set(seq, { ...found, lastError });
    },
    async enqueue(write) {
      checkSize(write);
      if (writes.size >= maxWrites) throw queueFull(maxWrites);
      writes.set((last += 1), { ...write, seq: last, viewer: "" });
    },
    writes: async () => [...writes.values()],
    next: async () => writes.values().next().value,
    async mark(_leader, { seq }, sentAt) {
      const found = writes.get(seq);
      if (found) writes.set(seq, { ...found, sentAt });
      return found !== undefined;
    },
    async settle({ seq }, outcome, hold) {
      const found = writes.get(seq);
      if (!found) return false;
      if (hold) writes.set(seq, { ...found, refusal: outcome.error });
      else writes.delete(seq);
      outcomes.set(seq, { seq, tab: found.tab, write: publicWrite(found), ...kept(outcome) });
      return true;
    },
    async discardAll() {
      writes.clear();
      outcomes.clear();
    },
    outcomes: async () => [...outcomes.values()],
    take: async (seq) => outcomes.delete(seq),
    close: () => undefined,
  };
}
