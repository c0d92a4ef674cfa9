"use client";
import { useCallback, useMemo, useRef, useState } from "react";
import type { Answer, Client, GomError, MutateOptions, Operation } from "@gom/client";
import { useGom } from "./context.js";
import { keyOf } from "./keys.js";

export interface UseMutate<Data, Variables> {
  /**
   * Carries the mutation out, also if the component is unmounted meanwhile. If its outcome is unknown, the next call with equal variables
   * within five minutes uses its idempotency key again, so that what the server had carried out is not carried out twice.
   */
  readonly mutate: (variables?: Variables, options?: MutateOptions) => Promise<Answer<Data>>;
  /** Whether a call waits for its answer. */
  readonly pending: boolean;
  /** Why the last call failed. */
  readonly error: Error | undefined;
}

const newKey = (): string => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** The failures after which the server may have carried the write out, or will carry it out later. */
const UNDECIDED = /^(NETWORK|OUTCOME_UNKNOWN|DEADLINE_EXCEEDED|TOO_MANY_REQUESTS|SERVICE_UNAVAILABLE)$/;

function undecided(error: unknown, signal: AbortSignal | undefined): boolean {
  const { code = "", details } = (error ?? {}) as Partial<GomError>;
  const codes = details?.errors?.map(({ extensions }) => extensions?.code ?? "") ?? [code];
  return signal?.aborted === true || codes.some((each) => UNDECIDED.test(each));
}

/** A later call with equal variables is a write of its own, not a repetition. Milliseconds. */
const REPETITION = 5 * 60_000;
/** A hook remembers no more calls. */
const REMEMBERED = 100;

/** The keys of the calls of `client` whose outcome is unknown. */
function createFailed(client: Client) {
  const calls = new Map<string, { readonly idempotencyKey: string; readonly until: number }>();
  return {
    client,
    find(call: string): string | undefined {
      const found = calls.get(call);
      return found && Date.now() < found.until ? found.idempotencyKey : undefined;
    },
    forget: (call: string): boolean => calls.delete(call),
    keep(call: string, idempotencyKey: string): void {
      // The newest comes last.
      calls.delete(call);
      calls.set(call, { idempotencyKey, until: Date.now() + REPETITION });
      for (const oldest of calls.keys()) if (calls.size > REMEMBERED) calls.delete(oldest);
    },
  };
}

/** A mutation, with the state of its calls. Each call is one write. */
export function useMutate<Data, Variables>(document: Operation<Data, Variables>): UseMutate<Data, Variables> {
  const client = useGom();
  const kept = useRef<ReturnType<typeof createFailed> | undefined>(undefined);
  const [state, setState] = useState<{ readonly calls: number; readonly error: Error | undefined }>({ calls: 0, error: undefined });
  const name = keyOf("mutate", [document]);
  const mutate = useCallback(
    async (variables?: Variables, options: MutateOptions = {}) => {
      const call = keyOf(name, [], variables);
      // Another client is another viewer's.
      const failed = kept.current?.client === client ? kept.current : (kept.current = createFailed(client));
      const earlier = failed.find(call);
      const { idempotencyKey = earlier ?? newKey() } = options;
      // One repetition has it; a second one at the same time is another write.
      if (idempotencyKey === earlier) failed.forget(call);
      setState(({ calls }) => ({ calls: calls + 1, error: undefined }));
      let error: Error | undefined;
      try {
        const answer = await client.mutate(document, variables, { ...options, idempotencyKey });
        failed.forget(call);
        return answer;
      } catch (reason) {
        error = reason instanceof Error ? reason : new Error(String(reason));
        // What was refused is another write next time.
        if (idempotencyKey !== false && undecided(reason, options.signal)) failed.keep(call, idempotencyKey);
        throw reason;
      } finally {
        setState(({ calls }) => ({ calls: calls - 1, error }));
      }
    },
    [client, name],
  );
  return useMemo(() => ({ mutate, pending: state.calls > 0, error: state.error }), [mutate, state]);
}
