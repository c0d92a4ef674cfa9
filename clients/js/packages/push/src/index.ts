export { checkPush, pausePush, registerPush, unregisterPush } from "./page.js";
export type { PushOptions, PushState } from "./page.js";
export { clearBadge, onNotificationClick } from "./shown.js";
export type { ClickedNotification } from "./worker.js";
