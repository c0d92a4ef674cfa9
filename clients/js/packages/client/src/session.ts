import { GomError, unauthenticated } from "./errors.js";
import { refusal } from "./http.js";
import type { Http } from "./http.js";

export type LogIn =
  | { readonly grantType: "password"; readonly username: string; readonly password: string }
  | { readonly grantType: "phone"; readonly username: string; readonly phone: string };

export interface Session {
  /** Opens a session; gives the profile, or nothing if the browser is logged in already. Rejects with `invalid_grant`. */
  logIn(credentials: LogIn): Promise<unknown>;
  /** Closes the session. Every set, subscription and live query of this client ends at once with `UNAUTHENTICATED`. */
  logOut(): Promise<void>;
}

/** The session of a browser; `end` ends what runs with it. */
export function createSession(endpoint: URL, http: Http, end: (error: GomError) => void): Session {
  const post = async (path: string, body: unknown): Promise<Response> => {
    const response = await http.post(new URL(path, endpoint), body);
    if (!response.ok) throw await refusal(response);
    return response;
  };
  return {
    async logIn(credentials) {
      const response = await post("auth/login", credentials);
      if (response.status === 204) return undefined;
      // Another viewer, who must not see what the one before was shown.
      end(unauthenticated());
      return (await response.json()) as unknown;
    },
    async logOut() {
      // What is shown goes, also if the server cannot be reached.
      end(unauthenticated());
      await post("auth/logout", {});
    },
  };
}
