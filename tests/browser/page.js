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

  // What the pages know of their user.
  const payload = () => {
    const token = cookie("session-token");
    return token === null ? null : JSON.parse(atob(token.slice(token.indexOf(".") + 1)));
  };

  return { cookie, call, open, logIn, graphql, payload };
})();
