// The tabs of one user: a lock decides which one leads, and a channel connects them.
import type { Message } from "./messages.js";

export interface Tabs {
  /** This tab's name. */
  readonly tab: string;
  /** To the other tabs. */
  post(message: Message): void;
  /** Calls `gone` when another tab is closed or has crashed; returns what ends that. */
  watch(tab: string, gone: () => void): () => void;
  isGone(tab: string): Promise<boolean>;
  close(): void;
}

export interface TabHandlers {
  /** This tab leads. */
  lead(): void;
  /** This tab leads no more. */
  resign(): void;
  receive(message: Message): void;
  /** Another tab of the user has other claims. */
  changed(): void;
}

/** A visible tab checks this often whether the leader lives: a page that the system has suspended keeps its lock. Milliseconds. */
const CHECK_INTERVAL = 10_000;

const newTab = (): string => Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** Whether tabs can be connected here: not in pages that are not from https, nor in Node.js below 24. */
export const canShare = (): boolean => globalThis.indexedDB !== undefined && globalThis.navigator?.locks !== undefined && globalThis.BroadcastChannel !== undefined;

/** A tab that shares nothing, and leads. */
export function alone({ lead }: TabHandlers): Tabs {
  let closed = false;
  queueMicrotask(() => closed || lead());
  return { tab: newTab(), post: () => undefined, watch: () => () => undefined, isGone: async () => false, close: () => (closed = true) };
}

/** What any tab of the user is sent; the rest is for those with equal claims. */
const FOR_ALL = /^(queued|settled|leader|ping|pong|joined)$/;

interface Envelope {
  readonly viewer: string;
  readonly message: Message;
}

/** `name` has the user, `viewer` the claims as well. */
export async function joinTabs(name: string, viewer: string, handlers: TabHandlers): Promise<Tabs> {
  const { locks } = navigator;
  const tab = newTab();
  const closing = new AbortController();
  const channel = new BroadcastChannel(name);
  const lockOf = (each: string): string => `${name} tab ${each}`;
  /** Held until this tab closes; the browser returns the lock of a tab that crashes. */
  const hold = (): Promise<void> => new Promise((resolve) => closing.signal.addEventListener("abort", () => resolve()));
  let leads = false;
  let unanswered = 0;

  const leave = (): void => {
    if (!leads) return;
    leads = false;
    handlers.resign();
  };
  const campaign = (steal: boolean): void => {
    locks
      .request(name, steal ? { steal } : { signal: closing.signal }, async () => {
        if (closing.signal.aborted) return;
        leads = true;
        handlers.lead();
        await hold();
      })
      .catch(() => undefined)
      .finally(() => {
        leave();
        // Another tab has taken the lock: this one queues up again.
        if (!closing.signal.aborted && !steal) campaign(false);
      });
  };
  const post = (message: Message): void => {
    if (!closing.signal.aborted) channel.postMessage({ viewer, message } satisfies Envelope);
  };
  channel.onmessage = ({ data: { viewer: other, message } }: MessageEvent<Envelope>) => {
    if (closing.signal.aborted) return;
    if (message.type === "ping") return leads ? post({ type: "pong" }) : undefined;
    if (message.type !== "joined") unanswered = 0;
    else if (other !== viewer) handlers.changed();
    if (other === viewer || FOR_ALL.test(message.type)) handlers.receive(message);
  };
  const timer = setInterval(() => {
    if (leads || globalThis.document?.visibilityState === "hidden") return void (unanswered = 0);
    // Two, since this tab may have been suspended itself.
    if (unanswered >= 2) campaign(true);
    unanswered += 1;
    post({ type: "ping" });
  }, CHECK_INTERVAL);

  // Before anything is posted: who receives it may watch this tab.
  await new Promise<void>((resolve, reject) => locks.request(lockOf(tab), () => (resolve(), hold())).catch(reject));
  campaign(false);
  post({ type: "joined" });
  return {
    tab,
    post,
    watch(other, gone) {
      const stop = new AbortController();
      const signal = stop.signal;
      locks.request(lockOf(other), { signal }, () => signal.aborted || closing.signal.aborted || gone()).catch(() => undefined);
      closing.signal.addEventListener("abort", () => stop.abort(), { signal });
      return () => stop.abort();
    },
    isGone: (other) => (other === tab ? Promise.resolve(false) : locks.request(lockOf(other), { ifAvailable: true }, (lock) => lock !== null)),
    close() {
      clearInterval(timer);
      channel.close();
      // The locks go last: who leads next must find that this tab stores nothing more.
      leave();
      closing.abort();
    },
  };
}
