"use client";
import { useCallback, useEffect, useRef, useState } from "react";
import type { Client, EventResult, Operation, Status, Stream } from "@gom/client";
import { useGom } from "./context.js";
import { keyOf } from "./keys.js";

export interface UseSubscriptionOptions<Data> {
  /** Called for each event, in order; that of the newest render. An error that it throws ends the subscription. */
  onResult(event: EventResult<Data>): void;
  /** Report rows that leave. */
  readonly leaves?: boolean;
  /** Reads again what is shown and gives its position. Without it the subscription ends with `RESYNC_REQUIRED` where changes are no longer kept. */
  readonly resync?: (signal: AbortSignal) => Promise<string>;
}

export interface UseSubscription {
  readonly status: Status;
  /** Why the subscription has ended. */
  readonly error: Error | undefined;
  /** Calls `resync`; opens a subscription that has ended again. */
  readonly refresh: () => void;
}

interface Shown extends Omit<UseSubscription, "refresh"> {
  readonly client: Client;
  readonly key: string | undefined;
}

/** Receives the events from the moment at which the component is mounted, until it is unmounted. Without a document nothing is opened. */
export function useSubscription<Data, Variables>(
  document: Operation<Data, Variables> | undefined,
  variables: Variables | undefined,
  options: UseSubscriptionOptions<Data>,
): UseSubscription {
  const client = useGom();
  const newest = useRef(options);
  useEffect(() => {
    newest.current = options;
  });
  const { leaves = false } = options;
  const resyncs = options.resync !== undefined;
  const key = document && keyOf("subscription", [document], variables, leaves, resyncs);
  const [state, setState] = useState<Shown>({ client, key, status: "connecting", error: undefined });
  const running = useRef<Stream | undefined>(undefined);
  const [round, setRound] = useState(0);
  useEffect(() => {
    if (!document) return;
    let mounted = true;
    const show = (status: Status, error?: Error): void => {
      if (mounted) setState({ client, key, status, error });
    };
    show("connecting");
    const stream = client.subscribe(document, variables, {
      leaves,
      onResult: (event) => newest.current.onResult(event),
      ...(resyncs && { resync: (signal) => (newest.current.resync as NonNullable<typeof options.resync>)(signal) }),
      onStatus: (status) => status !== "closed" && show(status),
      onEnd: (error) => show("closed", error),
    });
    running.current = stream;
    return () => {
      mounted = false;
      running.current = undefined;
      stream.close();
    };
  }, [client, key, round]);
  const refresh = useCallback(() => {
    if (running.current?.status === "closed") setRound((count) => count + 1);
    else running.current?.refresh();
  }, []);
  if (!document) return { status: "closed", error: undefined, refresh };
  // The state of other variables or of another viewer is not that of these.
  const { status, error } = state.client === client && state.key === key ? state : ({ status: "connecting", error: undefined } as const);
  return { status, error, refresh };
}
