/** `<kitfox-chat>`: a whole chat in one element. */
import { LitElement, type TemplateResult, html, nothing } from "lit";
import { Client, ConnectionLost, Refused, isAbort } from "./client";
import { type RunnableCommand, commandsFor } from "./commands";
import { Conversation, type ConversationHooks } from "./conversation";
import { stylesOfChat } from "./css/index";
import { Draft } from "./draft";
import { Files, sentence } from "./files";
import { icon } from "./icons";
import { limitText } from "./limits";
import { ownAddress, safeImage } from "./links";
import { type WayIn, wayIn, webAddress } from "./login";
import { type MarkdownContext, markdown } from "./markdown";
import { remember, remembered } from "./memory";
import { type ChatOptions, type Defaults, type ThemeOption, type UserMessageParams, attachmentRules, modelsOf, promptsOf } from "./options";
import type { ClientToolCallItem, InferenceOptions, ServerOptions, StructuredInputItem, Thread, UserContent, WidgetItem } from "./protocol";
import { Previews } from "./previews";
import { type ThreadState, lastUserMessage, openCall, openQuestions, textOf } from "./reducer";
import { Scroll } from "./scroll";
import { directionOf, languageOf, loadStrings, stringsFor } from "./strings";
import { styles } from "./styles";
import { contentOf } from "./tags";
import { themeRules } from "./theme";
import { ThreadList } from "./threads";
import type { Alert, ChatComposer, ComposerHost } from "./view/composer";
import { confirmView, headerView, isLatest, startView, transcriptView } from "./view/frame";
import type { Account, HistoryHost } from "./view/history";
import type { ItemHost } from "./view/host";
import type { ChatItem } from "./view/item";
import { renderWidget, widgetStyles } from "./widgets/index";
import type { WidgetAction, WidgetHost } from "./widgets/host";

/** From this width on, the list of conversations stands beside the chat, if the page asks for it by `sidebar`. */
const WIDE = 900;

export class KitfoxChat extends LitElement {
  static override styles = [...stylesOfChat, widgetStyles];
  static override properties = {
    api: { type: String },
    locale: { type: String },
    theme: { type: String },
    thread: { type: String },
    sidebar: { type: Boolean, reflect: true },
  };

  /** The address of the chat's endpoint; where it is not given, `chatkit` beside this script. */
  declare api: string | null;
  /** A language; where it is not given, the document's or the browser's. */
  declare locale: string | null;
  declare theme: string | null;
  /** The thread to begin with. */
  declare thread: string | null;
  /** Whether the list of conversations stands beside the chat where there is room. */
  declare sidebar: boolean;

