import { Observable } from "@apollo/client";
import type { OperationVariables } from "@apollo/client";
import { CombinedGraphQLErrors } from "@apollo/client/errors";
import { ApolloLink } from "@apollo/client/link";
import { print } from "@apollo/client/utilities";
import { GomError } from "@gom/client";
import type { Answer, Client, GraphQLErrorLike } from "@gom/client";
import { newKey } from "@gom/client/operation";
import type { OperationContext } from "@gom/client/operation";
import { createPositions } from "@gom/client/positions";
import type { Positions } from "@gom/client/positions";
import { shareLive } from "./live.js";
import type { Observe } from "./live.js";

export interface GomLinkOptions {
  readonly client: Client;
  /** Each query waits until its result includes what this link's mutations have written, on any server. Each mutation then costs the server one more transaction. `false` by default. */
  readonly readOwnWrites?: boolean | undefined;
}

/** What `context: { gom: … }` of an operation may have. */
export type GomContext = OperationContext;

/** What is known of one execution, which a link such as `RetryLink` may request several times. */
interface Execution {
  readonly idempotencyKey: string;
  /** It ended with its viewer: the next viewer must not repeat it. */
  ended?: GomError;
}

/** In the context, since links may pass on a copy of the operation. */
function executionOf(operation: ApolloLink.Operation): Execution {
  const found = operation.getContext()["gomExecution"] as Execution | undefined;
  if (found) return found;
  const execution: Execution = { idempotencyKey: newKey() };
  operation.setContext({ gomExecution: execution });
  return execution;
}

const isLive = ({ query }: ApolloLink.Operation): boolean =>
  query.definitions.some((each) => each.kind === "OperationDefinition" && each.directives?.some(({ name }) => name.value === "live"));

const formatted = (data: unknown, errors: readonly GraphQLErrorLike[] | undefined): ApolloLink.Result =>
  ({ data, ...(errors && { errors }) }) as ApolloLink.Result;

const answered = ({ data, cursor }: Answer<unknown>): ApolloLink.Result => ({ ...formatted(data, undefined), ...(cursor && { extensions: { cursor } }) });

/** What the server refused is a result with errors, as `errorPolicy` expects; rejects with everything else. */
function resultOf(error: unknown): ApolloLink.Result {
  if (!(error instanceof GomError) || !error.details.errors) throw error;
  const { data, errors, idempotencyKey } = error.details;
  return { ...formatted(data, errors), ...(idempotencyKey && { extensions: { idempotencyKey } }) };
}

/** The error that ends a subscription. */
const endOf = (error: Error): Error =>
  error instanceof GomError && error.details.errors ? new CombinedGraphQLErrors(formatted(error.details.data, error.details.errors)) : error;

/** A terminating link that sends queries, mutations, subscriptions and live queries through a client of `@gom/client`. */
export class GomLink extends ApolloLink {
  readonly #client: Client;
  readonly #positions: Positions | undefined;
  readonly #live: Observe;

  constructor({ client, readOwnWrites = false }: GomLinkOptions) {
    super();
    this.#client = client;
    this.#positions = readOwnWrites ? createPositions(client) : undefined;
    this.#live = shareLive(client);
  }

  override request(operation: ApolloLink.Operation): Observable<ApolloLink.Result> {
    const context = operation.getContext();
    const options = (context["gom"] ?? {}) as GomContext;
    const execution = executionOf(operation);
    // Apollo has added fields to the document: the text that it was parsed from is another one.
    const document = print(operation.query);
    const { variables } = operation;
    return new Observable((observer) => {
      if (execution.ended) return observer.error(execution.ended);
      const mark = (error: unknown): void => {
        if (error instanceof GomError && error.code === "UNAUTHENTICATED") execution.ended = error;
      };
      const failed = (error: Error): void => {
        mark(error);
        observer.error(endOf(error));
      };
      const ended = (error?: Error): void => (error ? failed(error) : observer.complete());
      const type = operation.query.definitions.find((each) => each.kind === "OperationDefinition")?.operation;
      if (type === "subscription") {
        const { resync, leaves, cursor } = options;
        const stream = this.#client.subscribe(document, variables, {
          resync,
          leaves,
          cursor: typeof cursor === "string" ? cursor : undefined,
          onResult: ({ data, errors, cursor, left }) => observer.next({ ...formatted(data, errors), extensions: { cursor, left } }),
          onEnd: ended,
        });
        return () => stream.close();
      }
      if (isLive(operation)) {
        if (context["queryDeduplication"] !== false) {
          observer.error(new TypeError("Apollo Client would keep every result of the live query: pass `context: { queryDeduplication: false }` with it"));
          return;
        }
        return this.#live(document, variables, { next: ({ data, errors }) => observer.next(formatted(data, errors)), end: ended });
      }
      const stop = new AbortController();
      const answer = type === "mutation" ? this.#mutate(document, variables, options, execution, stop.signal) : this.#query(document, variables, options, stop.signal);
      const refused = (error: unknown): ApolloLink.Result => {
        // Before a link that repeats it has the result.
        mark(error);
        return resultOf(error);
      };
      answer.catch(refused).then((result) => {
        observer.next(result);
        observer.complete();
      }, failed);
      return () => stop.abort();
    });
  }

  async #query(document: string, variables: OperationVariables, { after }: GomContext, signal: AbortSignal): Promise<ApolloLink.Result> {
    const read = (position: string | undefined) => this.#client.query(document, variables, { after: position, signal });
    return answered(await (this.#positions && after === undefined ? this.#positions.include(read, signal) : read(after)));
  }

  async #mutate(document: string, variables: OperationVariables, options: GomContext, execution: Execution, signal: AbortSignal): Promise<ApolloLink.Result> {
    const { idempotencyKey = execution.idempotencyKey, cursor } = options;
    const written = this.#positions?.write();
    const answer = await this.#client.mutate(document, variables, { idempotencyKey, cursor: cursor === true || written !== undefined, signal });
    written?.(answer.cursor);
    return answered(answer);
  }
}
