// Shows what is pushed, as the shop's worker does.

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("push", (event) => {
  const { title, body, data } = event.data.json();
  event.waitUntil(self.registration.showNotification(title, { body, data, tag: `${data.type}:${data.uid}` }));
});
