/** No wait is longer, unless the server asks for more. */
const LONGEST = 30_000;

/** Milliseconds before attempt `attempt` (from 0) is repeated: random, so that clients do not return together, and doubled each time. */
export function backoff(attempt: number, random: () => number = Math.random): number {
  const ceiling = Math.min(500 * 2 ** Math.min(attempt, 16), LONGEST);
  return ceiling / 2 + (random() * ceiling) / 2;
}

/** Resolves after `milliseconds`, when `wake` is called, or when `signal` ends. */
export function pause(milliseconds: number | undefined, signal: AbortSignal, onWake: (wake: () => void) => void): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = milliseconds === undefined ? undefined : setTimeout(done, milliseconds);
    signal.addEventListener("abort", done);
    onWake(done);
    if (signal.aborted) done();
  });
}
