import { GomError } from "@gom/client";
import { createAuth } from "@gom/client/auth";
import type { AuthOptions } from "@gom/client/auth";
import { createHttp, refusal } from "@gom/client/http";

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

/** The `viewer` of cookies that the page has not, or cannot read. */
const NOBODY = "?";

export function openServer(endpoint: URL, options: ServerOptions = {}): PushServer {
  const fetcher: typeof fetch = options.fetch ?? ((input, init) => fetch(input, init));
  const auth = createAuth(endpoint, options);
  const http = createHttp(endpoint, auth, fetcher);
  const at = (path: string): URL => new URL(`webpush/${path}`, endpoint);
  const send = (path: string, body: unknown, as?: () => void): Promise<Response> => http.post(at(path), body, { signal: AbortSignal.timeout(TIMEOUT), as });
  return {
    endpoint,
    viewer() {
      const viewer = auth.viewer();
      return viewer === NOBODY ? undefined : viewer;
    },
    async key() {
      try {
        const response = await fetcher(at("key"), { signal: AbortSignal.timeout(TIMEOUT) });
        if (response.status === 404) return undefined;
        if (!response.ok) throw await refusal(response);
        const key = await response.text();
        if (KEY.test(key)) return key;
      } catch (error) {
        throw error instanceof GomError ? error : new GomError("NETWORK", `No answer: ${String(error)}`);
      }
      throw new GomError("BAD_KEY", `${at("key").href} is no key: pass the address of /graphql as \`url\``);
    },
    async subscribe(subscription, check) {
      const response = await send("subscribe", subscription, check);
      if (!response.ok) throw await refusal(response);
    },
    async renew(old, fresh) {
      const response = await send("renew", { old, new: fresh });
      if (!response.ok) throw await refusal(response);
      return (await response.json()) === true;
    },
    async unsubscribe(subscription) {
      const response = await send("unsubscribe", subscription);
      // What the server does not accept as a subscription, it does not have.
      if (!response.ok && response.status !== 400) throw await refusal(response);
    },
  };
}
