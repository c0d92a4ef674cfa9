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

/** Resolves after `milliseconds`, and rejects with the reason of `signal`, which has to end soon after. */
export function wait(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    });
  });
}

/** Runs `task` with a controller whose signal ends with each of `signals`, and with the task. `AbortSignal.any` is missing in Node.js 20.0. */
export async function during<Result>(signals: readonly (AbortSignal | undefined)[], task: (own: AbortController) => Promise<Result>): Promise<Result> {
  const own = new AbortController();
  for (const each of signals) {
    if (each?.aborted) own.abort(each.reason);
    each?.addEventListener("abort", () => own.abort(each.reason), { signal: own.signal });
  }
  try {
    return await task(own);
  } finally {
    own.abort();
  }
}
