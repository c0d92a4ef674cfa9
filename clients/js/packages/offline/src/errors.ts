import { GomError } from "@gom/client";
import type { Failure } from "./types.js";

export const unauthenticated = (): GomError => new GomError("UNAUTHENTICATED", "Log in again");
export const viewerChanged = (): GomError => new GomError("VIEWER_CHANGED", "Another viewer is logged in; open again");
export const closedError = (): GomError => new GomError("CLOSED", "Closed");

/** Errors after which nothing of the viewer may be shown. */
export const endsViewer = (code: string): boolean => code === "UNAUTHENTICATED" || code === "VIEWER_CHANGED";

/** Another tab has become the leader, or another viewer the owner of what is stored: nothing more may be stored. */
export class Superseded extends Error {}

/** The session has logged out here, and the server may not have been reached for it. */
export class LoggedOut extends Error {}

/** An error as it can be stored and sent to other tabs. */
export const failureOf = ({ code, message }: GomError): Failure => ({ code, message });

/** Applications may throw anything. */
export const asError = (error: unknown): GomError => (error instanceof GomError ? error : new GomError("FAILED", String(error)));

export const errorOf = ({ code, message }: Failure): GomError => new GomError(code, message);
