// Compiles: the options of `createClient` are also those of the functions for notifications.
import { createClient } from "@gom/client";
import type { ClientOptions } from "@gom/client";
import { checkPush, clearBadge, onNotificationClick, pausePush, registerPush } from "@gom/push";
import type { PushState } from "@gom/push";

const options = { url: "/api/graphql", cookiePrefix: "shop-" } satisfies ClientOptions;
createClient(options);
export const state: PushState = await registerPush({ ...options, serviceWorker: await navigator.serviceWorker.ready });
await pausePush(options);
export const stop: () => void = clearBadge();
onNotificationClick(({ url, data, action }) => [url.trim(), data["uid"], action.trim()]);

// @ts-expect-error: the address is required
await checkPush({});
// @ts-expect-error: there is no such state
export const wrong: PushState = "default";
