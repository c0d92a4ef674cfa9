import { GomError } from "@gom/client";
import { within } from "./within.js";

/** Where the ready worker is served, unless the options name another place. */
const SCRIPT = "/gom-push-sw.js";
/** A worker that is not active after this long has failed. Milliseconds. */
const TIMEOUT = 30_000;

/** Resolves when a worker of the registration is active: browsers subscribe only then. */
async function activated(registration: ServiceWorkerRegistration): Promise<void> {
  const worker = registration.waiting ?? registration.installing;
  if (registration.active || !worker) return;
  const changed = new AbortController();
  try {
    await new Promise<void>((resolve, reject) => {
      const look = (): void => {
        if (worker.state === "redundant") reject(new Error("it was not installed"));
        else if (registration.active) resolve();
      };
      worker.addEventListener("statechange", look, { signal: changed.signal });
    });
  } finally {
    changed.abort();
  }
}

/** The registration of an active worker: the one that the application has, or that of the script. */
export async function register(worker: string | ServiceWorkerRegistration = SCRIPT): Promise<ServiceWorkerRegistration> {
  try {
    return await within(TIMEOUT, async () => {
      const registration = typeof worker === "string" ? await navigator.serviceWorker.register(worker) : worker;
      await activated(registration);
      return registration;
    });
  } catch (error) {
    const script = typeof worker === "string" ? worker : worker.scope;
    throw new GomError("SERVICE_WORKER", `The service worker ${script} cannot be used; serve gom-push-sw.js of @gom/push there: ${String(error)}`);
  }
}

/** Ends the browser's subscription, without registering anything; gives it, if there was one. */
export const unsubscribe = (worker: string | ServiceWorkerRegistration = SCRIPT): Promise<PushSubscriptionJSON | undefined> =>
  within(TIMEOUT, async () => {
    const scope = (script: string): string => new URL(".", new URL(script, globalThis.location.href)).href;
    const registration = typeof worker === "string" ? await navigator.serviceWorker.getRegistration(scope(worker)) : worker;
    const present = await registration?.pushManager.getSubscription();
    // Without a network, too, nothing is shown from then on.
    await present?.unsubscribe();
    return present?.toJSON();
  });
