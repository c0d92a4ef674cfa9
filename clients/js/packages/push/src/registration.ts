import { GomError } from "@gom/client";
import { within } from "./within.js";

/** Where the ready worker is served, unless the options name another place. */
const SCRIPT = "/gom-push-sw.js";
/** A worker that is not active after this long has failed. Milliseconds. */
const TIMEOUT = 30_000;

/** Resolves when a worker of the registration is active: browsers subscribe only then. */
async function activated(registration: ServiceWorkerRegistration, signal: AbortSignal): Promise<void> {
  const worker = registration.waiting ?? registration.installing;
  if (registration.active || !worker) return;
  await new Promise<void>((resolve, reject) => {
    const look = (): void => {
      if (worker.state === "redundant") reject(new Error("it was not installed"));
      else if (registration.active) resolve();
    };
    worker.addEventListener("statechange", look, { signal });
  });
}

async function bounded<Result>(worker: string | ServiceWorkerRegistration, task: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
  try {
    return await within(TIMEOUT, task);
  } catch (error) {
    const script = typeof worker === "string" ? worker : worker.scope;
    throw new GomError("SERVICE_WORKER", `The service worker ${script} cannot be used; serve gom-push-sw.js of @gom/push there: ${String(error)}`);
  }
}

/** The registration of an active worker: the one that the application has, or that of the script. */
export const register = (worker: string | ServiceWorkerRegistration = SCRIPT): Promise<ServiceWorkerRegistration> =>
  bounded(worker, async (signal) => {
    const registration = typeof worker === "string" ? await navigator.serviceWorker.register(worker) : worker;
    signal.throwIfAborted();
    await activated(registration, signal);
    return registration;
  });

/** The registration that there is already. */
export const registered = (worker: string | ServiceWorkerRegistration = SCRIPT): Promise<ServiceWorkerRegistration | undefined> =>
  bounded(worker, async () =>
    typeof worker === "string" ? navigator.serviceWorker.getRegistration(new URL(".", new URL(worker, globalThis.location.href)).href) : worker,
  );
