/**
 * The project panel: the generation in force, what it consists of, what could not be loaded, and the tool
 * calls of the open conversation, live. Operators see it; for others the server refuses and it stays away.
 */
import { find } from "./api.js";
import { el, icon, iconButton } from "./dom.js";

const MOST_CALLS = 50;
const RETRY = 5000;
/** A tab in the background gives its connection back: browsers allow few to one server. */
const HIDDEN_WAIT = 60_000;

/** Hooks: `available(generation)` at first sight, `reloaded(sentence, generation)`, `errors(list)`, `close()`. */
export class Inspector {
  #root;
  #hooks;
  #generation;
  #source;
  #live = false;
  #calls = new Map();
  #thread;
  /** Names of what the last reload changed, and what the reader opened. */
  #fresh = new Set();
  #unfolded = new Set();
  #timer;

  constructor(root, hooks) {
    this.#root = root;
    this.#hooks = hooks;
    document.addEventListener("visibilitychange", () => this.#visibility());
  }

  /** Asks for the generation and, where there is one to see, listens for the next ones. */
  async start() {
    if (await this.#refresh()) this.#listen();
  }

  async #refresh() {
    try {
      const generation = await find("api/generation");
      if (generation) this.#take(generation);
      return generation !== undefined;
    } catch {
      this.#again();
      return false;
    }
  }

  /** Shows the tool calls of this thread. */
  follow(thread) {
    if (this.#thread === thread) return;
    this.#thread = thread;
    this.#fresh.clear();
    this.#draw();
  }

  #listen() {
    this.#source?.close();
    const source = new EventSource("api/events");
    this.#source = source;
    let opened = 0;
    source.addEventListener("open", () => {
      this.#setLive(true);
      // After a gap the events in between are missing.
      opened += 1;
      if (opened > 1) this.#refresh();
    });
    source.addEventListener("error", () => {
      this.#setLive(false);
      // The browser reconnects by itself, unless the server refused.
      if (source.readyState === EventSource.CLOSED && source === this.#source) this.#again();
    });
    source.addEventListener("generation", ({ data }) => this.#take(JSON.parse(data)));
    source.addEventListener("tool", ({ data }) => this.#call(JSON.parse(data)));
  }

  #again() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.start(), RETRY);
  }

  #visibility() {
    clearTimeout(this.#timer);
    if (!this.#generation) return;
    if (!document.hidden && !this.#source) this.start();
    if (document.hidden) {
      this.#timer = setTimeout(() => {
        this.#source?.close();
        this.#source = undefined;
        this.#setLive(false);
      }, HIDDEN_WAIT);
    }
  }

  #setLive(live) {
    this.#live = live;
    const state = this.#root.querySelector(".live");
    if (state) state.replaceWith(this.#liveNode());
  }

  #take(generation) {
    const before = this.#generation;
    if (JSON.stringify(before) === JSON.stringify(generation)) return;
    this.#generation = generation;
    const errorsChanged = JSON.stringify(before?.errors) !== JSON.stringify(generation.errors);

    const changes = before ? changesBetween(before, generation) : [];
    this.#fresh = new Set(changes.map((it) => it.key));
    this.#draw();
    if (!before) this.#hooks.available(generation);
    if (errorsChanged) this.#hooks.errors(generation.errors ?? []);
    if (before && before.id !== generation.id) this.#hooks.reloaded(sentenceOf(changes), generation);
  }

  #call(call) {
    const calls = this.#calls.get(call.thread_id) ?? [];
    calls.unshift({ ...call, key: `call ${call.thread_id} ${performance.now()}` });
    calls.length = Math.min(calls.length, MOST_CALLS);
    this.#calls.set(call.thread_id, calls);
    if (call.thread_id !== this.#thread) return;
    this.#fresh = new Set([calls[0].key]);
    this.#draw();
  }

  // What is shown

  #draw() {
    const generation = this.#generation;
    if (!generation) return;
    const { agents = [], tools = [], plugins = [], mcp = [], errors = [] } = generation;
    const calls = this.#calls.get(this.#thread) ?? [];
    const scroll = this.#root.querySelector(".inspector-body")?.scrollTop ?? 0;
    const focus = document.activeElement?.closest?.("summary")?.parentElement?.dataset.key;

    const body = el(
      "div",
      { class: "inspector-body" },
      errors.length > 0 && this.#section("Not loaded", errors.length, errors.map((it) => errorNode(it))),
      this.#section("Tool calls", calls.length, calls.map((it) => this.#callNode(it)), "The tools that this conversation uses show up here."),
      this.#section("Agents", agents.length, agents.map((it) => this.#agent(it)), "No agent: put one into prompts/."),
      this.#section("Tools", tools.length, tools.map((it) => this.#tool(it)), "No tools: drop a script into plugins/."),
      this.#section("Plugins", plugins.length, plugins.map((it) => this.#plugin(it)), "No plugins: drop one into plugins/."),
      mcp.length > 0 && this.#section("MCP servers", mcp.length, mcp.map((it) => this.#server(it))),
    );
    this.#root.replaceChildren(
      el("div", { class: "inspector-head" }, el("h2", {}, "Project"), this.#liveNode(), iconButton("close", "Close the project panel", () => this.#hooks.close())),
      el("p", { class: "generation" }, "Generation ", el("code", { title: generation.id }, shortId(generation.id)), generation.created_at && ` · loaded ${timeOf(generation.created_at)}`),
      body,
    );
    body.scrollTop = scroll;
    if (focus) this.#root.querySelector(`[data-key="${CSS.escape(focus)}"] > summary`)?.focus();
  }

  #liveNode() {
    return el("span", { class: `live ${this.#live ? "on" : ""}` }, this.#live ? "live" : "connecting…");
  }

  #section(title, count, nodes, empty) {
    return el("section", {}, el("h3", {}, title, count > 0 && el("span", { class: "count" }, String(count))), nodes.length > 0 ? nodes : el("p", { class: "none" }, empty));
  }

