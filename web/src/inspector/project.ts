/** What the server tells of the project and of turns, and what follows from it. No DOM. */

export interface Agent {
  id: string;
  name?: string;
  model?: string;
  /** Its file; none where it was built in. */
  path?: string | null;
}

export interface Tool {
  name: string;
  description?: string;
  parameters?: Record<string, unknown>;
  examples?: string[];
  origin?: string;
  approval?: string;
  server?: string;
}

export interface Plugin {
  name: string;
  path?: string;
  version?: string | null;
  description?: string | null;
  approved?: boolean;
  permissions?: Record<string, unknown>;
  requested?: Record<string, unknown>;
}

export interface McpServer {
  id: string;
  state?: string;
  reason?: string;
  tools?: unknown[];
  changed?: unknown[];
  [property: string]: unknown;
}

export interface LoadError {
  file?: string;
  line?: number;
  column?: number;
  message?: string;
  remedy?: string;
}

export interface Viewer {
  user: { id: string; name?: string | null; roles?: string[] } | null;
  auth: { modes: string[]; header: string };
}

/** `GET /api/generation`, and the event `generation`. */
export interface Generation {
  id: string;
  created_at?: string;
  project?: { name: string; folder: string };
  version?: string;
  default_agent?: string;
  demo?: boolean;
  agents?: Agent[];
  tools?: Tool[];
  plugins?: Plugin[];
  mcp?: McpServer[];
  files?: string[];
  errors?: LoadError[];
  viewer?: Viewer;
}

interface StepBase {
  turn: string;
  thread_id: string;
  step: number;
  at: number;
  milliseconds: number;
  failed: boolean;
}

export type ModelStep = StepBase & {
  kind: "model";
  model: string;
  first?: number;
  input_items: number;
  tools: number;
  calls: number;
  input_tokens: number;
  output_tokens: number;
  instructions?: string;
  error?: string;
};

export type ToolStep = StepBase & { kind: "tool"; tool: string; arguments: string; output: string };
export type Step = ModelStep | ToolStep;

/** The event `turn`. */
export interface Turn {
  id: string;
  thread_id: string;
  agent: string;
  model?: string;
  generation: string;
  cause: string;
  started_at: string;
  state: "running" | "done" | "cancelled" | "failed";
  error?: string;
  milliseconds?: number;
  input_tokens: number;
  output_tokens: number;
  steps?: Step[];
}

/** Turns that are shown of one thread. */
const MOST_TURNS = 50;

/** The turns with this one among them, brought up to date, the newest first. Steps that are known stay. */
export function withTurn(turns: readonly Turn[], turn: Turn): Turn[] {
  const before = turns.find((it) => it.id === turn.id);
  const steps = [...(before?.steps ?? []), ...(turn.steps ?? [])];
  const next = { ...turn, steps: distinct(steps) };
  if (before) return turns.map((it) => (it === before ? next : it));
  return [next, ...turns].sort((a, b) => b.started_at.localeCompare(a.started_at)).slice(0, MOST_TURNS * 4);
}

/** The turns after a step of one of them; of a turn that is not known, nothing. */
export function withStep(turns: readonly Turn[], step: Step): Turn[] {
  return turns.map((it) => (it.id === step.turn ? { ...it, steps: distinct([...(it.steps ?? []), step]) } : it));
}

function distinct(steps: readonly Step[]): Step[] {
  const known = new Map(steps.map((it) => [it.step, it]));
  return [...known.values()].sort((a, b) => a.at - b.at || a.step - b.step);
}

export function turnsOf(turns: readonly Turn[], thread: string | undefined): Turn[] {
  return turns.filter((it) => it.thread_id === thread).slice(0, MOST_TURNS);
}

export interface Change {
  /** `tool hello` */
  key: string;
  kind: "agent" | "tool" | "plugin" | "server";
  name: string;
  verb: "new" | "changed" | "gone";
}

