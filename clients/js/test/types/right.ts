// Compiles: results and variables have the types of their documents.
import { createClient } from "@gom/client";
import { iterate } from "@gom/client/iterate";
import type { Stream } from "@gom/client";
import { applyPatch } from "@gom/client/patch";

/** As `@graphql-typed-document-node/core` has it. */
interface TypedDocumentNode<Result, Variables> {
  readonly kind: "Document";
  readonly definitions: readonly unknown[];
  __apiType?: (variables: Variables) => Result;
}

interface Order {
  readonly uid: string;
  readonly name: string;
  readonly [field: string]: unknown;
}
/** As `graphql` has it. */
declare function print(node: { readonly kind: "Document"; readonly definitions: readonly unknown[] }): string;
declare const orders: TypedDocumentNode<{ orders: Order[] }, { stage: string }>;
declare const events: TypedDocumentNode<{ order: { node: Order | null } }, { stage: string }>;

const client = createClient({ url: "https://shop.example/graphql", token: async (refused) => refused });
const { data } = await client.query(orders, { stage: "OPEN" });
export const name: string | undefined = data.orders[0]?.name;
export const live: Stream = client.live(orders, { stage: "OPEN" }, { patch: applyPatch, onResult: ({ data: { orders: all } }) => all.length.toFixed() });
for await (const event of iterate<{ data: { order: { node: Order | null } } }>((handlers) => client.subscribe(events, { stage: "OPEN" }, handlers))) event.data.order.node?.name.trim();
export const set = client.set<Order, { stage: string }>({ query: orders, subscription: events, variables: { stage: "OPEN" }, key: "uid", compare: (left, right) => left.name.localeCompare(right.name) });
await client.query<{ users: { uid: string }[] }, { first: number }>("query($first: Int) { users(first: $first) { uid } }", { first: 1 });

createClient({ url: "/graphql", print });

// @ts-expect-error: there is no such field
export const wrong: unknown = data.orders[0].nothing;
// @ts-expect-error: the variable has another type
await client.query(orders, { stage: 1 });
// @ts-expect-error: there is no such log-in
await client.session.logIn({ grantType: "phone", username: "x" });
