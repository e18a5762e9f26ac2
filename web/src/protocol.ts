/** ChatKit's protocol as data: requests, events, items, widgets. What the server leaves out is `undefined`. */

export interface Page<T> {
  data: T[];
  has_more: boolean;
  after?: string;
}

// Threads

export type ThreadStatus = { type: "active" } | { type: "locked"; reason?: string } | { type: "closed"; reason?: string };

export interface Thread {
  id: string;
  title?: string;
  created_at: string;
  status?: ThreadStatus;
  allowed_image_domains?: string[];
  metadata?: Record<string, unknown>;
  items?: Page<Item>;
}

// Items

interface ItemBase {
  id: string;
  thread_id: string;
  created_at: string;
}

export interface TextContent {
  type: "input_text";
  text: string;
}

export interface TagContent {
  type: "input_tag";
  id: string;
  text: string;
  data: Record<string, unknown>;
  group?: string;
  interactive?: boolean;
}

export type UserContent = TextContent | TagContent;

export interface InferenceOptions {
  tool_choice?: { id: string };
  model?: string;
}

export interface UploadDescriptor {
  url: string;
  method: "POST" | "PUT";
  headers?: Record<string, string>;
}

export interface Attachment {
  id: string;
  type: "file" | "image";
  name: string;
  mime_type: string;
  preview_url?: string;
  upload_descriptor?: UploadDescriptor;
  thread_id?: string;
}

export interface UserMessageItem extends ItemBase {
  type: "user_message";
  content: UserContent[];
  attachments?: Attachment[];
  quoted_text?: string;
  inference_options?: InferenceOptions;
}

interface SourceBase {
  title: string;
  description?: string;
  timestamp?: string;
  group?: string;
}

export type UrlSource = SourceBase & { type: "url"; url: string; attribution?: string };
export type FileSource = SourceBase & { type: "file"; filename: string };
export type EntitySource = SourceBase & {
  type: "entity";
  id: string;
  icon?: string;
  label?: string;
  inline_label?: string;
  interactive?: boolean;
  data?: Record<string, unknown>;
};
export type Source = UrlSource | FileSource | EntitySource;

export interface Annotation {
  type: "annotation";
  source: Source;
  index?: number;
}

export interface AssistantContent {
  type: "output_text";
  text: string;
  annotations?: Annotation[];
}

export interface AssistantMessageItem extends ItemBase {
  type: "assistant_message";
  content: AssistantContent[];
}

export interface ClientToolCallItem extends ItemBase {
  type: "client_tool_call";
  status: "pending" | "completed";
  call_id: string;
  name: string;
  arguments: Record<string, unknown>;
  output?: unknown;
}

export interface WidgetItem extends ItemBase {
  type: "widget";
  widget: WidgetNode;
  copy_text?: string;
}

export interface GeneratedImageItem extends ItemBase {
  type: "generated_image";
  image?: { id: string; url: string };
  /** Not of the protocol's item: what the last update said while it was made. */
  progress?: number;
}

export interface StructuredAnswer {
  values?: string[];
  skipped?: boolean;
}

interface QuestionBase {
  id: string;
  question: string;
  answer?: StructuredAnswer;
}

export type StructuredQuestion =
  | (QuestionBase & { type: "multiple_choice"; options: { value: string }[]; multiple?: boolean })
  | (QuestionBase & { type: "freeform"; description?: string });

export interface StructuredInputItem extends ItemBase {
  type: "structured_input";
  status: "pending" | "answered" | "skipped";
  inputs: StructuredQuestion[];
}

interface TaskBase {
  status_indicator?: "none" | "loading" | "complete";
}

export type Task = TaskBase &
  (
    | { type: "custom"; title?: string; icon?: string; content?: string }
    | { type: "web_search"; title?: string; title_query?: string; queries?: string[]; sources?: UrlSource[] }
    | { type: "thought"; title?: string; content: string }
    | { type: "file"; title?: string; sources?: FileSource[] }
    | { type: "image"; title?: string }
  );

export interface Workflow {
  type: "custom" | "reasoning";
  tasks: Task[];
  summary?: { title: string; icon?: string } | { duration: number };
  expanded?: boolean;
}

export interface WorkflowItem extends ItemBase {
  type: "workflow";
  workflow: Workflow;
}

export interface TaskItem extends ItemBase {
  type: "task";
  task: Task;
}

export interface EndOfTurnItem extends ItemBase {
  type: "end_of_turn";
}

export type Item =
  | UserMessageItem
  | AssistantMessageItem
  | ClientToolCallItem
  | WidgetItem
  | GeneratedImageItem
  | StructuredInputItem
  | WorkflowItem
  | TaskItem
  | EndOfTurnItem;

// Events

