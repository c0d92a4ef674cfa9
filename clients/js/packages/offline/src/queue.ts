// The leader's side of the queue: writes are sent in order, one at a time, each until it has an answer.
import { GomError } from "@gom/client";
import type { Client } from "@gom/client";
import { backoff, pause } from "./backoff.js";
import { Superseded, asError, endsViewer, failureOf } from "./errors.js";
import type { Store, StoredWrite } from "./store.js";
import type { Outcome } from "./types.js";
import type { Guard } from "./viewer.js";

export interface QueueOptions {
  /** It repeats nothing itself. */
  readonly sender: Client;
  readonly store: Store;
  readonly guard: Guard;
  readonly leader: number;
  readonly repeatFor: number;
  readonly stopOnRefusal: boolean;
  /** A write has an outcome. */
  settled(): void;
  end(error: GomError): void;
  superseded(): void;
}

export interface Queue {
  /** A write waits. */
  wake(): void;
  close(): void;
}

/** Without an answer in the server's format, the write may have been carried out, or not have arrived: it is repeated with its key. */
const NO_ANSWER = /^(NETWORK|SERVICE_UNAVAILABLE|TOO_MANY_REQUESTS|DEADLINE_EXCEEDED|OUTCOME_UNKNOWN|EBADCSRFTOKEN|HTTP_\d+)$/;
/** A repetition that is refused with these does not show whether the first request was carried out. */
const UNCERTAIN = /^(LIMIT_EXCEEDED|IDEMPOTENCY_KEY_REUSED|FORBIDDEN)$/;

const codesOf = (error: GomError): string[] => error.details.errors?.map((each) => each.extensions?.code ?? "") ?? [error.code];

export function createQueue({ sender, store, guard, leader, repeatFor, stopOnRefusal, settled, end, superseded }: QueueOptions): Queue {
  const closing = new AbortController();
  const { signal } = closing;
  /** Ends a wait for another write, and that for another attempt. */
  let queued = (): void => undefined;
  let retry = (): void => undefined;
  let news = false;

  const settle = async (write: StoredWrite, outcome: Omit<Outcome, "write">, hold = false): Promise<void> => {
    await store.settle(write, outcome, hold);
    settled();
  };
  /** Whether the server can be reached: a write that was never sent stays one while there is no network, and so does not become one of unknown outcome. */
  const reach = async (): Promise<void> => {
    try {
      await sender.query("{ __typename }", undefined, { signal });
    } catch (error) {
      if (error instanceof GomError && !NO_ANSWER.test(error.code) && !endsViewer(error.code)) return;
      throw error;
    }
  };
  const refused = async (write: StoredWrite, repeated: boolean, error: GomError): Promise<void> => {
    const failure = failureOf(error);
    if (repeated && codesOf(error).some((code) => UNCERTAIN.test(code))) return settle(write, { kind: "unknown", error: failure });
    return settle(write, { kind: "refused", data: error.details.data, error: failure }, stopOnRefusal);
  };
  /** Sends one write; rejects if it has to be sent again. */
  const send = async (write: StoredWrite): Promise<void> => {
    await guard.check();
    const repeated = write.sentAt !== undefined;
    // It may have been discarded.
    if (!(await store.mark(leader, write, write.sentAt ?? Date.now()))) return;
    // Meanwhile another viewer may have logged in. From here on, the client sends it as this one or not at all.
    if (!guard.still()) await guard.check();
    try {
      const { data } = await sender.mutate<unknown, unknown>(write.document, write.variables, { idempotencyKey: write.id, signal });
      await settle(write, { kind: "done", data });
    } catch (error) {
      if (!(error instanceof GomError) || endsViewer(error.code) || codesOf(error).some((code) => NO_ANSWER.test(code))) throw error;
      await refused(write, repeated, error);
    }
  };

  const run = async (): Promise<void> => {
    let reachable = false;
    for (let failures = 0; !signal.aborted; ) {
      let delay: number | undefined;
      try {
        news = false;
        const write = await store.next();
        if (!write || write.refusal) {
          if (!news) await pause(undefined, signal, (wake) => (queued = wake));
          continue;
        }
        // A clock that was put back has lost the time of the first attempt.
        if (write.sentAt !== undefined && Math.abs(Date.now() - write.sentAt) > repeatFor) {
          await settle(write, { kind: "unknown", error: { code: "OUTCOME_UNKNOWN", message: "It was sent, and its key is no longer kept. Read before you write it again" } });
          continue;
        }
        if (!reachable) await reach();
        reachable = true;
        await send(write);
        failures = 0;
        continue;
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Superseded) return superseded();
        const failure = asError(error);
        if (endsViewer(failure.code)) return end(failure);
        reachable = false;
        delay = Math.max(backoff(failures), failure.details.retryAfter ?? 0);
        failures += 1;
      }
      await pause(delay, signal, (wake) => (retry = wake));
    }
  };
  const online = (): void => retry();
  globalThis.addEventListener?.("online", online);
  void run();
  return {
    wake() {
      news = true;
      queued();
    },
    close() {
      closing.abort();
      globalThis.removeEventListener?.("online", online);
    },
  };
}
