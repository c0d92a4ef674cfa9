// Shows what is pushed, as the shop's worker does, and notifies its pages when it is shown.

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("push", (event) => {
  const { title, body, data } = event.data.json();
  const show = async () => {
    await self.registration.showNotification(title, { body, data, tag: `${data.type}:${data.uid}` });
    for (const page of await self.clients.matchAll()) page.postMessage(data.operation);
  };
  event.waitUntil(show());
});
