import type { TransportFactory } from "./client.js";
import { completed, errorOf } from "./errors.js";
import type { GomError } from "./errors.js";
import { refusal } from "./http.js";
import type { Http } from "./http.js";
import type { Sink, Transport, WireRequest, WireResult } from "./types.js";

/** One server-sent event. */
interface ServerSentEvent {
  readonly event: string;
  readonly data: string;
  readonly id: string | undefined;
  /** Milliseconds. */
  readonly retry: number | undefined;
}

/** Parses an event stream as its parts arrive, wherever they are cut. */
function createEventParser(onEvent: (event: ServerSentEvent) => void): (part: string) => void {
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

/** For `transport` of `createClient`: each operation in an event stream of its own. */
export const sse = (): TransportFactory => (endpoint, _auth, http) => createEventStreamTransport(endpoint, http);

function createEventStreamTransport(endpoint: URL, http: Http): Transport {
  const run = async (request: WireRequest, sink: Sink, stop: AbortController): Promise<void> => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    stop.signal.addEventListener("abort", () => clearTimeout(timer));
    const report = (how: (sink: Sink) => void): void => {
      if (stop.signal.aborted) return;
      stop.abort();
      how(sink);
    };
    const watch = (): void => {
      clearTimeout(timer);
      if (!stop.signal.aborted) timer = setTimeout(() => report((each) => each.lost()), SILENCE);
    };
    try {
      watch();
      let viewer = "";
      const response = await http.post(endpoint, request, { accept: "text/event-stream", signal: stop.signal, as: (who) => (viewer = who) });
      if (!response.ok || !response.headers.get("content-type")?.startsWith("text/event-stream")) {
        const error = await refusal(response);
        return report((each) => each.fail(error));
      }
      if (!sink.open(viewer)) return report((each) => each.lost(true));
      /** A result without data, which is a refusal if the stream is completed after it. */
      let held: { result: WireResult; error: GomError } | undefined;
      const release = (): void => {
        const { result } = held ?? {};
        held = undefined;
        if (result && !stop.signal.aborted) sink.next(result);
      };
      const parse = createEventParser(({ event, data, id, retry }) => {
        if (retry) transport.hint = { minMs: retry, maxMs: retry * 1.5 };
        if (event === "complete") {
          const error = held?.error ?? completed();
          return report((each) => each.fail(error));
        }
        release();
        if (stop.signal.aborted) return;
        if (event !== "next") return id ? sink.reached(id) : undefined;
        const result = JSON.parse(data) as WireResult;
        const error = id || result.data ? undefined : errorOf(result);
        if (error) held = { result, error };
        else sink.next(result);
      });
      const reader = (response.body as ReadableStream<Uint8Array>).getReader();
      const decoder = new TextDecoder();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) {
          release();
          // The server ends a stream whose viewer's permissions have changed.
          return report((each) => each.lost(true));
        }
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
