// What the leading tab does for all: one connection for the sets that tabs show, and the queue.
import type { Client, GomError } from "@gom/client";
import { backoff, pause } from "./backoff.js";
import { hostSet } from "./host.js";
import type { Host } from "./host.js";
import type { SetMessage } from "./messages.js";
import { createQueue } from "./queue.js";
import type { Queue } from "./queue.js";
import type { Store } from "./store.js";
import type { Definition, OfflineOptions } from "./types.js";
import type { Guard } from "./viewer.js";

export interface LeaderOptions {
  readonly client: Client;
  readonly sender: Client;
  readonly store: Store;
  readonly guard: Guard;
  readonly options: Pick<OfflineOptions, "onRefusal" | "repeatFor">;
  /** To every tab, and to this one. */
  publish(message: SetMessage): void;
  /** It has its number: tabs may ask for sets. */
  started(): void;
  /** It cannot lead: the database does not store its number. */
  failed(): void;
  /** Another leader has a later number. */
  superseded(): void;
  /** A write has an outcome. */
  settled(): void;
  /** Calls `gone` when a tab is gone; returns what ends that. */
  watch(tab: string, gone: () => void): () => void;
  end(error: GomError): void;
}

export interface Leader {
  /** A tab shows a set. */
  want(definition: Definition, tab: string): void;
  /** A tab shows a set no more. */
  drop(set: string, tab: string): void;
  refresh(set: string): void;
  /** A write waits. */
  wake(): void;
  close(): void;
}

/** How often it is tried to store the leader's number, with a growing delay: for about 2 s. */
const ATTEMPTS = 4;
/** By default: an hour less than the server keeps keys. Milliseconds. */
const REPEAT_FOR = 23 * 3_600_000;

export function createLeader({ client, sender, store, guard, options, publish, started, failed, superseded, settled, watch, end }: LeaderOptions): Leader {
  const hosts = new Map<string, { readonly host: Host; readonly tabs: Set<string> }>();
  const watched = new Map<string, () => void>();
  let number: number | undefined;
  let queue: Queue | undefined;
  const closing = new AbortController();
  const { signal } = closing;

  const close = (): void => {
    closing.abort();
    queue?.close();
    for (const { host } of hosts.values()) host.close();
    for (const unwatch of watched.values()) unwatch();
    hosts.clear();
    watched.clear();
    sender.close();
  };
  const drop = (set: string, tab: string): void => {
    const found = hosts.get(set);
    if (!found?.tabs.delete(tab) || found.tabs.size > 0) return;
    hosts.delete(set);
    found.host.close();
  };
  const common = { client, guard, publish, end, superseded, inUse: () => [...hosts.keys()] };

  const begin = async (): Promise<void> => {
    for (let attempt = 0; number === undefined; attempt += 1) {
      const own = await store.lead().catch(() => undefined);
      if (own === undefined && attempt + 1 < ATTEMPTS) await pause(backoff(attempt), signal, () => undefined);
      if (signal.aborted) return;
      if (own === undefined && attempt + 1 === ATTEMPTS) return failed();
      number = own;
    }
    started();
    const { repeatFor = REPEAT_FOR, onRefusal } = options;
    queue = createQueue({ sender, store, guard, leader: number, repeatFor, stopOnRefusal: onRefusal === "stop", settled, end, superseded });
  };
  void begin();

  return {
    want(definition, tab) {
      // It asks again when it hears that there is a leader.
      if (signal.aborted || number === undefined) return;
      if (!watched.has(tab)) {
        watched.set(
          tab,
          watch(tab, () => {
            watched.delete(tab);
            for (const set of [...hosts.keys()]) drop(set, tab);
            // What it has not reported, another tab does.
            settled();
          }),
        );
      }
      const found = hosts.get(definition.id);
      if (found) {
        found.tabs.add(tab);
        return publish(found.host.state());
      }
      hosts.set(definition.id, { host: hostSet(definition, { ...common, store, leader: number }), tabs: new Set([tab]) });
    },
    drop,
    refresh: (set) => hosts.get(set)?.host.refresh(),
    wake: () => queue?.wake(),
    close,
  };
}
