import { makeErrorResult, makeOperation, makeResult, stringifyDocument } from "@urql/core";
import type { Exchange, ExecutionResult, Operation, OperationResult } from "@urql/core";
import type { Answer, Client } from "@gom/client";
import { createPositions } from "@gom/client/positions";
import { empty, filter, fromValue, make, merge, mergeMap, pipe, takeUntil } from "wonka";
import type { Source } from "wonka";
import { contextOf, failure } from "./context.js";
import { keep, watch } from "./shown.js";
import type { Shown, Target } from "./shown.js";

export interface GomExchangeOptions {
  readonly client: Client;
  /** Each query waits until its result includes what this exchange's mutations have written, on any server. Each mutation then costs the server one more transaction. `false` by default. */
  readonly readOwnWrites?: boolean | undefined;
}

/** What an older result of another query has overwritten in a cache is delivered again after this time: the event of a newer one, such as the viewer's own write, has mostly come by then. Milliseconds. */
const SETTLE = 3_000;

const isLive = ({ query }: Operation): boolean =>
  query.definitions.some((each) => each.kind === "OperationDefinition" && each.directives?.some(({ name }) => name.value === "live"));

/** The last exchange: it sends queries, mutations, subscriptions and live queries through a client of `@gom/client`. */
export function gomExchange({ client, readOwnWrites = false }: GomExchangeOptions): Exchange {
  const positions = readOwnWrites ? createPositions(client) : undefined;

  const query = (operation: Operation, signal: AbortSignal): Promise<Answer<unknown>> => {
    const { after } = contextOf(operation);
    const read = (position: string | undefined) => client.query(stringifyDocument(operation.query), operation.variables, { after: position, signal });
    return positions && after === undefined ? positions.include(read, signal) : read(after);
  };
  const mutate = async (operation: Operation, signal: AbortSignal): Promise<Answer<unknown>> => {
    const { idempotencyKey, cursor } = contextOf(operation);
    const written = positions?.write();
    const answer = await client.mutate(stringifyDocument(operation.query), operation.variables, { idempotencyKey, cursor: cursor === true || written !== undefined, signal });
    written?.(answer.cursor);
    return answer;
  };
  const request = (operation: Operation, answered: () => void): Source<OperationResult> =>
    make(({ next, complete }) => {
      const stop = new AbortController();
      const answer = operation.kind === "mutation" ? mutate(operation, stop.signal) : query(operation, stop.signal);
      answer
        .then(
          ({ data, cursor }) => makeResult(operation, { data, extensions: { cursor } } as ExecutionResult),
          (error: unknown) => failure(operation, error),
        )
        .then((result) => {
          next(result);
          complete();
          answered();
        });
      return () => stop.abort();
    });

  return ({ client: urql, forward }) =>
    (operations$) => {
      /** The kept lists and live queries, by the keys of their operations. */
      const shown = new Map<number, Shown>();
      /** Those that are to be delivered again. */
      const stale = new Set<Shown>();
      let settle: ReturnType<typeof setTimeout> | undefined;
      const settleLater = (): void => {
        if (stale.size === 0) return;
        settle ??= setTimeout(() => {
          settle = undefined;
          for (const each of [...stale]) if (each.repeat()) stale.delete(each);
          settleLater();
        }, SETTLE);
      };
      const answered = (): void => {
        for (const each of shown.values()) stale.add(each);
        settleLater();
      };

      const subscribe = (operation: Operation): Source<OperationResult> =>
        make(({ next, complete }) => {
          const { cursor: from, leaves, resync } = contextOf(operation);
          let over = false;
          const stream = client.subscribe(stringifyDocument(operation.query), operation.variables, {
            leaves,
            resync,
            cursor: typeof from === "string" ? from : undefined,
            onResult: ({ data, errors, cursor, left }) => next(makeResult(operation, { data, ...(errors && { errors }), extensions: { cursor, left } } as unknown as ExecutionResult)),
            onEnd(error) {
              // The same operation may run again by now.
              if (over) return;
              if (error) next(failure(operation, error));
              else urql.reexecuteOperation(makeOperation("teardown", operation, operation.context));
              complete();
            },
          });
          return () => {
            over = true;
            stream.close();
          };
        });
      const show = (operation: Operation, open: (target: Target) => Shown): Source<OperationResult> =>
        make(({ next, complete }) => {
          let own: Shown | undefined;
          const forget = (): void => {
            if (!own) return;
            if (shown.get(operation.key) === own) shown.delete(operation.key);
            stale.delete(own);
            if (stale.size > 0) return;
            clearTimeout(settle);
            settle = undefined;
          };
          const end = (result?: OperationResult): void => {
            forget();
            if (result) next(result);
            complete();
          };
          try {
            own = open({ next, end });
            shown.set(operation.key, own);
          } catch (error) {
            // What a source delivers before it has started is lost.
            queueMicrotask(() => end(failure(operation, error)));
          }
          return () => {
            // At once: the same operation may be started again before the stream reports its end.
            forget();
            own?.close();
          };
        });

      const resultsOf = (operation: Operation): Source<OperationResult> => {
        const { ended, list } = contextOf(operation);
        if (ended) return fromValue(makeErrorResult(operation, ended));
        if (operation.kind === "subscription") return subscribe(operation);
        if (operation.kind !== "query" || !(list || isLive(operation))) return request(operation, answered);
        const running = shown.get(operation.key);
        // It is current: a cache that reads it again receives it once more.
        if (running) return running.result ? fromValue(running.result) : empty;
        return show(operation, (target) => (list ? keep(client, operation, list, target) : watch(client, operation, target)));
      };

      const results$ = pipe(
        operations$,
        filter(({ kind }) => kind !== "teardown"),
        mergeMap((operation) =>
          pipe(
            resultsOf(operation),
            takeUntil(
              pipe(
                operations$,
                filter(({ kind, key }) => kind === "teardown" && key === operation.key),
              ),
            ),
          ),
        ),
      );
      const teardowns$ = pipe(
        operations$,
        filter(({ kind }) => kind === "teardown"),
        forward,
      );
      return merge([results$, teardowns$]);
    };
}
