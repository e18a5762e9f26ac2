/** One conversation: its items on the page, the turn that runs in it, and what goes wrong. */
import { ConnectionLost, Refused, call, stream } from "./api.js";
import { el, icon } from "./dom.js";
import { namedIcon } from "./icons.js";
import { brokenItem, viewOf } from "./items.js";
import { MarkdownView } from "./markdown-view.js";
import { applyUpdate, textOf } from "./updates.js";

const PAGE = 20;

/**
 * Hooks: `thread(conversation, thread)` when it was created or changed, `changed(conversation)` when a turn
 * began or ended, `grew(conversation)` when there is more to see, `announce(text)` for screen readers,
 * `failed(err, conversation)` for what concerns the whole page.
 */
export class Conversation {
  node = el("div", { class: "items" });
  thread;
  /** Whether the stream may be stopped. */
  allowCancel = true;
  #hooks;
  #earlier = el("button", { type: "button", class: "quiet earlier", hidden: true, onclick: () => this.#loadEarlier() }, "Load earlier messages");
  #list = el("div", { class: "list", role: "log", "aria-live": "off", "aria-label": "Messages" });
  #working = el("div", { class: "working", hidden: true }, el("span", { class: "pulse", "aria-hidden": "true" }), el("span", { class: "working-text shimmer" }, "Thinking…"));
  #entries = new Map();
  #cursor;
  #turn;
  #dirty = new Set();
  #frame;

  constructor(thread, hooks) {
    this.thread = thread;
    this.#hooks = hooks;
    this.node.append(el("h2", { class: "sr-only" }, "Messages"), this.#earlier, this.#list, this.#working);
  }

  get id() {
    return this.thread?.id;
  }

  get running() {
    return this.#turn !== undefined;
  }

  get isEmpty() {
    return this.#list.childElementCount === 0;
  }

  /** Why nobody may write here, or `undefined`. */
  get barrier() {
    const status = this.thread?.status;
    if (!status || status.type === "active") return undefined;
    return status.reason || (status.type === "closed" ? "This conversation is closed." : "This conversation is locked.");
  }

  // History

  /** Shows the newest page of the thread, in place of all that is shown. */
  async load() {
    const thread = await call("threads.get_by_id", { thread_id: this.id });
    const page = await this.#page();
    this.thread = thread;
    this.#entries.clear();
    this.#list.replaceChildren();
    this.#prepend(page);
    this.#hooks.thread(this, thread);
  }

  #page(after) {
    return call("items.list", { thread_id: this.id, limit: PAGE, order: "desc", ...(after && { after }) });
  }

  #prepend(page) {
    for (const item of page.data) {
      if (!this.#entries.has(item.id)) this.#show(item, { first: true });
    }
    this.#cursor = page.has_more ? page.after : undefined;
    this.#earlier.hidden = this.#cursor === undefined;
    this.#markLast();
  }

