// A browser for the tests in Node.js.

/** A browser's cookies, and the CSRF token that its pages read. */
export function browser() {
  const jar = new Map();
  return {
    csrfToken: () => jar.get("csrf-token"),
    cookies: () => [...jar].map(([name, value]) => `${name}=${value}`).join("; "),
    async fetch(url, init = {}) {
      const headers = new Headers(init.headers);
      const own = [...jar].map(([name, value]) => `${name}=${value}`).join("; ");
      if (own) headers.set("cookie", own);
      headers.set("origin", new URL(url).origin);
      const response = await fetch(url, { ...init, headers });
      for (const cookie of response.headers.getSetCookie()) {
        const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie);
        if (value === "" || /max-age=0/i.test(cookie)) jar.delete(name);
        else jar.set(name, decodeURIComponent(value));
      }
      return response;
    },
  };
}
