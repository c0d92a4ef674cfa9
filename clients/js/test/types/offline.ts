// Compiles: rows and answers have the types of their documents.
import { openOffline } from "@gom/offline";
import type { Offline, OfflineStatus, Outcome } from "@gom/offline";

interface Row {
  readonly uid: string;
  readonly name: string;
  readonly [field: string]: unknown;
}
interface TypedDocumentNode<Result, Variables> {
  readonly kind: "Document";
  __apiType?: (variables: Variables) => Result;
}
declare const rename: TypedDocumentNode<{ updateOrder: Row | null }, { name: string }>;

const outcomes: Outcome[] = [];
const offline: Offline = await openOffline({
  url: "https://shop.example/graphql",
  token: async (refused) => refused,
  onRefusal: "stop",
  onOutcome: (outcome) => outcomes.push(outcome),
  onEnd: ({ code }) => code.trim(),
});
const set = offline.set<Row>({ query: "{ orders { uid name } }", subscription: "subscription { order { node { uid name } } }", key: "uid", compare: (left, right) => left.name.localeCompare(right.name) });
export const name: string | undefined = set.rows()[0]?.name;
export const status: OfflineStatus = set.status;
const { answer } = await offline.write(rename, { name: "x" });
export const renamed: string | undefined = (await answer).data.updateOrder?.name;

// @ts-expect-error: the variable has another type
await offline.write(rename, { name: 1 });
// @ts-expect-error: there is no such choice
await openOffline({ url: "/graphql", onRefusal: "ignore" });
