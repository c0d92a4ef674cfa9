export { gomLiveOptions, gomSetOptions } from "./options.js";
export type { GomLiveOptions, GomQueryOptions, GomSetOptions } from "./options.js";
