/** Where the user writes: text with entities, files, tools, a model, dictation; or answers questions in its place. */
import { LitElement, type PropertyValues, type TemplateResult, html, nothing } from "lit";
import { live } from "lit/directives/live.js";
import { repeat } from "lit/directives/repeat.js";
import type { RunnableCommand } from "../commands";
import { Recording } from "../dictation";
import { type Answers, type Draft, submissionOf, valuesOf } from "../draft";
import { icon } from "../icons";
import type { AttachmentRules, Entity, ModelOption, ToolOption } from "../options";
import type { NoticeLevel, StructuredInputItem, StructuredInputSubmission, WidgetNode } from "../protocol";
import { type Query, queryAt, shifted } from "../tags";
import { type Upload, acceptOf, plainName } from "../uploads";
import { renderWidget } from "../widgets/index";
import type { WayIn } from "../login";
import type { ItemHost } from "./host";

export interface Alert {
  level: NoticeLevel;
  text: string;
  action?: { label: string; run: () => void };
  /** A way to somewhere else, in place of an action. */
  link?: WayIn;
}

/** What the composer needs of the chat around it. */
export interface ComposerHost {
  items: ItemHost;
  placeholder: string;
  rules: AttachmentRules;
  tools: ToolOption[];
  models: ModelOption[];
  model?: string;
  dictates: boolean;
  commands: (query: string) => Promise<RunnableCommand[]>;
  /** Whether a button offers to mention entities. */
  mentions: boolean;
  search?: (query: string) => Promise<Entity[]>;
  previewOf?: (entity: Entity) => Promise<WidgetNode | null>;
  send(draft: Draft): void;
  stop(): void;
  changed(draft: Draft): void;
  addFiles(draft: Draft, files: Iterable<File>): void;
  removeFile(draft: Draft, upload: Upload): void;
  chooseModel(id: string): void;
  transcribe(audio: { audio_base64: string; mime_type: string }): Promise<string>;
  complain(text: string): void;
  answer(item: StructuredInputItem, submission: StructuredInputSubmission): Promise<unknown>;
  laterAsked(item: StructuredInputItem): void;
  dismissAlert(): void;
}

type Option = { kind: "entity"; entity: Entity } | { kind: "command"; command: RunnableCommand };

let last = 0;

export class ChatComposer extends LitElement {
  static override properties = {
    host: { attribute: false },
    draft: { attribute: false },
    barrier: { attribute: false },
    running: { attribute: false },
    stoppable: { attribute: false },
    question: { attribute: false },
    alert: { attribute: false },
    revision: { attribute: false },
  };

  declare host: ComposerHost;
  declare draft: Draft;
  declare barrier: string | undefined;
  declare running: boolean;
  declare stoppable: boolean;
  declare question: StructuredInputItem | undefined;
  declare alert: Alert | undefined;
  /** Counts what changed inside the draft. */
  declare revision: number;

  readonly #id = `kf-${(last += 1)}`;
  #open?: "plus" | "model";
  #query?: Query;
  #options: Option[] = [];
  #active = 0;
  #searching = 0;
  #preview?: WidgetNode;
  #recording?: Recording;
  #transcribing = false;
  #answers: Answers = {};
  #step = 0;
  #answering = false;

  override createRenderRoot(): HTMLElement {
    return this;
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#recording?.cancel();
    this.#recording = undefined;
    document.removeEventListener("pointerdown", this.#outside, true);
  }

  get #field(): HTMLTextAreaElement | null {
    return this.querySelector("textarea.message");
  }

