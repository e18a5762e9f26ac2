/** The server's word of what happens, by an event stream that is opened again when it breaks. */
import { readEvents } from "../sse";
import type { Generation, Step, Turn } from "./project";

const FIRST_WAIT = 1000;
const LONGEST_WAIT = 30_000;
/** A tab in the background gives its connection back: browsers allow few to one server. */
const HIDDEN_WAIT = 60_000;

export interface LiveHooks {
  generation(generation: Generation): void;
  turn(turn: Turn): void;
  step(step: Step): void;
  state(live: boolean): void;
  /** Whoever asks may not look. */
  refused(): void;
}

export class Live {
  #abort?: AbortController;
  #timer?: ReturnType<typeof setTimeout>;
  #wait = FIRST_WAIT;

  constructor(
    readonly api: string,
    readonly request: typeof fetch,
    readonly hooks: LiveHooks,
  ) {}

  start(): void {
    document.addEventListener("visibilitychange", this.#visibility);
    void this.#listen();
  }

  stop(): void {
    document.removeEventListener("visibilitychange", this.#visibility);
    this.#close();
  }

  #close(): void {
    clearTimeout(this.#timer);
    this.#abort?.abort();
    this.#abort = undefined;
    this.hooks.state(false);
  }

  #visibility = (): void => {
    clearTimeout(this.#timer);
    if (document.hidden) this.#timer = setTimeout(() => { this.#close(); }, HIDDEN_WAIT);
    else if (!this.#abort) void this.#listen();
  };

  async #listen(): Promise<void> {
    const abort = (this.#abort = new AbortController());
    try {
      const response = await this.request(`${this.api}events`, { headers: { accept: "text/event-stream" }, signal: abort.signal });
      if (response.status === 401 || response.status === 403 || response.status === 404) {
        this.hooks.refused();
        return;
      }
      if (!response.ok || !response.body) throw new Error(`the server answered ${response.status}`);
      this.hooks.state(true);
      this.#wait = FIRST_WAIT;
      for await (const { event, data } of readEvents(response.body)) {
        if (abort.signal.aborted) return;
        this.#take(event, data);
      }
    } catch {
      // It broke, or was never there: below.
    }
    if (abort.signal.aborted) return;
    this.hooks.state(false);
    this.#timer = setTimeout(() => void this.#listen(), this.#wait);
    this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT);
  }

  #take(event: string, data: string): void {
    let value: unknown;
    try {
      value = JSON.parse(data);
    } catch {
      return;
    }
    if (event === "generation") this.hooks.generation(value as Generation);
    else if (event === "turn") this.hooks.turn(value as Turn);
    else if (event === "model" || event === "tool") this.hooks.step(value as Step);
  }
}
