import { GomError } from "@gom/client";
import { within } from "./within.js";

/** A push service that does not answer for this long is not reachable. Milliseconds. */
const TIMEOUT = 30_000;

const base64url = (buffer: ArrayBuffer): string =>
  btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");

/** Runs `task` for `TIMEOUT` at most. What a browser has begun cannot be stopped, so the task looks at the signal before it begins more. */
async function bounded<Result>(failure: string, task: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
  try {
    return await within(TIMEOUT, task);
  } catch (error) {
    throw new GomError("PUSH_SERVICE", `${failure}: ${String(error)}`);
  }
}

/** The browser's subscription, if there is one. */
export const present = (manager: PushManager): Promise<PushSubscriptionJSON | undefined> =>
  bounded("The browser has not reported its subscription", async () => (await manager.getSubscription())?.toJSON());

/** Ends the browser's subscription. Resolves when it has none. */
export const unsubscribe = (manager: PushManager): Promise<void> =>
  bounded("The browser has not ended its subscription", async (signal) => {
    const subscription = await manager.getSubscription();
    signal.throwIfAborted();
    await subscription?.unsubscribe();
    if (subscription && (await manager.getSubscription())) throw new Error("it is still there");
  });

/**
 * The browser's subscription for `key`: the one that it has, or a new one if there is none, it has expired or it is for another key.
 * `made` is the key for which it was made, for browsers that do not report it.
 */
export const subscriptionFor = (manager: PushManager, key: string, made?: string): Promise<PushSubscriptionJSON> =>
  bounded("The browser's push service has given no subscription", async (signal) => {
    const subscription = await manager.getSubscription();
    const own = subscription?.options?.applicationServerKey;
    const expired = (subscription?.expirationTime ?? Infinity) <= Date.now();
    if (subscription && !expired && (own ? base64url(own) : made) === key) return subscription.toJSON();
    signal.throwIfAborted();
    // A browser accepts another key only after that.
    await subscription?.unsubscribe();
    signal.throwIfAborted();
    return (await manager.subscribe({ userVisibleOnly: true, applicationServerKey: key })).toJSON();
  });

/** Whether both are the same, as far as the server distinguishes them. */
export const equal = (one: PushSubscriptionJSON, other: PushSubscriptionJSON): boolean =>
  one.endpoint === other.endpoint && one.keys?.["p256dh"] === other.keys?.["p256dh"] && one.keys?.["auth"] === other.keys?.["auth"];
