import { GomError } from "@gom/client";
import { register, unsubscribe } from "./registration.js";
import { openServer } from "./server.js";
import type { PushServer, ServerOptions } from "./server.js";
import { exclusive, read, remove, write } from "./store.js";
import type { Kept } from "./store.js";
import { equal, subscriptionFor } from "./subscription.js";

/** `unsupported`: by the browser, or by the server, which has no VAPID keys. `denied`: the user has to allow notifications in the browser's settings. */
export type PushState = "unsupported" | "denied" | "off" | "on";

export interface PushOptions extends ServerOptions {
  /** The address of `/graphql`, as for `createClient`. */
  readonly url: string;
  /** Where `gom-push-sw.js` is served, or the registration of a worker of your own; `/gom-push-sw.js` by default. */
  readonly serviceWorker?: string | ServiceWorkerRegistration | undefined;
  /** Names who is logged in; nothing if nobody is. By default the session's cookie, which pages of another origin than the server's cannot read. */
  readonly viewer?: (() => string | undefined) | undefined;
}

const supported = (): boolean => ["serviceWorker", "locks"].every((name) => name in navigator) && "PushManager" in globalThis && "Notification" in globalThis;
const silent = (): PushState => (Notification.permission === "denied" ? "denied" : "off");
const loggedOut = (): GomError => new GomError("UNAUTHENTICATED", "Log in, then turn notifications on");

interface Place {
  readonly server: PushServer;
  readonly worker: PushOptions["serviceWorker"];
  viewer(): string | undefined;
}

function placeOf({ url, serviceWorker, viewer, ...options }: PushOptions): Place {
  const server = openServer(new URL(url, globalThis.location.href), options);
  if (!viewer && server.endpoint.origin !== globalThis.location.origin) throw new TypeError("Pass `viewer`: the server's cookies cannot be read here");
  return { server, worker: serviceWorker, viewer: viewer ?? (() => server.viewer()) };
}

/** Ends what the browser and the server have. What fails is repeated by the next call. */
async function end({ server, worker }: Place, kept: Kept | undefined): Promise<PushState> {
  if (kept) await write({ ...kept, ended: true });
  // A browser that fails does not keep the server from ending it.
  const current = await unsubscribe(worker).catch(() => undefined);
  if (current && !(kept && equal(kept.subscription, current))) await server.unsubscribe(current);
  if (kept) {
    await server.unsubscribe(kept.subscription);
    await remove();
  }
  return silent();
}

/** Sends the subscription as its viewer. `false`: that one is not logged in any more, and nothing was sent. */
async function subscribe({ server, viewer }: Place, kept: Kept): Promise<boolean> {
  try {
    await server.subscribe(kept.subscription, () => {
      if (viewer() !== kept.viewer) throw loggedOut();
    });
    return true;
  } catch (error) {
    if (error instanceof GomError && error.code === "UNAUTHENTICATED") return false;
    throw error;
  }
}

const isAnother = (viewer: string | undefined, kept: Kept): boolean => viewer !== undefined && viewer !== kept.viewer;

/** Makes the server's device equal to the browser's subscription. */
async function confirm(place: Place, kept: Kept): Promise<PushState> {
  const { server, worker } = place;
  const key = await server.key();
  if (key === undefined) return "unsupported";
  const subscription = await subscriptionFor((await register(worker)).pushManager, key);
  const fresh: Kept = { ...kept, endpoint: server.endpoint.href, subscription };
  const changed = !equal(kept.subscription, subscription);
  // First: what waits for the old one at the server is sent to the new one.
  const moved = changed && (await server.renew(kept.subscription, subscription));
  if (changed) await write(fresh);
  // At each page load: a log-out ends the devices of its own session, so the device has to be of the present one.
  if (place.viewer() !== undefined && (await subscribe(place, fresh))) return "on";
  // Another user may have logged in meanwhile, in another tab.
  if (isAnother(place.viewer(), kept)) return end(place, fresh);
  return moved || (await server.renew(subscription, subscription)) ? "on" : "off";
}

/**
 * Turns notifications on for the user who is logged in. Browsers ask the user for the permission only in the handler of a click or a key.
 * `off` if the user has closed the question. If it rejects, it has turned nothing on.
 */
export async function registerPush(options: PushOptions): Promise<PushState> {
  if (!supported()) return "unsupported";
  const place = placeOf(options);
  const { server, worker } = place;
  const viewer = place.viewer();
  if (viewer === undefined) throw loggedOut();
  if ((await Notification.requestPermission()) !== "granted") return silent();
  return exclusive(async () => {
    // Not for another user, who has logged in meanwhile, in another tab.
    if (place.viewer() !== viewer) throw loggedOut();
    const kept = await read();
    if (kept && !kept.ended && kept.viewer === viewer) {
      const state = await confirm(place, kept);
      if (state === "off") throw loggedOut();
      return state;
    }
    // A subscription of another user, or of unknown origin: what its push service still has for it is not shown to this one.
    await end(place, kept);
    const key = await server.key();
    if (key === undefined) return "unsupported";
    const subscription = await subscriptionFor((await register(worker)).pushManager, key);
    const fresh: Kept = { endpoint: server.endpoint.href, viewer, subscription };
    // If the page is closed meanwhile, the next one ends it.
    await write({ ...fresh, ended: true });
    try {
      if (!(await subscribe(place, fresh))) throw loggedOut();
    } catch (error) {
      await end(place, fresh).catch(() => undefined);
      throw error;
    }
    await write(fresh);
    return "on";
  });
}

/**
 * Call it at each page load, and after each log-in: it keeps on what `registerPush` has turned on, renews a subscription that has changed, and ends that of
 * another user. It never asks the user.
 */
export async function checkPush(options: PushOptions): Promise<PushState> {
  if (!supported()) return "unsupported";
  const place = placeOf(options);
  return exclusive(async () => {
    const kept = await read();
    if (!kept) return silent();
    if (kept.ended || isAnother(place.viewer(), kept) || Notification.permission !== "granted") return end(place, kept);
    return confirm(place, kept);
  });
}

/** Turns notifications off in this browser. If it rejects, nothing is shown any more, and the next `checkPush` removes the device from the server. */
export async function unregisterPush(options: PushOptions): Promise<PushState> {
  if (!supported()) return "unsupported";
  const place = placeOf(options);
  return exclusive(async () => end(place, await read()));
}
