import { GomError } from "@gom/client";
import { createAuth, UNKNOWN } from "@gom/client/auth";
import type { AuthOptions } from "@gom/client/auth";
import { createHttp, refusal } from "@gom/client/http";
import { within } from "./within.js";

export interface ServerOptions extends Pick<AuthOptions, "cookiePrefix" | "csrfToken"> {
  readonly fetch?: typeof fetch | undefined;
}

/** `/webpush` of a server. Each request rejects with a `GomError`, at the latest after `TIMEOUT`. */
export interface PushServer {
  readonly endpoint: URL;
  /** The viewer of the page's cookies; nothing if nobody is logged in. */
  viewer(): string | undefined;
  /** The key for which browsers subscribe; nothing if the server has none. */
  key(): Promise<string | undefined>;
  /** The user of the session receives notifications here. `check` throws if it is not the expected one any more: then nothing is sent. */
  subscribe(subscription: PushSubscriptionJSON, check: () => void): Promise<void>;
  /** Whether the server has `fresh` now, in the place of `old`. They may be equal. */
  renew(old: PushSubscriptionJSON, fresh: PushSubscriptionJSON): Promise<boolean>;
  unsubscribe(subscription: PushSubscriptionJSON): Promise<void>;
}

/** A request without an answer for this long is lost. Milliseconds. */
const TIMEOUT = 20_000;

/** An uncompressed point on P-256: 65 bytes in base64url. */
const KEY = /^[\w-]{87}$/;

export function openServer(endpoint: URL, { fetch: given, cookiePrefix, csrfToken }: ServerOptions = {}): PushServer {
  const fetcher: typeof fetch = given ?? ((input, init) => fetch(input, init));
  // A token among the caller's options is not used: only a session has devices.
  const auth = createAuth(endpoint, { cookiePrefix, csrfToken });
  const http = createHttp(endpoint, auth, fetcher);
  const at = (path: string): URL => new URL(`webpush/${path}`, endpoint);
  /** Runs a request, with its body, for `TIMEOUT` at most. */
  const bounded = async <Result>(request: (signal: AbortSignal) => Promise<Result>): Promise<Result> => {
    try {
      return await within(TIMEOUT, request);
    } catch (error) {
      throw error instanceof GomError ? error : new GomError("NETWORK", `No answer: ${String(error)}`);
    }
  };
  /** The body of the answer; nothing if it has the status `tolerated`. */
  const send = (path: string, body: unknown, as?: () => void, tolerated?: number): Promise<unknown> =>
    bounded(async (signal) => {
      const response = await http.post(at(path), body, { signal, as });
      if (response.status === tolerated) return undefined;
      if (!response.ok) throw await refusal(response);
      return response.json();
    });
  return {
    endpoint,
    viewer() {
      const viewer = auth.viewer();
      return viewer === UNKNOWN ? undefined : viewer;
    },
    key: () =>
      bounded(async (signal) => {
        const response = await fetcher(at("key"), { signal });
        if (response.status === 404) return undefined;
        if (!response.ok) throw await refusal(response);
        const key = await response.text();
        if (KEY.test(key)) return key;
        throw new GomError("BAD_KEY", `${at("key").href} is no key: pass the address of /graphql as \`url\``);
      }),
    async subscribe(subscription, check) {
      await send("subscribe", subscription, check);
    },
    renew: async (old, fresh) => (await send("renew", { old, new: fresh })) === true,
    async unsubscribe(subscription) {
      // What the server does not accept as a subscription, it does not have.
      await send("unsubscribe", subscription, undefined, 400);
    },
  };
}
