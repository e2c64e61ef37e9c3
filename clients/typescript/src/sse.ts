// Server-sent events out of a response: EventSource can send no headers, and so no credential.

/** One event. */
export interface ServerEvent {
  event: string;
  data: string;
  id: string | undefined;
}

/** Reads events until the stream ends. An event that broke off is no event. */
export async function* serverEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerEvent> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  let [event, data, id] = ["message", [] as string[], undefined as string | undefined];
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + decoder.decode(value, { stream: true })).split(/\r?\n/);
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (line === "") {
          if (data.length > 0) yield { event, data: data.join("\n"), id };
          [event, data, id] = ["message", [], undefined];
          continue;
        }
        const [, name, text] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
        if (name === "event") event = text ?? "";
        if (name === "data") data.push(text ?? "");
        if (name === "id") id = text;
      }
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
