/**
 * Server-sent events from a fetch body, as the HTML standard reads them: any line ending, comments, several `data` lines, a
 * byte order mark, characters and line endings that are split between chunks.
 */

export interface SseEvent {
  event: string;
  data: string;
  /** What a client says it has when it comes back. */
  id?: string;
}

/** Takes text in pieces of any size and gives the events that end in each. */
export class SseParser {
  #rest = "";
  #searched = 0;
  #started = false;
  #afterReturn = false;
  #event = "";
  #data: string[] = [];
  #id = "";

  feed(text: string): SseEvent[] {
    if (text === "") return [];
    if (!this.#started) {
      this.#started = true;
      if (text.startsWith("\uFEFF")) text = text.slice(1);
    }
    if (this.#afterReturn) {
      this.#afterReturn = false;
      if (text.startsWith("\n")) text = text.slice(1);
    }

    this.#rest += text;
    const events: SseEvent[] = [];
    const ending = /\r\n|\n|\r/g;
    let from = 0;
    ending.lastIndex = this.#searched;
    for (let found = ending.exec(this.#rest); found; found = ending.exec(this.#rest)) {
      const event = this.#line(this.#rest.slice(from, found.index));
      if (event) events.push(event);
      from = ending.lastIndex;
      // The other half of a `\r\n` may come with the next piece.
      this.#afterReturn = found[0] === "\r" && from === this.#rest.length;
    }
    this.#rest = this.#rest.slice(from);
    this.#searched = this.#rest.length;
    return events;
  }

  #line(line: string): SseEvent | undefined {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return undefined;
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#event = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    return undefined;
  }

  #dispatch(): SseEvent | undefined {
    const event = this.#event || "message";
    const data = this.#data;
    this.#event = "";
    this.#data = [];
    return data.length > 0 ? { event, data: data.join("\n"), ...(this.#id !== "" && { id: this.#id }) } : undefined;
  }
}

/** The events of a byte stream in order; leaving the loop early cancels the stream. */
export async function* readEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<SseEvent> {
  const parser = new SseParser();
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      yield* parser.feed(done ? decoder.decode() : decoder.decode(value, { stream: true }));
      if (done) return;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
