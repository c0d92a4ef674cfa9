// Who is logged in: what is stored belongs to one viewer.
import { GomError } from "@gom/client";
import type { TokenSource } from "@gom/client";
import { unauthenticated, viewerChanged } from "./errors.js";
import type { OfflineOptions } from "./types.js";

/** Whose something is, as digests, so that nothing of the claims is stored. */
export interface Owner {
  /** The user with the claims that decide what it may see: rows are theirs. */
  readonly viewer: string;
  /** The user alone: with other claims, writes are listed, and not sent. */
  readonly user: string;
  /** The session of cookies, if the cookies can be read. */
  readonly session?: string | undefined;
}

/** One viewer, from the time that it was found until it changes. */
export interface Guard extends Owner {
  /** For the client: gives tokens of this viewer only. */
  readonly token: TokenSource | undefined;
  /** For the client: sends requests of this viewer only. */
  readonly fetch: typeof fetch | undefined;
  /** Whether the viewer is the same, as far as that can be known at once. */
  still(): boolean;
  /** Rejects with `VIEWER_CHANGED` or `UNAUTHENTICATED` if the viewer is another one, or nobody, and with `NETWORK` if that cannot be known now. */
  check(thorough?: boolean): Promise<void>;
}

/** What changes when the same user's token is renewed, or when the same user logs in again. */
const VOLATILE = /^(iat|exp|nbf|jti|auth_time|sid|session_state|nonce|at_hash)$/;

/** A viewer as it is compared: all claims of a token, and its subject. */
interface Identity {
  readonly claims: string;
  readonly subject: string;
  /** The cookie's text. */
  readonly session?: string;
}

function identityOf(token: string): Identity {
  try {
    const all = JSON.parse(atob((token.split(".")[1] as string).replaceAll("-", "+").replaceAll("_", "/"))) as Record<string, unknown>;
    const claims = JSON.stringify(Object.entries(all).filter(([name]) => !VOLATILE.test(name)).sort(([left], [right]) => (left < right ? -1 : 1)));
    // A service's token has none.
    return { claims, subject: typeof all["sub"] === "string" ? all["sub"] : claims };
  } catch {
    return { claims: token, subject: token };
  }
}

interface CookieStoreLike {
  getAll(): Promise<readonly { readonly name?: string; readonly value?: string }[]>;
}

const cookieStore = (): CookieStoreLike | undefined => (globalThis as { cookieStore?: CookieStoreLike }).cookieStore;

const isOwnOrigin = (url: string): boolean => globalThis.location !== undefined && new URL(url, location.href).origin === location.origin;

/** The cookie as a page reads it: at once. */
function pageCookie(name: string): string | undefined {
  const found = document.cookie.split("; ").find((each) => each.startsWith(`${name}=`));
  return found && decodeURIComponent(found.slice(name.length + 1));
}

interface Source {
  /** Who is logged in; nothing: nobody. Rejects if that cannot be known now. */
  read(): Promise<Identity | undefined>;
  /** The same at once, where that is possible. */
  readonly peek?: () => Identity | undefined;
  /** The same, and the CSRF token of the same session. */
  readonly readBoth?: () => Promise<readonly [viewer: Identity | undefined, csrf: string | undefined]>;
}

function sourceOf({ url, token, viewer, cookiePrefix = "" }: OfflineOptions): Source {
  const name = `${cookiePrefix}session-token`;
  if (viewer) {
    return {
      async read() {
        const found = await viewer();
        return found ? { claims: found, subject: found } : undefined;
      },
    };
  }
  if (token) {
    return {
      async read() {
        const text = await token();
        return text ? identityOf(text) : undefined;
      },
    };
  }
  if (isOwnOrigin(url) && globalThis.document) {
    let last: readonly [text: string, found: Identity] | undefined;
    const peek = (): Identity | undefined => {
      const text = pageCookie(name);
      if (!text) return undefined;
      // It is called for each look at the rows.
      if (last?.[0] !== text) last = [text, { ...identityOf(text), session: text }];
      return last[1];
    };
    return { read: async () => peek(), peek };
  }
  const cookies = cookieStore();
  if (isOwnOrigin(url) && cookies) {
    const readBoth = async (): Promise<readonly [Identity | undefined, string | undefined]> => {
      const all = await cookies.getAll();
      const get = (each: string): string | undefined => {
        const text = all.find((cookie) => cookie.name === each)?.value;
        return text && decodeURIComponent(text);
      };
      const session = get(name);
      return [session ? { ...identityOf(session), session } : undefined, get(`${cookiePrefix}csrf-token`)];
    };
    return { read: async () => (await readBoth())[0], readBoth };
  }
  throw new TypeError("Pass `viewer`: the cookies that name the viewer cannot be read here");
}

export async function digest(text: string): Promise<string> {
  // `subtle` is missing in pages that are not from https, where nothing is stored.
  if (!globalThis.crypto?.subtle) return text;
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const unknown = (error: unknown): GomError => (error instanceof GomError ? error : new GomError("NETWORK", `The viewer is not known: ${String(error)}`));

/** Who is logged in now; nothing if nobody is. `changed` is called when the guard has noticed another viewer. */
export async function openGuard(options: OfflineOptions, changed: (error: GomError) => void): Promise<Guard | undefined> {
  const source = sourceOf(options);
  const read = (): Promise<Identity | undefined> => source.read().catch((error: unknown) => Promise.reject(unknown(error)));
  const own = await read();
  if (!own) return undefined;
  const compare = (found: Identity | undefined): void => {
    if (found?.claims === own.claims) return;
    const error = found ? viewerChanged() : unauthenticated();
    changed(error);
    throw error;
  };
  const { token, fetch: given } = options;
  const send: typeof fetch = given ?? ((input, init) => fetch(input, init));
  /**
   * The cookies are looked at before each request. If they change after that, its CSRF token is of the earlier session, so that the server refuses it.
   * A page's client does the same by itself.
   */
  const guarded: typeof fetch = async (input, init) => {
    const [found, csrf] = source.readBoth ? await source.readBoth() : [await read(), undefined];
    compare(found);
    const headers = new Headers(init?.headers);
    if (csrf) headers.set("x-csrf-token", csrf);
    return send(input, { ...init, headers });
  };
  return {
    viewer: await digest(own.claims),
    user: await digest(own.subject),
    session: own.session === undefined ? undefined : await digest(own.session),
    fetch: token || source.peek ? given : guarded,
    token:
      token &&
      (async (refused) => {
        const found = await token(refused);
        // With `viewer`, the application decides whose the token is.
        compare(options.viewer ? await read() : found ? identityOf(found) : undefined);
        return found;
      }),
    still: () => !source.peek || source.peek()?.claims === own.claims,
    async check(thorough = false) {
      if (source.peek) compare(source.peek());
      else if (!token || thorough) compare(await read());
    },
  };
}