  /** A line that unfolds; it stays as the reader left it when the panel is drawn again. */
  #fold(key, summary, ...body) {
    const details = el("details", { class: this.#fresh.has(key) && "fresh", "data-key": key, open: this.#unfolded.has(key) }, el("summary", {}, summary), el("div", { class: "fold" }, body));
    details.addEventListener("toggle", () => (details.open ? this.#unfolded.add(key) : this.#unfolded.delete(key)));
    return details;
  }

  #agent({ id, name, model }) {
    return el("div", { class: `entry ${this.#fresh.has(`agent ${id}`) ? "fresh" : ""}` }, el("span", { class: "name" }, name || id), el("span", { class: "muted" }, [name && name !== id && id, model].filter(Boolean).join(" · ")));
  }

  #tool({ name, description, parameters, origin, examples = [] }) {
    return this.#fold(
      `tool ${name}`,
      [el("code", { class: "name" }, name), el("span", { class: "about" }, description)],
      description && el("p", {}, description),
      parametersNode(parameters),
      examples.length > 0 && el("p", { class: "muted" }, `Try: “${examples[0]}”`),
      origin && el("p", { class: "muted" }, "from ", el("code", {}, origin)),
      parameters && this.#fold(`schema ${name}`, "JSON Schema", jsonNode(parameters)),
    );
  }

  #plugin({ name, path, version, description, approved }) {
    return el(
      "div",
      { class: `entry ${this.#fresh.has(`plugin ${name}`) ? "fresh" : ""}` },
      el("span", { class: "name" }, name, version && el("span", { class: "muted" }, ` ${version}`), approved === false && el("span", { class: "tag" }, "waits for approval")),
      description && el("span", {}, description),
      path && el("code", { class: "muted" }, path),
    );
  }

  #server(server) {
    const { id, state, reason, tools = [], changed = [] } = server;
    const count = `${tools.length} ${tools.length === 1 ? "tool" : "tools"}`;
    const words = state === "ready" && !reason ? count : String(state).replace("_", " ");
    return this.#fold(
      `mcp ${id}`,
      [el("span", { class: "name" }, id), el("span", { class: "muted" }, words), changed.length > 0 && el("span", { class: "tag" }, "tools changed")],
      reason && el("p", {}, ticks(reason)),
      jsonNode(server),
    );
  }

  #callNode({ key, tool, arguments: given, output, failed, milliseconds }) {
    const summary = [
      el("span", { class: `call-mark ${failed ? "failed" : ""}` }, icon(failed ? "alert" : "check"), el("span", { class: "sr-only" }, failed ? "failed" : "done")),
      el("code", { class: "name" }, tool),
      el("span", { class: "muted number" }, typeof milliseconds === "number" ? `${milliseconds < 10 ? Number(milliseconds.toFixed(1)) : Math.round(milliseconds)} ms` : ""),
    ];
    return this.#fold(key, summary, el("h4", {}, "Arguments"), jsonNode(given), el("h4", {}, failed ? "Failure" : "Result"), jsonNode(output));
  }
}

