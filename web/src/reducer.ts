/**
 * What a thread looks like after an event. Nothing is changed in place: what is the same object looks the same, so that only
 * what differs is drawn again. No DOM.
 */
import type { AssistantContent, AssistantMessageItem, Item, ItemUpdate, NoticeLevel, StreamEvent, Thread, UserMessageItem, WidgetNode } from "./protocol";

/** A line of the transcript: an item, or something of the moment that the thread does not keep. */
export interface Entry {
  key: string;
  item?: Item;
  passing?: Passing;
  /** Still being written. */
  streaming?: boolean;
  /** Broken off: by the user, or with the connection. */
  stopped?: boolean;
  /** Shown before the server has taken it. */
  pending?: boolean;
  /** Left out of sight, until a retry has begun in its place. */
  hidden?: boolean;
}

export type Passing =
  | { type: "notice"; level: NoticeLevel; message: string; title?: string }
  | { type: "error"; reason: "failed" | "cut" | "stopped"; message?: string; retry: boolean }
  | { type: "effect"; name: string; data: Record<string, unknown> };

export interface ThreadState {
  thread?: Thread;
  entries: readonly Entry[];
  allowCancel: boolean;
  /** What the assistant does at the moment, while a turn runs. */
  progress?: { icon?: string; text: string };
}

export const EMPTY: ThreadState = { entries: [], allowCancel: true };

/** The key of a message that the server has not taken yet. */
export const PENDING = "pending";

let passed = 0;

export function reduce(state: ThreadState, event: StreamEvent): ThreadState {
  switch (event.type) {
    case "thread.created":
    case "thread.updated":
      return { ...state, thread: event.thread };
    case "thread.item.added":
      return put(state, { key: event.item.id, item: event.item, streaming: true });
    case "thread.item.updated":
      return update(state, event.item_id, (item) => updated(item, event.update));
    case "thread.item.done":
      return done(state, event.item);
    case "thread.item.replaced":
      return put(state, { key: event.item.id, item: event.item });
    case "thread.item.removed":
      return remove(state, (it) => it.key === event.item_id);
    case "stream_options":
      return { ...state, allowCancel: event.stream_options.allow_cancel !== false };
    case "progress_update":
      return { ...state, progress: event.text === "" ? undefined : { text: event.text, icon: event.icon } };
    case "notice":
      return pass(state, { type: "notice", level: event.level, message: event.message, title: event.title });
    case "client_effect":
      return pass(state, { type: "effect", name: event.name, data: event.data ?? {} });
    case "error":
      return pass(state, { type: "error", reason: "failed", message: event.message, retry: event.allow_retry === true });
    default:
      // An event of a later version: there is nothing to see.
      return state;
  }
}

function done(state: ThreadState, item: Item): ThreadState {
  if (item.type === "user_message") return put(remove(state, (it) => it.key === PENDING), { key: item.id, item });
  const next = put(state, { key: item.id, item });
  return item.type === "assistant_message" || item.type === "end_of_turn" ? { ...next, progress: undefined } : next;
}

/** Shows an entry: in the place that its key has, else as the last. */
export function put(state: ThreadState, entry: Entry): ThreadState {
  const index = state.entries.findLastIndex((it) => it.key === entry.key);
  return { ...state, entries: index < 0 ? [...state.entries, entry] : state.entries.with(index, entry) };
}

export function remove(state: ThreadState, which: (entry: Entry) => boolean): ThreadState {
  const entries = state.entries.filter((it) => !which(it));
  return entries.length === state.entries.length ? state : { ...state, entries };
}

export function pass(state: ThreadState, passing: Passing): ThreadState {
  passed += 1;
  return { ...state, entries: [...state.entries, { key: `passing-${passed}`, passing }] };
}

/** A page of older items before all others, in the order of the thread. */
export function prepend(state: ThreadState, items: Item[]): ThreadState {
  const known = new Set(state.entries.map((it) => it.key));
  const older = items.filter((it) => !known.has(it.id)).map((item) => ({ key: item.id, item }));
  return { ...state, entries: [...older, ...state.entries] };
}

/**
 * After the end of a stream: what was still being written stands as it is. Of an answer that was stopped the server keeps the
 * text, and nothing else.
 */
export function settle(state: ThreadState, how: "ended" | "stopped" | "cut"): ThreadState {
  const entries: Entry[] = [];
  for (const entry of state.entries) {
    if (!entry.streaming) entries.push(entry);
    else if (isKept(entry.item)) entries.push({ ...entry, streaming: false, stopped: how !== "ended" });
    else if (how !== "stopped") entries.push({ ...entry, streaming: false });
  }
  return { ...state, entries, progress: undefined };
}

function isKept(item: Item | undefined): boolean {
  return item?.type === "assistant_message" && textOf(item) !== "";
}

