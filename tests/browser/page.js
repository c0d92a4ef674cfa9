// A small client: deals with cookies, tokens and the API as the shop's pages do.

window.client = (() => {
  // Cookies as the shop's library reads them: `+` is a space, escapes are decoded, JSON becomes what it says.
  const cookie = (name) => {
    const found = document.cookie.split("; ").find((pair) => pair.startsWith(`${name}=`));
    if (found === undefined) return null;
    const text = decodeURIComponent(found.slice(name.length + 1).replace(/\+/g, " "));
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  };

  const call = async (method, path, body, headers = {}) => {
    const answer = await fetch(`/api${path}`, {
      method,
      credentials: "same-origin",
      headers: { Accept: "application/json, text/plain, */*", ...(body && { "Content-Type": "application/json;charset=UTF-8" }), ...headers },
      body: body && JSON.stringify(body),
    });
    const text = await answer.text();
    return { status: answer.status, body: text && JSON.parse(text), retryAfter: answer.headers.get("retry-after") };
  };

  const csrf = async () => {
    if (cookie("csrf-token") === null) await call("GET", "/auth/ping");
    return { "X-Csrf-Token": cookie("csrf-token") };
  };

  // What the login page does when it opens.
  const open = () => {
    document.cookie = "csrf-token=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT";
  };

  const logIn = async (body) => call("POST", "/auth/login", body, await csrf());
  const graphql = async (query, variables = {}) => call("POST", "/graphql", { operationName: null, variables, query }, await csrf());

  // The pages' state about their user.
  const payload = () => {
    const token = cookie("session-token");
    return token === null ? null : JSON.parse(atob(token.slice(token.indexOf(".") + 1)));
  };

  const post = async (path, body) => call("POST", path, body, await csrf());

  // As a browser's push manager would, with the push service at this address: keys of one's own, and an endpoint.
  const subscribe = async (service) => {
    const worker = navigator.serviceWorker;
    worker.addEventListener("message", ({ data }) => (worker.shown = data));
    worker.startMessages();
    const registration = await worker.register("/worker.js");
    await worker.ready;
    const applicationServerKey = await (await fetch("/api/webpush/key")).text();
    const text = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
    const pair = await crypto.subtle.generateKey({ name: "ECDH", namedCurve: "P-256" }, true, ["deriveBits"]);
    const p256dh = text(await crypto.subtle.exportKey("raw", pair.publicKey));
    const auth = text(crypto.getRandomValues(new Uint8Array(16)));
    // A browser refuses a key that is no point: it is imported for that alone.
    const raw = Uint8Array.from(atob(applicationServerKey.replace(/-/g, "+").replace(/_/g, "/")), (character) => character.charCodeAt(0));
    await crypto.subtle.importKey("raw", raw, { name: "ECDH", namedCurve: "P-256" }, true, []);
    const endpoint = `${service}/browser/${text(crypto.getRandomValues(new Uint8Array(24)))}`;
    const manager = {
      subscribe: async () => ({ toJSON: () => ({ endpoint, expirationTime: null, keys: { p256dh, auth } }) }),
    };
    Object.defineProperty(registration, "pushManager", { value: manager });
    const subscription = await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey });
    const { d: privateKey } = await crypto.subtle.exportKey("jwk", pair.privateKey);
    return { subscription: subscription.toJSON(), privateKey, applicationServerKey };
  };

  // What is shown after so many messages about one thing, of which each replaces the one before. It is not asked for before the
  // worker has said so: Chromium forgets a notification that it is about to show while it is asked which there are.
  const notification = async (operation) => {
    if (navigator.serviceWorker.shown !== operation) return undefined;
    const registration = await navigator.serviceWorker.ready;
    const shown = await registration.getNotifications();
    const found = shown.find(({ data }) => data.operation === operation);
    return found && { count: shown.length, title: found.title, body: found.body, tag: found.tag, data: found.data };
  };

  return { cookie, call, open, logIn, graphql, payload, post, subscribe, notification };
})();
