// Compiles in a worker of the application's own, with its own types.
import { installPush } from "@gom/push/worker";

declare const self: ServiceWorkerGlobalScope;

installPush(self, { url: ({ type, uid }, action) => `/${String(type)}s/${String(uid)}?${action}`, icon: "/icon.png" });
// @ts-expect-error: an address is a text
installPush(self, { url: () => 7 });
