import { GomError } from "@gom/client";
import type { Client, Operation, Row, SetOptions } from "@gom/client";
import type { CollectionConfig, PendingMutation } from "@tanstack/db";
import { createQueue } from "./queue.js";
import { openTail } from "./tail.js";
import type { Tail } from "./tail.js";
import type { Trace } from "./traces.js";

/** A mutation document and its variables for a row. */
export interface Writes<R extends Row, Changes extends readonly unknown[] = []> {
  /** Its first field is the written row; it selects what the query selects. */
  readonly mutation: Operation<unknown, never>;
  variables(row: R, ...changes: Changes): unknown;
}

export interface GomCollectionOptions<R extends Row, Variables = unknown> extends Pick<SetOptions<R, Variables>, "query" | "subscription" | "variables"> {
  readonly client: Client;
  /** The collection's name; by default TanStack DB makes one. */
  readonly id?: string;
  /** The field with the row's id; `id` by default. */
  readonly key?: string;
  /** For `collection.insert`. */
  readonly insert?: Writes<R>;
  /** For `collection.update`: with the whole row, and the fields that were changed. */
  readonly update?: Writes<R, [changes: Partial<R>]>;
  /** For `collection.delete`. */
  readonly delete?: Writes<R>;
  readonly gcTime?: number;
  readonly startSync?: boolean;
  readonly compare?: (left: R, right: R) => number;
}

/** `collection.utils`. */
export type GomUtils = {
  /** Reads the query again; opens a set that has ended again. */
  refresh(): void;
  /** Why the collection has the status `error`. */
  error(): Error | undefined;
};

type Config<R extends Row> = CollectionConfig<R, string, never, GomUtils> & { readonly utils: GomUtils; readonly schema?: never };

/** The written row, if the mutation has returned one. */
function writtenRow(data: unknown): Row {
  const row = Object.values((data ?? {}) as Record<string, unknown>)[0] ?? {};
  if (typeof row !== "object" || Array.isArray(row)) throw new GomError("BAD_SELECTION", "Select the written row as the mutation's first field; the write was carried out");
  return row as Row;
}

/** Whether what both have is equal: an answer may select less or more than the query. */
function agrees(left: unknown, right: unknown): boolean {
  if (typeof left !== "object" || typeof right !== "object" || !left || !right) return left === right;
  if (Array.isArray(left) !== Array.isArray(right)) return false;
  if (Array.isArray(left) && left.length !== (right as unknown[]).length) return false;
  return Object.keys(left).every((name) => !Object.hasOwn(right, name) || agrees((left as Row)[name], (right as Row)[name]));
}

/**
 * Options for `createCollection`: the rows of a query, kept equal to it while the collection is used.
 *
 * Writes are sent in their order, each with its idempotency key. Their optimistic state is dropped when the collection has what the server
 * has made of them, or has read its query after them.
 */
export function gomCollectionOptions<R extends Row, Variables = unknown>(options: GomCollectionOptions<R, Variables>): Config<R> {
  const { client, query, subscription, variables, key = "id", insert, update, delete: remove, ...more } = options;
  const idOf = (row: Row): string => String(row[key]);
  const open = () => client.set<R, Variables>({ query, subscription, key, ...(variables !== undefined && { variables }) });
  let tail: Tail<R> | undefined;
  let error: Error | undefined;
  const queue = createQueue(client);

  /** Sends the writes of a transaction, and waits until the collection shows them. */
  const write = async <Mutation extends PendingMutation<R>>(
    mutations: readonly Mutation[],
    document: Operation<unknown, never>,
    variablesOf: (mutation: Mutation) => unknown,
    shown: (rows: ReadonlyMap<string, R>, mutation: Mutation, answer: Row) => boolean,
  ): Promise<void> => {
    const own = tail;
    let earlier: Promise<unknown> | undefined;
    const send = async (mutation: Mutation): Promise<void> => {
      let trace: Trace | undefined;
      const sent = (): void => void (trace = own?.trace(mutation.key));
      const answer = queue.send({ document, variables: variablesOf(mutation), idempotencyKey: mutation.mutationId, sent }, earlier);
      earlier = answer;
      try {
        const row = writtenRow((await answer).data);
        await trace?.shown(() => shown((own as Tail<R>).rows, mutation, row));
      } finally {
        trace?.drop();
      }
    };
    // All are waited for, also if one was refused: the collection must show what the others have written.
    for (const result of await Promise.allSettled(mutations.map(send))) if (result.status === "rejected") throw result.reason;
  };

  return {
    ...more,
    getKey: idOf,
    sync: {
      rowUpdateMode: "full",
      sync({ begin, write: put, commit, truncate, markReady, markError }) {
        error = undefined;
        const own = openTail(open, idOf, {
          apply(changes, before) {
            begin();
            for (const row of changes.put) put({ type: before.has(idOf(row)) ? "update" : "insert", value: row });
            for (const id of changes.removed) put({ type: "delete", key: id });
            commit();
          },
          ready() {
            error = undefined;
            markReady();
          },
          end(reason) {
            error = reason;
            // TanStack DB would show the optimistic rows of a write that hangs.
            queue.stop(true);
            // At once, also while writes are in flight: the next viewer must not see the rows.
            begin();
            truncate({ markReady: false });
            commit();
            markError(reason);
          },
        });
        tail = own;
        return () => {
          if (tail === own) tail = undefined;
          error = undefined;
          queue.stop(false);
          own.close();
        };
      },
    },
    ...(insert && {
      onInsert: ({ transaction }) =>
        write(
          transaction.mutations,
          insert.mutation,
          ({ modified }) => insert.variables(modified),
          (rows, mutation, answer) => rows.has(key in answer ? idOf(answer) : mutation.key),
        ),
    }),
    ...(update && {
      onUpdate: ({ transaction }) =>
        write(
          transaction.mutations,
          update.mutation,
          ({ modified, changes }) => update.variables(modified, changes),
          (rows, mutation, answer) => {
            const row = rows.get(mutation.key);
            return !row || agrees({ ...mutation.changes, ...answer }, row);
          },
        ),
    }),
    ...(remove && {
      onDelete: ({ transaction }) =>
        write(
          transaction.mutations,
          remove.mutation,
          ({ original }) => remove.variables(original as R),
          (rows, mutation) => !rows.has(mutation.key),
        ),
    }),
    utils: {
      refresh: () => tail?.refresh(),
      error: () => error,
    },
  };
}
