/** How each kind of thread item looks. A view has a `node`, and `update(item, state)` shows the item as it is now. */
import { copyFrom, el, icon, iconButton } from "./dom.js";
import { safeImage, safeLink } from "./links.js";
import { citeMark } from "./markdown.js";
import { MarkdownView, outsideLink } from "./markdown-view.js";
import { textOf, withCitations } from "./updates.js";

/** The view of an item, or `undefined` where there is nothing to see. */
export function viewOf(item, actions) {
  switch (item.type) {
    case "user_message":
      return new UserMessageView();
    case "assistant_message":
      return new AssistantMessageView(actions);
    case "workflow":
      return new WorkflowView();
    case "task":
      return new TaskView();
    case "generated_image":
      return new ImageView(actions);
    case "end_of_turn":
      return undefined;
    default:
      return new PlaceholderView();
  }
}

class UserMessageView {
  node = el("article", { class: "item user", "aria-label": "You" });

  update(item) {
    const files = (item.attachments ?? []).map((it) => el("span", { class: "attachment" }, icon("file"), it.name));
    this.node.replaceChildren(
      el("div", { class: "bubble" }, item.quoted_text && el("blockquote", {}, item.quoted_text), textOf(item), files.length > 0 && el("div", { class: "attachments" }, files)),
    );
    this.node.classList.toggle("pending", item.pending === true);
  }
}

class AssistantMessageView {
  node = el("article", { class: "item assistant", "aria-label": "Assistant" });
  #parts = el("div", { class: "parts" });
  #sources = el("ol", { class: "sources", "aria-label": "Sources" });
  #stopped = el("p", { class: "stopped" }, "Stopped here.");
  #bar;
  #views = [];
  #item;
  #citations = [];