  protected readonly defaults: Defaults = { feedback: true, retry: true, asks: true, scheme: "system", commands: true, follows: true };
  #options: ChatOptions = {};
  #server?: ServerOptions;
  #client!: Client;
  #threads!: ThreadList;
  #started = false;
  #open!: Conversation;
  /** Conversations with a running turn stay alive while another one is open. */
  #running = new Map<string, Conversation>();
  /** Counts the conversations that were opened, so that a slow load does not overtake a later click. */
  #opened = 0;
  #drafts = new Map<string, Draft>();
  #revision = 0;
  #model?: string;
  #tool?: string;
  #alert?: Alert;
  /** Where users log in, once a request was refused for it. */
  #signIn?: string;
  #asking?: string;
  #later = new Set<string>();
  #historyOpen = false;
  #historyClosed = false;
  #wide = false;
  #frame = 0;
  #removing?: Thread;
  #sheet = new CSSStyleSheet();
  #itemHost?: ItemHost;
  #dark = matchMedia("(prefers-color-scheme: dark)");
  #resize = new ResizeObserver(() => this.#resized());
  #scroll = new Scroll(() => this.renderRoot, { changed: () => this.#bump(), hasEarlier: () => this.#open.hasEarlier, loadEarlier: () => this.#open.loadEarlier() });
  #previews = new Previews({ options: () => this.#options.entities, frame: () => this.getBoundingClientRect(), changed: () => this.#bump() });
  #files = new Files({
    client: () => this.#client,
    rules: () => attachmentRules(this.#options, this.#server),
    strategy: () => this.#options.api?.uploadStrategy,
    t: () => this.#t,
    changed: () => this.#bump(),
    complain: (text, err) => {
      if (err instanceof Refused && (err.status === 401 || err.status === 429)) {
        this.#failed(err);
        return;
      }
      this.#alert = { level: err === undefined ? "warning" : "danger", text };
      if (err !== undefined) this.#emit("chatkit.error", { error: err });
    },
  });

  // What a page sees

  get options(): ChatOptions {
    return this.#options;
  }

  set options(options: ChatOptions) {
    this.setOptions(options);
  }

  /** What the server offers, once it has said so. */
  get serverOptions(): ServerOptions | undefined {
    return this.#server;
  }

  get threadId(): string | null {
    return this.#open?.id ?? null;
  }

  /** Takes options in place of all that were set before. */
  setOptions(options: ChatOptions): void {
    const before = this.#options;
    this.#options = options ?? {};
    this.#previews.forget();
    this.#itemHost = undefined;
    if (this.#started) {
      this.#client.fetch = this.#fetch;
      if (this.#url() !== this.#client.url) this.#restart();
    } else if (this.isConnected) {
      this.#start();
    }
    if (before.theme !== options?.theme) this.#dress();
    this.requestUpdate();
  }

  async focusComposer(): Promise<void> {
    await this.updateComplete;
    this.#composer?.focus();
  }

  /** Opens a thread, or a new chat for `null`. */
  async setThreadId(threadId: string | null): Promise<void> {
    await this.#show(threadId ?? undefined);
  }

  async sendUserMessage({ text = "", content, reply, attachments = [], newThread, model, toolChoice }: UserMessageParams): Promise<void> {
    if (newThread) await this.#show(undefined);
    // One at a time: it follows on the answer that is being written.
    while (this.#open.running) await new Promise((resolve) => { this.addEventListener("chatkit.response.end", resolve, { once: true }); });
    const options: InferenceOptions = {};
    const chosen = model ?? this.#chosenModel;
    if (chosen) options.model = chosen;
    if (toolChoice) options.tool_choice = { id: toolChoice.id };
    const pieces: UserContent[] = content?.map((it) => (it.type === "input_tag" ? { ...it, data: it.data ?? {} } : it)) ?? (text.trim() === "" ? [] : [{ type: "input_text", text: text.trim() }]);
    await this.#send(this.#open, { content: pieces, attachments, quotedText: reply, options });
  }

  async setComposerValue({ text, content, reply, attachments, files, selectedToolId, selectedModelId }: UserMessageParams): Promise<void> {
    const draft = this.#draft;
    if (text !== undefined || content) {
      draft.text = text ?? "";
      draft.tags = [];
    }
    for (const part of content ?? []) {
      const start = draft.text.length;
      draft.text += part.type === "input_tag" ? `@${part.text}` : part.text;
      if (part.type === "input_tag") draft.tags.push({ start, end: draft.text.length, entity: { id: part.id, title: part.text, group: part.group, interactive: part.interactive, data: part.data } });
    }
    draft.quote = reply;
    if (attachments) draft.uploads = attachments.map((attachment) => ({ key: attachment.id, name: attachment.name, state: "ready", progress: 1, attachment, preview: this.#previewOf(attachment.preview_url) }));
    if (files) this.#files.add(draft, files);
    if (selectedToolId !== undefined) draft.tool = this.#options.composer?.tools?.find((it) => it.id === selectedToolId);
    if (selectedModelId !== undefined) this.#model = selectedModelId;
    this.#touch(draft);
    await this.updateComplete;
  }

  /** Asks the server what is new in the open thread and in the list. */
  async fetchUpdates(): Promise<void> {
    await Promise.all([this.#loadThreads(), this.#open.running ? undefined : this.#load(this.#open)]);
  }

  async sendCustomAction(action: { type: string; payload?: unknown }, itemId?: string): Promise<void> {
    await this.#open.act({ type: action.type, payload: action.payload }, itemId);
  }

  /** Begins anew, as whoever the requests say now. */
  async restart(): Promise<void> {
    this.#client.fetch = this.#fetch;
    for (const it of this.#running.values()) it.abandon();
    this.#drafts.clear();
    this.#restart();
    await this.updateComplete;
  }

  async showHistory(): Promise<void> {
    this.#toggleHistory(true);
    await this.updateComplete;
  }

  async hideHistory(): Promise<void> {
    this.#toggleHistory(false);
    await this.updateComplete;
  }

  // Life

  override connectedCallback(): void {
    super.connectedCallback();
    this.#resize.observe(this);
    this.#dark.addEventListener("change", this.#schemeChanged);
    window.addEventListener("offline", this.#offline);
    window.addEventListener("online", this.#online);
    if (this.renderRoot instanceof ShadowRoot && !this.renderRoot.adoptedStyleSheets.includes(this.#sheet)) {
      this.renderRoot.adoptedStyleSheets = [...this.renderRoot.adoptedStyleSheets, this.#sheet];
    }
    if (!this.#started && this.startsByItself) this.#start();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#resize.disconnect();
    this.#dark.removeEventListener("change", this.#schemeChanged);
    window.removeEventListener("offline", this.#offline);
    window.removeEventListener("online", this.#online);
    this.#previews.hide();
    // An element that is only moved is back in the same breath.
    queueMicrotask(() => {
      if (this.isConnected) return;
      for (const it of this.#running.values()) if (it.state.allowCancel) it.abandon();
    });
  }

  /** Whether the element begins when it comes into a page, or waits for its options. */
  protected readonly startsByItself: boolean = true;

  #url(): string {
    return new URL(this.#options.api?.url ?? this.api ?? new URL("chatkit", import.meta.url).href, document.baseURI).href;
  }

  get #fetch(): typeof fetch {
    const own = this.#options.api?.fetch;
    return own ? (...request) => own(...request) : (...request) => globalThis.fetch(...request);
  }

  #start(): void {
    this.#started = true;
    this.#restart();
  }

  #restart(): void {
    this.#client = new Client(this.#url());
    this.#client.fetch = this.#fetch;
    this.#client.locale = this.#localeName;
    this.#client.resumable = this.defaults.asks;
    this.#threads = new ThreadList(this.#client);
    this.#running.clear();
    this.#server = undefined;
    this.#signIn = undefined;
    this.#dress();
    this.#open = new Conversation(this.#client, this.#hooks);
    this.requestUpdate();
    void this.#begin(this.#options.initialThread ?? this.thread ?? undefined);
  }

  async #begin(threadId: string | undefined): Promise<void> {
    const shown = threadId === undefined ? undefined : this.#show(threadId);
    // One request goes ahead: a browser without a session gets its cookie by it, and the others bring that along.
    const listed = this.#historyEnabled ? this.#loadThreads() : Promise.resolve();
    await Promise.race([Promise.all([listed, shown]), new Promise((resolve) => { setTimeout(resolve, 1500); })]);
    if (this.defaults.asks) await this.refreshOptions();
    this.#emit("chatkit.ready");
  }

  /** Asks the server again what it offers: its files may have changed. */
  async refreshOptions(): Promise<void> {
    try {
      this.#server = (await this.#client.options()) ?? this.#server;
      if (this.#server?.login?.sign_out !== undefined) this.#signIn = undefined;
      this.#client.resumable = this.#server !== undefined;
      this.dispatchEvent(new CustomEvent("kitfox.options", { detail: this.#server }));
    } catch {
      // What else is wrong, the list of conversations says.
    }
    this.requestUpdate();
  }

  async #loadThreads(): Promise<void> {
    try {
      await this.#threads.load();
    } catch (err) {
      this.#failed(err);
    }
    this.#bump();
  }

  // Conversations

  readonly #hooks: ConversationHooks = {
    changed: (conversation) => {
      if (conversation === this.#open) this.#drawSoon();
    },
    thread: (conversation, thread) => {
      this.#threads.put(thread);
      if (conversation.running) this.#running.set(thread.id, conversation);
      if (conversation === this.#open) {
        if (this.#told !== thread.id) this.#tell(thread.id);
        this.#emit("kitfox.thread", { thread });
      }
      this.#bump();
    },
    turn: (conversation, moment) => {
      const { id } = conversation;
      if (id !== undefined) {
        if (moment === "start") this.#running.set(id, conversation);
        else this.#running.delete(id);
      }
      if (conversation === this.#open) {
        if (moment === "start") this.#scroll.stick();
        this.#emit(moment === "start" ? "chatkit.response.start" : "chatkit.response.end");
        if (moment === "end" && !this.#open.running) this.#announceEnd(conversation.state);
      }
      this.#bump();
      if (moment === "end") void this.#runOpenCall(conversation);
    },
    event: (conversation, event) => {
      if (event.type === "client_effect") {
        this.#emit("chatkit.effect", { name: event.name, data: event.data ?? {} });
      } else if (event.type === "error") {
        this.#emit("chatkit.error", { error: new Error(event.message || this.#t.wentWrong) });
      }
      if (conversation !== this.#open) return;
      // Where the page does not want it to follow, it stays with the message that was sent.
      if (!(this.#options.thread?.autoScroll ?? this.defaults.follows) && (event.type === "thread.item.added" || (event.type === "thread.item.done" && event.item.type !== "user_message"))) this.#scroll.leave();
      if (event.type === "thread.item.done" && (event.item.type === "assistant_message" || event.item.type === "widget")) this.#announce(textOf(event.item));
      else if (event.type === "progress_update" && event.text) this.#announce(event.text);
    },
    failed: (err, conversation) => {
      if (conversation === this.#open) this.#failed(err);
      else this.#emit("chatkit.error", { error: err });
    },
  };

  #told: string | null = null;

  #tell(threadId: string | null): void {
    if (this.#told === null && threadId !== null) this.#moveDraft(threadId);
    this.#told = threadId;
    this.#emit("chatkit.thread.change", { threadId });
  }

  /** What is typed while a new thread is created belongs to that thread. */
  #moveDraft(threadId: string): void {
    const draft = this.#drafts.get("new");
    if (!draft || this.#open.id !== threadId || !this.#open.running) return;
    this.#drafts.delete("new");
    this.#drafts.set(threadId, draft);
  }

  async #show(id: string | undefined): Promise<void> {
    if (!this.#started) this.#start();
    this.#toggleHistory(false, { onlyOverlay: true });
    if (this.#open.id === id && (id !== undefined || this.#open.state.entries.length === 0)) return;
    this.#opened += 1;
    const ticket = this.#opened;
    this.#alert = undefined;
    this.#previews.hide();
    const alive = id === undefined ? undefined : this.#running.get(id);
    this.#open = alive ?? new Conversation(this.#client, this.#hooks, id === undefined ? undefined : (this.#threads.find(id) ?? { id, created_at: "" }));
    this.#scroll.stick();
    if (this.#told !== (id ?? null)) {
      this.#told = id ?? null;
      this.#emit("chatkit.thread.change", { threadId: id ?? null });
    }
    this.#bump();
    if (id === undefined || alive) return;
    this.#emit("chatkit.thread.load.start", { threadId: id });
    await this.#load(this.#open, () => ticket === this.#opened);
    this.#emit("chatkit.thread.load.end", { threadId: id });
  }

  async #load(conversation: Conversation, current: () => boolean = () => conversation === this.#open): Promise<void> {
    try {
      await conversation.load();
      if (current()) this.#scroll.stick();
      this.#bump();
    } catch (err) {
      if (!current()) return;
      if (err instanceof Refused && err.status === 404 && conversation.id !== undefined) {
        this.#threads.drop(conversation.id);
        await this.#show(undefined);
        this.#alert = { level: "warning", text: this.#t.notThere };
        this.#bump();
      } else {
        this.#failed(err, { label: this.#t.tryAgain, run: () => void this.#load(conversation) });
      }
    }
  }

  async #remove(thread: Thread): Promise<void> {
    this.#removing = undefined;
    this.#bump();
    try {
      await this.#client.call("threads.delete", { thread_id: thread.id });
    } catch (err) {
      if (!(err instanceof Refused && err.status === 404)) {
        this.#failed(err);
        return;
      }
    }
    this.#running.get(thread.id)?.abandon();
    this.#threads.drop(thread.id);
    if (this.#open.id === thread.id) await this.#show(undefined);
    this.#bump();
  }

  async #rename(thread: Thread, title: string): Promise<void> {
    try {
      const renamed = await this.#client.call("threads.update", { thread_id: thread.id, title });
      this.#threads.put(renamed);
      if (this.#open.id === thread.id) this.#open.rename(renamed);
    } catch (err) {
      this.#failed(err);
    }
    this.#bump();
  }

  // Messages

  get #draft(): Draft {
    const key = this.#open.id ?? "new";
    let draft = this.#drafts.get(key);
    if (!draft) {
      draft = new Draft();
      draft.text = remembered(`draft.${key}`) ?? "";
      this.#drafts.set(key, draft);
    }
    return draft;
  }

  #touch(draft: Draft): void {
    for (const [key, it] of this.#drafts) if (it === draft) remember(`draft.${key}`, draft.text);
    if (draft === this.#draft && draft.tool?.id !== this.#tool) {
      this.#tool = draft.tool?.id;
      this.#emit("chatkit.tool.change", { toolId: this.#tool ?? null });
    }
    this.#bump();
  }

  async #sendDraft(draft: Draft): Promise<void> {
    const conversation = this.#open;
    if (conversation.running || this.#barrier !== undefined || draft.isEmpty || !draft.isReady) return;
    const { text, tags, uploads, quote, tool } = draft;
    const content = contentOf(text, tags);
    const options: InferenceOptions = {};
    if (this.#chosenModel) options.model = this.#chosenModel;
    if (tool) options.tool_choice = { id: tool.id };
    Object.assign(draft, { text: "", tags: [], uploads: [], quote: undefined, tool: tool?.persistent ? tool : undefined });
    this.#touch(draft);
    const taken = await this.#send(conversation, { content, attachments: uploads.flatMap((it) => it.attachment ?? []), quotedText: quote, options });
    if (taken) return;
    // The text goes back to where it was typed, before what was typed since.
    if (draft.text.trim() === "") Object.assign(draft, { text, tags });
    else draft.text = `${text}\n${draft.text}`;
    Object.assign(draft, { uploads: [...uploads, ...draft.uploads], quote: draft.quote ?? quote, tool: draft.tool ?? tool });
    this.#touch(draft);
  }

  async #send(conversation: Conversation, message: Parameters<Conversation["send"]>[0]): Promise<boolean> {
    this.#alert = undefined;
    this.#log("message.send");
    return conversation.send(message);
  }

  #again(key: string): void {
    const { entries } = this.#open.state;
    const index = entries.findIndex((it) => it.key === key);
    const message = entries.slice(0, index + 1).findLast((it) => it.item?.type === "user_message" && !it.pending);
    void this.#open.retry(message?.item?.id ?? lastUserMessage(this.#open.state)?.item?.id);
  }

  get #chosenModel(): string | undefined {
    const models = modelsOf(this.#options, this.#server);
    if (models.length === 0) return undefined;
    const wanted = this.#model ?? remembered("model");
    return (models.find((it) => it.id === wanted && !it.disabled) ?? models.find((it) => it.default && !it.disabled) ?? models.find((it) => !it.disabled))?.id;
  }

  // Client tools and actions

  async #runOpenCall(conversation: Conversation): Promise<void> {
    const item = openCall(conversation.state)?.item;
    if (item?.type !== "client_tool_call" || !this.#options.onClientTool || conversation.running) return;
    await this.#runCall(item, conversation);
  }

  async #runCall(item: ClientToolCallItem, conversation = this.#open): Promise<void> {
    let result: unknown;
    try {
      result = (await this.#options.onClientTool?.({ name: item.name, params: item.arguments })) ?? {};
    } catch (err) {
      this.#emit("chatkit.error", { error: err });
      result = { error: err instanceof Error ? err.message : this.#t.toolFailed };
    }
    await conversation.answerCall(item, result);
  }

  async #act({ type, payload, handler, streaming }: WidgetAction, { id }: { id: string }): Promise<void> {
    const conversation = this.#open;
    const action = { type, ...(payload !== undefined && { payload }) };
    if (handler === "client") {
      const widget = conversation.state.entries.find((it) => it.key === id)?.item as WidgetItem | undefined;
      const { onAction } = this.#options.widgets ?? {};
      if (onAction) {
        try {
          await onAction(action as { type: string; payload?: Record<string, unknown> }, { id, widget: widget?.widget ?? { type: "Card" } });
        } catch (err) {
          this.#failed(err);
        }
      } else {
        this.#hooks.event(conversation, { type: "client_effect", name: type, data: { payload } });
        this.#alert = { level: "info", text: `${this.#t.effect} ${type}` };
        this.#bump();
      }
      return;
    }
    if (id === "") return;
    if (streaming === false) await conversation.actAtOnce(action, id);
    else await conversation.act(action, id);
  }

  // What goes wrong

  #failed(err: unknown, action?: Alert["action"]): void {
    if (isAbort(err)) return;
    const t = this.#t;
    if (err instanceof Refused && err.status === 401) {
      const { login, methods, sign_in: address } = err.more;
      this.#signIn = wayIn(address, this.#client.url, location.href) && address;
      if (this.#signIn === undefined) this.#alert = { level: "info", text: t.signInReload, action: { label: t.reload, run: () => location.reload() } };
      else this.#alert = { level: "info", text: login === "expired" ? t.signInEnded : t.signIn, link: this.#wayIn };
      this.dispatchEvent(new CustomEvent("kitfox.signin", { detail: { login, methods, signIn: this.#signIn }, bubbles: true, composed: true }));
    } else if (err instanceof Refused && err.status === 429) {
      this.#alert = { level: "warning", text: limitText(err, t, this.#localeName), action };
    } else if (err instanceof ConnectionLost) {
      this.#alert = { level: "danger", text: err.kind === "cut" ? t.cut : t.unreachable, action };
    } else if (err instanceof Refused) {
      const text = err.message ? sentence(err.message) : err.status === 409 ? t.turnRuns : t.status(err.status);
      this.#alert = { level: err.status < 500 ? "warning" : "danger", text: err.retryAfter ? `${text} ${t.tryIn(err.retryAfter)}` : text, action };
    } else {
      console.error(err);
      this.#alert = { level: "danger", text: t.wentWrongHere };
    }
    this.#emit("chatkit.error", { error: err instanceof Error ? err : new Error(String(err)) });
    this.#bump();
  }

  /** Where users log in, as the server says it. */
  get #wayIn(): WayIn | undefined {
    return wayIn(this.#signIn ?? this.#server?.login?.sign_in, this.#client.url, location.href);
  }

  /** Who is signed in, on our own page. */
  get #account(): Account | undefined {
    if (!this.sidebar) return undefined;
    const way = this.#wayIn;
    if (way) return { way };
    const { name, email, sign_out: out } = this.#server?.login ?? {};
    const address = webAddress(out, this.#client.url);
    return address && { name: name || email || this.#t.signedIn, email: email ?? undefined, leave: () => void this.#leave(address) };
  }

  async #leave(address: URL): Promise<void> {
    try {
      const next = await this.#client.signOut(address.href);
      location.assign(webAddress(next, this.#client.url) ?? location.pathname);
    } catch (err) {
      this.#failed(err);
    }
  }

  readonly #offline = (): void => {
    this.#alert = { level: "warning", text: this.#t.offline };
    this.#bump();
  };

  readonly #online = (): void => {
    this.#alert = undefined;
    if (this.#started && this.#historyEnabled) void this.#loadThreads();
  };

  #emit(type: string, detail?: unknown): void {
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }));
  }

  #log(name: string): void {
    this.#emit("chatkit.log", { name, data: { threadId: this.threadId } });
  }

  // Looks

  get #localeName(): string {
    return this.#options.locale ?? this.locale ?? (document.documentElement.lang || navigator.language || "en");
  }

  get #t(): ReturnType<typeof stringsFor> {
    return stringsFor(this.#localeName);
  }

  get #themeOption(): ThemeOption {
    const theme = this.#options.theme ?? this.theme ?? this.defaults.scheme;
    return typeof theme === "string" ? { colorScheme: theme as ThemeOption["colorScheme"] } : theme;
  }

  get #scheme(): "light" | "dark" {
    const scheme = this.#themeOption.colorScheme ?? this.defaults.scheme;
    return scheme === "system" ? (this.#dark.matches ? "dark" : "light") : scheme;
  }

  readonly #schemeChanged = (): void => {
    this.#itemHost = undefined;
    this.#dress();
    this.requestUpdate();
  };

  #dress(): void {
    const theme = this.#themeOption;
    this.#sheet.replaceSync(`${themeRules(theme)}:host{color-scheme:${this.#scheme}}`);
    for (const { family, src, weight, style, display, unicodeRange } of theme.typography?.fontSources ?? []) {
      const face = new FontFace(family, `url(${JSON.stringify(src)})`, { weight: String(weight ?? "normal"), style: style ?? "normal", display: (display ?? "swap") as FontDisplay, ...(unicodeRange && { unicodeRange }) });
      document.fonts.add(face);
    }
  }

  get #historyEnabled(): boolean {
    return this.#options.history?.enabled !== false;
  }

  get #barrier(): string | undefined {
    const status = this.#open.state.thread?.status;
    if (!status || status.type === "active") return undefined;
    return status.reason || (status.type === "closed" ? this.#t.closed : this.#t.locked);
  }

  get #composer(): ChatComposer | null {
    return this.renderRoot.querySelector("kitfox-chat-composer");
  }

  #bump(): void {
    this.#revision += 1;
    this.requestUpdate();
  }

  /** Draws once a frame, however much streams in. */
  #drawSoon(): void {
    if (this.#frame) return;
    const draw = (): void => {
      this.#frame = 0;
      if (!this.#grown()) this.#bump();
    };
    this.#frame = document.hidden ? Number(setTimeout(draw, 100)) : requestAnimationFrame(draw);
  }

  /** What was drawn last. */
  #drawn?: ThreadState;

  /** Where nothing but the words of an answer grew, its item alone is drawn again. */
  #grown(): boolean {
    const { state } = this.#open;
    const drawn = this.#drawn;
    const last = state.entries.length - 1;
    const entry = state.entries[last];
    const before = drawn?.entries[last];
    if (!drawn || !entry || drawn.entries.length !== state.entries.length || drawn.thread !== state.thread || drawn.progress !== state.progress || drawn.allowCancel !== state.allowCancel) return false;
    if (!entry.streaming || entry.key !== before?.key || entry.item?.type !== "assistant_message" || textOf(before.item) === "") return false;
    const element = this.renderRoot.querySelector<ChatItem>(".transcript > kitfox-chat-item:last-of-type");
    if (element?.entry !== before || state.entries.some((it, index) => index < last && it !== drawn.entries[index])) return false;
    element.entry = entry;
    this.#drawn = state;
    return true;
  }

  #resized(): void {
    const wide = this.clientWidth >= WIDE;
    if (wide !== this.#wide) {
      this.#wide = wide;
      this.#historyOpen = false;
      this.requestUpdate();
    }
    this.#scroll.follow();
  }

  /** Where the element is the page, its title is the page's. */
  get #level(): number {
    return this.sidebar ? 1 : 2;
  }

  get #docked(): boolean {
    return this.#wide && this.sidebar && this.#historyEnabled;
  }

  #toggleHistory(open: boolean, { onlyOverlay = false } = {}): void {
    if (this.#docked) {
      if (!onlyOverlay) this.#historyClosed = !open;
    } else {
      if (this.#historyOpen === open) return;
      this.#historyOpen = open;
      this.#emit(open ? "chatkit.history.open" : "chatkit.history.close");
      const focus = open ? "kitfox-chat-history" : ".open-history";
      void this.updateComplete.then(() => this.renderRoot.querySelector<HTMLElement>(focus)?.focus());
      if (open) void this.#loadThreads();
    }
    this.requestUpdate();
  }

  #items(): ItemHost {
    if (this.#itemHost) return this.#itemHost;
    const t = this.#t;
    const origins = [this.#client.url, document.baseURI];
    const image = (src: unknown): string | undefined => safeImage(src, origins, this.#open.state.thread?.allowed_image_domains);
    const context: MarkdownContext = { t, image, level: this.#level + 1, deeplink: (name, data) => this.#emit("chatkit.deeplink", { name, data }), entity: (source, how, anchor) => this.#previews.meet(source, how, anchor) };
    const widgets: WidgetHost = {
      action: (action, item) => this.#act(action, item),
      markdown: (text) => html`<div class="markdown" ${markdown(text, context)}></div>`,
      icon,
      imageAllowed: (src) => image(src) !== undefined,
      locale: this.#localeName,
      colorScheme: this.#scheme,
    };
    this.#itemHost = {
      t,
      locale: this.#localeName,
      markdown: context,
      widgets,
      feedback: this.#options.threadItemActions?.feedback ?? this.defaults.feedback,
      retry: (this.#options.threadItemActions?.retry ?? this.defaults.retry) && this.#barrier === undefined,
      hasTools: this.#options.onClientTool !== undefined,
      image,
      preview: (it) => this.#previewOf(it.preview_url),
      again: (key) => this.#again(key),
      reload: () => void this.#load(this.#open),
      dismiss: (key) => this.#open.dismiss(key),
      rate: (item, kind) => this.#open.feedback(item.id, kind),
      runCall: (item) => this.#runCall(item),
      answerCall: async (item, output) => { await this.#open.answerCall(item, output); },
      ask: (item) => {
        this.#later.delete(item.id);
        this.#asking = item.id;
        this.#bump();
        void this.updateComplete.then(() => this.#composer?.focus());
      },
      entity: (source, how, anchor) => this.#previews.meet(source, how, anchor),
    };
    return this.#itemHost;
  }

  #previewOf(address: string | undefined): string | undefined {
    return address === undefined ? undefined : safeImage(ownAddress(address, this.#client.url), [this.#client.url, document.baseURI], this.#open.state.thread?.allowed_image_domains);
  }

  #composerHost(items: ItemHost): ComposerHost {
    const { composer, entities } = this.#options;
    return {
      items,
      placeholder: composer?.placeholder ?? (this.#open.state.entries.length > 0 ? items.t.answering : items.t.placeholder),
      rules: attachmentRules(this.#options, this.#server),
      tools: composer?.tools ?? [],
      models: modelsOf(this.#options, this.#server),
      model: this.#chosenModel,
      dictates: composer?.dictation?.enabled ?? (this.defaults.asks && this.#server?.transcribe === true),
      commands: (query) => this.#commands(query, items),
      mentions: entities?.showComposerMenu === true,
      search: entities?.onTagSearch && ((query) => entities.onTagSearch?.(query) ?? Promise.resolve([])),
      previewOf: entities?.onRequestPreview && ((entity) => this.#previews.of(entity)),
      send: (draft) => void this.#sendDraft(draft),
      stop: () => this.#open.stop(),
      changed: (draft) => this.#touch(draft),
      addFiles: (draft, files) => this.#files.add(draft, files),
      removeFile: (draft, upload) => this.#files.remove(draft, upload),
      chooseModel: (id) => {
        this.#model = id;
        remember("model", id);
        this.#bump();
      },
      transcribe: async (audio) => {
        try {
          return (await this.#client.call("input.transcribe", audio)).text;
        } catch (err) {
          this.#failed(err);
          return "";
        }
      },
      complain: (text) => {
        this.#alert = { level: "warning", text };
        this.#bump();
      },
      answer: (item, submission) => this.#open.answer(item.id, submission),
      laterAsked: (item) => {
        this.#later.add(item.id);
        this.#asking = undefined;
        this.#bump();
        void this.updateComplete.then(() => this.#composer?.focus());
      },
      dismissAlert: () => {
        this.#alert = undefined;
        this.#bump();
      },
    };
  }

  /** What `/` offers: a new chat, the tools of the page, the prompts of the start screen, and commands of the page's own. */
  #commands(query: string, { t }: ItemHost): Promise<RunnableCommand[]> {
    const { commands, composer } = this.#options;
    if (!(commands?.enabled ?? this.defaults.commands)) return Promise.resolve([]);
    const tools = (composer?.tools ?? []).map((tool) => ({ id: tool.id, label: tool.label, icon: tool.icon ?? "tools", run: async () => {
      this.#draft.tool = tool;
      this.#touch(this.#draft);
    } }));
    const prompts = this.defaults.commands ? promptsOf(this.#options, this.#server) : [];
    const written = prompts.map((it) => ({ id: it.label, label: it.label, icon: it.icon ?? "sparkle", run: async () => this.#composer?.write(it.prompt) }));
    return commandsFor(query, commands, [{ id: "new", label: t.newChat, icon: "compose", run: () => this.#show(undefined) }, ...tools, ...written]);
  }

  /** The questions that stand in the composer's place. */
  #question(state: ThreadState): StructuredInputItem | undefined {
    const wanted = state.entries.find((it) => it.key === this.#asking)?.item;
    if (wanted?.type === "structured_input" && wanted.status === "pending") return wanted;
    const open = openQuestions(state)?.item;
    return open?.type === "structured_input" && !this.#later.has(open.id) && isLatest(state, open.id) ? open : undefined;
  }

  protected override willUpdate(): void {
    if (!this.#started) return;
    // Whoever may show images is a matter of the thread.
    const domains = `${this.#open.state.thread?.allowed_image_domains?.join() ?? ""} ${this.#barrier ?? ""}`;
    if (domains !== this.#domains) {
      this.#domains = domains;
      this.#itemHost = undefined;
    }
    if (this.#client.locale !== this.#localeName) {
      this.#client.locale = this.#localeName;
      this.#itemHost = undefined;
    }
  }

  #domains = "";

  protected override render(): unknown {
    if (!this.#started) return nothing;
    const words = loadStrings(this.#localeName);
    if (words) {
      void words.then(() => {
        this.#itemHost = undefined;
        this.requestUpdate();
      });
      return nothing;
    }
    const { state } = this.#open;
    this.#drawn = state;
    const items = this.#items();
    const language = languageOf(this.#localeName);
    const preview = this.#previews.shown;
    const docked = this.#docked;
    const shown = docked ? !this.#historyClosed : this.#historyOpen;
    const question = this.#open.running ? undefined : this.#question(state);
    const starting = state.entries.length === 0 && !this.#open.loading && this.#open.id === undefined;
    return html`<div class="frame ${docked ? "docked" : ""} ${starting ? "starting" : ""}" role="region" aria-label=${this.#options.frameTitle ?? items.t.chat} lang=${language} dir=${directionOf(this.#localeName)} @keydown=${this.#key}>
      ${this.#historyEnabled ? html`<kitfox-chat-history class="history ${shown ? "shown" : ""}" ?inert=${!shown} .host=${this.#historyHost(items)} .openId=${this.#open.id} .docked=${docked} .revision=${this.#revision}></kitfox-chat-history>` : nothing}
      <div class="main" ?inert=${shown && !docked}>
        ${this.#header(items, shown)}
        <div class="scroll" role="region" aria-label=${items.t.messages} tabindex="0" @scroll=${this.#scroll.scrolled}>
          ${starting ? this.#startScreen(items) : transcriptView(this.#open, question, this.#scroll.earlier, items)}
        </div>
        <div class="dock">
          <button type="button" class="latest" ?hidden=${this.#scroll.atEnd || starting} aria-label=${items.t.latest} title=${items.t.latest} @click=${this.#toLatest}>${icon("down")}</button>
          <kitfox-chat-composer .host=${this.#composerHost(items)} .draft=${this.#draft} .barrier=${this.#barrier} .running=${this.#open.running} .stoppable=${state.allowCancel} .question=${question} .alert=${this.#alert} .revision=${this.#revision}></kitfox-chat-composer>
          ${this.#options.disclaimer?.text ? html`<div class="disclaimer markdown ${this.#options.disclaimer.highContrast ? "strong" : ""}" ${markdown(this.#options.disclaimer.text, items.markdown)}></div>` : nothing}
        </div>
      </div>
      ${docked ? nothing : html`<div class="backdrop ${shown ? "on" : ""}" @click=${() => this.#toggleHistory(false)}></div>`}
      ${preview ? html`<div class="floating" role="tooltip" ${styles({ left: `${preview.x}px`, top: `${preview.y}px` })}>${renderWidget(preview.widget, items.widgets, { id: "" })}</div>` : nothing}
      ${this.#removing ? this.#confirm(this.#removing, items) : nothing}
      <div class="announcer sr-only" role="log" aria-live="polite"></div>
    </div>`;
  }

  #header({ t }: ItemHost, historyShown: boolean): TemplateResult | typeof nothing {
    const { header } = this.#options;
    const { id, state } = this.#open;
    const reachable = this.#historyEnabled && !(this.#docked && historyShown);
    return headerView({
      options: header,
      t,
      level: this.#level,
      title: header?.title?.text ?? (id === undefined ? undefined : state.thread?.title || this.#threads.find(id)?.title || t.newChat),
      history: reachable ? { icon: this.#docked ? "sidebar-open-left" : "history", open: historyShown, toggle: () => this.#toggleHistory(true) } : undefined,
      newChat: id === undefined ? undefined : () => { void this.#show(undefined).then(() => this.focusComposer()); },
    });
  }

  #startScreen(items: ItemHost): TemplateResult {
    const { startScreen } = this.#options;
    const greeting = startScreen?.greeting ?? (this.#server?.greeting || items.t.greeting);
    return startView(greeting, promptsOf(this.#options, this.#server), startScreen?.note, this.#level, (it) => this.#usePrompt(it), items);
  }

  /** Sends a prompt, or has its first `{placeholder}` filled in before. */
  #usePrompt(prompt: string): void {
    if (/\{\w+\}/.test(prompt)) {
      this.#composer?.write(prompt);
      return;
    }
    const draft = this.#draft;
    draft.text = prompt;
    draft.tags = [];
    void this.#sendDraft(draft);
    void this.focusComposer();
  }

  #historyHost({ t }: ItemHost): HistoryHost {
    const { history } = this.#options;
    return {
      t,
      list: this.#threads,
      brand: this.sidebar ? this.#server?.project : undefined,
      account: this.#account,
      running: new Set(this.#running.keys()),
      open: (id) => {
        void this.#show(id);
        if (id === undefined) void this.focusComposer();
      },
      rename: (thread, title) => this.#rename(thread, title),
      remove: history?.showDelete === false ? undefined : (thread) => {
        this.#removing = thread;
        this.#bump();
      },
      renames: history?.showRename !== false,
      more: async () => {
        await this.#threads.loadMore().catch((err: unknown) => this.#failed(err));
        this.#bump();
      },
      close: () => this.#toggleHistory(false),
    };
  }

  #confirm(thread: Thread, { t }: ItemHost): TemplateResult {
    const close = (): void => {
      this.#removing = undefined;
      this.#bump();
    };
    return confirmView(thread.title || t.newChat, t, close, () => void this.#remove(thread));
  }

  protected override updated(): void {
    const dialog = this.renderRoot.querySelector("dialog");
    if (dialog && !dialog.open) dialog.showModal();
    this.#scroll.drawn();
  }

  readonly #toLatest = (): void => {
    this.#scroll.stick();
    this.#scroll.follow();
    this.requestUpdate();
    this.#composer?.focus();
  };

  readonly #key = (event: KeyboardEvent): void => {
    if (event.key !== "Escape" || event.defaultPrevented) return;
    if (this.#previews.shown) this.#previews.hide();
    else if (this.#historyOpen && !this.#docked) this.#toggleHistory(false);
    else if (this.#open.running) this.#open.stop();
    else return;
    event.preventDefault();
    this.#bump();
  };

  // For those who listen

  #announce(text: string): void {
    const log = this.renderRoot.querySelector(".announcer");
    if (!log || text === "") return;
    const line = document.createElement("p");
    line.textContent = text.slice(0, 2000);
    log.append(line);
    while (log.childElementCount > 5) log.firstElementChild?.remove();
  }

  #announceEnd(state: ThreadState): void {
    const last = state.entries.at(-1);
    if (last?.stopped || (last?.passing?.type === "error" && last.passing.reason === "stopped")) this.#announce(this.#t.stopped);
  }
}