export type ItemUpdate =
  | { type: "assistant_message.content_part.added"; content_index: number; content: AssistantContent }
  | { type: "assistant_message.content_part.text_delta"; content_index: number; delta: string }
  | { type: "assistant_message.content_part.annotation_added"; content_index: number; annotation_index: number; annotation: Annotation }
  | { type: "assistant_message.content_part.done"; content_index: number; content: AssistantContent }
  | { type: "widget.streaming_text.value_delta"; component_id: string; delta: string; done: boolean }
  | { type: "widget.component.updated"; component_id: string; component: WidgetNode }
  | { type: "widget.root.updated"; widget: WidgetNode }
  | { type: "workflow.task.added"; task_index: number; task: Task }
  | { type: "workflow.task.updated"; task_index: number; task: Task }
  | { type: "generated_image.updated"; image: { id: string; url: string }; progress?: number };

export type NoticeLevel = "info" | "warning" | "danger";

export type StreamEvent =
  | { type: "thread.created"; thread: Thread }
  | { type: "thread.updated"; thread: Thread }
  | { type: "thread.item.added"; item: Item }
  | { type: "thread.item.updated"; item_id: string; update: ItemUpdate }
  | { type: "thread.item.done"; item: Item }
  | { type: "thread.item.removed"; item_id: string }
  | { type: "thread.item.replaced"; item: Item }
  | { type: "stream_options"; stream_options: { allow_cancel: boolean } }
  | { type: "progress_update"; icon?: string; text: string }
  | { type: "client_effect"; name: string; data?: Record<string, unknown> }
  | { type: "error"; code: string; message?: string; allow_retry?: boolean }
  | { type: "notice"; level: NoticeLevel; message: string; title?: string };

// Requests

export interface UserMessageInput {
  content: UserContent[];
  attachments: string[];
  quoted_text?: string;
  inference_options: InferenceOptions;
}

export interface Action {
  type: string;
  payload?: unknown;
}

export interface StructuredInputSubmission {
  status: "answered" | "skipped";
  answers: Record<string, { values: string[]; skipped?: boolean }>;
}

type Order = "asc" | "desc";

/** The parameters of each operation that answers with events. */
export interface StreamingOperations {
  "threads.create": { input: UserMessageInput };
  "threads.add_user_message": { thread_id: string; input: UserMessageInput };
  "threads.add_client_tool_output": { thread_id: string; result: unknown };
  "threads.add_structured_input": { thread_id: string; item_id: string; input: StructuredInputSubmission };
  "threads.retry_after_item": { thread_id: string; item_id: string };
  "threads.custom_action": { thread_id: string; item_id?: string; action: Action };
}

/** The parameters of each operation that answers with one document, and the document. */
export interface DocumentOperations {
  "threads.get_by_id": [{ thread_id: string }, Thread];
  "threads.list": [{ limit?: number; order?: Order; after?: string }, Page<Thread>];
  "threads.update": [{ thread_id: string; title: string }, Thread];
  "threads.delete": [{ thread_id: string }, unknown];
  "items.list": [{ thread_id: string; limit?: number; order?: Order; after?: string }, Page<Item>];
  "items.feedback": [{ thread_id: string; item_ids: string[]; kind: FeedbackKind }, unknown];
  "attachments.create": [{ name: string; size: number; mime_type: string }, Attachment];
  "attachments.delete": [{ attachment_id: string }, unknown];
  "input.transcribe": [{ audio_base64: string; mime_type: string }, { text: string }];
  "threads.sync_custom_action": [{ thread_id: string; item_id?: string; action: Action }, { updated_item?: Item }];
}

export type FeedbackKind = "positive" | "negative";
export type StreamingOperation = keyof StreamingOperations;
export type DocumentOperation = keyof DocumentOperations;

// Widgets

/**
 * A component of a widget as the server sent it: `type` says which, the rest is as its author wrote it and is to be checked
 * before it is used.
 */
export interface WidgetNode {
  type: string;
  id?: string;
  key?: string;
  children?: WidgetNode | WidgetNode[];
  [property: string]: unknown;
}

export interface ActionConfig extends Action {
  handler?: "server" | "client";
  loadingBehavior?: "auto" | "none" | "self" | "container";
  streaming?: boolean;
}

// What Kitfox says beside the protocol

/** `GET {endpoint}/options`: what the page may show this user. */
export interface ServerOptions {
  project?: string;
  agent?: { id: string; name?: string };
  greeting?: string;
  prompts?: { label?: string; prompt: string; icon?: string }[];
  agents?: { id: string; name?: string; tool_choice?: string }[];
  models?: { id: string; label?: string; default?: boolean }[];
  attachments?: { enabled: boolean; accept?: string[] | Record<string, string[]>; max_size?: number; max_count?: number };
  transcribe?: boolean;
  /** Where users log in by the page: who it is and the way out, or the way in. */
  login?: { sign_in?: string; name?: string | null; email?: string | null; sign_out?: string };
}
