// One tab's part: its sets and writes, and, if it leads, those of all tabs of its viewer.
import { GomError, createClient } from "@gom/client";
import type { Client, ClientOptions, Operation, Row } from "@gom/client";
import { newKey, textOf } from "@gom/client/operation";
import { closedError, errorOf, failureOf, unauthenticated } from "./errors.js";
import { createLeader } from "./leader.js";
import type { Leader } from "./leader.js";
import { openMemory } from "./memory.js";
import type { Message, SetMessage } from "./messages.js";
import { createOutcomes } from "./outcomes.js";
import type { Store } from "./store.js";
import { publicWrite } from "./store.js";
import { alone, announce, joinTabs } from "./tabs.js";
import type { TabHandlers, Tabs } from "./tabs.js";
import type { Definition, OfflineOptions, OfflineSet, OfflineSetOptions, Queued, QueuedWrite } from "./types.js";
import { digest } from "./viewer.js";
import type { Guard } from "./viewer.js";
import { createView } from "./view.js";
import type { View } from "./view.js";

export interface Offline {
  /** A set whose rows are stored. Equal sets of all tabs share one subscription. */
  set<R extends Row, Variables = unknown>(options: OfflineSetOptions<R, Variables>): OfflineSet<R>;
  /** Stores a write, which is sent when the server can be reached, after those before it. Rejects if it cannot be stored: `QUEUE_FULL`, `NOT_STORED`. */
  write<Data, Variables>(document: Operation<Data, Variables>, variables?: Variables): Promise<Queued<Data>>;
  /** The user's writes that wait, in order. */
  writes(): Promise<readonly QueuedWrite[]>;
  /** Removes a write; whether it waited. One that was sent may be carried out nevertheless. */
  discard(id: string): Promise<boolean>;
  /** Resolves when no write waits, or a refused one holds up the others; rejects when this tab ends. For a service worker, which may then end. */
  sent(): Promise<void>;
  /** The client of this viewer: for queries, live queries, and writes that are not queued. */
  readonly client: Client;
  /** Where rows and writes are: `memory` if nothing can be stored here. They end with the page then. */
  readonly storage: "indexeddb" | "memory";
  /** Whether this tab has the connection. */
  readonly leads: boolean;
  /** Removes the rows in every tab, and closes the session of cookies. Writes that wait are kept for this viewer, or removed with `discard`. */
  logOut(options?: { readonly discard?: boolean }): Promise<void>;
  /** Closes this tab's part. What is stored stays. */
  close(): void;
}

export interface Parts {
  readonly options: OfflineOptions;
  readonly name: string;
  readonly guard: Guard;
  readonly store: Store;
  /** Whether other tabs have the same store. */
  readonly shared: boolean;
  /** The store once more, after it was closed. */
  openAgain(): Promise<Store>;
  /** Sets what is called when the viewer has changed. */
  onChange(call: (error: GomError) => void): void;
  /** Sets what is called when the store cannot be used any more. */
  onLost(call: () => void): void;
}

const copyOf = (value: unknown): unknown => (value === undefined ? undefined : (JSON.parse(JSON.stringify(value)) as unknown));

/** Calls `check` when the viewer may have changed: in another tab, or while this one was not used. */
function watchViewer(check: () => void): () => void {
  const { document, cookieStore } = globalThis as { document?: Document; cookieStore?: EventTarget };
  const visible = (): void => {
    if (document?.visibilityState === "visible") check();
  };
  document?.addEventListener("visibilitychange", visible);
  globalThis.addEventListener?.("pageshow", check);
  cookieStore?.addEventListener?.("change", check);
  return () => {
    document?.removeEventListener("visibilitychange", visible);
    globalThis.removeEventListener?.("pageshow", check);
    cookieStore?.removeEventListener?.("change", check);
  };
}

