/** What a page may set: the options of `@openai/chatkit`, and a few of our own. */
import type { Attachment, ServerOptions, UserContent, WidgetItem, WidgetNode } from "./protocol";

export interface Entity {
  id: string;
  title: string;
  icon?: string;
  interactive?: boolean;
  group?: string;
  data?: Record<string, unknown>;
}

export interface ToolOption {
  id: string;
  label: string;
  icon?: string;
  shortLabel?: string;
  placeholderOverride?: string;
  pinned?: boolean;
  /** Stays chosen after a message is sent. */
  persistent?: boolean;
}

export interface ModelOption {
  id: string;
  label: string;
  description?: string;
  disabled?: boolean;
  default?: boolean;
}

export interface AttachmentRules {
  enabled: boolean;
  /** In bytes, for all files or by type (`image/*`, `*` for all others). */
  maxSize?: number | Record<string, number>;
  maxCount?: number;
  accept?: Record<string, string[]>;
}

export interface Command {
  id: string;
  label: string;
  description?: string;
  icon?: string;
  group?: string;
}

export type CommandSelection = { type: "entity"; entity: Entity } | { type: "menu"; commands: Command[] };

export interface ThemeOption {
  colorScheme?: "light" | "dark" | "system";
  typography?: { baseSize?: number; fontSources?: FontSource[]; fontFamily?: string; fontFamilyMono?: string };
  radius?: "pill" | "round" | "soft" | "sharp";
  density?: "compact" | "normal" | "spacious";
  color?: {
    grayscale?: { hue: number; tint: number; shade?: number };
    accent?: { primary: string; level: number };
    surface?: { background: string; foreground: string };
  };
}

export interface FontSource {
  family: string;
  src: string;
  weight?: string | number;
  style?: string;
  display?: string;
  unicodeRange?: string;
}

export interface StartPrompt {
  label: string;
  prompt: string;
  icon?: string;
}

interface HeaderAction {
  icon: string;
  label?: string;
  /** A number that wants to be seen. */
  badge?: number;
  onClick: () => void;
}

export interface ChatOptions {
  api?: {
    url?: string;
    fetch?: typeof fetch;
    domainKey?: string;
    uploadStrategy?: { type: "two_phase" } | { type: "direct"; uploadUrl: string };
    getClientSecret?: unknown;
  };
  locale?: string;
  theme?: "light" | "dark" | "system" | ThemeOption;
  /** What those who listen are told that this is. */
  frameTitle?: string;
  initialThread?: string | null;
  onClientTool?: (call: { name: string; params: Record<string, unknown> }) => unknown;
  header?: { enabled?: boolean; title?: { enabled?: boolean; text?: string }; leftAction?: HeaderAction; rightAction?: HeaderAction };
  history?: { enabled?: boolean; showDelete?: boolean; showRename?: boolean };
  startScreen?: { greeting?: string; prompts?: StartPrompt[]; note?: string };
  threadItemActions?: { feedback?: boolean; retry?: boolean };
  composer?: {
    placeholder?: string;
    attachments?: AttachmentRules;
    tools?: ToolOption[];
    models?: ModelOption[];
    dictation?: { enabled: boolean };
  };
  disclaimer?: { text: string; highContrast?: boolean };
  entities?: {
    onTagSearch?: (query: string) => Promise<Entity[]>;
    onClick?: (entity: Entity) => void;
    onRequestPreview?: (entity: Entity) => Promise<{ preview: WidgetNode | null }>;
    showComposerMenu?: boolean;
  };
  commands?: {
    enabled: boolean;
    onSearch?: (query: string) => Promise<Command[]>;
    onSelect?: (command: Command) => Promise<CommandSelection | undefined> | Promise<void>;
  };
  /** Whether the latest words stay in sight while they stream. */
  thread?: { autoScroll?: boolean };
  widgets?: { onAction?: (action: { type: string; payload?: Record<string, unknown> }, item: { id: string; widget: WidgetItem["widget"] }) => unknown };
}

/** What is left where the page says nothing. */
export interface Defaults {
  feedback: boolean;
  retry: boolean;
  /** Whether the server is asked for what it offers (`GET {url}/options`). */
  asks: boolean;
  scheme: "light" | "system";
  commands: boolean;
  follows: boolean;
}

export interface UserMessageParams {
  text?: string;
  content?: UserContent[];
  reply?: string;
  attachments?: Attachment[];
  newThread?: boolean;
  model?: string;
  toolChoice?: { id: string };
  files?: File[];
  selectedToolId?: string | null;
  selectedModelId?: string;
}

/** The rules for files: the page's, else the server's, else none are taken. */
export function attachmentRules(options: ChatOptions, server: ServerOptions | undefined): AttachmentRules {
  const own = options.composer?.attachments;
  if (own) return own;
  const offered = server?.attachments;
  if (!offered?.enabled) return { enabled: false };
  const accept = Array.isArray(offered.accept) ? Object.fromEntries(offered.accept.map((it) => [it, []])) : offered.accept;
  return { enabled: true, maxSize: offered.max_size, maxCount: offered.max_count, accept };
}

export function modelsOf(options: ChatOptions, server: ServerOptions | undefined): ModelOption[] {
  const models = options.composer?.models ?? (server?.models ?? []).map((it) => ({ ...it, label: it.label || it.id }));
  return models.length > 1 || options.composer?.models ? models : [];
}

export function promptsOf(options: ChatOptions, server: ServerOptions | undefined): StartPrompt[] {
  return options.startScreen?.prompts ?? (server?.prompts ?? []).map((it) => ({ ...it, label: it.label || it.prompt }));
}
