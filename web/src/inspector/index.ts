/**
 * `<kitfox-inspector>`: what the chat is made of and what its turns do, live. It shows itself to those who may look, and stays away
 * (`available` is false) from others.
 *
 * Properties: `api`, the folder of the server's interface (default `api/`); `request`, a fetch that says who asks; `thread`, the id of the
 * open thread. Events, all of them composed: `kitfox-available` once there is something to see; `kitfox-reloaded`, `{ sentence,
 * generation }`, when other files are in force; `kitfox-errors`, `{ errors }`; `kitfox-try`, `{ text }`, words for the composer;
 * `kitfox-user`, `{ name, headers }`, where a developer goes on as another user: what the chat sends is to have these headers;
 * `kitfox-close`.
 */
import { LitElement, type PropertyValues, type TemplateResult, html, nothing } from "lit";
import { Live } from "./live";
import { inspectorStyles } from "./look";
import { type Generation, type LoadError, type Turn, changesBetween, hintsOf, sentenceOf, turnsOf, withStep, withTurn } from "./project";
import { chooseUser, currentUser, headersOf, knownUsers, newUser } from "./users";
import { agentView, close, errorView, hintView, pluginView, serverView, section, toolView, turnView } from "./views";

const TABS = ["timeline", "project", "change"] as const;
type Tab = (typeof TABS)[number];
const TITLES: Record<Tab, string> = { timeline: "Timeline", project: "Project", change: "Change it" };
/** How long what just came into force is pointed out. */
const NEWS = 8000;

export class KitfoxInspector extends LitElement {
  static override styles = inspectorStyles;
  static override properties = {
    api: {}, request: { attribute: false }, thread: {},
    generation: { state: true }, turns: { state: true }, live: { state: true }, tab: { state: true }, news: { state: true }, asking: { state: true }, copied: { state: true },
  };

  declare api: string;
  declare request: typeof fetch;
  declare thread: string | undefined;
  declare generation: Generation | undefined;
  declare turns: Turn[];
  declare live: boolean;
  declare tab: Tab;
  /** What the last reload changed, for a moment. */
  declare news: string | undefined;
  declare asking: boolean;
  declare copied: string | undefined;

  #live?: Live;
  #fresh = new Set<string>();
  /** Whether the reader has chosen a tab. */
  #chosen = false;
  #timer?: ReturnType<typeof setTimeout>;

  constructor() {
    super();
    this.api = "api/";
    this.request = (input, init) => fetch(input, init);
    this.turns = [];
    this.live = false;
    this.tab = "change";
    this.asking = false;
    this.hidden = true;
  }

  /** Whether the server lets this viewer look. */
  get available(): boolean {
    return this.generation !== undefined;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.setAttribute("role", "complementary");
    if (!this.hasAttribute("aria-label")) this.setAttribute("aria-label", "Project");
    if (this.hasUpdated) this.#listen();
  }

