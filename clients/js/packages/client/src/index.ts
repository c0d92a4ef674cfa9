export { createClient } from "./client.js";
export type {
  Answer,
  Client,
  ClientOptions,
  EventResult,
  MutateOptions,
  QueryOptions,
  SetOptions,
  StreamHandlers,
  SubscribeHandlers,
  TransportFactory,
} from "./client.js";
export type { AuthOptions, TokenSource } from "./auth.js";
export { GomError } from "./errors.js";
export type { LiveResult, Patcher } from "./live.js";
export type { LogIn, Session } from "./session.js";
export type { Row, RowSet, SetRules } from "./set.js";
export type { Stream } from "./stream.js";
export type { DocumentLike, GraphQLErrorLike, Left, Operation, PatchOperation, ReconnectHint, Status } from "./types.js";
export type { WebSocketConstructor, WebSocketLike } from "./websocket.js";
