import { GomError } from "@gom/client";

/** Where the ready worker is served, unless the options name another place. */
const SCRIPT = "/gom-push-sw.js";
/** A worker that is not active after this long has failed. Milliseconds. */
const TIMEOUT = 30_000;

const activated = (registration: ServiceWorkerRegistration): Promise<void> =>
  new Promise((resolve, reject) => {
    const worker = registration.waiting ?? registration.installing;
    if (registration.active || !worker) return resolve();
    const finish = (error?: string): void => {
      clearTimeout(timer);
      worker.removeEventListener("statechange", look);
      error === undefined ? resolve() : reject(new Error(error));
    };
    const look = (): void => {
      if (worker.state === "redundant") finish("it was not installed");
      else if (registration.active) finish();
    };
    const timer = setTimeout(finish, TIMEOUT, "it is not active yet");
    worker.addEventListener("statechange", look);
  });

/** The registration of an active worker; the one that the application has, or that of the script. */
export async function register(worker: string | ServiceWorkerRegistration = SCRIPT): Promise<ServiceWorkerRegistration> {
  try {
    const registration = typeof worker === "string" ? await navigator.serviceWorker.register(worker) : worker;
    await activated(registration);
    return registration;
  } catch (error) {
    const script = typeof worker === "string" ? worker : worker.scope;
    throw new GomError("SERVICE_WORKER", `The service worker ${script} cannot be used; serve gom-push-sw.js of @gom/push there: ${String(error)}`);
  }
}

/** The present subscription, without registering anything. */
export async function present(worker: string | ServiceWorkerRegistration = SCRIPT): Promise<PushSubscription | null> {
  const registration =
    typeof worker === "string" ? await navigator.serviceWorker.getRegistration(new URL(".", new URL(worker, globalThis.location.href)).href) : worker;
  return (await registration?.pushManager.getSubscription()) ?? null;
}
