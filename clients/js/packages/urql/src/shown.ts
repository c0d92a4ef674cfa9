import { createRequest, formatDocument, makeResult, stringifyDocument } from "@urql/core";
import type { DocumentInput, ExecutionResult, Operation, OperationResult, TypedDocumentNode } from "@urql/core";
import { GomError } from "@gom/client";
import type { Client, Row, Status } from "@gom/client";
import { applyPatch } from "@gom/client/patch";
import { failure } from "./context.js";
import type { ListRules } from "./context.js";

/** A query whose result is delivered again whenever it changes. */
export interface Shown {
  /** The last result. */
  readonly result: OperationResult | undefined;
  /** Delivers the last result again. `false` without a connection: the cache may be newer then. */
  repeat(): boolean;
  close(): void;
}

export interface Target {
  next(result: OperationResult): void;
  /** Called once, also after `close`; with a result if it cannot go on. */
  end(result?: OperationResult): void;
}

/** Events that come within this time are delivered at once, since each result costs as much as the list is long. Milliseconds. */
const GATHER = 10;

const resultOf = (operation: Operation, result: object): OperationResult => makeResult(operation, result as ExecutionResult);

/** With `__typename`, so that a cache normalizes rows of events and rows of the query alike. */
const textOf = (document: DocumentInput): string => stringifyDocument(formatDocument(createRequest(document, {}).query as TypedDocumentNode) as unknown as TypedDocumentNode);

/** The name of the list in the query's result. */
function fieldOf({ query }: Operation): string {
  const selections = query.definitions.flatMap((each) => (each.kind === "OperationDefinition" ? each.selectionSet.selections : []));
  const fields = selections.flatMap((each) => (each.kind === "Field" && each.name.value !== "__typename" ? [(each.alias ?? each.name).value] : []));
  const [field] = fields;
  if (field === undefined || fields.length > 1) throw new GomError("BAD_SELECTION", "The query of a kept list selects one field, the list");
  return field;
}

const shownBy = (source: { readonly status: Status; close(): void }, last: () => OperationResult | undefined, next: Target["next"]): Shown => ({
  get result() {
    return last();
  },
  repeat() {
    if (source.status !== "open") return false;
    const result = last();
    if (result) next(result);
    return true;
  },
  close: () => source.close(),
});

/** Keeps the list of a query equal to it. */
export function keep(client: Client, operation: Operation, { subscription, key, compare }: ListRules, { next, end }: Target): Shown {
  const field = fieldOf(operation);
  const set = client.set<Row>({
    query: textOf(operation.query),
    subscription: textOf(subscription),
    variables: operation.variables,
    key,
    compare: compare as ((left: Row, right: Row) => number) | undefined,
  });
  let rows: readonly Row[] | undefined;
  let result: OperationResult | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;

  let ended = false;
  const stop = (error: Error): void => {
    end({ ...failure(operation, error), data: result?.data as unknown });
  };
  const deliver = (): void => {
    timer = undefined;
    const now = set.rows();
    if (now.length === rows?.length && now.every((row, index) => row === rows?.[index])) return;
    rows = now;
    result = resultOf(operation, { data: { [field]: now } });
    next(result);
  };
  /** `compare` is the application's: what it throws ends the list. */
  const guarded = (act: () => void) => (): void => {
    try {
      act();
    } catch (error) {
      ended = true;
      set.close();
      stop(error instanceof Error ? error : new GomError("FAILED", String(error)));
    }
  };
  const finish = (): void => {
    if (!set.error) return end();
    // Of a viewer who has logged out there are no rows, in the cache either. An exchange that retries would keep back a result with an error.
    if (rows) deliver();
    stop(set.error);
  };
  set.subscribe(() => {
    if (ended) return;
    if (set.status !== "closed") {
      if (rows) timer ??= setTimeout(guarded(deliver), GATHER);
    } else {
      ended = true;
      clearTimeout(timer);
      // The set reports its status first, and its error then.
      queueMicrotask(guarded(finish));
    }
  });
  set.ready.then(guarded(deliver), () => undefined);
  return shownBy(set, () => result, next);
}

/** Delivers each result of a live query. */
export function watch(client: Client, operation: Operation, { next, end }: Target): Shown {
  let result: OperationResult | undefined;
  const stream = client.live(stringifyDocument(operation.query), operation.variables, {
    patch: applyPatch,
    onResult({ data, errors }) {
      result = resultOf(operation, { data, ...(errors && { errors }) });
      next(result);
    },
    onEnd: (error) => end(error && failure(operation, error)),
  });
  return shownBy(stream, () => result, next);
}
