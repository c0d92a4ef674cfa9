"use client";
import { useEffect, useRef, useState } from "react";
import type { EventResult, Operation, Status } from "@gom/client";
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
  const [state, setState] = useState<UseSubscription & { readonly key: string | undefined }>({ key, status: "connecting", error: undefined });
  useEffect(() => {
    if (!document) return;
    let mounted = true;
    const show = (status: Status, error?: Error): void => {
      if (mounted) setState({ key, status, error });
    };
    show("connecting");
    const stream = client.subscribe(document, variables, {
      leaves,
      onResult: (event) => newest.current.onResult(event),
      ...(resyncs && { resync: (signal) => (newest.current.resync as NonNullable<typeof options.resync>)(signal) }),
      onStatus: (status) => status !== "closed" && show(status),
      onEnd: (error) => show("closed", error),
    });
    return () => {
      mounted = false;
      stream.close();
    };
  }, [client, key]);
  if (!document) return { status: "closed", error: undefined };
  // The state of other variables is not that of these.
  return state.key === key ? { status: state.status, error: state.error } : { status: "connecting", error: undefined };
}
