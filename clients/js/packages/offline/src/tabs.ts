// The tabs of one user: a channel connects them, and of those with equal claims a lock decides which one leads.
import type { Message } from "./messages.js";

export interface Tabs {
  /** This tab's name. */
  readonly tab: string;
  /** To the other tabs. */
  post(message: Message): void;
  /** Calls `gone` when another tab is closed or has crashed; returns what ends that. */
  watch(tab: string, gone: () => void): () => void;
  isGone(tab: string): Promise<boolean>;
  /** Gives up the lead, and queues up for it again, or `forGood` does not. */
  giveUp(forGood?: boolean): void;
  close(): void;
}

export interface TabHandlers {
  /** This tab leads. */
  lead(): void;
  /** This tab leads no more. */
  resign(): void;
  receive(message: Message): void;
  /** Another tab of the user has other claims, or has logged out. */
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
  return { tab: newTab(), post: () => undefined, watch: () => () => undefined, isGone: async () => false, giveUp: () => undefined, close: () => (closed = true) };
}

/** What only a leader sends: it lives. */
const FROM_LEADER = /^(pong|leader|state|change)$/;

interface Envelope {
  readonly viewer: string;
  readonly message: Message;
}

/** Sends one message to the tabs of a user, from a tab that has left them. */
export function announce(name: string, viewer: string, message: Message): void {
  const channel = new BroadcastChannel(name);
  channel.postMessage({ viewer, message } satisfies Envelope);
  channel.close();
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
  /** Returns the lock with which this tab leads. */
  let release: (() => void) | undefined;
  /** Ends its wait for the lock. */
  const standing = new AbortController();
  let unanswered = 0;

  const leave = (): void => {
    const held = release;
    release = undefined;
    if (!held) return;
    handlers.resign();
    held();
  };
  const campaign = (steal: boolean): void => {
    let own: (() => void) | undefined;
    locks
      .request(`${name} ${viewer}`, steal ? { steal } : { signal: standing.signal }, async () => {
        if (standing.signal.aborted) return;
        // A tab that was suspended may learn of a lock that it had only after it has taken it.
        leave();
        const held = new Promise<void>((resolve) => (own = release = resolve));
        handlers.lead();
        await held;
      })
      .catch(() => undefined)
      .finally(() => {
        if (own && release === own) leave();
        // Another tab has taken the lock, or this one has given it up: it queues up again.
        if (!standing.signal.aborted && !steal) campaign(false);
      });
  };
  const post = (message: Message): void => {
    if (!closing.signal.aborted) channel.postMessage({ viewer, message } satisfies Envelope);
  };
  channel.onmessage = ({ data: { viewer: other, message } }: MessageEvent<Envelope>) => {
    if (closing.signal.aborted) return;
    if (other !== viewer) {
      if (message.type === "joined" || message.type === "check") handlers.changed();
      else if (message.type === "settled") handlers.receive(message);
      return;
    }
    if (message.type === "ping") return release ? post({ type: "pong" }) : undefined;
    if (message.type === "check") return handlers.changed();
    if (FROM_LEADER.test(message.type)) unanswered = 0;
    handlers.receive(message);
  };
  const timer = setInterval(() => {
    if (release || standing.signal.aborted || globalThis.document?.visibilityState === "hidden") return void (unanswered = 0);
    // Two, since this tab may have been suspended itself.
    if (unanswered >= 2) campaign(true);
    unanswered += 1;
    post({ type: "ping" });
  }, CHECK_INTERVAL);

  const close = (): void => {
    clearInterval(timer);
    channel.close();
    // The locks go last: who leads next must find that this tab stores nothing more.
    leave();
    standing.abort();
    closing.abort();
  };
  // Before anything is posted: who receives it may watch this tab.
  await new Promise<void>((resolve, reject) => locks.request(lockOf(tab), () => (resolve(), hold())).catch(reject)).catch((error: unknown) => {
    close();
    throw error;
  });
  campaign(false);
  post({ type: "joined" });
  return {
    tab,
    post,
    watch(other, gone) {
      const stop = new AbortController();
      const signal = stop.signal;
      locks
        .request(lockOf(other), { signal }, () => {
          const unwanted = signal.aborted || closing.signal.aborted;
          stop.abort();
          if (!unwanted) gone();
        })
        .catch(() => undefined);
      closing.signal.addEventListener("abort", () => stop.abort(), { signal });
      return () => stop.abort();
    },
    isGone: (other) => (other === tab ? Promise.resolve(false) : locks.request(lockOf(other), { ifAvailable: true }, (lock) => lock !== null)),
    giveUp(forGood = false) {
      if (forGood) standing.abort();
      leave();
    },
    close,
  };
}