  constructor(actions) {
    const copy = iconButton("copy", "Copy", () => copyFrom(copy, textOf(this.#item)));
    const rate = (kind, name, label) =>
      iconButton(name, label, async (event) => {
        const button = event.currentTarget;
        if (button.getAttribute("aria-pressed") === "true" || !(await actions.feedback(this.#item, kind))) return;
        this.#bar.querySelectorAll("[aria-pressed]").forEach((it) => it.setAttribute("aria-pressed", String(it === button)));
      }, { "aria-pressed": "false" });
    this.#bar = el(
      "div",
      { class: "item-bar" },
      copy,
      rate("positive", "good", "Good answer"),
      rate("negative", "bad", "Bad answer"),
      iconButton("retry", "Answer again", () => actions.retry(), { class: "icon-button retry" }),
    );
    this.node.append(this.#parts, this.#sources, this.#stopped, this.#bar);
  }

  update(item, { streaming = false, stopped = false } = {}) {
    this.#item = item;
    this.#citations = [];
    item.content.forEach((part, index) => part && this.#part(part, index));
    this.#sources.replaceChildren(...this.#citations.map((it) => el("li", {}, sourceLink(it.source))));
    this.#sources.hidden = this.#citations.length === 0;
    this.#stopped.hidden = !stopped;
    this.#bar.hidden = streaming;
    this.node.classList.toggle("streaming", streaming);
  }

  #part(part, index) {
    this.#views[index] ??= this.#addView();
    // Numbers count through all parts of the message.
    const first = this.#citations.length;
    const annotations = (part.annotations ?? []).filter((it) => it);
    this.#citations.push(...annotations);
    this.#views[index].update(withCitations(part.text ?? "", annotations, (number) => citeMark(first + number)));
  }

  #addView() {
    const view = new MarkdownView((number) => this.#citation(number));
    this.#parts.append(view.node);
    return view;
  }

  #citation(number) {
    const source = this.#citations[number]?.source;
    if (!source) return undefined;
    const href = source.type === "url" ? safeLink(source.url) : undefined;
    const label = String(number + 1);
    const title = `Source ${label}: ${titleOf(source)}`;
    return el("sup", { class: "cite" }, href ? outsideLink(href, label, { title, "aria-label": title }) : el("span", { title }, label));
  }
}

function sourceLink(source) {
  const title = titleOf(source);
  const href = source.type === "url" ? safeLink(source.url) : undefined;
  const place = href ? new URL(href).hostname : source.type === "file" && source.filename !== title ? source.filename : undefined;
  return [href ? outsideLink(href, title) : el("span", {}, title), place && el("span", { class: "muted" }, ` ${place}`)];
}

function titleOf(source) {
  return source?.title || source?.filename || source?.label || source?.url || source?.id || "source";
}

class WorkflowView {
  node = el("article", { class: "item workflow", "aria-label": "Work of the assistant" });
  #title = el("span");
  #list = el("ol", { class: "tasks" });
  #details = el("details", {}, el("summary", {}, this.#title), this.#list);
  #touched = false;

  constructor() {
    this.node.append(this.#details);
    this.#details.firstChild.addEventListener("click", () => { this.#touched = true; });
  }

  update({ workflow }, { streaming = false } = {}) {
    this.#title.textContent = workflowTitle(workflow, streaming);
    this.#title.className = streaming ? "shimmer" : "";
    this.#list.replaceChildren(...workflow.tasks.filter((it) => it).map((task) => el("li", {}, taskNode(task))));
    if (!this.#touched) this.#details.open = workflow.expanded === true || streaming;
  }
}

function workflowTitle({ type, summary, tasks }, streaming) {
  if (summary?.title) return summary.title;
  if (typeof summary?.duration === "number") return summary.duration > 0 ? `Thought for ${summary.duration} s` : "Thought for a moment";
  if (type === "reasoning") return streaming ? "Thinking…" : "Thoughts";
  return tasks.filter((it) => it?.title).at(-1)?.title ?? (streaming ? "Working…" : "Steps");
}

class TaskView {
  node = el("article", { class: "item task-item", "aria-label": "Step of the assistant" });

  update({ task }) {
    this.node.replaceChildren(taskNode(task));
  }
}

const TASK_TITLES = { web_search: "Searched the web", thought: undefined, file: "Read files", image: "Made an image", custom: undefined };

function taskNode(task) {
  const status = { loading: ["dot", "in progress", "loading"], complete: ["check", "done", "complete"] }[task.status_indicator] ?? ["dot", "", ""];
  const title = task.title ?? task.title_query ?? TASK_TITLES[task.type];
  const node = el("div", { class: `task ${status[2]}` }, el("span", { class: "task-mark" }, icon(status[0]), status[1] && el("span", { class: "sr-only" }, status[1])));
  const body = el("div", { class: "task-body" }, title && el("div", { class: "task-title" }, title));
  if (task.content) {
    const content = new MarkdownView();
    content.update(task.content);
    body.append(content.node);
  }
  const queries = task.queries ?? [];
  if (queries.length > 0) body.append(el("div", { class: "muted" }, queries.join(" · ")));
  const sources = task.sources ?? [];
  if (sources.length > 0) body.append(el("ul", { class: "task-sources" }, sources.map((it) => el("li", {}, sourceLink(it)))));
  node.append(body);
  return node;
}

class ImageView {
  node = el("article", { class: "item image", "aria-label": "Generated image" });
  #actions;
  #shown;

  constructor(actions) {
    this.#actions = actions;
  }

  update({ image, progress }, { streaming = false } = {}) {
    this.node.classList.toggle("streaming", streaming);
    if (!image) {
      this.node.replaceChildren(placeholder("Generating an image…"));
      return;
    }
    if (image.url === this.#shown) return;
    this.#shown = image.url;
    const url = safeImage(image.url, document.baseURI, this.#actions.imageHosts());
    const failed = () => this.node.replaceChildren(this.#instead(image.url, streaming, progress));
    if (!url) failed();
    else if (url.startsWith("data:")) paint(url).then((it) => this.node.replaceChildren(it), failed);
    else this.node.replaceChildren(el("img", { src: url, alt: "Generated image", onerror: failed }));
  }

  #instead(address, streaming, progress) {
    if (streaming) return placeholder(`Generating an image… ${Math.round((progress ?? 0) * 100)} %`);
    const href = safeLink(address);
    return placeholder("The image cannot be shown here. ", href && outsideLink(href, "Open it"));
  }
}

/** Paints a data URL on a canvas: the page's content security policy lets no `img` load one. */
async function paint(url) {
  const [head, body] = url.split(",", 2);
  const bytes = Uint8Array.from(atob(body), (it) => it.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes], { type: head.slice("data:".length, head.indexOf(";")) }));
  const canvas = el("canvas", { width: bitmap.width, height: bitmap.height, role: "img", "aria-label": "Generated image" });
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  return canvas;
}

const PLACEHOLDERS = {
  widget: "A widget",
  client_tool_call: "A call of a tool in the page",
  structured_input: "Questions to you",
};

class PlaceholderView {
  node = el("article", { class: "item other" });

  update(item) {
    const what = PLACEHOLDERS[item.type] ?? "Something";
    const questions = (item.inputs ?? []).map((it) => el("li", {}, it.question));
    this.node.replaceChildren(
      placeholder(
        el("span", {}, `${what}, for which this plain page has no view (`, el("code", {}, item.type), ")."),
        typeof item.copy_text === "string" && el("div", { class: "muted" }, item.copy_text),
        questions.length > 0 && el("ul", {}, questions),
      ),
    );
  }
}

function placeholder(...children) {
  return el("div", { class: "placeholder" }, icon("block"), el("div", {}, children));
}
