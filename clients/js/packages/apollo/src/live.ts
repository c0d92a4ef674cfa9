import type { OperationVariables } from "@apollo/client";
import type { Client, GraphQLErrorLike } from "@gom/client";
import { applyPatch } from "@gom/client/patch";

export interface LiveResult {
  readonly data: unknown;
  readonly errors?: readonly GraphQLErrorLike[] | undefined;
}

export interface LiveObserver {
  next(result: LiveResult): void;
  end(error?: Error): void;
}

/** Observes a live query; returns what ends that. */
export type Observe = (document: string, variables: OperationVariables, observer: LiveObserver) => () => void;

/** One stream for equal live queries, since each `refetch` and each component is an execution that ends with its component. It ends with its last observer. */
export function shareLive(client: Client): Observe {
  const streams = new Map<string, (observer: LiveObserver) => (() => void) | undefined>();

  return (document, variables, observer) => {
    const key = JSON.stringify([document, variables]);
    const joined = streams.get(key)?.(observer);
    if (joined) return joined;
    const observers = new Set<LiveObserver>();
    let last: LiveResult | undefined;
    const forget = (): void => {
      if (streams.get(key) === join) streams.delete(key);
    };
    const join = (next: LiveObserver): (() => void) | undefined => {
      // It reports its end later than it has ended.
      if (stream.status === "closed") return undefined;
      observers.add(next);
      if (last) next.next(last);
      return () => {
        if (!observers.delete(next) || observers.size > 0) return;
        forget();
        stream.close();
      };
    };
    const stream = client.live(document, variables, {
      patch: applyPatch,
      onResult(result) {
        last = result;
        for (const each of [...observers]) each.next(result);
      },
      onEnd(error) {
        forget();
        const rest = [...observers];
        observers.clear();
        for (const each of rest) each.end(error);
      },
    });
    streams.set(key, join);
    return join(observer) as () => void;
  };
}
