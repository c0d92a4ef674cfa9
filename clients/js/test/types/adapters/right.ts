// Compiles: the adapters take typed documents, and their options are those of their libraries.
import { ApolloClient, ApolloLink, InMemoryCache } from "@apollo/client";
import type { TypedDocumentNode } from "@apollo/client";
import { RetryLink } from "@apollo/client/link/retry";
import { GomLink, keepList } from "@gom/apollo";
import type { GomContext, KeptList } from "@gom/apollo";
import { createClient } from "@gom/client";
import { gomExchange, keepList as urqlList } from "@gom/urql";
import { Client, cacheExchange } from "@urql/core";

interface Order {
  readonly uid: string;
  readonly name: string;
  readonly [field: string]: unknown;
}
declare const orders: TypedDocumentNode<{ orders: Order[] }, { stage: string }>;
declare const events: TypedDocumentNode<{ order: { node: Order | null } }, { stage: string }>;

const client = createClient({ url: "https://shop.example/graphql" });
const apollo = new ApolloClient({ cache: new InMemoryCache(), link: ApolloLink.from([new RetryLink(), new GomLink({ client, readOwnWrites: true })]) });
export const list: KeptList = keepList(apollo, {
  client,
  query: orders,
  subscription: events,
  variables: { stage: "OPEN" },
  key: "uid",
  compare: (left: Order, right: Order) => left.name.localeCompare(right.name),
});
await apollo.query({ query: orders, variables: { stage: "OPEN" }, context: { gom: { after: "x" } satisfies GomContext } });

const urql = new Client({ url: "https://shop.example/graphql", exchanges: [cacheExchange, gomExchange({ client })] });
const context = urqlList({ subscription: events, key: "uid", compare: (left: Order, right: Order) => left.name.localeCompare(right.name) });
export const name: string | undefined = (await urql.query(orders, { stage: "OPEN" }, context)).data?.orders[0]?.name;

// @ts-expect-error: the variable has another type
keepList(apollo, { client, query: orders, subscription: events, variables: { stage: 1 } });
// @ts-expect-error: there is no such option
export const wrong: GomContext = { idempotencykey: "x" };
