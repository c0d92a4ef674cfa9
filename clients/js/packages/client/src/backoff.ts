import type { ReconnectHint } from "./types.js";

/** No wait is longer, unless the server asks for more. */
const LONGEST = 30_000;

/** Milliseconds before attempt `attempt` (from 0): random, so that clients do not return together, and doubled each time. */
export function backoff(attempt: number, hint: ReconnectHint | undefined, random: () => number = Math.random): number {
  const { minMs = 100, maxMs = 1_000 } = hint ?? {};
  const growth = 2 ** Math.min(attempt, 16);
  const ceiling = Math.min(maxMs * growth, Math.max(LONGEST, maxMs));
  const floor = Math.min(minMs * growth, Math.max(minMs, ceiling / 2));
  return floor + random() * (ceiling - floor);
}

/** Resolves after `milliseconds`, and rejects with the signal's reason. */
export function wait(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", abort, { once: true });
  });
}
