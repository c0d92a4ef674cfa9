import type { SubscribeHandlers } from "./client.js";
import type { Operation } from "./types.js";

/** What an adapter of another client takes with an operation, in that client's context. */
export interface OperationContext {
  /** Of a mutation: a key of the application's own, to repeat it later. By default a new key for each execution, which links and exchanges that repeat an operation keep. `false`: no key. */
  readonly idempotencyKey?: string | false | undefined;
  /** Of a mutation: `true` asks for its position, in `extensions.cursor`. Of a subscription: the position after which it begins. */
  readonly cursor?: string | boolean | undefined;
  /** Of a query: a position that its result has to include. */
  readonly after?: string | undefined;
  /** Of a subscription: report rows that leave, in `extensions.left`. */
  readonly leaves?: boolean | undefined;
  /** Of a subscription: reads again what is shown and gives its position, where changes are no longer kept. */
  readonly resync?: SubscribeHandlers<unknown>["resync"];
}

/** The text of a document. Throws if it has none and there is no `print`. */
export const textOf = (document: Operation<unknown, never>, print?: (document: never) => string): string => {
  if (typeof document === "string") return document;
  const text = print && document.kind ? print(document as never) : (document.loc?.source.body ?? (document.kind ? undefined : document.toString()));
  if (text === undefined) throw new TypeError("Pass `print` of graphql");
  return text;
};

/** A random key or id, of 128 bits. */
export const newKey = (): string =>
  // `randomUUID` is missing in pages that are not from https.
  [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
