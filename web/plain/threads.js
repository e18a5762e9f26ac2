/** The list of conversations: pages, titles, rename, delete. */
import { call } from "./api.js";
import { el, icon, iconButton } from "./dom.js";

const PAGE = 30;

/** Hooks: `open(id)`, `renamed(thread)`, `remove(thread)` (asks, then deletes), `failed(err)`. */
export class ThreadList {
  #root;
  #hooks;
  #threads = new Map();
  #cursor;
  #open;
  #renaming;
  #more = el("button", { type: "button", class: "quiet more", onclick: () => this.#load(this.#cursor) }, "Show more");

  constructor(root, hooks) {
    this.#root = root;
    this.#hooks = hooks;
  }

  /** Loads the newest page in place of what is listed. */
  load() {
    return this.#load();
  }

  async #load(after) {
    this.#more.disabled = true;
    try {
      const page = await call("threads.list", { limit: PAGE, order: "desc", ...(after && { after }) });
      if (!after) this.#threads.clear();
      for (const thread of page.data) this.#threads.set(thread.id, thread);
      this.#cursor = page.has_more ? page.after : undefined;
      this.#draw();
    } catch (err) {
      this.#hooks.failed(err);
    }
    this.#more.disabled = false;
  }

  find(id) {
    return this.#threads.get(id);
  }

  /** Shows a thread as it is now; one that is new stands by its age, if the list reaches as far back. */
  put(thread) {
    const known = this.#threads.get(thread.id);
    if (known && known.title === thread.title) return;
    if (known) this.#threads.set(thread.id, thread);
    else this.#insert(thread);
    this.#draw();
  }

  #insert(thread) {
    const entries = [...this.#threads];
    const time = Date.parse(thread.created_at);
    const older = entries.findIndex(([, it]) => Date.parse(it.created_at) <= time);
    if (older < 0 && this.#cursor) return;
    entries.splice(older < 0 ? entries.length : older, 0, [thread.id, thread]);
    this.#threads = new Map(entries);
  }

  drop(id) {
    this.#threads.delete(id);
    this.#draw();
  }

  select(id) {
    this.#open = id;
    this.#draw();
  }

  #draw() {
    // A title that is being written stays under the hand.
    if (this.#renaming) return;
    const nodes = [];
    let age;
    for (const thread of this.#threads.values()) {
      if (ageOf(thread) !== age) {
        age = ageOf(thread);
        nodes.push(el("h2", { class: "age" }, age));
      }
      nodes.push(this.#row(thread));
    }
    if (nodes.length === 0) nodes.push(el("p", { class: "none" }, "Your conversations will be listed here."));
    if (this.#cursor) nodes.push(this.#more);
    this.#root.replaceChildren(...nodes);
  }

  #row(thread) {
    const open = thread.id === this.#open;
    const title = titleOf(thread);
    const row = el(
      "div",
      { class: `thread${open ? " open" : ""}` },
      el("a", { href: `#${thread.id}`, "aria-current": open && "page", title }, title),
      iconButton("edit", `Rename “${title}”`, () => this.#rename(row, thread)),
      iconButton("delete", `Delete “${title}”`, () => this.#hooks.remove(thread)),
    );
    row.firstChild.addEventListener("click", (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey) return;
      event.preventDefault();
      this.#hooks.open(thread.id);
    });
    return row;
  }

  #rename(row, thread) {
    const field = el("input", { type: "text", "aria-label": "Title", maxlength: "200" });
    field.value = thread.title ?? "";
    const form = el("form", { class: "rename" }, field, el("button", { type: "submit", class: "icon-button", "aria-label": "Save the title" }, icon("check")));
    const leave = () => {
      if (this.#renaming !== form) return;
      this.#renaming = undefined;
      const focused = form.contains(document.activeElement);
      this.#draw();
      if (focused) this.#root.querySelector(`a[href="#${CSS.escape(thread.id)}"]`)?.focus();
    };
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const title = field.value.trim();
      leave();
      if (title === "" || title === thread.title) return;
      try {
        const renamed = await call("threads.update", { thread_id: thread.id, title });
        this.put(renamed);
        this.#hooks.renamed(renamed);
      } catch (err) {
        this.#hooks.failed(err);
      }
    });
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      leave();
    });
    form.addEventListener("focusout", (event) => {
      if (!form.contains(event.relatedTarget)) leave();
    });
    this.#renaming = form;
    row.replaceChildren(form);
    field.focus();
    field.select();
  }
}

export function titleOf(thread) {
  return thread?.title || "New chat";
}

function ageOf({ created_at: created }) {
  const midnight = new Date().setHours(0, 0, 0, 0);
  const time = Date.parse(created);
  const day = 86_400_000;
  if (!(time < midnight)) return "Today";
  if (time >= midnight - day) return "Yesterday";
  return time >= midnight - 7 * day ? "Last seven days" : "Earlier";
}
