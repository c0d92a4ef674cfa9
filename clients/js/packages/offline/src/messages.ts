// What the tabs of one user send each other.
import type { Row } from "@gom/client";
import type { Definition, Failure, OfflineStatus } from "./types.js";

/** Which leader has counted which step of a set. */
export interface Version {
  readonly leader: number;
  readonly step: number;
}

export interface SetStatus {
  readonly status: OfflineStatus;
  readonly error: Failure | undefined;
  readonly persisted: boolean;
}

/** A set as a whole; `rows` is missing before the first ones. */
export interface SetState extends SetStatus {
  readonly type: "state";
  readonly set: string;
  readonly version: Version;
  readonly rows: readonly Row[] | undefined;
}

/** What the step `version` has changed. */
export interface SetChange extends SetStatus {
  readonly type: "change";
  readonly set: string;
  readonly version: Version;
  readonly put: readonly Row[];
  readonly gone: readonly string[];
}

export type SetMessage = SetState | SetChange;

export type Message =
  | SetMessage
  /** To the leader: this tab shows a set. The answer is its state. */
  | { readonly type: "want"; readonly tab: string; readonly definition: Definition }
  | { readonly type: "drop"; readonly tab: string; readonly set: string }
  | { readonly type: "refresh"; readonly set: string }
  /** A write waits. */
  | { readonly type: "queued" }
  /** A write has an outcome. */
  | { readonly type: "settled" }
  /** A tab has become the leader. */
  | { readonly type: "leader" }
  /** A tab was opened. */
  | { readonly type: "joined" }
  /** Whether the leader lives; its answer. */
  | { readonly type: "ping" }
  | { readonly type: "pong" }
  /** A log-out was answered: whether the viewer is still logged in. */
  | { readonly type: "check" }
  /** The viewer has logged out or changed. The tab that sends it removes what is stored. */
  | { readonly type: "ended"; readonly error: Failure };
