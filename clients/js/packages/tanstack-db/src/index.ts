export { gomCollectionOptions } from "./collection.js";
export type { GomCollectionOptions, GomUtils, Writes } from "./collection.js";
