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
/** The server has looked up the key, found nothing, and carried the request out: a repetition that is refused otherwise (validation, rights, a limit) does not show what has become of the first request. */
const AFTER_KEY = /^(GRAPHQL_EXECUTION_ERROR|RAISE_EXCEPTION|CHECK_VIOLATION)$/;
/** The server, or something before it, refuses this write, while it answers others. */
const OF_THIS_WRITE = /^(DEADLINE_EXCEEDED|EBADCSRFTOKEN|HTTP_4(?!08|25)\d\d)$/;
/** A write that is refused so that often is given up, about a minute after the first time: those behind it wait. */
const ATTEMPTS = 8;

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
    if (repeated && !codesOf(error).every((code) => AFTER_KEY.test(code))) return settle(write, { kind: "unknown", error: failure });
    return settle(write, { kind: "refused", data: error.details.data, error: failure }, stopOnRefusal);
  };
  const forgotten = (write: StoredWrite): Promise<void> =>
    settle(write, { kind: "unknown", error: { code: "OUTCOME_UNKNOWN", message: "It was sent, and its key is no longer kept. Read before you write it again" } });
  // A clock that was put back has lost the time of the first attempt.
  const mayBeForgotten = ({ sentAt }: StoredWrite): boolean => sentAt !== undefined && Math.abs(Date.now() - sentAt) > repeatFor;
  /** Sends one write; rejects if it has to be sent again. */
  const send = async (write: StoredWrite): Promise<void> => {
    await guard.check();
    const repeated = write.sentAt !== undefined;
    // It may have been discarded.
    if (!(await store.mark(leader, write, write.sentAt ?? Date.now()))) return;
    // Meanwhile another viewer may have logged in. From here on, the client sends it as this one or not at all.
    if (!guard.still()) await guard.check();
    // Or the page was suspended for days.
    if (mayBeForgotten(write)) return forgotten(write);
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
    /** How often the write `given` was refused without an answer. */
    let given: string | undefined;
    let refusals = 0;
    for (let failures = 0; !signal.aborted; ) {
      let delay: number | undefined;
      let write: StoredWrite | undefined;
      try {
        news = false;
        write = await store.next();
        if (!write || write.refusal) {
          if (!news) await pause(undefined, signal, (wake) => (queued = wake));
          continue;
        }
        if (mayBeForgotten(write)) {
          await forgotten(write);
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
        if (write) {
          const last = failureOf(failure);
          // Only where the server has just answered something else.
          if (reachable && OF_THIS_WRITE.test(failure.code)) {
            refusals = given === write.id ? refusals + 1 : 1;
            given = write.id;
          }
          const done = given === write.id && refusals >= ATTEMPTS ? settle(write, { kind: "unknown", error: last }) : write.lastError?.code !== last.code && store.note(write, last);
          await Promise.resolve(done).catch(() => undefined);
        }
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