  override focus(): void {
    (this.#field ?? this.querySelector<HTMLElement>("input, textarea, button"))?.focus();
  }

  /** Writes into the field as if it was typed, and marks the first `{gap}` in it. */
  write(text: string): void {
    this.draft.text = text;
    this.draft.tags = [];
    this.#closeQuery();
    this.host.changed(this.draft);
    void this.updateComplete.then(() => {
      const gap = /\{\w+\}/.exec(text);
      const field = this.#field;
      if (!field) return;
      field.focus();
      if (gap) field.setSelectionRange(gap.index, gap.index + gap[0].length);
      else field.setSelectionRange(text.length, text.length);
    });
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("draft")) this.#closeQuery();
    const before = changed.get("question") as StructuredInputItem | undefined;
    if (changed.has("question") && this.question && before?.id !== this.question.id) {
      this.#answers = {};
      this.#step = 0;
      this.#answering = false;
    }
  }

  protected override updated(changed: PropertyValues<this>): void {
    const field = this.#field;
    if (field && !CSS.supports("field-sizing", "content")) {
      field.style.height = "auto";
      field.style.height = `${field.scrollHeight}px`;
    }
    const mirror = this.querySelector(".mirror");
    if (field && mirror) mirror.scrollTop = field.scrollTop;
    if (changed.has("question") && this.question && changed.get("question") === undefined && this.matches(":focus-within")) this.focus();
  }

  protected override render(): unknown {
    if (!this.host) return nothing;
    return html`
      <div class="alerts" role="alert">${this.alert ? this.#alert(this.alert) : nothing}</div>
      ${this.question && !this.running ? this.#ask(this.question) : this.#form()}
    `;
  }

