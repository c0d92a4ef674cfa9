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
  token(): Promise<string | undefined>;
  /** Whether another token can be had in the place of the refused one. */
  renew(refused: string | undefined): Promise<boolean>;
  csrf(): string | undefined;
  /** Keeps the CSRF token that a response to a page of another origin carries. */
  learn(response: Response): void;
}

export function createAuth(endpoint: URL, options: AuthOptions): Auth {
  const { token, cookiePrefix = "", csrfToken } = options;
  let learned: string | undefined;
  let next: string | undefined;
  const ask = async (refused?: string): Promise<string | undefined> => token?.(refused);
  // A page reads the cookie each time: a login in another tab has changed it. Another origin's page has another site's cookie.
  const cookie = (): string | undefined => {
    if (globalThis.location?.origin !== endpoint.origin) return undefined;
    const name = `${cookiePrefix}csrf-token=`;
    // A worker has no cookies.
    const found = globalThis.document?.cookie.split("; ").find((each) => each.startsWith(name));
    return found && decodeURIComponent(found.slice(name.length));
  };
  return {
    bearer: token !== undefined,
    async token() {
      const renewed = next;
      next = undefined;
      return renewed ?? ask();
    },
    async renew(refused) {
      if (refused === undefined) return false;
      next = await ask(refused);
      return next !== undefined && next !== refused;
    },
    csrf: () => csrfToken?.() ?? cookie() ?? learned,
    learn(response) {
      learned = response.headers.get("x-csrf-token") ?? learned;
    },
  };
}
