import type { Auth } from "./auth.js";
import { GomError, errorOf } from "./errors.js";
import type { WireResult } from "./types.js";

export interface Http {
  /** Sends one POST with the credentials. A refused token or CSRF token is renewed, and the request sent once more: nothing was done. */
  post(url: URL, body: unknown, options?: { accept?: string; signal?: AbortSignal | undefined }): Promise<Response>;
  /** Sends a GraphQL request; rejects with what the server refused. */
  request(body: unknown, signal?: AbortSignal): Promise<WireResult>;
}

interface Refusal {
  readonly error?: string;
  readonly message?: string | readonly string[];
}

/** The error of a response that is not a result. */
export async function refusal(response: Response): Promise<GomError> {
  const after = response.headers.get("retry-after");
  const retryAfter = after === null ? undefined : Number(after) * 1_000;
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

const lost = (error: unknown): GomError => new GomError("NETWORK", `No answer: ${String(error)}`);

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
  const post: Http["post"] = async (url, body, { accept = "application/json", signal } = {}) => {
    for (let again = false; ; again = true) {
      const token = await auth.token();
      const csrf = auth.bearer ? undefined : auth.csrf();
      const headers: Record<string, string> = { "content-type": "application/json", accept };
      if (token) headers["authorization"] = `Bearer ${token}`;
      if (csrf) headers["x-csrf-token"] = csrf;
      const response = await attempt(url, { method: "POST", headers, body: JSON.stringify(body), signal: signal ?? null });
      if (again || (response.status !== 401 && response.status !== 403)) return response;
      if (auth.bearer) {
        if (response.status !== 401 || !(await auth.renew(token))) return response;
      } else {
        const { error } = (await response.clone().json().catch(() => ({}))) as Refusal;
        if (error !== "EBADCSRFTOKEN") return response;
        await attempt(new URL("auth/ping", endpoint), { signal: signal ?? null });
      }
    }
  };
  return {
    post,
    async request(body, signal) {
      const stop = new AbortController();
      const timer = setTimeout(() => stop.abort(), TIMEOUT);
      const abort = (): void => stop.abort();
      signal?.addEventListener("abort", abort);
      try {
        signal?.throwIfAborted();
        const response = await post(endpoint, body, { signal: stop.signal });
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
        signal?.removeEventListener("abort", abort);
      }
    },
  };
}