  async #loadEarlier() {
    this.#earlier.disabled = true;
    const scroll = this.node.closest(".scroll");
    const below = scroll.scrollHeight - scroll.scrollTop;
    try {
      this.#prepend(await this.#page(this.#cursor));
      scroll.scrollTop = scroll.scrollHeight - below;
    } catch (err) {
      this.#hooks.failed(err, this);
    }
    this.#earlier.disabled = false;
  }

  // Turns

  /** Sends a message; false when the server did not take it, so that the text can go back to where it was typed. */
  async send(text, model, attachments = []) {
    const input = {
      content: text === "" ? [] : [{ type: "input_text", text }],
      attachments: attachments.map((it) => it.id),
      inference_options: model ? { model } : {},
    };
    const pending = { id: "pending", type: "user_message", content: input.content, attachments, pending: true };
    this.#clearPassing();
    this.#show(pending);
    const taken = this.id
      ? await this.#run("threads.add_user_message", { thread_id: this.id, input })
      : await this.#run("threads.create", { input });
    this.#remove("pending");
    return taken;
  }

  /** Has the last message of the user answered again. */
  async retry() {
    const last = [...this.#entries.values()].findLast(({ item }) => item.type === "user_message" && item.id !== "pending");
    if (!last || this.running) return;
    const undo = [];
    for (let node = last.view.node.nextElementSibling; node; node = node.nextElementSibling) undo.push(node);
    this.#clearPassing();
    undo.forEach((it) => { it.hidden = true; });
    const started = await this.#run("threads.retry_after_item", { thread_id: this.id, item_id: last.item.id }, () => {
      const gone = new Set(undo);
      for (const [id, { view }] of this.#entries) if (gone.has(view?.node)) this.#entries.delete(id);
      undo.forEach((it) => it.remove());
    });
    if (!started) undo.forEach((it) => { it.hidden = false; });
    this.#markLast();
  }

  /** Runs the action of a widget: as a turn, at once (`streaming: false`), or not at all where the page around would do it. */
  async #act(item, { type, payload, handler, streaming }, ignored) {
    const params = { thread_id: this.id, item_id: item.id, action: { type, payload } };
    if (ignored.length > 0) {
      this.#card("warning", undefined, `The action has values of its own for ${quoted(ignored)}: what the form says there was left out.`);
    }
    if (handler === "client") {
      this.#card("info", "For the page around the chat", `The action ${quoted([type])} is one that the page would handle, with ${quoted([JSON.stringify(payload ?? null)])}.`);
      return;
    }
    if (streaming === false) {
      try {
        const { updated_item: updated } = await call("threads.sync_custom_action", params);
        if (updated) this.#show(updated);
      } catch (err) {
        this.#hooks.failed(err, this);
      }
      return;
    }
    await this.#runAlone("threads.custom_action", params);
  }

  #answer(item, input) {
    return this.#runAlone("threads.add_structured_input", { thread_id: this.id, item_id: item.id, input });
  }

  async #answerTool(item, result) {
    await this.#runAlone("threads.add_client_tool_output", { thread_id: this.id, result }, () => {
      // The completed call is not sent again.
      this.#show({ ...item, status: "completed", output: result });
    });
  }

  async #runAlone(type, params, begun) {
    if (this.running) {
      this.#hooks.failed(new Refused(409, "an answer is being written: wait for its end, or stop it"), this);
      return;
    }
    await this.#run(type, params, begun);
  }

  /** Ends the turn by leaving it: the server keeps what was said so far. */
  stop() {
    if (this.running && this.allowCancel) this.#turn.abort();
  }

  /** Runs a turn to its end; true once the server took the request. `begun` is called at that moment. */
  async #run(type, params, begun) {
    const turn = new AbortController();
    this.#turn = turn;
    this.allowCancel = true;
    this.#work("Thinking…");
    this.#hooks.changed(this);
    this.#hooks.grew(this, true);

    const progress = { taken: false };
    let ended;
    try {
      const waits = (attempt, repeats) => this.#work(`The server is busy, trying again (${attempt} of ${repeats})…`);
      for await (const event of stream(type, params, { signal: turn.signal, onWait: waits })) {
        if (!progress.taken && isTaken(event, type)) {
          progress.taken = true;
          begun?.();
        }
        this.#apply(event);
      }
    } catch (err) {
      ended = err;
    }
    this.#finish(ended, progress.taken, type);
    return progress.taken;
  }

  #finish(err, taken, type) {
    this.#flush();
    const stopped = err?.name === "AbortError";
    for (const [id, entry] of this.#entries) {
      if (!entry.streaming) continue;
      entry.streaming = false;
      // Of an answer that was stopped, the server keeps the text and nothing else.
      const kept = entry.item.type === "assistant_message" && textOf(entry.item) !== "";
      entry.stopped = kept && err !== undefined;
      if (kept || !stopped) this.#draw(entry);
      else this.#remove(id);
    }
    this.#turn = undefined;
    this.#working.hidden = true;
    this.#markLast();
    if (stopped) this.#afterStop(taken);
    else if (err) this.#afterFailure(err, taken, type);
    this.#hooks.changed(this);
    this.#hooks.grew(this);
  }

  #afterStop(taken) {
    this.#hooks.announce("Stopped.");
    const last = [...this.#entries.values()].at(-1);
    if (taken && last?.item.type === "user_message") this.#card("info", undefined, "Stopped before there was an answer.", [this.#retryButton()]);
  }

  #afterFailure(err, taken, type) {
    if (!taken) {
      this.#hooks.failed(err, this);
      return;
    }
    // To answer the last message again would undo what an action did.
    const buttons = type === "threads.custom_action" ? [] : [this.#retryButton()];
    if (err instanceof ConnectionLost) buttons.push(el("button", { type: "button", onclick: () => this.reload() }, "Load it again"));
    const known = err instanceof ConnectionLost || err instanceof Refused;
    if (!known) console.error(err);
    this.#card("danger", undefined, sentence(known ? err.message : "the answer could not be shown"), buttons);
  }

  /** Shows the thread as the server has it now. */
  async reload() {
    try {
      await this.load();
      this.#hooks.changed(this);
      this.#hooks.grew(this, true);
    } catch (err) {
      this.#hooks.failed(err, this);
    }
  }

  // Events

  #apply(event) {
    switch (event.type) {
      case "thread.created":
      case "thread.updated":
        this.thread = event.thread;
        this.#hooks.thread(this, event.thread);
        break;
      case "thread.item.added":
        this.#show(event.item, { streaming: true });
        break;
      case "thread.item.updated":
        this.#update(event.item_id, event.update);
        break;
      case "thread.item.done":
        this.#done(event.item);
        break;
      case "thread.item.replaced":
        this.#show(event.item);
        break;
      case "thread.item.removed":
        this.#remove(event.item_id);
        break;
      case "stream_options":
        this.allowCancel = event.stream_options.allow_cancel !== false;
        this.#hooks.changed(this);
        break;
      case "progress_update":
        this.#work(event.text, event.icon);
        this.#hooks.announce(event.text);
        break;
      case "client_effect":
        this.#effect(event);
        break;
      case "notice":
        this.#card(event.level, event.title, event.message);
        break;
      case "error":
        this.#card("danger", undefined, event.message || "Something went wrong while answering.", event.allow_retry ? [this.#retryButton()] : []);
        break;
      default:
        break; // Events of later versions: nothing to see here.
    }
    this.#hooks.grew(this);
  }

  #update(id, update) {
    const entry = this.#entries.get(id);
    if (!entry) return;
    applyUpdate(entry.item, update);
    if (update.type.startsWith("assistant_message.")) this.#working.hidden = true;
    this.#dirty.add(entry);
    this.#frame ??= requestAnimationFrame(() => {
      this.#flush();
      this.#hooks.grew(this);
    });
  }

  #flush() {
    cancelAnimationFrame(this.#frame);
    this.#frame = undefined;
    this.#dirty.forEach((entry) => this.#draw(entry));
    this.#dirty.clear();
  }

  #done(item) {
    if (item.type === "user_message") this.#remove("pending");
    this.#show(item);
    if (item.type === "assistant_message") {
      this.#hooks.announce(textOf(item));
      // The turn may go on: with another tool, another message.
      this.#work("Thinking…");
    }
  }

  // What is shown

  /** Shows an item: in the place it has, else as the last (or the first). */
  #show(item, { streaming = false, first = false } = {}) {
    let entry = this.#entries.get(item.id);
    if (!entry || entry.item.type !== item.type) {
      const view = viewOf(item, {
        retry: () => this.retry(),
        feedback: (it, kind) => this.#feedback(it, kind),
        imageHosts: () => this.thread?.allowed_image_domains ?? [],
        act: (it, action, ignored) => this.#act(it, action, ignored),
        answer: (it, input) => this.#answer(it, input),
        answerTool: (it, output) => this.#answerTool(it, output),
      });
      if (entry?.view) entry.view.node.replaceWith(...(view ? [view.node] : []));
      else if (view) this.#list[first ? "prepend" : "append"](view.node);
      entry = { view };
      if (first) this.#entries = new Map([[item.id, entry], ...this.#entries]);
      else this.#entries.set(item.id, entry);
    }
    entry.item = item;
    entry.streaming = streaming;
    entry.stopped = false;
    this.#draw(entry);
    if (!first) this.#markLast();
  }

  #draw({ view, item, streaming, stopped }) {
    try {
      view?.update(item, { streaming, stopped });
    } catch (err) {
      // One item that is not as it should be hides none of the others.
      console.error(err);
      view.node.replaceChildren(brokenItem());
    }
  }

  #remove(id) {
    this.#entries.get(id)?.view?.node.remove();
    this.#entries.delete(id);
  }

  /** Only the last message has a button for another answer. */
  #markLast() {
    this.#list.querySelectorAll(":scope > .last").forEach((it) => it.classList.remove("last"));
    const last = this.#list.lastElementChild;
    if (last?.classList.contains("assistant")) last.classList.add("last");
  }

  #work(text, name) {
    this.#working.querySelector(".working-text").textContent = text;
    this.#working.firstChild.replaceWith(name ? namedIcon(name) : el("span", { class: "pulse", "aria-hidden": "true" }));
    this.#working.hidden = !this.running;
  }

  /** What the page around would do: here it is only told. */
  #effect({ name, data }) {
    const details = JSON.stringify(data ?? {});
    this.#list.append(el("p", { class: "passing effect" }, "Effect for the page: ", el("code", {}, name), details !== "{}" && ` ${details}`));
  }

  /** A notice or an error: not part of the thread, gone with the next message. */
  #card(level, title, message, buttons = []) {
    const text = new MarkdownView();
    text.update(message);
    this.#list.append(
      el(
        "div",
        { class: `passing card ${level}`, role: level === "danger" ? "alert" : "status" },
        icon(level === "info" ? "info" : "alert"),
        el("div", { class: "card-body" }, title && el("strong", {}, title), text.node, buttons.length > 0 && el("div", { class: "card-row" }, buttons)),
      ),
    );
    this.#hooks.grew(this);
  }

  #clearPassing() {
    this.#list.querySelectorAll(":scope > .passing").forEach((it) => it.remove());
  }

  #retryButton() {
    return el("button", { type: "button", onclick: () => this.retry() }, icon("retry"), "Try again");
  }

  async #feedback(item, kind) {
    try {
      await call("items.feedback", { thread_id: this.id, item_ids: [item.id], kind });
      return true;
    } catch (err) {
      this.#hooks.failed(err, this);
      return false;
    }
  }
}

/** Whether an event shows that the server took the request: it stored the message, or began to answer again. */
function isTaken(event, type) {
  if (type !== "threads.create" && type !== "threads.add_user_message") return event.type !== "error";
  return event.type === "thread.item.done" && event.item.type === "user_message";
}

/** Words as Markdown shows them unchanged. */
function quoted(list) {
  return list.map((it) => `\`\`${String(it).replaceAll("`", "'")}\`\``).join(", ");
}

/** The words of an error as a sentence. */
export function sentence(message) {
  const text = message.charAt(0).toUpperCase() + message.slice(1);
  return /[.!?)]$/.test(text) ? text : `${text}.`;
}
