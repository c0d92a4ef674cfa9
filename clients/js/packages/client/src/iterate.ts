/** What `subscribe` and `live` return. */
interface Pausable {
  close(): void;
  pause(): void;
  resume(): void;
}

/** The handlers that `iterate` passes to a subscription or live query. */
export interface Handlers<Value> {
  onResult(value: Value): void;
  onEnd(error?: Error): void;
}

/**
 * Results as an async iterable, from the first time that it is asked for one. If more than `buffer` of them wait, receiving stops until they are read, and goes on after the
 * last one, so that a slow reader needs no memory and misses nothing.
 *
 * ```ts
 * for await (const { data } of iterate((handlers) => client.subscribe(document, variables, handlers))) { … }
 * ```
 */
export function iterate<Value>(start: (handlers: Handlers<Value>) => Pausable, buffer = 256): AsyncGenerator<Value, void, void> {
  const waiting: Value[] = [];
  let ended = false;
  let failure: Error | undefined;
  let wake = (): void => undefined;
  async function* read(): AsyncGenerator<Value, void, void> {
    const stream = start({
      onResult(value) {
        waiting.push(value);
        wake();
        // After this event was counted in the stream's cursor.
        if (waiting.length >= buffer) queueMicrotask(() => stream.pause());
      },
      onEnd(error) {
        ended = true;
        failure = error;
        wake();
      },
    });
    try {
      for (;;) {
        while (waiting.length > 0) yield waiting.shift() as Value;
        if (failure) throw failure;
        if (ended) return;
        stream.resume();
        await new Promise<void>((resolve) => {
          wake = resolve;
          if (waiting.length > 0 || ended) resolve();
        });
      }
    } finally {
      stream.close();
    }
  }
  const values = read();
  const finish = values.return.bind(values);
  // A `next` that waits for an event ends as well; otherwise the generator would return only after the event.
  values.return = (value) => {
    ended = true;
    wake();
    return finish(value);
  };
  return values;
}
