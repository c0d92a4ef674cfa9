import type { Auth } from "./auth.js";
import { during } from "./backoff.js";
import { GomError, errorOf, lost } from "./errors.js";
import type { WireResult } from "./types.js";

export interface Http {
  /**
   * Sends one POST with the credentials. A refused token or CSRF token is renewed, and the request sent once more: nothing was done.
   * `as` is called with the viewer of each; if it throws, nothing is sent.
   */
  post(url: URL, body: unknown, options?: { accept?: string; signal?: AbortSignal | undefined; as?: ((viewer: string) => void) | undefined }): Promise<Response>;
  /** Sends a GraphQL request; rejects with what the server refused. */
  request(body: unknown, signal?: AbortSignal, as?: (viewer: string) => void): Promise<WireResult>;
}

interface Refusal {
  readonly error?: string;
  readonly message?: string | readonly string[];
}

/** The error of a response that is not a result. */
export async function refusal(response: Response): Promise<GomError> {
  const after = response.headers.get("retry-after");
  const seconds = Number(after);
  // A proxy may send a date, which is no number: the client's own delays are used.
  const retryAfter = after !== null && seconds >= 0 ? Math.min(seconds, 86_400) * 1_000 : undefined;
  const body = (await response.json().catch(() => undefined)) as (WireResult & Refusal) | undefined;
  const error = body && errorOf(body, retryAfter);
  if (error) return error;
  const code =
    response.status === 401 || body?.error === "jwt_error"
      ? "UNAUTHENTICATED"
      : response.status === 429
        ? "TOO_MANY_REQUESTS"
        : response.status === 503 && body?.error
          ? "SERVICE_UNAVAILABLE"
          : // A proxy's own page: the server may have carried the request out.
            response.status >= 500 && !body?.error
            ? "NETWORK"
            : (body?.error ?? `HTTP_${response.status}`);
  return new GomError(code, String(body?.message ?? response.status), { retryAfter });
}

/** A request without an answer for this long is lost; the server's own deadline is shorter. Milliseconds. */
const TIMEOUT = 60_000;

export function createHttp(endpoint: URL, auth: Auth, fetcher: typeof fetch): Http {
  const attempt = async (url: URL, init: RequestInit): Promise<Response> => {
    try {
      const response = await fetcher(url, { credentials: auth.bearer ? "omit" : "include", ...init });
      auth.learn(response);
      return response;
    } catch (error) {
      throw lost(error);
    }
  };
  const post: Http["post"] = async (url, body, { accept = "application/json", signal, as } = {}) => {
    let token = await auth.token(signal);
    for (let again = false; ; again = true) {
      as?.(auth.viewer(token));
      const csrf = auth.bearer ? undefined : auth.csrf();
      const headers: Record<string, string> = { "content-type": "application/json", accept };
      if (token) headers["authorization"] = `Bearer ${token}`;
      if (csrf) headers["x-csrf-token"] = csrf;
      const response = await attempt(url, { method: "POST", headers, body: JSON.stringify(body), signal: signal ?? null });
      if (again || (response.status !== 401 && response.status !== 403)) return response;
      if (auth.bearer) {
        if (response.status !== 401 || !token) return response;
        const renewed = await auth.token(signal, token);
        if (!renewed || renewed === token) return response;
        token = renewed;
      } else {
        const { error } = (await response.clone().json().catch(() => ({}))) as Refusal;
        if (error !== "EBADCSRFTOKEN") return response;
        await attempt(new URL("auth/ping", endpoint), { signal: signal ?? null });
      }
    }
  };
  return {
    post,
    request: (body, signal, as) =>
      during([signal], async (own) => {
        const timer = setTimeout(() => own.abort(), TIMEOUT);
        try {
          own.signal.throwIfAborted();
          const response = await post(endpoint, body, { signal: own.signal, as });
          if (!response.ok) throw await refusal(response);
          const result = (await response.json().catch((error: unknown) => {
            throw lost(error);
          })) as WireResult;
          const error = errorOf(result);
          if (error) throw error;
          return result;
        } catch (error) {
          signal?.throwIfAborted();
          throw error;
        } finally {
          clearTimeout(timer);
        }
      }),
  };
}
