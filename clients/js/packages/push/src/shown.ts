import { resetCount } from "./store.js";
import { CLICKED } from "./worker.js";
import type { ClickedNotification } from "./worker.js";

/** Calls `handler` when a notification is clicked for which this page was opened or focused. Call it before `DOMContentLoaded`: a later call misses the click that has opened the page. Returns what stops it. */
export function onNotificationClick(handler: (clicked: ClickedNotification) => void): () => void {
  const { serviceWorker } = navigator;
  // A browser without service workers, or a page that is not from https.
  if (!serviceWorker) return () => undefined;
  const receive = ({ data }: MessageEvent<Partial<ClickedNotification> | null>): void => {
    if (data?.type === CLICKED) handler(data as ClickedNotification);
  };
  serviceWorker.addEventListener("message", receive);
  serviceWorker.startMessages();
  return () => serviceWorker.removeEventListener("message", receive);
}

/** Removes the number from the application's icon whenever this page is shown. Returns what stops it. */
export function clearBadge(): () => void {
  const shown = (): void => {
    if (document.visibilityState !== "visible" || !("indexedDB" in globalThis)) return;
    // A number that stays is no reason for an error.
    void Promise.all([resetCount(), navigator.clearAppBadge?.()]).catch(() => undefined);
  };
  document.addEventListener("visibilitychange", shown);
  shown();
  return () => document.removeEventListener("visibilitychange", shown);
}
