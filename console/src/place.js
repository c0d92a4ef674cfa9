// Where the server's things are, seen from this page. A proxy may serve everything below a path of its own.

/** The page's own path, which is the API's, without a slash at the end. */
const API = location.pathname.replace(/\/+$/, "");
const ROOT = API.slice(0, API.lastIndexOf("/"));

export const graphql = API;
export const ping = `${ROOT}/auth/ping`;
export const logIn = `${ROOT}/auth/login`;
export const logOut = `${ROOT}/auth/logout`;
export const licences = `${API}/licences.txt`;
export const socket = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${API}`;
