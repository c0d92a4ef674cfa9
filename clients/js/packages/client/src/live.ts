import { openStream } from "./stream.js";
import type { Stream, StreamOptions } from "./stream.js";
import type { GraphQLErrorLike, PatchOperation, WireRequest } from "./types.js";

/** `applyPatch` of `@gom/client/patch`. */
export type Patcher = (value: unknown, patch: readonly PatchOperation[]) => unknown;

export interface LiveResult<Data> {
  readonly data: Data;
  readonly errors?: readonly GraphQLErrorLike[] | undefined;
}

/** A live query: each result is whole, also if the server sends patches. */
export function openLive<Data>(
  options: Omit<StreamOptions, "request" | "onResult" | "resync">,
  request: WireRequest,
  onResult: (result: LiveResult<Data>) => void,
  patch: Patcher | undefined,
): Stream {
  let data: unknown;
  let revision = 0;
  return openStream({
    ...options,
    resync: false,
    request: () => (patch ? { ...request, extensions: { patch: "json-patch" } } : request),
    onResult(result) {
      if (result.patch) {
        // A revision that is missing, or a patch that does not fit, is cured by a new first result, which is whole.
        if (!patch || result.revision !== revision + 1) return false;
        try {
          data = patch(data, result.patch);
        } catch {
          return false;
        }
      } else {
        data = result.data;
      }
      revision = result.revision ?? 0;
      onResult({ data: data as Data, errors: result.errors });
      return true;
    },
  });
}
