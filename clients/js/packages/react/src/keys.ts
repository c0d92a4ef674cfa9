import type { Operation } from "@gom/client";

const numbers = new WeakMap<object, string>();
let count = 0;

/** A text that equal documents share; a parsed one is equal to itself only: several documents of one file have the same source. */
function documentKey(document: Operation<unknown, never>): string {
  if (typeof document === "string") return document;
  if (!document.kind) return document.loc?.source.body ?? document.toString();
  let number = numbers.get(document);
  if (!number) numbers.set(document, (number = `#${(count += 1)}`));
  return number;
}

/** Equal variables have equal texts, in any order of their fields. */
export const variablesKey = (variables: unknown): string =>
  JSON.stringify(variables, (_, value: unknown) =>
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1)))
      : value,
  ) ?? "";

export const keyOf = (kind: string, documents: readonly Operation<unknown, never>[], ...rest: readonly unknown[]): string =>
  JSON.stringify([kind, documents.map(documentKey), ...rest.map(variablesKey)]);
