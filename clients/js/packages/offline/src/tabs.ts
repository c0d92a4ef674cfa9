// The tabs of one viewer: a lock decides which one leads, and a channel connects them.
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

export async function joinTabs(name: string, handlers: TabHandlers): Promise<Tabs> {
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
    if (!closing.signal.aborted) channel.postMessage(message);
  };
  channel.onmessage = ({ data }: MessageEvent<Message>) => {
    if (closing.signal.aborted) return;
    if (data.type === "ping") return leads ? post({ type: "pong" }) : undefined;
    unanswered = 0;
    if (data.type !== "pong") handlers.receive(data);
  };
  const timer = setInterval(() => {
    if (leads || globalThis.document?.visibilityState === "hidden") return void (unanswered = 0);
    // Two, since this tab may have been suspended itself.
    if (unanswered >= 2) campaign(true);
    unanswered += 1;
    post({ type: "ping" });
  }, CHECK_INTERVAL);

  // Before anything is posted: who receives it may watch this tab.
  await new Promise<void>((resolve) => void locks.request(lockOf(tab), () => (resolve(), hold())));
  campaign(false);
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
