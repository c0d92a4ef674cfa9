// The viewer: a bearer token that was pasted here, or the browser's session. The token stays in this tab: it is in
// sessionStorage only, which no other tab and no later one reads.

import * as place from "./place.js";

const TOKEN = "gom:token";

const cookie = (name) => {
  const found = document.cookie.split("; ").find((pair) => pair.startsWith(`${name}=`));
  return found && decodeURIComponent(found.slice(name.length + 1));
};

/** The claims of a JSON Web Token; nothing, if it is none. */
const claims = (token) => {
  try {
    const text = atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/"));
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(text, (letter) => letter.charCodeAt(0))));
  } catch {
    return undefined;
  }
};

export const token = () => sessionStorage.getItem(TOKEN);

/** Takes a pasted token, with or without `Bearer`, `TOKEN=` or quotes around it. Gives what is wrong with it. */
export const useToken = (text) => {
  const found = text.match(/[\w-]+\.[\w-]+\.[\w-]+/)?.[0];
  const known = found && claims(found);
  if (!known) return "This is no JSON Web Token: it has three parts with dots between";
  if (known.exp * 1000 < Date.now()) return "This token has expired";
  sessionStorage.setItem(TOKEN, found);
};

export const forgetToken = () => sessionStorage.removeItem(TOKEN);

/**
 * Who the server will take us for; nothing, if for nobody. The key differs where the viewer does.
 * @returns {{ key: string, kind: "service" | "user", name: string, until?: Date } | undefined}
 */
export const viewer = () => {
  const pasted = token();
  if (pasted) {
    const { exp } = claims(pasted) ?? {};
    return { key: pasted, kind: "service", name: "Service token", until: exp && new Date(exp * 1000) };
  }
  const half = cookie("session-token");
  const known = half && claims(half);
  if (!known) return undefined;
  const permissions = Array.isArray(known.permissions) ? known.permissions : [];
  const role = permissions.find((permission) => permission.startsWith("role:"))?.slice("role:".length);
  return { key: `${known.sub} ${role}`, kind: "user", name: role ? `${known.sub} · ${role}` : String(known.sub) };
};

const withCsrf = async (headers) => {
  if (!cookie("csrf-token")) await fetch(place.ping, { credentials: "same-origin" });
  return { ...headers, "X-Csrf-Token": cookie("csrf-token") ?? "" };
};

/**
 * Posts JSON as the current viewer. Retries once after a refused CSRF token, because the refusal sets a new one.
 * @returns {Promise<{ status: number, body: any }>} an answer that is no JSON has no body
 */
export const post = async (path, body, { headers = {}, bearer = token() } = {}) => {
  for (let attempt = 1; ; attempt += 1) {
    const own = { Accept: "application/json", "Content-Type": "application/json" };
    const proof = bearer ? { Authorization: `Bearer ${bearer}` } : await withCsrf({});
    const answer = await fetch(path, {
      method: "POST",
      credentials: "same-origin",
      headers: { ...own, ...proof, ...headers },
      body: JSON.stringify(body),
    });
    const text = await answer.text();
    let parsed;
    try {
      parsed = JSON.parse(text);
    } catch {
      // A proxy's page, or nothing at all.
    }
    if (parsed?.error === "EBADCSRFTOKEN" && attempt === 1) continue;
    return { status: answer.status, body: parsed };
  }
};

/** Logs a user in. Gives what went wrong, in words. */
export const logIn = async (username, password) => {
  const { status, body } = await post(place.logIn, { grantType: "password", username, password }, { bearer: null });
  if (status === 200 || status === 204) return undefined;
  if (body?.error === "invalid_grant") return "This name with this password is not known";
  if (status === 429) return "Too many attempts: wait a while";
  return [body?.message ?? `The server answered with status ${status}`].flat().join("; ");
};

/** Ends the session, and gives what went wrong, in words. */
export const logOut = async () => {
  const { status, body } = await post(place.logOut, {}, { bearer: null });
  if (status !== 204) return [body?.message ?? `The server answered with status ${status}`].flat().join("; ");
};
