// Subscriptions and live queries, over one websocket for all of them. One that is cut off comes back with the cursor of
// its last event, and misses nothing.

import { createClient } from "graphql-ws";
import * as place from "./place.js";
import { token } from "./session.js";

const FORBIDDEN = 4403;
const ABNORMAL = 1006;
/** Attempts to connect, to come back, and the longest pause between them in milliseconds. */
const FIRST_ATTEMPTS = 3;
const ATTEMPTS = 30;
const LONGEST_PAUSE = 10_000;
/** To a page a refused handshake looks like a failed connection. */
const NO_CONNECTION =
  "There is no connection for subscriptions. A proxy must hand websockets on, and the server must know the origin of the proxy's pages (server.trusted_proxies, server.origins).";

const reason = (error) => {
  if (Array.isArray(error)) return error;
  if (error instanceof CloseEvent) {
    if (error.code === ABNORMAL) return [{ message: NO_CONNECTION }];
    return [{ message: `The server has closed the connection: ${error.reason || "no reason given"} (${error.code})` }];
  }
  return [{ message: error instanceof Error ? error.message : String(error) }];
};

/** What shows the state of the connection: which one it is, when it changed, how many events came. */
export const state = (() => {
  let now = { connection: "none", events: 0 };
  const listeners = new Set();
  return {
    get: () => now,
    set: (change) => {
      now = { ...now, ...change };
      listeners.forEach((listener) => listener());
    },
    listen: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
})();

/** The websocket of one viewer. */
export const connect = () => {
  /** What was sent for each running operation, and whether it is one that can go on from a cursor. */
  const running = new Map();
  let position;
  let wasIn = false;
  let attempts = 0;
  const client = createClient({
    url: place.socket,
    connectionParams: () => (token() ? { Authorization: `Bearer ${token()}` } : {}),
    retryAttempts: ATTEMPTS,
    retryWait: (retries) => {
      const pause = Math.min(LONGEST_PAUSE, 500 * 2 ** retries);
      return new Promise((done) => setTimeout(done, pause * (0.75 + Math.random() / 2)));
    },
    // A token that has expired is renewed by the next handshake, if it can be; who is refused then is not let in.
    shouldRetry: (error) => {
      if (!(error instanceof CloseEvent)) return false;
      attempts += 1;
      if (position === undefined && attempts >= FIRST_ATTEMPTS) return false;
      const again = error.code !== FORBIDDEN || wasIn;
      wasIn = false;
      return again;
    },
    on: {
      connecting: () => state.set({ connection: "connecting" }),
      connected: (_, payload) => {
        wasIn = true;
        position = payload?.cursor ?? null;
        state.set({ connection: "open" });
      },
      closed: () => {
        // A subscription without an event so far resumes from the position at which the connection was opened.
        for (const [payload, resumes] of running) {
          if (resumes && position) payload.extensions ??= { cursor: position };
        }
        state.set({ connection: running.size > 0 ? "lost" : "none" });
      },
    },
  });
  /** An observable, as GraphiQL wants it. */
  const start = ({ query, variables, operationName }, isSubscription) => ({
    subscribe: (observer) => {
      const payload = { query, variables, operationName };
      running.set(payload, isSubscription);
      state.set({ events: 0 });
      const done = () => {
        running.delete(payload);
        if (running.size === 0) state.set({ connection: "none" });
      };
      const unsubscribe = client.subscribe(payload, {
        next: (answer) => {
          const cursor = answer.extensions?.cursor;
          // The client sends this same object again after a reconnect.
          if (isSubscription && cursor) payload.extensions = { cursor };
          state.set({ events: state.get().events + 1 });
          observer.next(answer);
        },
        error: (error) => {
          done();
          observer.error(reason(error));
        },
        complete: () => {
          done();
          observer.complete();
        },
      });
      return { unsubscribe };
    },
  });
  return { start, close: () => client.dispose() };
};
