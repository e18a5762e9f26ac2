/**
 * Server-sent events from a fetch body, as the HTML standard reads them: any line ending, comments,
 * several `data` lines, a byte order mark, characters and line endings that are split between chunks.
 */

/** Takes text in pieces of any size and calls `onEvent({ event, data, id })` for each whole event. */
export class SseParser {
  #onEvent;
  #rest = "";
  #searched = 0;
  #started = false;
  #afterReturn = false;
  #event = "";
  #data = [];
  #id = "";

  constructor(onEvent) {
    this.#onEvent = onEvent;
  }

  feed(text) {
    if (!this.#started && text !== "") {
      this.#started = true;
      if (text.startsWith("\uFEFF")) text = text.slice(1);
    }
    if (this.#afterReturn && text !== "") {
      this.#afterReturn = false;
      if (text.startsWith("\n")) text = text.slice(1);
    }

    this.#rest += text;
    const ending = /\r\n|\n|\r/g;
    let from = 0;
    ending.lastIndex = this.#searched;
    for (let found = ending.exec(this.#rest); found; found = ending.exec(this.#rest)) {
      this.#line(this.#rest.slice(from, found.index));
      from = ending.lastIndex;
      // The other half of a `\r\n` may come with the next piece.
      this.#afterReturn = found[0] === "\r" && from === this.#rest.length;
    }
    this.#rest = this.#rest.slice(from);
    this.#searched = this.#rest.length;
  }

  #line(line) {
    if (line === "") {
      this.#dispatch();
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);

    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#event = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
  }

  #dispatch() {
    const event = this.#event || "message";
    const data = this.#data;
    this.#event = "";
    this.#data = [];
    if (data.length > 0) this.#onEvent({ event, data: data.join("\n"), id: this.#id });
  }
}

/** The events of a byte stream in order; leaving the loop early cancels the stream. */
export async function* readEvents(body) {
  const events = [];
  const parser = new SseParser((event) => events.push(event));
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      parser.feed(done ? decoder.decode() : decoder.decode(value, { stream: true }));
      yield* events.splice(0);
      if (done) return;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}
