/** Calls to the server: ChatKit's operations, and the documents beside them. */
import type { DocumentOperation, DocumentOperations, ServerOptions, StreamEvent, StreamingOperation, StreamingOperations } from "./protocol";
import { readEvents } from "./sse";

/** How often a request is repeated that the server could not take (5xx, or something other than a chat). */
const REPEATS = 5;
const LONGEST_WAIT = 15_000;

/** The server refused a request, with a status and its own words; without words the caller finds some for the status. */
export class Refused extends Error {
  override name = "Refused";

  constructor(
    readonly status: number,
    message = "",
    readonly retryAfter?: number,
    /** What else it said: with 401 the way in, with 429 the limit. */
    readonly more: RefusalMore = {},
  ) {
    super(message);
  }
}

export interface RefusalMore {
  login?: "missing" | "expired" | "invalid";
  methods?: string[];
  sign_in?: string;
  limit?: string;
  of?: string;
  most?: number;
  available_at?: string;
}

/** No answer came (`unreachable`), or it broke off; of a turn that ended meanwhile (`missed`) the thread has all. */
export class ConnectionLost extends Error {
  override name = "ConnectionLost";

  constructor(
    readonly kind: "unreachable" | "cut" | "missed" | "upload",
    cause?: unknown,
  ) {
    super(kind === "unreachable" ? "the server cannot be reached" : "the connection broke off", { cause });
  }
}

export interface CallOptions {
  signal?: AbortSignal;
  /** Hears of each repetition before its wait. */
  onWait?: (attempt: number, repeats: number) => void;
}

export class Client {
  /** Sent as `Accept-Language`, and names what the server may translate. */
  locale?: string;
  fetch: typeof fetch = (...request) => globalThis.fetch(...request);

  /** Whether the server lets a client that lost its connection read on. */
  resumable = false;

  constructor(public url: string) {}

  /** Runs an operation that answers with one document. */
  async call<T extends DocumentOperation>(type: T, params: DocumentOperations[T][0], options: CallOptions = {}): Promise<DocumentOperations[T][1]> {
    const response = await this.#post({ type, params }, "application/json", options);
    try {
      return (await response.json()) as DocumentOperations[T][1];
    } catch (err) {
      throw lost(err, "cut");
    }
  }

  /** Runs an operation that answers with events. Where the server can, it reads on after a cut. */
  async *stream<T extends StreamingOperation>(type: T, params: StreamingOperations[T], options: CallOptions = {}): AsyncGenerator<StreamEvent> {
    const response = await this.#post({ type, params }, "text/event-stream", options);
    yield* this.#read(response, "thread_id" in params ? params.thread_id : undefined, options);
  }

  /** The events of the turn that runs in a thread, from its beginning; nothing where none runs. */
  async attach(threadId: string, options: CallOptions = {}): Promise<AsyncGenerator<StreamEvent> | undefined> {
    const response = await this.#reattach(threadId, 0, options.signal);
    return response && this.#read(response, threadId, options);
  }

