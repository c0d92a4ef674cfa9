// The ready service worker. A worker of the application sets `self.gomPush` to its options and imports this by `importScripts`.
import { installPush } from "./worker.js";
import type { PushScope, WorkerOptions } from "./worker.js";

const scope = globalThis as unknown as PushScope & { readonly gomPush?: WorkerOptions };
installPush(scope, scope.gomPush);
