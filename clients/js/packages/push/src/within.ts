/** What `task` gives; rejects after `milliseconds`, for what browsers bound by nothing. */
export async function within<Result>(milliseconds: number, task: () => Promise<Result>): Promise<Result> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(reject, milliseconds, `nothing within ${milliseconds / 1_000} s`);
  });
  try {
    return await Promise.race([task(), late]);
  } finally {
    clearTimeout(timer);
  }
}
