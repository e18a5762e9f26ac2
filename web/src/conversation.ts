/** One conversation: its state, the turn that runs in it, and what is asked of the server. No DOM. */
import { type CallOptions, type Client, ConnectionLost, Refused, isAbort } from "./client";
import type { Action, Attachment, FeedbackKind, InferenceOptions, Item, StreamEvent, StreamingOperation, StreamingOperations, StructuredInputSubmission, Thread, UserContent, UserMessageInput } from "./protocol";
import * as reducer from "./reducer";
import { EMPTY, PENDING, type ThreadState } from "./reducer";

const PAGE = 30;

export interface ConversationHooks {
  /** There is something else to see; many changes in a row are one. */
  changed(conversation: Conversation): void;
  /** The thread was created, renamed, locked, … */
  thread(conversation: Conversation, thread: Thread): void;
  turn(conversation: Conversation, moment: "start" | "end"): void;
  /** An event came, and is in the state already. */
  event(conversation: Conversation, event: StreamEvent): void;
  failed(err: unknown, conversation: Conversation): void;
}

export interface Draft {
  content: UserContent[];
  attachments: Attachment[];
  quotedText?: string;
  options: InferenceOptions;
}

export class Conversation {
  state: ThreadState = EMPTY;
  loading = false;
  /** How the server is waited for, while a request is repeated. */
  waiting?: { attempt: number; repeats: number };
  #cursor?: string;
  #loadingEarlier = false;
  #turn?: AbortController;

  constructor(
    private readonly client: Client,
    private readonly hooks: ConversationHooks,
    thread?: Thread,
  ) {
    if (thread) this.state = { ...EMPTY, thread };
  }

  get id(): string | undefined {
    return this.state.thread?.id;
  }

  get running(): boolean {
    return this.#turn !== undefined;
  }

  get hasEarlier(): boolean {
    return this.#cursor !== undefined;
  }

  // History

