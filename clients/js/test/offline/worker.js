// A service worker that sends what waits, without a page; the test calls it where a `sync` event would.
import { openOffline } from "@gom/offline";

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.send = async () => {
  const offline = await openOffline({ url: "/graphql" });
  try {
    await offline.sent();
    return offline.storage;
  } finally {
    offline.close();
  }
};
