/** What `task` gives; rejects after `milliseconds`, for what browsers bound by nothing. The signal is aborted when either has happened. */
export async function within<Result>(milliseconds: number, task: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
  const own = new AbortController();
  const timer = setTimeout(() => own.abort(new Error(`nothing within ${milliseconds / 1_000} s`)), milliseconds);
  const late = new Promise<never>((_, reject) => {
    own.signal.addEventListener("abort", () => reject(own.signal.reason as Error));
  });
  try {
    return await Promise.race([task(own.signal), late]);
  } finally {
    clearTimeout(timer);
    own.abort();
  }
}
