import { GomError } from "@gom/client";
import type { Answer, Client, Operation } from "@gom/client";

/** One mutation of a collection. */
export interface Write {
  readonly document: Operation<unknown, never>;
  readonly variables: unknown;
  readonly idempotencyKey: string;
  /** Called when it is sent. */
  readonly sent: () => void;
}

/** Writes that are sent one after the other: each may be repeated, and a repetition must not overtake a later one. */
export interface Queue {
  /** Sends `write` as the viewer of this call, after all before it; not if `earlier`, of the same transaction, is refused. */
  send(write: Write, earlier?: Promise<unknown>): Promise<Answer<unknown>>;
  /** Rejects what waits, and with `sent` what has no answer yet. */
  stop(sent: boolean): void;
}

/** `before`, or the reason of `signal` if that comes first. */
function unless(before: Promise<unknown>, signal: AbortSignal): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const stopped = (): void => reject(signal.reason as Error);
    signal.addEventListener("abort", stopped);
    void before.then(resolve, reject).finally(() => signal.removeEventListener("abort", stopped));
  });
}

export function createQueue(client: Client): Queue {
  let last: Promise<unknown> = Promise.resolve();
  let waiting = new AbortController();
  let running = new AbortController();

  const refuse = (): void => {
    waiting.abort(new GomError("CLOSED", "The collection ended before the write was sent"));
    waiting = new AbortController();
  };
  return {
    send({ document, variables, idempotencyKey, sent }, earlier = last) {
      const turn = unless(earlier, waiting.signal).then(sent);
      // The client does not wait for it if it cannot make a request of the variables.
      turn.catch(() => undefined);
      const answer = client.mutate<unknown, never>(document, variables as never, { idempotencyKey, turn, signal: running.signal });
      answer.catch(({ code }: Partial<GomError>) => {
        // Another viewer is there, to whom what waits does not belong.
        if (code === "UNAUTHENTICATED") refuse();
      });
      // Without the results, which would be kept without end.
      last = Promise.allSettled([last, answer]).then(() => undefined);
      return answer;
    },
    stop(sent) {
      refuse();
      if (!sent) return;
      running.abort(new GomError("OUTCOME_UNKNOWN", "The collection ended before the write was answered"));
      running = new AbortController();
    },
  };
}
