import { createClient } from "@gom/client";
import type { GomError } from "@gom/client";
import { LoggedOut, unauthenticated } from "./errors.js";
import { openMemory } from "./memory.js";
import { startOffline } from "./offline.js";
import type { Offline } from "./offline.js";
import { openStore } from "./store.js";
import type { Limits, Store } from "./store.js";
import { canShare } from "./tabs.js";
import type { OfflineOptions } from "./types.js";
import { openGuard } from "./viewer.js";
import type { Owner } from "./viewer.js";

/** The store of `owner`, from which the rows of another one are gone. */
async function adopt(name: string, owner: Owner, limits: Limits, lost?: () => void): Promise<Store> {
  const store = await openStore(name, owner, limits, lost);
  try {
    await store.adopt();
    return store;
  } catch (error) {
    store.close();
    throw error;
  }
}

/** The longest that a log-out is waited for. Milliseconds. */
const LOG_OUT_TIMEOUT = 10_000;

/** Closes the session of a log-out for which the server was not reached; whether it is closed. */
async function logOutAgain(options: OfflineOptions): Promise<boolean> {
  const client = createClient(options);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<boolean>((resolve) => (timer = setTimeout(() => resolve(false), LOG_OUT_TIMEOUT)));
  const closed = await Promise.race([client.session.logOut().then(() => true, () => false), late]);
  clearTimeout(timer);
  client.close();
  return closed;
}

/**
 * Opens what is stored of the viewer who is logged in; the rows of another one are removed. Rejects with `UNAUTHENTICATED` if nobody is logged in, and with `NETWORK` if that
 * cannot be known now.
 */
export async function openOffline(options: OfflineOptions): Promise<Offline> {
  const limits: Limits = {
    maxSets: options.maxSets ?? 50,
    maxBytes: options.maxBytes ?? 16 * 1_048_576,
    keepFor: options.keepFor ?? 7 * 86_400_000,
    maxWrites: options.maxWrites ?? 1_000,
  };
  const name = `gom-offline ${options.name ?? "gom"}`;
  let onChange = (_error: GomError): void => undefined;
  const guard = await openGuard(options, (error) => onChange(error));
  if (!guard) {
    if (canShare()) await adopt(name, { viewer: "", user: "" }, limits).then((store) => store.close(), () => undefined);
    throw unauthenticated();
  }
  let onLost = (): void => undefined;
  let lost = false;
  const noteLost = (): void => {
    lost = true;
    onLost();
  };
  const stored = canShare() ? await adopt(name, guard, limits, noteLost).catch((error: unknown) => (error instanceof LoggedOut ? error : undefined)) : undefined;
  if (stored instanceof LoggedOut) {
    if (await logOutAgain({ ...options, ...(guard.fetch && { fetch: guard.fetch }) })) {
      const store = await openStore(name, guard, limits);
      await store.allow().finally(() => store.close());
    }
    throw unauthenticated();
  }
  return startOffline({
    options,
    name,
    guard,
    store: stored ?? openMemory(limits),
    shared: stored !== undefined,
    openAgain: () => openStore(name, guard, limits),
    onChange: (call) => (onChange = call),
    onLost(call) {
      onLost = call;
      if (lost) call();
    },
  });
}
