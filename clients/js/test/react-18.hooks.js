// Resolves React to the version of `test/react-18`.
const parentURL = new URL("react-18/package.json", import.meta.url).href;

export const resolve = (name, context, next) => next(name, /^react(-dom)?(\/|$)/.test(name) ? { ...context, parentURL } : context);