  #alert({ level, text, action, link }: Alert): TemplateResult {
    const { t } = this.host.items;
    return html`<div class="alert ${level}">
      ${icon(level === "info" ? "info" : level === "warning" ? "warning" : "alert")}
      <span dir="auto">${text}</span>
      ${link ? html`<a class="button primary" href=${link.href} target=${link.target ?? nothing} rel="noopener">${t.signInNow}</a>` : nothing}
      ${action ? html`<button type="button" class="button" @click=${action.run}>${action.label}</button>` : nothing}
      <button type="button" class="icon-button small" aria-label=${t.dismiss} title=${t.dismiss} @click=${() => this.host.dismissAlert()}>${icon("close")}</button>
    </div>`;
  }

  // The form

  #form(): TemplateResult {
    const { host, draft, barrier, running } = this;
    const { t } = host.items;
    const barred = barrier !== undefined && !running;
    const listId = `${this.#id}-list`;
    const active = this.#query && this.#options.length > 0 ? `${this.#id}-option-${this.#active}` : nothing;
    return html`<form class="composer ${barred ? "barred" : ""}" @submit=${this.#submit} @dragover=${this.#drag} @dragleave=${this.#drag} @drop=${this.#drag}>
      ${this.#query ? this.#list(listId) : nothing}
      ${draft.quote ? html`<div class="composer-quote">${icon("quote")}<span dir="auto">${draft.quote.slice(0, 300)}</span>
        <button type="button" class="icon-button small" aria-label=${t.removeQuote} title=${t.removeQuote} @click=${() => { draft.quote = undefined; host.changed(draft); }}>${icon("close")}</button></div>` : nothing}
      ${draft.uploads.length > 0 ? html`<ul class="uploads" aria-label=${t.files}>${repeat(draft.uploads, (it) => it.key, (it) => this.#upload(it))}</ul>` : nothing}
      <div class="writing">
        ${draft.tags.length > 0 ? html`<div class="mirror" aria-hidden="true">${this.#mirror()}</div>` : nothing}
        <textarea class="message" rows="1" dir=${draft.text === "" ? nothing : "auto"} enterkeyhint="send" autocomplete="off" maxlength="2000000"
          aria-label=${t.message} placeholder=${barred ? barrier : (draft.tool?.placeholderOverride ?? host.placeholder)}
          aria-autocomplete=${host.search ? "list" : nothing} aria-controls=${this.#query ? listId : nothing} aria-activedescendant=${active}
          ?disabled=${barred} .value=${live(draft.text)}
          @input=${this.#input} @keydown=${this.#key} @paste=${this.#paste} @click=${this.#caret} @scroll=${this.#scroll} @blur=${() => this.#closeQuery()}></textarea>
      </div>
      <div class="composer-row">
        ${this.#plus()}
        ${this.host.mentions && this.host.search ? html`<button type="button" class="icon-button at" aria-label=${t.mention} title=${t.mention} ?disabled=${barred} @click=${this.#mention}>@</button>` : nothing}
        ${this.#chosenTools()}
        <span class="space"></span>
        ${this.#models()}
        ${this.#microphone()}
        ${this.#sender(barred)}
      </div>
      <p class="drop-hint" aria-hidden="true">${icon("attach")}${t.dropHere}</p>
    </form>`;
  }

  #mirror(): unknown {
    const pieces: unknown[] = [];
    let from = 0;
    for (const { start, end } of [...this.draft.tags].sort((a, b) => a.start - b.start)) {
      pieces.push(this.draft.text.slice(from, start), html`<mark>${this.draft.text.slice(start, end)}</mark>`);
      from = end;
    }
    pieces.push(this.draft.text.slice(from), "\u200b");
    return pieces;
  }

  #upload(upload: Upload): TemplateResult {
    const { t } = this.host.items;
    const name = plainName(upload.name);
    return html`<li class="upload ${upload.preview ? "pictured" : ""}">
      ${upload.preview ? html`<img src=${upload.preview} alt="">` : icon("document")}
      <bdi class="file-name" title=${name}>${name}</bdi>
      ${upload.state === "uploading" ? html`<progress max="1" .value=${upload.progress} aria-label=${t.uploadOf(name)}></progress>` : nothing}
      <button type="button" class="icon-button small" aria-label=${t.removeFile(name)} title=${t.removeFile(name)} @click=${() => { this.host.removeFile(this.draft, upload); this.#field?.focus(); }}>${icon("close")}</button>
    </li>`;
  }

  #plus(): TemplateResult | typeof nothing {
    const { host, draft } = this;
    const { t } = host.items;
    const tools = host.tools.filter((it) => !it.pinned);
    const files = host.rules.enabled;
    if (!files && tools.length === 0) return nothing;
    const input = files ? html`<input class="files" type="file" tabindex="-1" aria-hidden="true" ?multiple=${host.rules.maxCount !== 1} accept=${acceptOf(host.rules).join(",")} @change=${this.#chosen}>` : nothing;
    const disabled = this.barrier !== undefined;
    if (tools.length === 0) {
      return html`<button type="button" class="icon-button" aria-label=${t.attach} title=${t.attach} ?disabled=${disabled} @click=${() => this.#choose()}>${icon("attach")}</button>${input}`;
    }
    const open = this.#open === "plus";
    return html`<div class="anchor">
      <button type="button" class="icon-button" aria-label=${t.addMore} title=${t.addMore} aria-haspopup="menu" aria-expanded=${open} ?disabled=${disabled} @click=${() => this.#toggle("plus")}>${icon("plus")}</button>
      ${open ? html`<div class="menu" role="menu" aria-label=${t.addMore} @keydown=${this.#menuKey}>
        ${files ? html`<button type="button" role="menuitem" tabindex="-1" @click=${() => { this.#toggle(); this.#choose(); }}>${icon("attach")}<span>${t.attach}</span></button><hr>` : nothing}
        ${tools.map((tool) => html`<button type="button" role="menuitemradio" tabindex="-1" aria-checked=${draft.tool?.id === tool.id} @click=${() => this.#chooseTool(tool)}>${icon(tool.icon ?? "tools")}<span>${tool.label}</span>${draft.tool?.id === tool.id ? icon("check") : nothing}</button>`)}
      </div>` : nothing}
      ${input}
    </div>`;
  }

  #chosenTools(): unknown {
    const { host, draft } = this;
    const { t } = host.items;
    const pinned = host.tools.filter((it) => it.pinned);
    const chosen = draft.tool && !draft.tool.pinned ? draft.tool : undefined;
    return html`
      ${pinned.map((tool) => html`<button type="button" class="chip" aria-pressed=${draft.tool?.id === tool.id} @click=${() => this.#chooseTool(tool)}>${icon(tool.icon ?? "tools")}<span>${tool.shortLabel ?? tool.label}</span></button>`)}
      ${chosen ? html`<button type="button" class="chip chosen" aria-label=${t.removeTool(chosen.label)} title=${t.removeTool(chosen.label)} @click=${() => this.#chooseTool(chosen)}>${icon(chosen.icon ?? "tools")}<span>${chosen.shortLabel ?? chosen.label}</span>${icon("close")}</button>` : nothing}
    `;
  }

  #models(): TemplateResult | typeof nothing {
    const { models, model, items } = this.host;
    if (models.length === 0) return nothing;
    const chosen = models.find((it) => it.id === model) ?? models[0];
    const open = this.#open === "model";
    return html`<div class="anchor end">
      <button type="button" class="model" aria-haspopup="menu" aria-expanded=${open} aria-label="${items.t.model}: ${chosen?.label ?? ""}" @click=${() => this.#toggle("model")}><span>${chosen?.label}</span>${icon("chevron-down")}</button>
      ${open ? html`<div class="menu" role="menu" aria-label=${items.t.model} @keydown=${this.#menuKey}>
        ${models.map((it) => html`<button type="button" role="menuitemradio" tabindex="-1" aria-checked=${it.id === chosen?.id} aria-disabled=${it.disabled === true} @click=${() => { if (!it.disabled) { this.host.chooseModel(it.id); this.#toggle(); } }}>
          <span class="two-lines"><span>${it.label}</span>${it.description ? html`<small>${it.description}</small>` : nothing}</span>${it.id === chosen?.id ? icon("check") : nothing}</button>`)}
      </div>` : nothing}
    </div>`;
  }

  #microphone(): TemplateResult | typeof nothing {
    const { t } = this.host.items;
    if (!this.host.dictates || !Recording.possible || this.barrier !== undefined) return nothing;
    const recording = this.#recording !== undefined;
    const label = this.#transcribing ? t.transcribing : recording ? t.stopDictating : t.dictate;
    return html`<button type="button" class="icon-button ${recording ? "recording" : ""}" aria-pressed=${recording} aria-label=${label} title=${label} ?disabled=${this.#transcribing} @click=${() => void this.#dictate()}>
      ${this.#transcribing ? html`<span class="spinner"></span>` : icon("microphone")}</button>`;
  }

  #sender(barred: boolean): TemplateResult {
    const { t } = this.host.items;
    if (this.running) {
      return html`<button type="button" class="send" aria-label=${t.stop} title=${t.stop} ?disabled=${!this.stoppable} @click=${() => this.host.stop()}>${icon("stop")}</button>`;
    }
    return html`<button type="submit" class="send" aria-label=${t.send} title=${t.send} ?disabled=${barred || this.draft.isEmpty || !this.draft.isReady}>${icon("send")}</button>`;
  }

  // Writing

  #submit = (event: Event): void => {
    event.preventDefault();
    this.#send();
  };

  #send(): void {
    if (this.running || this.barrier !== undefined || this.draft.isEmpty || !this.draft.isReady) return;
    this.#closeQuery();
    this.host.send(this.draft);
  }

  #input = (event: Event): void => {
    const { value } = event.target as HTMLTextAreaElement;
    const { draft } = this;
    draft.tags = shifted(draft.text, value, draft.tags);
    draft.text = value;
    this.#lookup();
    this.host.changed(draft);
  };

  #caret = (): void => this.#lookup();

  #scroll = (event: Event): void => {
    const mirror = this.querySelector(".mirror");
    if (mirror) mirror.scrollTop = (event.target as HTMLElement).scrollTop;
  };

  #key = (event: KeyboardEvent): void => {
    // 229: the Enter that ends a composition in Safari.
    if (event.isComposing || event.keyCode === 229) return;
    if (this.#query && this.#options.length > 0 && this.#choosing(event)) return;
    if (event.key === "Escape" && this.#query) {
      event.preventDefault();
      event.stopPropagation();
      this.#closeQuery();
    } else if (event.key === "Enter" && !event.shiftKey && !event.altKey) {
      event.preventDefault();
      this.#send();
    } else if (event.key === "Backspace") {
      this.#backspace(event);
    }
  };

  /** A tag goes as a whole. */
  #backspace(event: KeyboardEvent): void {
    const field = event.target as HTMLTextAreaElement;
    const { selectionStart: at, selectionEnd: end } = field;
    const tag = at === end ? this.draft.tags.find((it) => it.end === at) : undefined;
    if (!tag) return;
    event.preventDefault();
    field.setRangeText("", tag.start, tag.end, "end");
    field.dispatchEvent(new InputEvent("input", { bubbles: true }));
  }

  #paste = (event: ClipboardEvent): void => {
    const { clipboardData: data } = event;
    if (!this.host.rules.enabled || !data || data.files.length === 0 || data.types.includes("text/plain")) return;
    event.preventDefault();
    this.host.addFiles(this.draft, data.files);
  };

  #drag = (event: DragEvent): void => {
    const brings = this.host.rules.enabled && this.barrier === undefined && (event.dataTransfer?.types.includes("Files") ?? false);
    const inside = event.type === "dragleave" && event.relatedTarget instanceof Node && this.contains(event.relatedTarget);
    this.querySelector(".composer")?.classList.toggle("dropping", brings && (event.type === "dragover" || inside));
    if (!brings || event.type === "dragleave") return;
    event.preventDefault();
    if (event.type === "drop" && event.dataTransfer) this.host.addFiles(this.draft, event.dataTransfer.files);
  };

  #choose(): void {
    this.querySelector<HTMLInputElement>("input.files")?.click();
  }

  #chosen = (event: Event): void => {
    const input = event.target as HTMLInputElement;
    this.host.addFiles(this.draft, [...(input.files ?? [])]);
    input.value = "";
    this.#field?.focus();
  };

  #chooseTool(tool: ToolOption): void {
    this.draft.tool = this.draft.tool?.id === tool.id ? undefined : tool;
    this.#open = undefined;
    this.host.changed(this.draft);
    this.#field?.focus();
  }

  async #dictate(): Promise<void> {
    const { t } = this.host.items;
    if (!this.#recording) {
      try {
        this.#recording = await Recording.start();
      } catch {
        this.host.complain(t.noMicrophone);
      }
      this.requestUpdate();
      return;
    }
    const recording = this.#recording;
    this.#recording = undefined;
    this.#transcribing = true;
    this.requestUpdate();
    const { draft } = this;
    try {
      const text = await this.host.transcribe(await recording.stop());
      if (text !== "") draft.text = draft.text === "" ? text : `${draft.text.trimEnd()} ${text}`;
      this.host.changed(draft);
    } finally {
      this.#transcribing = false;
      this.requestUpdate();
      this.#field?.focus();
    }
  }

  // Menus

  #toggle(name?: "plus" | "model"): void {
    const before = this.#open;
    this.#open = before === name ? undefined : name;
    this.requestUpdate();
    document.removeEventListener("pointerdown", this.#outside, true);
    if (this.#open) {
      document.addEventListener("pointerdown", this.#outside, true);
      void this.updateComplete.then(() => (this.querySelector<HTMLElement>(".menu [aria-checked=true]") ?? this.querySelector<HTMLElement>(".menu [role^=menuitem]"))?.focus());
    } else if (before) {
      this.querySelectorAll<HTMLElement>("[aria-haspopup=menu]").forEach((it) => { if (it.getAttribute("aria-expanded") === "true") it.focus(); });
    }
  }

  #outside = (event: Event): void => {
    const menu = this.querySelector(".menu")?.parentElement;
    if (menu && !event.composedPath().includes(menu)) this.#toggle();
  };

  #menuKey = (event: KeyboardEvent): void => {
    const items = [...this.querySelectorAll<HTMLElement>(".menu [role^=menuitem]")];
    const at = items.findIndex((it) => it.matches(":focus"));
    const moves: Record<string, number> = { ArrowDown: (at + 1) % items.length, ArrowUp: (at - 1 + items.length) % items.length, Home: 0, End: items.length - 1 };
    const to = moves[event.key];
    if (to !== undefined) {
      event.preventDefault();
      items[to]?.focus();
    } else if (event.key === "Escape" || event.key === "Tab") {
      if (event.key === "Escape") event.preventDefault();
      event.stopPropagation();
      this.#toggle();
    }
  };

  // Entities and commands

  #list(id: string): TemplateResult {
    const { t } = this.host.items;
    let group: string | undefined;
    return html`<div class="menu suggestions" @pointerdown=${(event: Event) => event.preventDefault()}>
      <div role="listbox" id=${id} aria-label=${this.#query?.sign === "/" ? t.commands : t.suggestions}>
        ${this.#options.length === 0 ? html`<p class="nothing" role="option" aria-selected="false" aria-disabled="true">${this.#searching > 0 ? t.loading : t.nothingFound}</p>` : nothing}
        ${this.#options.map((option, index) => {
          const of = option.kind === "entity" ? option.entity.group : option.command.group;
          const head = of !== undefined && of !== group ? html`<p class="group" role="presentation">${of}</p>` : nothing;
          group = of;
          const [name, label] = option.kind === "entity" ? [option.entity.icon ?? "cube", option.entity.title] : [option.command.icon, option.command.label];
          return html`${head}<div role="option" id="${this.#id}-option-${index}" aria-selected=${index === this.#active} class=${index === this.#active ? "active" : ""}
            @click=${() => this.#take(option)} @pointermove=${() => this.#activate(index)}>${icon(name)}<bdi>${plainName(label)}</bdi>${option.kind === "command" && option.command.description ? html`<small class="muted">${option.command.description}</small>` : nothing}</div>`;
        })}
      </div>
      ${this.#preview ? html`<div class="entity-preview">${renderWidget(this.#preview, this.host.items.widgets, { id: "" })}</div>` : nothing}
    </div>`;
  }

  #mention = (): void => {
    const { draft } = this;
    draft.text = `${draft.text}${/(^|\s)$/.test(draft.text) ? "" : " "}@`;
    this.host.changed(draft);
    void this.updateComplete.then(() => {
      const field = this.#field;
      field?.focus();
      field?.setSelectionRange(draft.text.length, draft.text.length);
      this.#lookup();
    });
  };

  /** Looks for what is asked for at the caret. */
  #lookup(): void {
    const field = this.#field;
    if (!field || field.selectionStart !== field.selectionEnd) {
      this.#closeQuery();
      return;
    }
    const query = queryAt(field.value, field.selectionStart, this.draft.tags);
    if (!query || (query.sign === "@" && !this.host.search)) {
      this.#closeQuery();
      return;
    }
    if (query.sign === "/") void this.#searchCommands(query);
    else void this.#search(query);
  }

  async #searchCommands(query: Query): Promise<void> {
    const ticket = (this.#searching += 1);
    const commands = await this.host.commands(query.text).catch(() => []);
    if (ticket !== this.#searching) return;
    this.#searching = 0;
    if (commands.length === 0) this.#closeQuery();
    else this.#show(query, commands.map((command) => ({ kind: "command", command })));
  }

  async #search(query: Query): Promise<void> {
    const ticket = (this.#searching += 1);
    if (this.#query?.sign !== "@") this.#show(query, []);
    else this.#query = query;
    // Fast typing asks once.
    await new Promise((resolve) => { setTimeout(resolve, 120); });
    if (ticket !== this.#searching) return;
    let found: Entity[] = [];
    try {
      found = (await this.host.search?.(query.text)) ?? [];
    } catch (err) {
      console.error(err);
    }
    if (ticket !== this.#searching) return;
    this.#searching = 0;
    this.#show(query, found.slice(0, 50).map((entity) => ({ kind: "entity", entity })));
  }

  #show(query: Query, options: Option[]): void {
    this.#query = query;
    this.#options = options;
    this.#activate(0);
  }

  #activate(index: number): void {
    if (index === this.#active && this.#preview) return;
    this.#active = index;
    this.#preview = undefined;
    this.requestUpdate();
    void this.updateComplete.then(() => this.querySelector(`#${this.#id}-option-${index}`)?.scrollIntoView({ block: "nearest" }));
    const option = this.#options[index];
    if (option?.kind !== "entity" || !this.host.previewOf) return;
    void this.host.previewOf(option.entity).then((preview) => {
      if (this.#options[this.#active] !== option || !preview) return;
      this.#preview = preview;
      this.requestUpdate();
    }, () => undefined);
  }

  #closeQuery(): void {
    if (!this.#query) return;
    this.#query = undefined;
    this.#options = [];
    this.#preview = undefined;
    this.#searching = 0;
    this.requestUpdate();
  }

  #choosing(event: KeyboardEvent): boolean {
    const count = this.#options.length;
    const moves: Record<string, number> = { ArrowDown: (this.#active + 1) % count, ArrowUp: (this.#active - 1 + count) % count };
    const to = moves[event.key];
    if (to !== undefined) this.#activate(to);
    else if (event.key === "Enter" || event.key === "Tab") this.#take(this.#options[this.#active]);
    else return false;
    event.preventDefault();
    return true;
  }

  #take(option: Option | undefined): void {
    const query = this.#query;
    const field = this.#field;
    if (!option || !query || !field) return;
    const { draft } = this;
    const end = query.start + 1 + query.text.length;
    if (option.kind === "command") {
      draft.text = draft.text.slice(end);
      draft.tags = [];
      this.#closeQuery();
      this.host.changed(draft);
      void this.#run(option.command);
      return;
    }
    this.#insert(option.entity, query.start, end);
  }

  async #run(command: RunnableCommand): Promise<void> {
    const outcome = await command.run();
    await this.updateComplete;
    this.#field?.focus();
    if (Array.isArray(outcome)) this.#show({ sign: "/", start: 0, text: "" }, outcome.map((it) => ({ kind: "command", command: it })));
    else if (outcome) this.#insert(outcome, this.draft.text.length, this.draft.text.length);
  }

  #insert(entity: Entity, start: number, end: number): void {
    const { draft } = this;
    const field = this.#field;
    const words = `@${plainName(entity.title)}`;
    const rest = draft.text.slice(end);
    const text = draft.text.slice(0, start) + words + (/^\s/.test(rest) ? "" : " ") + rest;
    draft.tags = [...shifted(draft.text, text, draft.tags), { start, end: start + words.length, entity }];
    draft.text = text;
    const caret = start + words.length + 1;
    this.#closeQuery();
    this.host.changed(draft);
    void this.updateComplete.then(() => {
      field?.focus();
      field?.setSelectionRange(caret, caret);
    });
  }

  // Questions

  #ask(item: StructuredInputItem): TemplateResult {
    const { t } = this.host.items;
    const questions = item.inputs ?? [];
    const step = Math.min(this.#step, questions.length - 1);
    const question = questions[step];
    if (!question) return this.#form();
    const answer = (this.#answers[question.id] ??= { choices: [], other: "", otherChosen: false });
    const change = (): void => this.requestUpdate();
    const isLast = step === questions.length - 1;
    const name = `${this.#id}-${question.id}`;
    const submit = (event: Event): void => {
      event.preventDefault();
      if (isLast) void this.#answer(item, submissionOf(questions.map((it) => it.id), this.#answers));
      else this.#go(step + 1);
    };
    const several = question.type === "multiple_choice" && question.multiple === true;
    const choose = (value: string, on: boolean): void => {
      answer.choices = several ? [...answer.choices.filter((it) => it !== value), ...(on ? [value] : [])] : [value];
      if (!several) answer.otherChosen = false;
      change();
    };
    const other = (on: boolean): void => {
      answer.otherChosen = on;
      if (on && !several) answer.choices = [];
      change();
    };
    return html`<form class="composer asking" aria-label=${t.questions} @submit=${submit} ?inert=${this.#answering}>
      <fieldset>
        <legend dir="auto">${questions.length > 1 ? html`<span class="step">${t.question(step + 1, questions.length)}</span>` : nothing}${question.question}</legend>
        ${question.type === "freeform"
          ? html`${question.description ? html`<p class="muted" dir="auto">${question.description}</p>` : nothing}
            <textarea class="field" rows="3" dir="auto" aria-label=${t.yourAnswer} .value=${live(answer.other)} @keydown=${this.#askKey} @input=${(event: Event) => { answer.other = (event.target as HTMLTextAreaElement).value; answer.otherChosen = true; change(); }}></textarea>`
          : html`<div class="choices">
            ${(question.options ?? []).map(({ value }) => html`<label class="choice"><input type=${several ? "checkbox" : "radio"} name=${name} .checked=${live(answer.choices.includes(value))} @change=${(event: Event) => choose(value, (event.target as HTMLInputElement).checked)}><span dir="auto">${value}</span></label>`)}
            <div class="choice other"><input type=${several ? "checkbox" : "radio"} name=${name} aria-label=${t.somethingElse} .checked=${live(answer.otherChosen)} @change=${(event: Event) => other((event.target as HTMLInputElement).checked)}>
              <input class="bare" type="text" dir="auto" autocomplete="off" placeholder=${t.somethingElse} aria-label="${t.somethingElse}: ${question.question}" .value=${live(answer.other)} @input=${(event: Event) => { answer.other = (event.target as HTMLInputElement).value; other(answer.other.trim() !== ""); }}></div>
          </div>`}
      </fieldset>
      <button type="button" class="icon-button" aria-label=${t.writeInstead} title=${t.writeInstead} @click=${() => this.host.laterAsked(item)}>${icon("close")}</button>
      <div class="composer-row">
        <span class="space"></span>
        ${step > 0 ? html`<button type="button" class="button quiet" @click=${() => this.#go(step - 1)}>${t.back}</button>` : nothing}
        <button type="button" class="button quiet" @click=${() => {
          this.#answers[question.id] = { choices: [], other: "", otherChosen: false };
          if (isLast) void this.#answer(item, submissionOf(questions.map((it) => it.id), this.#answers));
          else this.#go(step + 1);
        }}>${t.skip}</button>
        <button type="submit" class="button primary" ?disabled=${valuesOf(answer).length === 0}>${isLast ? t.answer : t.next}</button>
      </div>
    </form>`;
  }

  #askKey = (event: KeyboardEvent): void => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    (event.target as HTMLTextAreaElement).form?.requestSubmit();
  };

  #go(step: number): void {
    this.#step = step;
    this.requestUpdate();
    void this.updateComplete.then(() => this.querySelector<HTMLElement>(".asking fieldset input, .asking fieldset textarea")?.focus());
  }

  async #answer(item: StructuredInputItem, submission: StructuredInputSubmission): Promise<void> {
    this.#answering = true;
    this.requestUpdate();
    await this.host.answer(item, submission);
    this.#answering = false;
    this.requestUpdate();
  }
}
