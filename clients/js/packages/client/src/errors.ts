import type { GraphQLErrorLike, WireResult } from "./types.js";

/** Every failure of this package. */
export class GomError extends Error {
  override readonly name = "GomError";

  /**
   * @param code `extensions.code` of the first error (docs/ERRORS.md), or one of the package: `NETWORK` (no answer),
   *   `HTTP_404` and the like, `CLOSED_4400` and the like (a websocket that a retry would not cure), `NOT_LASTING`, `BAD_SELECTION`, `CLOSED`, `FAILED`.
   */
  constructor(
    readonly code: string,
    message: string,
    readonly details: {
      readonly errors?: readonly GraphQLErrorLike[];
      /** What the fields without errors returned. */
      readonly data?: unknown;
      /** Milliseconds after which the server wants a retry. */
      readonly retryAfter?: number | undefined;
      /** The mutation's idempotency key: send it again with the same document and variables. */
      readonly idempotencyKey?: string;
    } = {},
  ) {
    super(message);
  }
}

const NOTHING_DONE = /^(SERVICE_UNAVAILABLE|TOO_MANY_REQUESTS)$/;
const REPEATABLE = /^(SERVICE_UNAVAILABLE|TOO_MANY_REQUESTS|NETWORK|DEADLINE_EXCEEDED|OUTCOME_UNKNOWN)$/;

/** Whether the same request may succeed later. `repeatable`: it does no harm if it is carried out twice. */
export function mayRetry(error: unknown, repeatable = true): error is GomError {
  if (!(error instanceof GomError)) return false;
  const codes = error.details.errors?.map((each) => each.extensions?.code ?? "") ?? [error.code];
  // Without a key, a mutation of which a field was carried out may not be sent again because another was refused.
  return repeatable ? codes.some((code) => REPEATABLE.test(code)) : codes.every((code) => NOTHING_DONE.test(code));
}

export const lost = (error: unknown): GomError => new GomError("NETWORK", `No answer: ${String(error)}`);

/** The server has completed an operation that was to last: it would be carried out again with each attempt. */
export const completed = (): GomError => new GomError("NOT_LASTING", "It does not last");

export const unauthenticated = (): GomError => new GomError("UNAUTHENTICATED", "Log in again");

/** The error of a result that has some. */
export function errorOf(result: WireResult, retryAfter?: number): GomError | undefined {
  const [first] = result.errors ?? [];
  if (!first) return undefined;
  return new GomError(first.extensions?.code ?? "GRAPHQL_ERROR", first.message, {
    errors: result.errors as readonly GraphQLErrorLike[],
    data: result.data,
    retryAfter,
  });
}

/** The position of an answer that has asked for one. */
export function positionOf({ extensions }: WireResult): string {
  if (!extensions?.cursor) throw new GomError("NETWORK", "No position");
  return extensions.cursor;
}
