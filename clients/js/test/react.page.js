// A page without a browser, in which components are mounted.
import { register } from "node:module";
import { Window } from "happy-dom";

if (process.env.REACT === "18") register("./react-18.hooks.js", import.meta.url);
const window = new Window();
globalThis.window = window;
globalThis.document = window.document;
// Node.js 20 has none.
globalThis.navigator ??= window.navigator;

export const React = await import("react");
export const { createElement } = React;
export const { createRoot, hydrateRoot } = await import("react-dom/client");
export const { flushSync } = await import("react-dom");
export const { renderToString } = await import("react-dom/server");
export const gom = await import("@gom/react");

/** A new element of the page, with the text that it shows. */
export function place() {
  const element = document.body.appendChild(document.createElement("div"));
  return { element, text: () => element.textContent };
}

const roots = new Set();

/** Mounts `element` with `client`, in StrictMode. */
export function mount(client, element) {
  const { element: container, text } = place();
  const root = createRoot(container);
  roots.add(root);
  const show = (next, of = client) => root.render(createElement(React.StrictMode, null, createElement(gom.GomProvider, { client: of }, next)));
  show(element);
  return {
    element: container,
    text,
    show,
    unmount() {
      roots.delete(root);
      root.unmount();
    },
  };
}

/** Ends what a test that failed has left. */
export const unmountAll = () => roots.forEach((root) => root.unmount());
