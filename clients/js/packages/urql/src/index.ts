export { keepList } from "./context.js";
export type { GomContext, ListRules } from "./context.js";
export { gomExchange } from "./exchange.js";
export type { GomExchangeOptions } from "./exchange.js";
