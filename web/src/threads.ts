/** The list of conversations: pages, newest first. No DOM. */
import type { Client } from "./client";
import type { Thread } from "./protocol";

const PAGE = 30;

export class ThreadList {
  #threads = new Map<string, Thread>();
  #cursor?: string;
  loaded = false;

  constructor(private readonly client: Client) {}

  get all(): Thread[] {
    return [...this.#threads.values()];
  }

  get hasMore(): boolean {
    return this.#cursor !== undefined;
  }

  find(id: string): Thread | undefined {
    return this.#threads.get(id);
  }

  /** Loads the newest page in place of what is listed. */
  async load(): Promise<void> {
    const page = await this.client.call("threads.list", { limit: PAGE, order: "desc" });
    this.#threads = new Map(page.data.map((it) => [it.id, it]));
    this.#cursor = page.has_more ? page.after : undefined;
    this.loaded = true;
  }

  async loadMore(): Promise<void> {
    if (this.#cursor === undefined) return;
    const page = await this.client.call("threads.list", { limit: PAGE, order: "desc", after: this.#cursor });
    for (const thread of page.data) this.#threads.set(thread.id, thread);
    this.#cursor = page.has_more ? page.after : undefined;
  }

  /** Takes a thread as it is now; one that is new stands by its age, if the list reaches as far back. */
  put(thread: Thread): void {
    if (this.#threads.has(thread.id)) {
      this.#threads.set(thread.id, thread);
      return;
    }
    const entries = [...this.#threads];
    const time = Date.parse(thread.created_at);
    const older = entries.findIndex(([, it]) => Date.parse(it.created_at) <= time);
    if (older < 0 && this.#cursor !== undefined) return;
    entries.splice(older < 0 ? entries.length : older, 0, [thread.id, thread]);
    this.#threads = new Map(entries);
  }

  drop(id: string): void {
    this.#threads.delete(id);
  }
}
