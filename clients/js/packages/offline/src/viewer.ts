// Who is logged in: what is stored belongs to one viewer.
import { GomError } from "@gom/client";
import type { TokenSource } from "@gom/client";
import { unauthenticated } from "./errors.js";
import type { OfflineOptions } from "./types.js";

/** One viewer, from the time that it was found until it changes. */
export interface Guard {
  /** A digest, so that nothing of the claims is stored. */
  readonly viewer: string;
  /** For the client: gives tokens of this viewer only. */
  readonly token: TokenSource | undefined;
  /** Whether the viewer is the same, as far as that can be known at once. */
  still(): boolean;
  /** Rejects with `UNAUTHENTICATED` if the viewer has changed, and with `NETWORK` if that cannot be known now. */
  check(thorough?: boolean): Promise<void>;
}

/** What changes when the same user's token is renewed, or when the same user logs in again. */
const VOLATILE = /^(iat|exp|nbf|jti|auth_time|sid|session_state|nonce|at_hash)$/;

/** Who has a token: all of its claims, for they decide what its viewer may see. */
function claimsOf(token: string): string {
  try {
    const claims = JSON.parse(atob((token.split(".")[1] as string).replaceAll("-", "+").replaceAll("_", "/"))) as object;
    return JSON.stringify(Object.entries(claims).filter(([name]) => !VOLATILE.test(name)).sort(([left], [right]) => (left < right ? -1 : 1)));
  } catch {
    return token;
  }
}

interface CookieStoreLike {
  get(name: string): Promise<{ readonly value: string } | null>;
}

const cookieStore = (): CookieStoreLike | undefined => (globalThis as { cookieStore?: CookieStoreLike }).cookieStore;

const isOwnOrigin = (url: string): boolean => globalThis.location !== undefined && new URL(url, location.href).origin === location.origin;

/** The cookie as a page reads it: at once. */
function pageCookie(name: string): string | undefined {
  const found = document.cookie.split("; ").find((each) => each.startsWith(`${name}=`));
  return found && decodeURIComponent(found.slice(name.length + 1));
}

/** In a service worker, the CSRF token is read from the cookies that the page would read. */
export function workerFetch({ url, token, cookiePrefix = "", fetch: given }: OfflineOptions): typeof fetch | undefined {
  const cookies = cookieStore();
  if (given || token || globalThis.document || !cookies || !isOwnOrigin(url)) return given;
  return async (input, init) => {
    const headers = new Headers(init?.headers);
    const csrf = await cookies.get(`${cookiePrefix}csrf-token`);
    if (csrf) headers.set("x-csrf-token", decodeURIComponent(csrf.value));
    return fetch(input, { ...init, headers });
  };
}

interface Source {
  /** Who is logged in; nothing: nobody. Rejects if that cannot be known now. */
  read(): Promise<string | undefined>;
  /** The same at once, where that is possible. */
  readonly peek?: () => string | undefined;
}

function sourceOf({ url, token, viewer, cookiePrefix = "" }: OfflineOptions): Source {
  const name = `${cookiePrefix}session-token`;
  if (viewer) return { read: async () => (await viewer()) || undefined };
  if (token) {
    return {
      async read() {
        const text = await token();
        return text ? claimsOf(text) : undefined;
      },
    };
  }
  if (isOwnOrigin(url) && globalThis.document) {
    const peek = (): string | undefined => {
      const text = pageCookie(name);
      return text && claimsOf(text);
    };
    return { read: async () => peek(), peek };
  }
  const cookies = cookieStore();
  if (isOwnOrigin(url) && cookies) {
    return {
      async read() {
        const found = await cookies.get(name);
        return found ? claimsOf(decodeURIComponent(found.value)) : undefined;
      },
    };
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
export async function openGuard(options: OfflineOptions, changed: () => void): Promise<Guard | undefined> {
  const source = sourceOf(options);
  const read = (): Promise<string | undefined> => source.read().catch((error: unknown) => Promise.reject(unknown(error)));
  const text = await read();
  if (text === undefined) return undefined;
  const refuse = (): never => {
    changed();
    throw unauthenticated();
  };
  const { token } = options;
  return {
    viewer: await digest(text),
    token:
      token &&
      (async (refused) => {
        const given = await token(refused);
        // With `viewer`, the application decides whose the token is.
        if (options.viewer ? (await read()) !== text : !given || claimsOf(given) !== text) refuse();
        return given;
      }),
    still: () => !source.peek || source.peek() === text,
    async check(thorough = false) {
      if (source.peek ? source.peek() === text : (token && !thorough) || (await read()) === text) return;
      refuse();
    },
  };
}
