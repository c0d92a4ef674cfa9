/** The shape that `TypedDocumentNode`, `TypedDocumentString` and plain documents of graphql-js share; graphql-js itself is not needed. */
export interface DocumentLike<Data = unknown, Variables = unknown> {
  readonly kind?: unknown;
  readonly loc?: { readonly source: { readonly body: string } } | undefined;
  toString(): string;
  __apiType?: (variables: Variables) => Data;
}

/** An operation: its text, or a document that carries the types of its result and variables. */
export type Operation<Data = unknown, Variables = unknown> = string | DocumentLike<Data, Variables>;

/** A GraphQL error as the server writes it. */
export interface GraphQLErrorLike {
  readonly message: string;
  readonly path?: readonly (string | number)[];
  readonly requestId?: string;
  readonly extensions?: { readonly code?: string } & Readonly<Record<string, unknown>>;
}

/** A row that has left a subscription with `leaves`. */
export interface Left {
  readonly type: string;
  readonly id: string;
}

/** One operation of JSON Patch (RFC 6902). */
export interface PatchOperation {
  readonly op: string;
  readonly path: string;
  readonly from?: string;
  readonly value?: unknown;
}

/** One message of the server: a result, an event, or a patch of a live query. */
export interface WireResult {
  readonly data?: unknown;
  readonly errors?: readonly GraphQLErrorLike[] | undefined;
  readonly extensions?: { readonly cursor?: string | null; readonly left?: readonly Left[] };
  readonly patch?: readonly PatchOperation[];
  readonly revision?: number;
}

/** One request as it is sent. */
export interface WireRequest {
  readonly query: string;
  readonly variables?: unknown;
  readonly extensions?: Readonly<Record<string, unknown>> | undefined;
}

/** Between which bounds a client waits before its first reconnect, in milliseconds. */
export interface ReconnectHint {
  readonly minMs: number;
  readonly maxMs: number;
}

/** `connecting` before the first snapshot or result, `reconnecting` after a loss, `closed` for good. */
export type Status = "connecting" | "open" | "reconnecting" | "closed";

/** What a transport reports of one attempt. It reports nothing after `fail` or `lost`. */
export interface Sink {
  /** The server has the operation, of `viewer`. `false`: what the stream has shown is another viewer's, so it may not go on over this connection. */
  open(viewer: string): boolean;
  /** The server has nothing for the stream up to this position. */
  reached(cursor: string): void;
  next(result: WireResult): void;
  /** The server refused or ended the operation. */
  fail(error: Error): void;
  /** The connection is gone. `again`: what was shown has to be read again, since permissions may have changed. */
  lost(again?: boolean): void;
}

/** Starts one operation, once; the returned function ends it. */
export interface Transport {
  start(request: WireRequest, sink: Sink): () => void;
  /** The server's last hint for reconnects. */
  hint?: ReconnectHint | undefined;
}
