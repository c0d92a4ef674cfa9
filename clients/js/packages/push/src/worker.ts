import { GomError } from "@gom/client";
import { openServer } from "./server.js";
import { countUp, exclusive, read, resetCount, write } from "./store.js";
import { subscriptionFor } from "./subscription.js";

export interface WorkerOptions {
  /** The page of a notification: a path or address of this origin. By default the payload's `url` or `data.url`, otherwise the scope. `action` is empty for the notification itself. */
  readonly url?: ((data: Readonly<Record<string, unknown>>, action: string) => string | undefined) | undefined;
  /** The title where the payload has none; the host's name by default. */
  readonly title?: string | undefined;
  /** Pictures where the payload has none. */
  readonly icon?: string | undefined;
  readonly badge?: string | undefined;
}

/** `type` of the message to a page whose notification was clicked. */
export const CLICKED = "gom-push-click";

/** The message to a page whose notification was clicked. */
export interface ClickedNotification {
  readonly type: typeof CLICKED;
  readonly url: string;
  readonly data: Readonly<Record<string, unknown>>;
  /** The button, or empty. */
  readonly action: string;
}

interface Extendable {
  waitUntil(task: Promise<unknown>): void;
}

interface PushEventLike extends Extendable {
  readonly data: { json(): unknown } | null;
}

interface ClickEventLike extends Extendable {
  readonly notification: { readonly data: unknown; close(): void };
  readonly action: string;
}

interface WindowLike {
  readonly url: string;
  readonly visibilityState?: string;
  focus(): Promise<unknown>;
  postMessage(message: unknown): void;
}

/** What is used of a `ServiceWorkerGlobalScope`. */
export interface PushScope {
  readonly registration: {
    readonly scope: string;
    readonly pushManager: PushManager;
    showNotification(title: string, options?: NotificationOptions): Promise<void>;
  };
  readonly clients: {
    matchAll(options: { type: "window"; includeUncontrolled: true }): Promise<readonly unknown[]>;
    openWindow(url: string): Promise<unknown>;
  };
  // `any`: a worker's own declarations have an overload for each event.
  addEventListener(type: "push" | "notificationclick" | "pushsubscriptionchange", listener: (event: any) => void): void;
}

type Fields = Readonly<Record<string, unknown>>;

/** Milliseconds between the attempts to renew a subscription. A browser ends a worker after some minutes at most. */
const RENEWALS = [1_000, 5_000, 20_000];

const isFields = (value: unknown): value is Fields => typeof value === "object" && value !== null && !Array.isArray(value);
const text = (value: unknown): string | undefined => (typeof value === "string" && value !== "" ? value : undefined);

/** The payload's fields; none if it cannot be read. */
function fieldsOf(event: PushEventLike): Fields {
  try {
    const payload = event.data?.json();
    return isFields(payload) ? payload : {};
  } catch {
    return {};
  }
}

const isAction = (value: unknown): boolean => isFields(value) && text(value["action"]) !== undefined && text(value["title"]) !== undefined;

/** Options that have no value are left out: `undefined` is not the same for each browser. */
const given = (fields: Fields): NotificationOptions => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

async function show(scope: PushScope, options: WorkerOptions, event: PushEventLike): Promise<void> {
  const payload = fieldsOf(event);
  const title = text(payload["title"]) ?? options.title ?? new URL(scope.registration.scope).host;
  const own = isFields(payload["data"]) ? payload["data"] : {};
  const url = text(payload["url"]);
  const [type, uid] = [text(own["type"]), text(own["uid"])];
  const plain = given({
    body: text(payload["body"]),
    // A server that sends no tag: the same one.
    tag: text(payload["tag"]) ?? (type && uid && `${type}:${uid}`),
    data: url === undefined ? own : { ...own, url },
  });
  const actions = Array.isArray(payload["actions"]) ? payload["actions"].filter(isAction) : [];
  const pictures = { icon: text(payload["icon"]) ?? options.icon, badge: text(payload["badge"]) ?? options.badge };
  try {
    await scope.registration.showNotification(title, { ...plain, ...given({ ...pictures, actions: actions.length > 0 ? actions : undefined }) });
  } catch {
    // A browser refuses a picture or a button: a message that shows nothing costs the permission.
    await scope.registration.showNotification(title, plain);
  }
  const pages = (await scope.clients.matchAll({ type: "window", includeUncontrolled: true })) as readonly WindowLike[];
  if (pages.some(({ visibilityState }) => visibilityState === "visible")) return;
  await navigator.setAppBadge?.(await countUp());
}

/** An address of the scope's origin: a payload opens no other site, and runs no script. */
function addressOf(scope: PushScope, options: WorkerOptions, data: Fields, action: string): string {
  const home = new URL(scope.registration.scope);
  try {
    const url = new URL(text(options.url?.(data, action) ?? data["url"]) ?? "", home);
    if (url.origin === home.origin && url.protocol === home.protocol) return url.href;
  } catch {
    // It is no address, or the application's function has failed.
  }
  return home.href;
}

async function open(scope: PushScope, options: WorkerOptions, { notification, action }: ClickEventLike): Promise<void> {
  notification.close();
  const data = isFields(notification.data) ? notification.data : {};
  const url = addressOf(scope, options, data, action);
  const pages = (await scope.clients.matchAll({ type: "window", includeUncontrolled: true })) as readonly WindowLike[];
  let page = pages.find((each) => each.url === url);
  // A browser may refuse to focus.
  if (page) await page.focus().catch(() => undefined);
  else page = ((await scope.clients.openWindow(url)) as WindowLike | null) ?? undefined;
  const message: ClickedNotification = { type: CLICKED, url, data, action };
  page?.postMessage(message);
  await resetCount();
  await navigator.clearAppBadge?.();
}

/** Sends the browser's new subscription in the place of the kept one. If the server has that one no more, the next page subscribes. */
const replace = (scope: PushScope): Promise<void> =>
  exclusive(async () => {
    const kept = await read();
    if (!kept || kept.off) return;
    const server = openServer(new URL(kept.endpoint));
    const key = await server.key();
    if (key === undefined) return;
    const subscription = await subscriptionFor(scope.registration.pushManager, key, kept.key);
    await server.renew(kept.subscription, subscription);
    await write({ ...kept, key, subscription });
  });

async function renew(scope: PushScope): Promise<void> {
  for (const delay of [...RENEWALS, undefined]) {
    try {
      return await replace(scope);
    } catch (error) {
      // The page that is opened next renews it.
      if (delay === undefined) throw error;
      const after = error instanceof GomError ? (error.details.retryAfter ?? 0) : 0;
      if (after > 60_000) throw error;
      await new Promise((done) => setTimeout(done, Math.max(delay * (1 + Math.random()), after)));
    }
  }
}

/** Shows what is pushed, opens its page when it is clicked, and renews a subscription that the browser has replaced. */
export function installPush(scope: PushScope, options: WorkerOptions = {}): void {
  scope.addEventListener("push", (event: PushEventLike) => event.waitUntil(show(scope, options, event)));
  scope.addEventListener("notificationclick", (event: ClickEventLike) => event.waitUntil(open(scope, options, event)));
  scope.addEventListener("pushsubscriptionchange", (event: Extendable) => event.waitUntil(renew(scope)));
}
