"use client";
import { useCallback, useMemo, useRef, useState } from "react";
import type { Answer, GomError, MutateOptions, Operation } from "@gom/client";
import { useGom } from "./context.js";
import { keyOf } from "./keys.js";

export interface UseMutate<Data, Variables> {
  /**
   * Carries the mutation out, also if the component is unmounted meanwhile. A call with the variables of the last one that failed
   * uses its idempotency key again, so that what the server had carried out is not carried out twice.
   */
  readonly mutate: (variables?: Variables, options?: MutateOptions) => Promise<Answer<Data>>;
  /** Whether a call waits for its answer. */
  readonly pending: boolean;
  /** Why the last call failed. */
  readonly error: Error | undefined;
}

const newKey = (): string => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** A mutation, with the state of its calls. Each call is one write. */
export function useMutate<Data, Variables>(document: Operation<Data, Variables>): UseMutate<Data, Variables> {
  const client = useGom();
  const failed = useRef<{ readonly call: string; readonly idempotencyKey: string } | undefined>(undefined);
  const [state, setState] = useState<{ readonly calls: number; readonly error: Error | undefined }>({ calls: 0, error: undefined });
  const name = keyOf("mutate", [document]);
  const mutate = useCallback(
    async (variables?: Variables, options: MutateOptions = {}) => {
      const call = keyOf(name, [], variables);
      const earlier = failed.current?.call === call ? failed.current.idempotencyKey : undefined;
      const { idempotencyKey = earlier ?? newKey() } = options;
      // One repetition has it; a second one at the same time is another write.
      if (idempotencyKey === earlier) failed.current = undefined;
      setState(({ calls }) => ({ calls: calls + 1, error: undefined }));
      let error: Error | undefined;
      try {
        return await client.mutate(document, variables, { ...options, idempotencyKey });
      } catch (reason) {
        error = reason instanceof Error ? reason : new Error(String(reason));
        // A key that the server has for another request would be refused each time.
        if (idempotencyKey !== false && (reason as Partial<GomError> | null)?.code !== "IDEMPOTENCY_KEY_REUSED") failed.current = { call, idempotencyKey };
        throw reason;
      } finally {
        setState(({ calls }) => ({ calls: calls - 1, error }));
      }
    },
    [client, name],
  );
  return useMemo(() => ({ mutate, pending: state.calls > 0, error: state.error }), [mutate, state]);
}
