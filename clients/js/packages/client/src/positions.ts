import type { Client } from "./client.js";
import { GomError } from "./errors.js";

/** What lets queries include own mutations, on any server. Positions cannot be compared. */
export interface Positions {
  /** Called when a mutation is sent; returns what takes its position. */
  write(): (position: string | undefined) => void;
  /** Calls `read` with a position such that its result includes every own mutation that was answered before. */
  include<Result>(read: (after: string | undefined) => Promise<Result>, signal: AbortSignal): Promise<Result>;
}

/** Of another history, or so old that every state includes it; or one that this server cannot open. */
const isOver = (error: unknown): boolean => error instanceof GomError && /^(RESYNC_REQUIRED|BAD_USER_INPUT)$/.test(error.code);

/** For adapters: the positions of the mutations that they send through `client`. */
export function createPositions(client: Client): Positions {
  /** Those of mutations that were in flight at the same time; each later one includes all that were answered before it was sent. */
  const latest = new Set<string>();
  return {
    write() {
      const earlier = [...latest];
      return (position) => {
        if (!position) return;
        for (const each of earlier) latest.delete(each);
        latest.add(position);
      };
    },
    async include(read, signal) {
      const [last, ...others] = [...latest].reverse();
      for (const each of others) {
        try {
          await client.query("{ __typename }", undefined, { after: each, signal });
        } catch (error) {
          if (!isOver(error)) throw error;
        }
        // Reached once, every later read includes it.
        latest.delete(each);
      }
      try {
        return await read(last);
      } catch (error) {
        if (last === undefined || !isOver(error)) throw error;
        const result = await read(undefined);
        // By now it was the position, and not what the caller has passed.
        latest.delete(last);
        return result;
      }
    },
  };
}
