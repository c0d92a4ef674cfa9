import { GomError } from "@gom/client";
import { within } from "./within.js";

/** A push service that does not answer for this long is not reachable. Milliseconds. */
const TIMEOUT = 30_000;

const base64url = (buffer: ArrayBuffer): string =>
  btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");

/** The browser's subscription for `key`: the one that it has, or a new one if there is none or it is for another key. */
export async function subscriptionFor(manager: PushManager, key: string): Promise<PushSubscriptionJSON> {
  const subscribed = async (): Promise<PushSubscriptionJSON> => {
    const present = await manager.getSubscription();
    const { applicationServerKey: own } = present?.options ?? {};
    if (present && (!own || base64url(own) === key)) return present.toJSON();
    // A browser accepts another key only after that.
    await present?.unsubscribe();
    return (await manager.subscribe({ userVisibleOnly: true, applicationServerKey: key })).toJSON();
  };
  try {
    return await within(TIMEOUT, subscribed);
  } catch (error) {
    throw new GomError("PUSH_SERVICE", `The browser's push service has given no subscription: ${String(error)}`);
  }
}

/** Whether both are the same, as far as the server distinguishes them. */
export const equal = (one: PushSubscriptionJSON, other: PushSubscriptionJSON): boolean =>
  one.endpoint === other.endpoint && one.keys?.["p256dh"] === other.keys?.["p256dh"] && one.keys?.["auth"] === other.keys?.["auth"];
