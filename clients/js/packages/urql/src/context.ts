import { makeErrorResult, makeOperation, makeResult } from "@urql/core";
import type { DocumentInput, ExecutionResult, Operation, OperationContext, OperationResult } from "@urql/core";
import { GomError } from "@gom/client";
import type { SubscribeHandlers } from "@gom/client";

/** How a list is kept equal to its query. */
export interface ListRules {
  /** Its `node` filter equals the query's. */
  readonly subscription: DocumentInput;
  /** The field with the row's id; `id` by default. */
  readonly key?: string | undefined;
  /** The order of the list; by default that of the query, with new rows at the end. */
  readonly compare?: ((left: never, right: never) => number) | undefined;
}

/** What `context: { gom: … }` of an operation may have. */
export interface GomContext {
  /** Of a mutation: a key of the application's own, to repeat it later. By default a new key for each execution, which exchanges that repeat an operation keep. `false`: no key. */
  readonly idempotencyKey?: string | false | undefined;
  /** Of a mutation: `true` asks for its position, in `extensions.cursor`. Of a subscription: the position after which it begins. */
  readonly cursor?: string | boolean | undefined;
  /** Of a query: a position that its result has to include. */
  readonly after?: string | undefined;
  /** Of a subscription: report rows that leave, in `extensions.left`. */
  readonly leaves?: boolean | undefined;
  /** Of a subscription: reads again what is shown and gives its position, where changes are no longer kept. */
  readonly resync?: SubscribeHandlers<unknown>["resync"];
  /** Of a query: `keepList` sets it. */
  readonly list?: ListRules | undefined;
  /** Set by the exchange: the mutation has ended with its viewer, and may not be repeated as the next one. */
  readonly ended?: GomError | undefined;
}

/** The `context` of a query whose only field is a list: the list is then kept equal to the query for as long as it is shown. */
export const keepList = (list: ListRules): Partial<OperationContext> => ({
  gom: { list } satisfies GomContext,
  // What the cache has is shown at once, and the list is kept as well.
  requestPolicy: "cache-and-network",
});

export const contextOf = (operation: Operation): GomContext => (operation.context["gom"] ?? {}) as GomContext;

/** The result of an operation that has failed: GraphQL errors of the server, or urql's `networkError`. Exchanges that repeat an operation take it from its result. */
export function failure(operation: Operation, error: unknown): OperationResult {
  const { ended, idempotencyKey, ...more } = contextOf(operation);
  const gom: GomContext = {
    ...more,
    idempotencyKey: idempotencyKey ?? (error instanceof GomError ? error.details.idempotencyKey : undefined),
    ended: operation.kind === "mutation" && error instanceof GomError && error.code === "UNAUTHENTICATED" ? error : ended,
  };
  const failed = makeOperation(operation.kind, operation, { ...operation.context, gom });
  if (!(error instanceof GomError) || !error.details.errors) return makeErrorResult(failed, error as Error);
  const { data = null, errors } = error.details;
  return { ...makeResult(failed, { data, errors } as unknown as ExecutionResult), hasNext: false };
}