/** What became of agents, tools, plugins and servers. */
export function changesBetween(before: Generation, after: Generation): Change[] {
  const lists: [Change["kind"], (it: Generation) => readonly [string, unknown][]][] = [
    ["agent", (it) => (it.agents ?? []).map((agent) => [agent.id, agent])],
    ["tool", (it) => (it.tools ?? []).map((tool) => [tool.name, tool])],
    ["plugin", (it) => (it.plugins ?? []).map((plugin) => [plugin.name, plugin])],
    // Their state comes and goes by itself.
    ["server", (it) => (it.mcp ?? []).map((server) => [server.id, server.id])],
  ];
  return lists.flatMap(([kind, list]) => {
    const old = new Map(list(before).map(([name, it]) => [name, JSON.stringify(it)]));
    const now = new Map(list(after).map(([name, it]) => [name, JSON.stringify(it)]));
    const change = (name: string, verb: Change["verb"]): Change => ({ key: `${kind} ${name}`, kind, name, verb });
    return [
      ...[...now.keys()].filter((it) => !old.has(it)).map((it) => change(it, "new")),
      ...[...now.keys()].filter((it) => old.has(it) && old.get(it) !== now.get(it)).map((it) => change(it, "changed")),
      ...[...old.keys()].filter((it) => !now.has(it)).map((it) => change(it, "gone")),
    ];
  });
}

/** `new tool hello, tool units gone`; a changed prompt or script body shows in no list. */
export function sentenceOf(changes: readonly Change[]): string {
  // A plugin and its only tool often come and go together: the tools say more.
  const shown = changes.some((it) => it.kind === "tool") ? changes.filter((it) => it.kind !== "plugin") : [...changes];
  const named = shown.map(({ kind, name, verb }) => (verb === "new" ? `new ${kind} ${name}` : `${kind} ${name} ${verb}`));
  if (named.length > 3) named.splice(2, named.length, `${shown.length - 2} more changes`);
  return named.length > 0 ? named.join(", ") : "the next message uses your changes";
}

/** A first thing to do, with the file that it is done in. */
export interface Hint {
  title: string;
  file: string;
  text: string;
  /** What to put into the file. */
  example?: string;
}

/** What a first-time visitor may try, from what the project has and lacks. */
export function hintsOf(generation: Generation): Hint[] {
  const { agents = [], tools = [], files = [], default_agent = "assistant", demo } = generation;
  const agent = agents.find((it) => it.id === default_agent);
  const prompt = agent?.path ?? `prompts/${default_agent}.md`;
  const script = tools.map((it) => it.origin).find((it) => it !== undefined && /^plugins\/.*\.rhai$/.test(it));
  const hints: Hint[] = [
    agent?.path
      ? { title: "Change what it says", file: prompt, text: "Add a line and save: the next message follows it.", example: "Answer like a pirate." }
      : { title: "Say who it is", file: prompt, text: "Make this file: the next message follows it.", example: `---\nname: ${agent?.name ?? "Assistant"}\n---\nAnswer like a pirate.` },
    { title: "Give it a tool", file: files.includes("plugins/hello.rhai") ? "plugins/hello2.rhai" : "plugins/hello.rhai", text: "Save this file, then say “say hello to Ada”.", example: HELLO },
  ];
  if (script) hints.push({ title: "Break something", file: script, text: "Delete a bracket and save: the last good version stays, and the mistake is shown here with its line." });
  if (demo) hints.push({ title: "Connect a model", file: "kitfox.toml", text: "The demo model answers, offline. OPENAI_API_KEY in the environment or this connects a real one.", example: PROVIDER });
  return hints;
}

// Line by line: the build takes the indentation out of texts of several lines.
const HELLO = [
  "tool(#{",
  '    name: "hello",',
  '    description: "Greets somebody.",',
  '    parameters: #{ who: #{ type: "string" } },',
  '    examples: ["say hello to {who}"],',
  "    run: |args, ctx| `Hello, ${args.who}!`,",
  "});",
].join("\n");

const PROVIDER = ["[providers.local]", 'api = "chat_completions"', 'base_url = "http://localhost:11434/v1"', "", "[models.default]", 'provider = "local"', 'model = "qwen3"'].join("\n");

/** `850 ms`, `2.4 s` */
export function duration(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  return `${(milliseconds / 1000).toFixed(milliseconds < 10_000 ? 1 : 0)} s`;
}

/** JSON with line breaks, other text as it is. */
export function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
