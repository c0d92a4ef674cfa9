import { GomError } from "@gom/client";
import { register, registered } from "./registration.js";
import { openServer } from "./server.js";
import type { PushServer, ServerOptions } from "./server.js";
import { exclusive, read, remove, resetCount, write } from "./store.js";
import type { Kept } from "./store.js";
import { equal, present, subscriptionFor, unsubscribe } from "./subscription.js";
import { within } from "./within.js";

/** `unsupported`: by the browser, or by the server, which has no VAPID keys. `denied`: the user has to allow notifications in the browser's settings. */
export type PushState = "unsupported" | "denied" | "off" | "on";

export interface PushOptions extends ServerOptions {
  /** The address of `/graphql`, as for `createClient`. */
  readonly url: string;
  /** Where `gom-push-sw.js` is served, or the registration of a worker of your own; `/gom-push-sw.js` by default. */
  readonly serviceWorker?: string | ServiceWorkerRegistration | undefined;
  /**
   * Names who is logged in now, in any tab; nothing if nobody is. By default the session's cookie, its `sub` and `seller`, which pages of another origin than
   * the server's cannot read.
   */
  readonly viewer?: (() => string | undefined) | undefined;
}

/** Milliseconds for what the browser removes from the screen. */
const HIDING = 5_000;

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

/** Removes what was shown to the user, and the number on the icon. What a browser does not remove is no reason to keep notifications on. */
async function hide(registration: ServiceWorkerRegistration | undefined): Promise<void> {
  try {
    await within(HIDING, async () => {
      for (const notification of (await registration?.getNotifications()) ?? []) notification.close();
      await resetCount();
      await navigator.clearAppBadge?.();
    });
  } catch {
    // They stay, as does what the user has not looked at.
  }
}

/**
 * Removes the device from the server and, if it is `ended`, the subscription from the browser. The record says first what is to be removed, so that the next
 * call repeats what has failed.
 */
async function stop({ server, worker }: Place, kept: Kept | undefined, off: "ended" | "pausing"): Promise<PushState> {
  let own: Kept | undefined = kept && { ...kept, off };
  if (own) await write(own);
  let failure: unknown;
  // A browser that fails does not keep the server from removing the device.
  try {
    const registration = await registered(worker);
    if (kept) await hide(registration);
    const manager = registration?.pushManager;
    const current = manager && (await present(manager));
    if (current && !(own && equal(own.subscription, current))) {
      own = own ? { ...own, other: current } : { endpoint: server.endpoint.href, viewer: "", subscription: current, off };
      await write(own);
    }
    // Without a network, too, nothing is shown from then on.
    if (manager && off === "ended") await unsubscribe(manager);
  } catch (error) {
    failure = error;
  }
  if (own) await server.unsubscribe(own.subscription);
  if (own?.other) await server.unsubscribe(own.other);
  if (failure) throw failure;
  if (own) await (off === "ended" ? remove() : write({ ...own, off: "paused" }));
  return silent();
}

const end = (place: Place, kept: Kept | undefined): Promise<PushState> => stop(place, kept, "ended");

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

const isOver = ({ viewer }: Place, kept: Kept): boolean => kept.off === "ended" || isAnother(viewer(), kept) || Notification.permission !== "granted";

/** Makes the server's device equal to the browser's subscription. */
async function confirm(place: Place, kept: Kept): Promise<PushState> {
  const { server, worker } = place;
  const key = await server.key();
  if (key === undefined) return "unsupported";
  const subscription = await subscriptionFor((await register(worker)).pushManager, key, kept.key);
  const fresh: Kept = { endpoint: server.endpoint.href, viewer: kept.viewer, key, subscription };
  const changed = !equal(kept.subscription, subscription);
  // First: what waits for the old one at the server is sent to the new one.
  const moved = changed && (await server.renew(kept.subscription, subscription));
  // A paused one may be at the server from now on.
  if (changed || kept.off) await write({ ...fresh, off: kept.off && "pausing" });
  // At each page load: a log-out ends the devices of its own session, so the device has to be of the present one.
  if (place.viewer() !== undefined && (await subscribe(place, fresh))) {
    if (kept.off) await write(fresh);
    return "on";
  }
  // Another user may have logged in meanwhile, in another tab.
  if (isAnother(place.viewer(), kept)) return end(place, fresh);
  if (kept.off) return stop(place, fresh, "pausing");
  return moved || (await server.renew(subscription, subscription)) ? "on" : "off";
}

/**
 * Turns notifications on for the user who is logged in. Browsers show the question for the permission only in the handler of a click or a key.
 * `off` if the user has closed the question. If it rejects, it has turned nothing on, unless this user had turned them on before: then the next `checkPush`
 * completes it.
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
    if (kept && kept.off !== "ended" && kept.viewer === viewer) {
      const state = await confirm(place, kept);
      if (state === "off") throw loggedOut();
      return state;
    }
    // A subscription of another user, or of unknown origin: what its push service still has for it is not shown to this one.
    await end(place, kept);
    const key = await server.key();
    if (key === undefined) return "unsupported";
    const subscription = await subscriptionFor((await register(worker)).pushManager, key);
    const fresh: Kept = { endpoint: server.endpoint.href, viewer, key, subscription };
    // If the page is closed meanwhile, the next one ends it.
    await write({ ...fresh, off: "ended" });
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
 * another user. It shows no question.
 */
export async function checkPush(options: PushOptions): Promise<PushState> {
  if (!supported()) return "unsupported";
  const place = placeOf(options);
  return exclusive(async () => {
    const kept = await read();
    if (!kept) return silent();
    if (isOver(place, kept)) return end(place, kept);
    if (!kept.off || place.viewer() !== undefined) return confirm(place, kept);
    return kept.off === "paused" ? silent() : stop(place, kept, "pausing");
  });
}

/**
 * Call it before each log-out, whose request ends only the devices of its own session: the server sends nothing to this browser until `checkPush` is called
 * after the next log-in of the same user. Removes what is shown. If it rejects, the next `checkPush` completes it.
 */
export async function pausePush(options: PushOptions): Promise<PushState> {
  if (!supported()) return "unsupported";
  const place = placeOf(options);
  return exclusive(async () => {
    const kept = await read();
    if (!kept) return silent();
    return isOver(place, kept) ? end(place, kept) : stop(place, kept, "pausing");
  });
}

/** Turns notifications off in this browser, and removes what is shown. If it rejects, the next `checkPush` completes it. */
export async function unregisterPush(options: PushOptions): Promise<PushState> {
  if (!supported()) return "unsupported";
  const place = placeOf(options);
  return exclusive(async () => end(place, await read()));
}