  override disconnectedCallback(): void {
    this.#live?.stop();
    this.#live = undefined;
    clearTimeout(this.#timer);
    super.disconnectedCallback();
  }

  protected override firstUpdated(): void {
    this.#listen();
  }

  protected override willUpdate(): void {
    // Whoever has said something wants to see what came of it, until they choose something else.
    if (!this.#chosen && this.tab === "change" && this.#turns.length > 0) this.tab = "timeline";
  }

  protected override updated(changed: PropertyValues<this>): void {
    if (this.#live && (changed.has("api") || changed.has("request")) && (this.#live.api !== this.api || this.#live.request !== this.request)) this.#listen();
  }

  #listen(): void {
    this.#live?.stop();
    this.#live = new Live(this.api, this.request, {
      generation: (it) => { this.#take(it); },
      turn: (it) => { this.turns = withTurn(this.turns, it); },
      step: (it) => { this.turns = withStep(this.turns, it); },
      state: (it) => { this.live = it; },
      refused: () => { this.generation = undefined; },
    });
    this.#live.start();
  }

  #take(generation: Generation): void {
    const before = this.generation;
    this.generation = generation;
    if (!before) {
      this.#tell("kitfox-available", { generation });
      const name = currentUser();
      if (name !== undefined && generation.viewer) this.#tell("kitfox-user", { name, headers: headersOf(name, generation.viewer.auth) });
    }
    if (JSON.stringify(before?.errors ?? []) !== JSON.stringify(generation.errors ?? [])) this.#tell("kitfox-errors", { errors: generation.errors ?? [] });
    if (before?.viewer && generation.viewer && before.viewer.user?.id !== generation.viewer.user?.id) this.turns = [];
    if (!before || before.id === generation.id) return;
    const changes = changesBetween(before, generation);
    this.#fresh = new Set(changes.map((it) => it.key));
    this.news = sentenceOf(changes);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => { this.news = undefined; }, NEWS);
    this.#tell("kitfox-reloaded", { sentence: this.news, generation });
  }

  #tell(name: string, detail: unknown): void {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }

  protected override render(): unknown {
    const generation = this.generation;
    if (!generation) return nothing;
    const errors = generation.errors ?? [];
    return html`
      <div class="head"><h2>${generation.project?.name ?? "Project"}</h2><span class="live ${this.live ? "on" : ""}" role="status">${this.live ? "live" : "connecting…"}</span><span class="grow"></span>
        <button class="icon-button" aria-label="Close the project panel" title="Close" @click=${() => { this.#tell("kitfox-close", undefined); }}>${close()}</button></div>
      <div class="facts">
        <span>Generation <code title=${generation.id}>${generation.id.slice(0, 8)}</code></span>
        ${generation.created_at ? html`<span>since ${timeOf(generation.created_at)}</span>` : nothing}
        ${this.#who(generation)}
      </div>
      <div role="tablist" aria-label="What to see" @keydown=${this.#arrows}>${TABS.map((tab) => html`<button role="tab" id="tab-${tab}" aria-controls="panel" aria-selected=${String(tab === this.tab)}
        tabindex=${tab === this.tab ? 0 : -1} @click=${() => { this.#choose(tab); }}>${TITLES[tab]}${tab === "timeline" && this.#turns.length > 0 ? html`<span class="count">${this.#turns.length}</span>` : nothing}</button>`)}</div>
      <div class="notes" ?hidden=${errors.length === 0 && this.news === undefined}>
        ${this.news === undefined ? nothing : html`<div class="note new" role="status"><b>In force:</b> ${this.news}</div>`}
        ${errors.length > 0 ? html`<div class="errors" role="alert" aria-label="Not loaded">${errors.map((it: LoadError) => errorView(it))}</div>` : nothing}
      </div>
      <div role="tabpanel" id="panel" aria-labelledby="tab-${this.tab}" tabindex="0">${this.#panel(generation)}</div>`;
  }

  get #turns(): Turn[] {
    return turnsOf(this.turns, this.thread);
  }

  #panel(generation: Generation): unknown {
    switch (this.tab) {
      case "timeline": {
        const turns = this.#turns;
        if (turns.length === 0) return html`<p class="empty">Say something: each call of the model and of a tool shows up here, with its arguments, its result, its time and its tokens.</p>`;
        return html`<div class="legend" aria-hidden="true"><span><i class="m"></i>model</span><span><i class="t"></i>tool</span></div>${turns.map((it) => turnView(it))}`;
      }
      case "project": {
        const { agents = [], tools = [], plugins = [], mcp = [], files = [] } = generation;
        const fresh = (key: string): boolean => this.#fresh.has(key) && this.news !== undefined;
        const say = (text: string): void => { this.#tell("kitfox-try", { text }); };
        return html`
          ${section("Agents", agents.map((it) => agentView(it, generation, fresh(`agent ${it.id}`))), "None: put one into prompts/.")}
          ${section("Tools", tools.map((it) => toolView(it, fresh(`tool ${it.name}`), say)), "None: drop a script into plugins/.")}
          ${section("Plugins", plugins.map((it) => pluginView(it, fresh(`plugin ${it.name}`))), "None: drop one into plugins/.")}
          ${mcp.length > 0 ? section("MCP servers", mcp.map((it) => serverView(it, fresh(`server ${it.id}`))), "") : nothing}
          ${section("Files", files.map((it) => html`<div class="entry"><span class="path">${it}</span></div>`), "None yet.")}`;
      }
      case "change":
        return hintsOf(generation).map((it) => hintView(it, generation.project?.folder, this.copied, (text, what) => void this.#copy(text, what)));
    }
  }

  async #copy(text: string, what: string): Promise<void> {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      return; // Not allowed here: the text can be selected.
    }
    this.copied = what;
    setTimeout(() => { if (this.copied === what) this.copied = undefined; }, 2000);
  }

  // Whoever develops may go on as somebody else.

  #who({ viewer }: Generation): TemplateResult | typeof nothing {
    if (!viewer) return nothing;
    const { modes } = viewer.auth;
    const shown = viewer.user ? viewer.user.name ?? viewer.user.id.slice(0, 12) : "nobody";
    if (!modes.includes("header") && !modes.includes("session")) return html`<span>as <code>${shown}</code></span>`;
    const current = currentUser();
    if (this.asking) {
      return html`<span class="who">as <input aria-label="Name of the user" placeholder="a name" autofocus maxlength="40" @keydown=${(event: KeyboardEvent) => {
        const name = (event.target as HTMLInputElement).value.trim();
        if (event.key === "Escape") this.asking = false;
        else if (event.key === "Enter" && name) this.#become(newUser(name), viewer.auth);
      }}></span>`;
    }
    return html`<label class="who">as <select aria-label="User, for development" @change=${(event: Event) => {
      const { value } = event.target as HTMLSelectElement;
      if (value === "+") this.asking = true;
      else this.#become(value || undefined, viewer.auth);
    }}>
      <option value="" ?selected=${current === undefined}>${current === undefined ? shown : "this browser"}</option>
      ${knownUsers().map((it) => html`<option value=${it} ?selected=${it === current}>${it}</option>`)}
      <option value="+">another user…</option></select></label>`;
  }

  #become(name: string | undefined, auth: { modes: string[]; header: string }): void {
    this.asking = false;
    chooseUser(name);
    this.#tell("kitfox-user", { name, headers: headersOf(name, auth) });
  }

  #choose(tab: Tab): void {
    this.#chosen = true;
    this.tab = tab;
  }

  #arrows = (event: KeyboardEvent): void => {
    const by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (by === 0) return;
    event.preventDefault();
    const way = getComputedStyle(this).direction === "rtl" ? -by : by;
    this.#choose(TABS[(TABS.indexOf(this.tab) + way + TABS.length) % TABS.length] ?? "timeline");
    void this.updateComplete.then(() => this.renderRoot.querySelector<HTMLElement>(`#tab-${this.tab}`)?.focus());
  };
}

function timeOf(text: string): string {
  const time = new Date(text);
  return Number.isNaN(time.getTime()) ? text : time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

if (!customElements.get("kitfox-inspector")) customElements.define("kitfox-inspector", KitfoxInspector);
