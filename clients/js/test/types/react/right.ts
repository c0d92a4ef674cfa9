// Compiles: hooks have the types of their documents.
import { useLive, useMutate, useSet, useSubscription } from "@gom/react";

/** As `@graphql-typed-document-node/core` has it. */
interface TypedDocumentNode<Result, Variables> {
  readonly kind: "Document";
  readonly definitions: readonly unknown[];
  __apiType?: (variables: Variables) => Result;
}

type Order = { readonly uid: string; readonly name: string };
declare const orders: TypedDocumentNode<{ orders: Order[] }, { stage: string }>;
declare const events: TypedDocumentNode<{ order: { node: Order | null } }, { stage: string }>;
declare const win: TypedDocumentNode<{ updateOrder: Order | null }, { uid: string }>;

export function useEverything(): unknown {
  const set = useSet<Order, { stage: string }>({ query: orders, subscription: events, variables: { stage: "OPEN" }, key: "uid", compare: (left, right) => left.name.localeCompare(right.name) });
  const live = useLive(orders, { stage: "OPEN" });
  const { mutate } = useMutate(win);
  useSubscription(events, { stage: "OPEN" }, { onResult: ({ data }) => data.order.node?.name.trim() });
  void mutate({ uid: "u" }, { cursor: true }).then(({ data }) => data.updateOrder?.name.trim());
  // @ts-expect-error: the variable has another type
  void mutate({ uid: 1 });
  // @ts-expect-error: the variable has another type
  useLive(orders, { stage: 1 });
  // @ts-expect-error: there is no such field
  live.data?.nothing;
  // @ts-expect-error: a hook ends its set itself
  useSet({ query: orders, subscription: events, signal: new AbortController().signal });
  return [set.rows[0]?.name.trim(), live.data?.orders[0]?.name.trim()];
}
