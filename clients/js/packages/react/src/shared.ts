"use client";
import { useMemo, useSyncExternalStore } from "react";
import type { Client } from "@gom/client";
import { useGom } from "./context.js";

/** One open set or live query. */
export interface Source<View> {
  /** What is shown now: the same object until something changes. */
  view(): View;
  /** Calls `listener` after each change. */
  subscribe(listener: () => void): () => void;
  readonly ended: boolean;
  refresh(): void;
  close(): void;
}

/** After its last component a source stays open this long: StrictMode, a change of pages and a remount use it again. Milliseconds. */
const LINGER = 1_000;

/** What all components with equal options share. It is in `slots` while some of them are mounted, and a moment longer. */
class Slot<View> {
  private readonly listeners = new Set<() => void>();
  private source: Source<View> | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly open: () => Source<View>,
    private readonly remove: () => void,
  ) {}

  /** Keeps the source open until the returned function is called. One that has ended is opened again. */
  acquire(listener: () => void): () => void {
    // First, since it may throw.
    if (!this.source || this.source.ended) this.restart();
    clearTimeout(this.timer);
    // The same function may come twice.
    const own = (): void => listener();
    this.listeners.add(own);
    return () => {
      this.listeners.delete(own);
      if (this.listeners.size > 0) return;
      this.timer = setTimeout(() => {
        this.remove();
        this.source?.close();
      }, LINGER);
    };
  }

  view(): View | undefined {
    return this.source?.view();
  }

  /** For a component that is not subscribed yet: what has ended will be opened again for it. */
  fresh(): View | undefined {
    return this.source?.ended ? undefined : this.view();
  }

  refresh(): void {
    if (this.source?.ended) this.restart();
    else this.source?.refresh();
  }

  private restart(): void {
    const source = (this.source = this.open());
    source.subscribe(() => {
      if (this.source === source) this.notify();
    });
    this.notify();
  }

  private notify(): void {
    for (const listener of [...this.listeners]) listener();
  }
}

/** The slots of each client, which no provider owns: two roots of one page share them. */
const stores = new WeakMap<Client, Map<string, Slot<unknown>>>();

function slotsOf(client: Client): Map<string, Slot<unknown>> {
  let slots = stores.get(client);
  if (!slots) stores.set(client, (slots = new Map()));
  return slots;
}

/** What one component has to do with the slot of its options. */
function bind<View>(client: Client, key: string | undefined, open: (client: Client) => Source<View>, waiting: View) {
  const slots = slotsOf(client) as Map<string, Slot<View>>;
  let slot: Slot<View> | undefined;
  return {
    subscribe(listener: () => void): () => void {
      if (key === undefined) return () => undefined;
      const own = slots.get(key) ?? new Slot(() => open(client), () => slots.delete(key));
      const release = own.acquire(listener);
      slots.set(key, own);
      slot = own;
      return () => {
        slot = undefined;
        release();
      };
    },
    // Nothing is opened while React renders: it may throw the result away.
    view: (): View => (slot ? slot.view() : key !== undefined && slots.get(key)?.fresh()) || waiting,
    refresh: (): void => slot?.refresh(),
  };
}

/**
 * What the source of `key` shows; `waiting` on the server and until the component is mounted. Without a key nothing is opened.
 * Equal keys have equal `open`.
 */
export function useShared<View extends object>(
  key: string | undefined,
  open: (client: Client) => Source<View>,
  waiting: View,
): View & { readonly refresh: () => void } {
  const client = useGom();
  // With another key the component shows nothing of the earlier one, from the same render on.
  const binding = useMemo(() => bind(client, key, open, waiting), [client, key]);
  const view = useSyncExternalStore(binding.subscribe, binding.view, () => waiting);
  return useMemo(() => ({ ...view, refresh: binding.refresh }), [view, binding]);
}