  /** Shows the newest page of the thread, in place of all that is shown. */
  async load(): Promise<void> {
    const id = this.id;
    if (id === undefined) return;
    this.loading = true;
    this.hooks.changed(this);
    try {
      const [thread, page] = await Promise.all([this.client.call("threads.get_by_id", { thread_id: id }), this.#page(id)]);
      this.state = reducer.prepend({ ...EMPTY, thread }, page.data.toReversed());
      this.#cursor = page.has_more ? page.after : undefined;
      this.hooks.thread(this, thread);
    } finally {
      this.loading = false;
      this.hooks.changed(this);
    }
    if (this.client.resumable) void this.#follow(id);
  }

  /** Reads along where a turn runs that began elsewhere, or before the page was loaded anew. */
  async #follow(id: string): Promise<void> {
    const turn = new AbortController();
    const options = this.#options(turn);
    const events = await this.client.attach(id, options).catch(() => undefined);
    if (!events) return;
    if (this.running) turn.abort();
    else await this.#play(events, turn, "threads.retry_after_item");
  }

  async loadEarlier(): Promise<void> {
    const id = this.id;
    if (id === undefined || this.#cursor === undefined || this.#loadingEarlier) return;
    this.#loadingEarlier = true;
    try {
      const page = await this.#page(id, this.#cursor);
      this.#set(reducer.prepend(this.state, page.data.toReversed()));
      this.#cursor = page.has_more ? page.after : undefined;
    } catch (err) {
      this.hooks.failed(err, this);
    } finally {
      this.#loadingEarlier = false;
      this.hooks.changed(this);
    }
  }

  #page(id: string, after?: string): Promise<{ data: Item[]; has_more: boolean; after?: string }> {
    return this.client.call("items.list", { thread_id: id, limit: PAGE, order: "desc", ...(after !== undefined && { after }) });
  }

  // Turns

  /** Sends a message; false when the server did not take it, so that the text can go back to where it was typed. */
  async send({ content, attachments, quotedText, options }: Draft): Promise<boolean> {
    const input: UserMessageInput = {
      content,
      attachments: attachments.map((it) => it.id),
      ...(quotedText !== undefined && { quoted_text: quotedText }),
      inference_options: options,
    };
    const item: Item = { id: PENDING, thread_id: this.id ?? "", created_at: new Date().toISOString(), type: "user_message", content, attachments, quoted_text: quotedText, inference_options: options };
    this.#clearPassing();
    this.#set(reducer.put(this.state, { key: PENDING, item, pending: true }));
    const id = this.id;
    const taken = id === undefined ? await this.#run("threads.create", { input }) : await this.#run("threads.add_user_message", { thread_id: id, input });
    this.#set(reducer.remove(this.state, (it) => it.key === PENDING));
    return taken;
  }

  /** Has a message of the user answered again, the last one where none is named. */
  async retry(messageId?: string): Promise<void> {
    const id = this.id;
    const message = messageId === undefined ? reducer.lastUserMessage(this.state)?.item?.id : messageId;
    if (id === undefined || message === undefined || this.running) return;
    const index = this.state.entries.findIndex((it) => it.key === message);
    const gone = new Set(this.state.entries.slice(index + 1).map((it) => it.key));
    this.#hide(gone, true);
    const started = await this.#run("threads.retry_after_item", { thread_id: id, item_id: message }, () => {
      this.#set(reducer.remove(this.state, (it) => gone.has(it.key)));
    });
    if (!started) this.#hide(gone, false);
  }

  #hide(keys: Set<string>, hidden: boolean): void {
    this.#set({ ...this.state, entries: this.state.entries.map((it) => (keys.has(it.key) ? { ...it, hidden } : it)) });
  }

  /** Runs an action as a turn. */
  act(action: Action, itemId?: string): Promise<boolean> {
    return this.#runIn("threads.custom_action", (id) => ({ thread_id: id, ...(itemId !== undefined && { item_id: itemId }), action }));
  }

  /** Runs an action that answers at once, also while a turn runs. */
  async actAtOnce(action: Action, itemId?: string): Promise<void> {
    const id = this.id;
    if (id === undefined) return;
    try {
      const { updated_item: item } = await this.client.call("threads.sync_custom_action", { thread_id: id, ...(itemId !== undefined && { item_id: itemId }), action });
      if (item) this.#set(reducer.put(this.state, { key: item.id, item }));
    } catch (err) {
      this.hooks.failed(err, this);
    }
  }

  answer(itemId: string, input: StructuredInputSubmission): Promise<boolean> {
    return this.#runIn("threads.add_structured_input", (id) => ({ thread_id: id, item_id: itemId, input }));
  }

  answerCall(item: Item & { type: "client_tool_call" }, result: unknown): Promise<boolean> {
    return this.#runIn("threads.add_client_tool_output", (id) => ({ thread_id: id, result }), () => {
      // The completed call is not sent again.
      this.#set(reducer.put(this.state, { key: item.id, item: { ...item, status: "completed", output: result } }));
    });
  }

  /** Ends the turn by leaving it: the server keeps what was said so far. */
  stop(): void {
    if (!this.state.allowCancel || !this.#turn) return;
    // Where it can be read on, to leave is not to stop.
    if (this.client.resumable && this.id !== undefined) this.client.stop(this.id).catch(() => undefined);
    this.#turn.abort();
  }

  /** Leaves the turn whatever the server allows: the conversation is gone. */
  abandon(): void {
    this.#turn?.abort();
  }

  async feedback(itemId: string, kind: FeedbackKind): Promise<boolean> {
    if (this.id === undefined) return false;
    try {
      await this.client.call("items.feedback", { thread_id: this.id, item_ids: [itemId], kind });
      return true;
    } catch (err) {
      this.hooks.failed(err, this);
      return false;
    }
  }

  /** Takes a notice or an error away. */
  dismiss(key: string): void {
    this.#set(reducer.remove(this.state, (it) => it.key === key && it.passing !== undefined));
  }

  rename(thread: Thread): void {
    this.#set({ ...this.state, thread: { ...this.state.thread, ...thread } });
  }

  async #runIn<T extends StreamingOperation>(type: T, params: (id: string) => StreamingOperations[T], begun?: () => void): Promise<boolean> {
    const id = this.id;
    if (id === undefined) return false;
    if (this.running) {
      this.hooks.failed(new Refused(409), this);
      return false;
    }
    return this.#run(type, params(id), begun);
  }

  /** Runs a turn to its end; true once the server took the request. `begun` is called at that moment. */
  #run<T extends StreamingOperation>(type: T, params: StreamingOperations[T], begun?: () => void): Promise<boolean> {
    const turn = new AbortController();
    return this.#play(this.client.stream(type, params, this.#options(turn)), turn, type, begun);
  }

  #options(turn: AbortController): CallOptions {
    return {
      signal: turn.signal,
      onWait: (attempt, repeats) => {
        this.waiting = { attempt, repeats };
        this.hooks.changed(this);
      },
    };
  }

  async #play(events: AsyncGenerator<StreamEvent>, turn: AbortController, type: StreamingOperation, begun?: () => void): Promise<boolean> {
    this.#turn = turn;
    this.#set({ ...this.state, allowCancel: true, progress: undefined });
    this.hooks.turn(this, "start");

    let taken = false;
    let ended: unknown;
    try {
      for await (const event of events) {
        this.waiting = undefined;
        if (!taken && isTaken(event, type)) {
          taken = true;
          begun?.();
        }
        this.#apply(event);
      }
    } catch (err) {
      ended = err ?? new Error("the stream failed");
    }
    this.#finish(ended, taken, type);
    return taken;
  }

  #apply(event: StreamEvent): void {
    this.#set(reducer.reduce(this.state, event));
    if (event.type === "thread.created" || event.type === "thread.updated") this.hooks.thread(this, event.thread);
    this.hooks.event(this, event);
  }

  #finish(err: unknown, taken: boolean, type: StreamingOperation): void {
    const missed = err instanceof ConnectionLost && err.kind === "missed";
    const how = err === undefined || missed ? "ended" : isAbort(err) ? "stopped" : "cut";
    this.#turn = undefined;
    this.waiting = undefined;
    let state = reducer.settle(this.state, how);
    if (how === "stopped") {
      const last = state.entries.at(-1)?.item;
      if (taken && last?.type === "user_message") state = reducer.pass(state, { type: "error", reason: "stopped", retry: true });
    } else if (how === "cut" && taken) {
      // To answer the last message again would undo what an action did.
      state = reducer.pass(state, { type: "error", reason: err instanceof ConnectionLost ? "cut" : "failed", retry: type !== "threads.custom_action" });
    }
    this.#set(state);
    if (how === "cut" && (!taken || !(err instanceof ConnectionLost))) this.hooks.failed(err, this);
    this.hooks.turn(this, "end");
    if (missed) this.load().catch((it: unknown) => this.hooks.failed(it, this));
  }

  #clearPassing(): void {
    this.#set(reducer.remove(this.state, (it) => it.passing !== undefined));
  }

  #set(state: ThreadState): void {
    if (state === this.state) return;
    this.state = state;
    this.hooks.changed(this);
  }
}

/** Whether an event shows that the server took the request: it stored the message, or began to answer again. */
function isTaken(event: StreamEvent, type: StreamingOperation): boolean {
  if (type !== "threads.create" && type !== "threads.add_user_message") return event.type !== "error";
  return event.type === "thread.item.done" && event.item.type === "user_message";
}