function update(state: ThreadState, key: string, change: (item: Item) => Item): ThreadState {
  const index = state.entries.findLastIndex((it) => it.key === key);
  const entry = state.entries[index];
  if (!entry?.item) return state;
  const item = change(entry.item);
  const next = item === entry.item ? state : { ...state, entries: state.entries.with(index, { ...entry, item }) };
  return item.type === "assistant_message" && next.progress ? { ...next, progress: undefined } : next;
}

function updated(item: Item, update: ItemUpdate): Item {
  switch (update.type) {
    case "assistant_message.content_part.added":
      return withPart(item, update.content_index, () => update.content);
    case "assistant_message.content_part.text_delta":
      return withPart(item, update.content_index, (it) => ({ ...it, text: it.text + update.delta }));
    case "assistant_message.content_part.annotation_added":
      return withPart(item, update.content_index, (it) => ({ ...it, annotations: set(it.annotations ?? [], update.annotation_index, update.annotation) }));
    case "assistant_message.content_part.done":
      // The annotations of a finished part may be missing here; the finished item has them.
      return withPart(item, update.content_index, (it) => ({ ...it, text: update.content.text }));
    case "workflow.task.added":
    case "workflow.task.updated":
      if (item.type !== "workflow") return item;
      return { ...item, workflow: { ...item.workflow, tasks: set(item.workflow.tasks ?? [], update.task_index, update.task) } };
    case "generated_image.updated":
      return item.type === "generated_image" ? { ...item, image: update.image, progress: update.progress } : item;
    case "widget.root.updated":
      return item.type === "widget" ? { ...item, widget: update.widget } : item;
    case "widget.component.updated":
      return withComponent(item, update.component_id, () => update.component);
    case "widget.streaming_text.value_delta":
      return withComponent(item, update.component_id, (it) => ({ ...it, value: `${typeof it.value === "string" ? it.value : ""}${update.delta}` }));
    default:
      return item;
  }
}

function withPart(item: Item, index: number, change: (part: AssistantContent) => AssistantContent): Item {
  if (item.type !== "assistant_message") return item;
  const part = item.content[index] ?? { type: "output_text", text: "", annotations: [] };
  return { ...item, content: set(item.content, index, change(part)) };
}

/** The list with one entry changed or added; an index far beyond its end is taken as its end. */
function set<T>(list: readonly T[], index: number, value: T): T[] {
  const changed = [...list];
  changed[Math.max(0, Math.min(index, list.length))] = value;
  return changed;
}

function withComponent(item: Item, id: string, change: (component: WidgetNode) => WidgetNode): Item {
  if (item.type !== "widget") return item;
  const widget = changed(item.widget, id, change, 0);
  return widget === item.widget ? item : { ...item, widget };
}

/** The tree with one component changed, the first with that id; what is nested too deeply is not looked for. */
function changed(node: WidgetNode, id: string, change: (component: WidgetNode) => WidgetNode, depth: number): WidgetNode {
  if (typeof node !== "object" || node === null || depth > 64) return node;
  if (node.id === id) return change(node);
  const { children } = node;
  if (!Array.isArray(children)) {
    if (!children) return node;
    const child = changed(children, id, change, depth + 1);
    return child === children ? node : { ...node, children: child };
  }
  for (const [index, it] of children.entries()) {
    const child = changed(it, id, change, depth + 1);
    if (child !== it) return { ...node, children: children.with(index, child) };
  }
  return node;
}

// What is read out of a state

/** The text of a message, as a person would copy it. */
export function textOf(item: Item | undefined): string {
  if (item?.type === "user_message") return userText(item);
  if (item?.type === "assistant_message") return assistantText(item);
  if (item?.type === "widget") return item.copy_text ?? "";
  return "";
}

function userText(item: UserMessageItem): string {
  return item.content.map((it) => (it.type === "input_tag" ? `@${it.text}` : it.text)).join("").trim();
}

function assistantText(item: AssistantMessageItem): string {
  return item.content.map((it) => it?.text ?? "").join("\n\n").trim();
}

/** The questions that wait for an answer: the last ones asked, if nothing was said since. */
export function openQuestions(state: ThreadState): Entry | undefined {
  const entry = state.entries.findLast((it) => it.item?.type === "structured_input");
  return entry?.item?.type === "structured_input" && entry.item.status === "pending" ? entry : undefined;
}

/** The call of a client tool that waits for its output: it is the last item of its thread. */
export function openCall(state: ThreadState): Entry | undefined {
  const entry = state.entries.findLast((it) => it.item && it.item.type !== "end_of_turn");
  return entry?.item?.type === "client_tool_call" && entry.item.status === "pending" ? entry : undefined;
}

export function lastUserMessage(state: ThreadState): Entry | undefined {
  return state.entries.findLast((it) => it.item?.type === "user_message" && !it.pending);
}
