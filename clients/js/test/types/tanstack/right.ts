// Compiles: collections and queries have the types of their rows and results.
import { createCollection } from "@tanstack/db";
import { QueryClient, QueryObserver } from "@tanstack/query-core";
import { createClient } from "@gom/client";
import { gomCollectionOptions } from "@gom/tanstack-db";
import { gomLiveOptions, gomSetOptions } from "@gom/tanstack-query";

/** As `@graphql-typed-document-node/core` has it. */
interface TypedDocumentNode<Result, Variables> {
  readonly kind: "Document";
  readonly definitions: readonly unknown[];
  __apiType?: (variables: Variables) => Result;
}

type Order = { readonly uid: string; readonly name: string };
declare const orders: TypedDocumentNode<{ orders: Order[] }, { stage: string }>;
declare const events: TypedDocumentNode<{ order: { node: Order | null } }, { stage: string }>;
declare const rename: TypedDocumentNode<{ updateOrder: Order | null }, { uid: string; name?: string }>;

const client = createClient({ url: "https://shop.example/graphql" });
const set = { client, query: orders, subscription: events, variables: { stage: "OPEN" }, key: "uid" };

const collection = createCollection(
  gomCollectionOptions<Order, { stage: string }>({ ...set, update: { mutation: rename, variables: ({ uid }, { name }) => ({ uid, name: name?.trim() }) } }),
);
export const name: string | undefined = collection.get("u")?.name.trim();
collection.insert({ uid: "u", name: "n" });
collection.utils.refresh();
export const reason: Error | undefined = collection.utils.error();
// @ts-expect-error: a row has a name
collection.insert({ uid: "u" });
// @ts-expect-error: there is no such field
export const missing: unknown = collection.get("u")?.nothing;

const cache = new QueryClient();
new QueryObserver(cache, gomSetOptions<Order, { stage: string }>({ ...set, queryKey: ["orders"] })).subscribe(({ data, error }) => [data?.[0]?.name.trim(), error?.message]);
new QueryObserver(cache, { ...gomLiveOptions({ client, queryKey: ["live"], document: orders, variables: { stage: "OPEN" } }), enabled: true }).subscribe(({ data }) => data?.orders[0]?.name.trim());
await cache.prefetchQuery(gomSetOptions<Order, { stage: string }>({ ...set, queryKey: ["orders"] }));
// @ts-expect-error: the variable has another type
gomLiveOptions({ client, queryKey: ["live"], document: orders, variables: { stage: 1 } });
// @ts-expect-error: a query ends its set itself
gomSetOptions({ ...set, queryKey: ["orders"], signal: new AbortController().signal });
