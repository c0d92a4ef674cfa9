export { openOffline } from "./open.js";
export type { Offline } from "./offline.js";
export type { Failure, OfflineOptions, OfflineSet, OfflineSetOptions, OfflineStatus, Outcome, Queued, QueuedWrite } from "./types.js";