/** A load error as it is shown in the panel and elsewhere. */
export function errorNode({ file, line, column, message, remedy }) {
  const place = [file, line, line && column].filter(Boolean).join(":");
  return el("div", { class: "load-error" }, el("code", { class: "place" }, place), el("p", {}, ticks(message)), remedy && el("p", { class: "remedy" }, ticks(remedy)));
}

/** Text in which `this` is code. */
function ticks(text = "") {
  return text.split("`").map((part, index, parts) => (index % 2 === 1 && index < parts.length - 1 ? el("code", {}, part) : part));
}

function parametersNode(schema) {
  const properties = Object.entries(schema?.properties ?? {});
  if (properties.length === 0) return undefined;
  const required = new Set(schema.required ?? []);
  return el(
    "dl",
    { class: "parameters" },
    properties.map(([name, it]) => [
      el("dt", {}, el("code", {}, name), el("span", { class: "muted" }, ` ${typeWords(it)}${required.has(name) ? "" : ", optional"}`)),
      it?.description && el("dd", {}, it.description),
    ]).flat(),
  );
}

function typeWords(schema) {
  if (Array.isArray(schema?.enum)) return schema.enum.map((it) => JSON.stringify(it)).join(" | ");
  return [schema?.type ?? "any"].flat().join(" | ");
}

function jsonNode(value) {
  if (value === undefined) return el("p", { class: "none" }, "nothing");
  return el("pre", { class: "json", tabindex: "0" }, typeof value === "string" ? value : JSON.stringify(value, null, 2));
}

function shortId(id) {
  return String(id ?? "").slice(0, 8);
}

function timeOf(text) {
  const time = new Date(text);
  return Number.isNaN(time.getTime()) ? text : time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

/** What became of agents, tools and plugins: `{ key, kind, name, verb }` each. */
function changesBetween(before, after) {
  const kinds = [["agent", "agents", "id"], ["tool", "tools", "name"], ["plugin", "plugins", "name"]];
  return kinds.flatMap(([kind, field, by]) => {
    const old = new Map((before[field] ?? []).map((it) => [it[by], JSON.stringify(it)]));
    const now = new Map((after[field] ?? []).map((it) => [it[by], JSON.stringify(it)]));
    const change = (name, verb) => ({ key: `${kind} ${name}`, kind, name, verb });
    return [
      ...[...now.keys()].filter((it) => !old.has(it)).map((it) => change(it, "new")),
      ...[...now.keys()].filter((it) => old.has(it) && old.get(it) !== now.get(it)).map((it) => change(it, "changed")),
      ...[...old.keys()].filter((it) => !now.has(it)).map((it) => change(it, "gone")),
    ];
  });
}

/** `new tool hello, tool units gone`; a changed prompt or script body shows in no list. */
function sentenceOf(changes) {
  // A plugin and its only tool often come and go together: the tools say more.
  const shown = changes.some((it) => it.kind === "tool") ? changes.filter((it) => it.kind !== "plugin") : changes;
  const words = shown.map(({ kind, name, verb }) => (verb === "new" ? `new ${kind} ${name}` : `${kind} ${name} ${verb}`));
  if (words.length > 3) words.splice(2, words.length, `${shown.length - 2} more changes`);
  return words.length > 0 ? words.join(", ") : "the next message uses your changes";
}