export async function startOffline({ options, name, guard, store, shared, openAgain, onChange, onLost }: Parts): Promise<Offline> {
  const { print, onOutcome, onEnd, token: _token, fetch: _fetch, ...rest } = options;
  const clientOptions: ClientOptions = { ...rest, ...(guard.token && { token: guard.token }), ...(guard.fetch && { fetch: guard.fetch }) };
  const client = createClient(clientOptions);
  const views = new Map<string, Set<View<Row>>>();
  let leader: Leader | undefined;
  let over: GomError | undefined;
  let wiped: Promise<unknown> = Promise.resolve();
  let tabs: Tabs | undefined;
  /** Whether the application is notified of the end: not before it is open, nor if it has logged out itself. */
  let reports = false;
  /** Whether this tab goes on alone, without the store. */
  let detached = false;
  /** Closes the store at the end: not before a log-out of this tab is answered. */
  let closeStore = (): void => store.close();
  const channel = `${name} ${guard.user}`;

  const deliver = (message: SetMessage): void => views.get(message.set)?.forEach((view) => view.receive(message));
  /** Ends this tab's part; what is shown goes, unless it was closed by the application. */
  const stop = (error: GomError): boolean => {
    if (over) return false;
    over = error;
    unwatch();
    leader?.close();
    leader = undefined;
    client.close();
    outcomes.close();
    return true;
  };
  /** The viewer is not logged in any more; `elsewhere`: another tab has noticed it. `loggedOut` is the session that this tab closes. */
  const end = (error: GomError, elsewhere = false, loggedOut?: string): void => {
    if (!stop(error)) return;
    for (const each of [...views.values()].flatMap((all) => [...all])) each.end(error);
    // A tab that wakes late would remove the rows of the session after that.
    const removed = elsewhere ? Promise.resolve() : store.wipe(loggedOut);
    if (!elsewhere) tabs?.post({ type: "ended", error: failureOf(error) });
    wiped = removed
      .catch(() => undefined)
      .finally(() => {
        tabs?.close();
        closeStore();
        // Now: the application may leave the page.
        if (reports) queueMicrotask(() => onEnd?.(error));
      });
  };
  const unwatch = watchViewer(() => void guard.check(true).catch(() => undefined));
  onChange((error) => end(error));

  /** There is another leader. */
  const follow = (): void => {
    for (const all of views.values()) for (const view of all) view.follow();
    // What the one before has settled without reporting it.
    outcomes.collect();
  };
  const post = (message: Message): void => {
    if (!detached) tabs?.post(message);
  };
  const lead = (own: Store): void => {
    const elected: Leader = (leader = createLeader({
      client,
      sender: createClient({ ...clientOptions, retryFor: 0 }),
      store: own,
      guard,
      options,
      publish(message) {
        if (leader !== elected) return;
        post(message);
        deliver(message);
      },
      started() {
        if (leader !== elected) return;
        post({ type: "leader" });
        follow();
      },
      failed: () => leader === elected && detach(),
      superseded: () => leader === elected && tabs?.giveUp(),
      settled() {
        post({ type: "settled" });
        outcomes.collect();
      },
      watch: (tab, gone) => tabs?.watch(tab, gone) ?? (() => undefined),
      end: (error) => leader === elected && end(error),
    }));
  };
  /** Without the store, another tab has to lead, and this one follows the server by itself. It shows what it can still read. */
  const detach = (): void => {
    if (over || detached) return;
    detached = true;
    tabs?.giveUp(true);
    outcomes.close();
    const none = openMemory({ maxWrites: 0, maxSets: 0, maxBytes: 0, keepFor: 0 });
    lead({ ...none, load: store.load, forget: store.forget });
  };
  const handlers: TabHandlers = {
    lead() {
      if (!over && !detached) lead(store);
    },
    resign() {
      leader?.close();
      leader = undefined;
      // What this tab shows comes from the next leader now.
      if (!over) follow();
    },
    changed: () => void guard.check(true).catch(() => undefined),
    receive(message: Message) {
      if (over || (detached && message.type !== "ended")) return;
      switch (message.type) {
        case "state":
        case "change":
          return deliver(message);
        case "want":
          return leader?.want(message.definition, message.tab);
        case "drop":
          return leader?.drop(message.set, message.tab);
        case "refresh":
          return leader?.refresh(message.set);
        case "queued":
          return leader?.wake();
        case "leader":
          return follow();
        case "settled":
          return outcomes.collect();
        case "ended":
          return end(errorOf(message.error), true);
      }
    },
  };
  const outcomes = createOutcomes({ store, onOutcome, tab: () => tabs?.tab, isGone: async (tab) => tabs !== undefined && tabs.isGone(tab) });
  const joining = shared ? joinTabs(channel, guard.viewer, handlers) : alone(handlers);
  const own = await Promise.resolve(joining).catch((error: unknown) => {
    stop(closedError());
    store.close();
    throw error;
  });
  tabs = own;
  // The viewer may have changed since it was found.
  await guard.check().catch(() => undefined);
  if (over) {
    await wiped;
    own.close();
    throw over;
  }
  onLost(detach);
  // Or it was lost while this tab joined.
  if (detached) own.giveUp(true);
  reports = true;
  outcomes.collect();

  const allowed = (): boolean => {
    // Ends this tab's part.
    if (!guard.still()) void guard.check().catch(() => undefined);
    return !over;
  };
  const check = async (): Promise<void> => {
    if (over) throw over;
    await guard.check();
    if (over) throw over;
  };
  const notStored = (reason: unknown): GomError => new GomError("NOT_STORED", `The write cannot be stored: ${String(reason)}. Send it with \`client.mutate\``);
  const wake = (): void => {
    post({ type: "queued" });
    leader?.wake();
  };

  return {
    set<R extends Row, Variables = unknown>({ query, subscription, variables, key = "id", compare }: OfflineSetOptions<R, Variables>) {
      const parts = { query: textOf(query, print), subscription: textOf(subscription, print), variables: copyOf(variables), key };
      let view: View<R> | undefined;
      const definition = digest(JSON.stringify([parts.query, parts.subscription, parts.variables, key])).then((id): Definition => ({ id, ...parts }));
      const created = createView<R>({
        key,
        compare,
        allowed,
        want: () => void definition.then((each) => {
          if (over || !view) return;
          if (leader) leader.want(each, own.tab);
          else post({ type: "want", tab: own.tab, definition: each });
        }),
        refresh: () => void definition.then(({ id }) => {
          if (leader) leader.refresh(id);
          else post({ type: "refresh", set: id });
        }),
        closed: () => {
          view = undefined;
          void definition.then(({ id }) => {
            const all = views.get(id);
            all?.delete(created as unknown as View<Row>);
            if (!all || all.size > 0) return;
            views.delete(id);
            if (leader) leader.drop(id, own.tab);
            else post({ type: "drop", tab: own.tab, set: id });
          });
        },
      });
      view = created;
      void definition.then(async ({ id }) => {
        if (over) return created.end(over);
        if (!view) return;
        const all = views.get(id) ?? new Set();
        views.set(id, all.add(created as unknown as View<Row>));
        created.follow();
        const stored = await store.load(id).catch(() => undefined);
        if (stored && !over) created.show(stored);
      });
      return created.set;
    },
    async write<Data, Variables>(document: Operation<Data, Variables>, variables?: Variables): Promise<Queued<Data>> {
      await check();
      if (detached) throw notStored("the database is not available");
      const write = { id: newKey(), document: textOf(document, print), variables: copyOf(variables), queuedAt: Date.now(), tab: own.tab };
      const answer = outcomes.expect<Data>(write.id);
      try {
        await store.enqueue(write);
      } catch (error) {
        outcomes.forget(write.id);
        throw error instanceof GomError ? error : notStored(error);
      }
      wake();
      return { id: write.id, answer };
    },
    async writes() {
      await check();
      return (await store.writes()).map((each) => publicWrite(each, shared ? guard.viewer : undefined));
    },
    async discard(id) {
      await check();
      const found = (await store.writes()).find((each) => each.id === id);
      if (!found) return false;
      // The leader may have settled it meanwhile.
      if (!(await store.settle(found, { kind: "discarded" }))) return false;
      post({ type: "settled" });
      outcomes.collect();
      wake();
      return true;
    },
    async sent() {
      for (;;) {
        const next = outcomes.next();
        await check();
        if (detached) throw notStored("the database is not available");
        const write = await store.next();
        if (!write || write.refusal) return;
        await next;
      }
    },
    client,
    get storage() {
      return shared && !detached ? "indexeddb" : "memory";
    },
    get leads() {
      return leader !== undefined;
    },
    async logOut({ discard = false } = {}) {
      reports = false;
      if (over) {
        if (!discard) return;
        const again = shared ? await openAgain() : store;
        return again.discardAll().finally(() => again.close());
      }
      const discarded = discard ? store.discardAll() : undefined;
      closeStore = () => undefined;
      end(unauthenticated(), false, guard.session);
      // At once: a disk that does not answer must not keep the session open. Nor is one that fails a reason not to wait for the other.
      const closed = options.token ? undefined : client.session.logOut();
      await Promise.allSettled([wiped, discarded, closed]);
      if (closed) {
        // Another tab may have opened again before the cookies were gone.
        await guard.check(true).catch(() => store.wipe()).catch(() => undefined);
        await closed.then(store.allow).catch(() => undefined);
        if (shared) announce(channel, guard.viewer, { type: "check" });
      }
      store.close();
      await discarded;
      await closed;
    },
    close() {
      if (!stop(closedError())) return;
      for (const each of [...views.values()].flatMap((all) => [...all])) each.set.close();
      own.close();
      store.close();
    },
  };
}