  /** Ends the turn that runs in a thread: leaving it is not enough where it can be read on. */
  async stop(threadId: string): Promise<void> {
    await this.fetch(this.#below(`threads/${encodeURIComponent(threadId)}/stop`), { method: "POST", headers: this.#language() });
  }

  /** Ends the login; gives where its user goes on, if that is elsewhere. */
  async signOut(address: string): Promise<unknown> {
    let response: Response;
    try {
      response = await this.fetch(address, { method: "POST", headers: { accept: "application/json", ...this.#language() } });
    } catch (err) {
      throw lost(err, "unreachable");
    }
    if (!response.ok) throw await refusal(response);
    return ((await response.json()) as { location?: unknown }).location;
  }

  async *#read(response: Response, threadId: string | undefined, options: CallOptions): AsyncGenerator<StreamEvent> {
    let last: number | undefined;
    /** Connections in a row that brought nothing. */
    let fruitless = 0;
    for (let body = response.body; body; ) {
      try {
        for await (const { data, id } of readEvents(body)) {
          const event = JSON.parse(data) as StreamEvent;
          if (event.type === "thread.created") threadId = event.thread.id;
          if (id !== undefined) last = Number(id);
          fruitless = 0;
          yield event;
        }
        return;
      } catch (err) {
        const failure = lost(err, "cut");
        fruitless += 1;
        const hopeless = err instanceof SyntaxError || fruitless > REPEATS;
        if (!(failure instanceof ConnectionLost) || last === undefined || threadId === undefined || hopeless) throw failure;
        body = await this.#readOn(threadId, last, options, failure);
      }
    }
  }

  async #readOn(threadId: string, last: number, { signal, onWait }: CallOptions, failure: ConnectionLost): Promise<Response["body"]> {
    for (let attempt = 1; attempt <= REPEATS; attempt += 1) {
      onWait?.(attempt, REPEATS);
      await pause(growing(attempt), signal);
      let response: Response | undefined;
      try {
        response = await this.#reattach(threadId, last, signal);
      } catch (err) {
        if (isAbort(err) || err instanceof Refused) throw err;
        continue;
      }
      if (!response) throw new ConnectionLost("missed", failure);
      return response.body;
    }
    throw failure;
  }

  async #reattach(threadId: string, after: number, signal: AbortSignal | undefined): Promise<Response | undefined> {
    const url = this.#below(`threads/${encodeURIComponent(threadId)}/stream?after=${after}`);
    const response = await this.fetch(url, { headers: { accept: "text/event-stream", ...this.#language() }, signal: signal ?? null });
    if (response.ok && isType(response, "text/event-stream")) return response;
    await response.body?.cancel();
    if (response.status >= 500) throw new Error("the server cannot answer now");
    return undefined;
  }

  /** What the server offers this user, or nothing where it offers no such thing. */
  async options(): Promise<ServerOptions | undefined> {
    const response = await this.fetch(this.#below("options"), { headers: { accept: "application/json", ...this.#language() } });
    return response.ok && isType(response, "application/json") ? ((await response.json()) as ServerOptions) : undefined;
  }

  #below(path: string): string {
    const [name = "", query = ""] = path.split("?");
    const url = new URL(this.url);
    url.pathname = `${url.pathname.replace(/\/$/, "")}/${name}`;
    url.search = query;
    return url.href;
  }

  async #post(request: unknown, accept: string, { signal, onWait }: CallOptions): Promise<Response> {
    const body = JSON.stringify(request);
    const headers = { "content-type": "application/json", accept, ...this.#language() };
    const url = new URL(this.url);
    if (this.resumable && accept === "text/event-stream") url.searchParams.set("resumable", "true");
    for (let attempt = 1; ; attempt += 1) {
      let response: Response;
      try {
        response = await this.fetch(url.href, { method: "POST", headers, body, signal: signal ?? null });
      } catch (err) {
        throw lost(err, "unreachable");
      }
      // A login page stands in the way.
      if (response.redirected) throw new Refused(401);
      if (response.ok && isType(response, accept)) return response;
      if ((response.status >= 400 && response.status < 500) || attempt > REPEATS) throw await refusal(response);
      await response.body?.cancel();
      onWait?.(attempt, REPEATS);
      await pause(waitFor(response, attempt), signal);
    }
  }

  #language(): Record<string, string> {
    return this.locale ? { "accept-language": this.locale } : {};
  }
}

export function isAbort(err: unknown): boolean {
  return err instanceof Error && err.name === "AbortError";
}

function isType(response: Response, type: string): boolean {
  return (response.headers.get("content-type") ?? "").toLowerCase().startsWith(type);
}

async function refusal(response: Response): Promise<Refused> {
  return refusalOf(response.status, await response.json().catch(() => undefined), response.headers.get("retry-after"));
}

/** What a body says of why it is no answer. */
export function refusalOf(status: number, body: unknown, retryAfter?: string | null): Refused {
  const { message, ...more } = (body ?? {}) as RefusalMore & { message?: unknown; retry_after?: number };
  const wait = Number(more.retry_after ?? retryAfter);
  return new Refused(status, typeof message === "string" ? message : "", wait > 0 ? wait : undefined, more);
}

/** What a failed fetch or read means; an abort stays an abort. */
function lost(err: unknown, kind: "unreachable" | "cut"): unknown {
  return isAbort(err) || err instanceof Refused ? err : new ConnectionLost(kind, err);
}

function waitFor(response: Response, attempt: number): number {
  const asked = Number(response.headers.get("retry-after")) * 1000;
  return Math.min(asked > 0 ? asked : growing(attempt), LONGEST_WAIT);
}

function growing(attempt: number): number {
  return 400 * 2 ** (attempt - 1) * (0.75 + Math.random() / 2);
}

function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, milliseconds);
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort, { once: true });
  });
}
