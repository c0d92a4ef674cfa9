import { errorOf } from "./errors.js";
import { refusal } from "./http.js";
import type { Http } from "./http.js";
import type { Sink, Transport, WireRequest, WireResult } from "./types.js";

/** One server-sent event. */
export interface ServerSentEvent {
  readonly event: string;
  readonly data: string;
  readonly id: string | undefined;
  /** Milliseconds. */
  readonly retry: number | undefined;
}

/** Parses an event stream as its parts arrive, wherever they are cut. */
export function createEventParser(onEvent: (event: ServerSentEvent) => void): (part: string) => void {
  let rest = "";
  return (part) => {
    // The server separates lines by LF.
    const blocks = (rest + part).split("\n\n");
    rest = blocks.pop() ?? "";
    for (const block of blocks) {
      const fields: Record<string, string> = {};
      for (const line of block.split("\n")) {
        const colon = line.indexOf(":");
        if (colon <= 0) continue;
        const name = line.slice(0, colon);
        const value = line.slice(colon + 1).replace(/^ /, "");
        fields[name] = name === "data" && fields["data"] !== undefined ? `${fields["data"]}\n${value}` : value;
      }
      const { event = "message", data = "", id, retry } = fields;
      onEvent({ event, data, id, retry: retry ? Number(retry) : undefined });
    }
  };
}

/** A stream from which nothing has come for this long is dropped: the server sends a comment every 25 s. Milliseconds. */
const SILENCE = 60_000;

/** Each operation in an event stream of its own. */
export function createEventStreamTransport(endpoint: URL, http: Http): Transport {

  const run = async (request: WireRequest, sink: Sink, stop: AbortController): Promise<void> => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const report = (how: (sink: Sink) => void): void => {
      clearTimeout(timer);
      if (stop.signal.aborted) return;
      stop.abort();
      how(sink);
    };
    const watch = (): void => {
      clearTimeout(timer);
      timer = setTimeout(() => report((each) => each.lost()), SILENCE);
    };
    try {
      watch();
      const response = await http.post(endpoint, request, { accept: "text/event-stream", signal: stop.signal });
      if (!response.ok || !response.headers.get("content-type")?.startsWith("text/event-stream")) {
        const error = await refusal(response);
        return report((each) => each.fail(error));
      }
      sink.open();
      const parse = createEventParser(({ event, data, id, retry }) => {
        if (retry) transport.hint = { minMs: retry, maxMs: retry * 1.5 };
        if (event !== "next" || stop.signal.aborted) return;
        const result = JSON.parse(data) as WireResult;
        const error = id || result.data ? undefined : errorOf(result);
        if (error) report((each) => each.fail(error));
        else sink.next(result);
      });
      const reader = (response.body as ReadableStream<Uint8Array>).getReader();
      const decoder = new TextDecoder();
      for (;;) {
        const { done, value } = await reader.read();
        // The server ends a stream whose viewer's permissions have changed.
        if (done) return report((each) => each.lost(true));
        watch();
        parse(decoder.decode(value, { stream: true }));
      }
    } catch {
      report((each) => each.lost());
    }
  };

  const transport: Transport = {
    start(request, sink) {
      const stop = new AbortController();
      void run(request, sink, stop);
      return () => stop.abort();
    },
  };
  return transport;
}
