import { lost } from "./errors.js";

/** Where a bearer token comes from. It is called before each connection and request; `refused` is a token that the server did not accept. */
export type TokenSource = (refused?: string) => string | undefined | Promise<string | undefined>;

export interface AuthOptions {
  /** A bearer token. Without it, the browser's cookies are the session. */
  readonly token?: TokenSource | undefined;
  /** `server.cookie_prefix` of the server. */
  readonly cookiePrefix?: string | undefined;
  /** Reads the CSRF token where there is no `document.cookie`. */
  readonly csrfToken?: (() => string | undefined) | undefined;
}

/** The credentials of requests: a bearer token, or the CSRF token that goes with the session's cookies. */
export interface Auth {
  readonly bearer: boolean;
  /** A token; another one in the place of `refused`. Rejects with `NETWORK` if the source fails or takes too long. */
  token(signal?: AbortSignal, refused?: string): Promise<string | undefined>;
  /** Whose credentials these are, or `UNKNOWN`. */
  viewer(token?: string): string;
  csrf(): string | undefined;
  /** Keeps the CSRF token that a response to a page of another origin carries. */
  learn(response: Response): void;
}

/** The viewer of cookies that the page cannot read. */
export const UNKNOWN = "?";

/** A token source that takes longer has failed. Milliseconds. */
const TIMEOUT = 30_000;

/** What changes when the same viewer's token is renewed. */
const VOLATILE = /^(iat|exp|nbf|jti)$/;

export function createAuth(endpoint: URL, options: AuthOptions): Auth {
  const { token: source, cookiePrefix = "", csrfToken } = options;
  let learned: string | undefined;
  // A page reads the cookie each time: a login in another tab has changed it. Another origin's page has another site's cookie.
  const cookie = (suffix: string): string | undefined => {
    if (globalThis.location?.origin !== endpoint.origin) return undefined;
    const name = `${cookiePrefix + suffix}=`;
    // A worker has no cookies.
    const found = globalThis.document?.cookie.split("; ").find((each) => each.startsWith(name));
    return found && decodeURIComponent(found.slice(name.length));
  };
  return {
    bearer: source !== undefined,
    async token(signal, refused) {
      if (!source) return undefined;
      let timer: ReturnType<typeof setTimeout> | undefined;
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(reject, TIMEOUT, "no token");
        signal?.addEventListener("abort", reject, { once: true });
      });
      try {
        // Within a promise: a source that throws must not leave `late` without a handler.
        return await Promise.race([Promise.resolve(refused).then(source), late]);
      } catch (error) {
        throw lost(error);
      } finally {
        clearTimeout(timer);
      }
    },
    viewer(token) {
      const text = source ? (token ?? "") : cookie("session-token");
      if (text === undefined) return UNKNOWN;
      try {
        const claims: unknown = JSON.parse(atob((text.split(".")[1] as string).replaceAll("-", "+").replaceAll("_", "/")));
        // The session's token is renewed with other claims, without another viewer. A customer at two sellers is two viewers.
        return source ? JSON.stringify(claims, (name, value: unknown) => (VOLATILE.test(name) ? undefined : value)) : JSON.stringify(claims, ["sub", "seller"]);
      } catch {
        return text;
      }
    },
    csrf: () => csrfToken?.() ?? cookie("csrf-token") ?? learned,
    learn(response) {
      learned = response.headers.get("x-csrf-token") ?? learned;
    },
  };
}
