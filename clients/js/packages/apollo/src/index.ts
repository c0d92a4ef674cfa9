export { GomLink } from "./link.js";
export type { GomContext, GomLinkOptions } from "./link.js";
export { keepList } from "./list.js";
export type { KeepListOptions, KeptList } from "./list.js";
