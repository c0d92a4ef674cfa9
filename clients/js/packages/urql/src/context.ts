import { makeErrorResult, makeOperation, makeResult } from "@urql/core";
import type { DocumentInput, ExecutionResult, Operation, OperationContext, OperationResult } from "@urql/core";
import { GomError } from "@gom/client";
import type { OperationContext as GomOperationContext } from "@gom/client/operation";

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
export interface GomContext extends GomOperationContext {
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
