/** What the assistant did on its way to an answer: workflows and their tasks. */
import { el, icon } from "./dom.js";
import { namedIcon } from "./icons.js";
import { safeLink } from "./links.js";
import { MarkdownView, outsideLink } from "./markdown-view.js";

export class WorkflowView {
  node = el("article", { class: "item workflow", "aria-label": "Work of the assistant" });
  #icon = el("span", { class: "workflow-icon" });
  #title = el("span");
  #list = el("ol", { class: "tasks" });
  #details = el("details", {}, el("summary", {}, this.#icon, this.#title), this.#list);
  #touched = false;

  constructor() {
    this.node.append(this.#details);
    this.#details.firstChild.addEventListener("click", () => { this.#touched = true; });
  }

  update({ workflow }, { streaming = false } = {}) {
    const tasks = (workflow.tasks ?? []).filter((it) => it);
    const name = workflow.summary?.icon;
    this.#title.textContent = workflowTitle(workflow, tasks, streaming);
    this.#title.className = streaming ? "shimmer" : "";
    this.#icon.replaceChildren(...(name ? [namedIcon(name)] : []));
    this.#list.replaceChildren(...tasks.map((task) => el("li", {}, taskNode(task))));
    if (!this.#touched) this.#details.open = workflow.expanded === true || streaming;
  }
}

function workflowTitle({ type, summary }, tasks, streaming) {
  if (summary?.title) return summary.title;
  const verb = type === "reasoning" ? "Thought" : "Worked";
  if (typeof summary?.duration === "number") return summary.duration > 0 ? `${verb} for ${duration(summary.duration)}` : `${verb} for a moment`;
  if (type === "reasoning") return streaming ? "Thinking…" : "Thoughts";
  return tasks.filter((it) => it.title).at(-1)?.title ?? (streaming ? "Working…" : "Steps");
}

/** Seconds in words: `75` → `1 min 15 s`. */
export function duration(seconds) {
  const whole = Math.round(seconds);
  const parts = [[Math.floor(whole / 3600), "h"], [Math.floor(whole / 60) % 60, "min"], [whole % 60, "s"]];
  return parts.filter(([count]) => count > 0).slice(0, 2).map(([count, unit]) => `${count} ${unit}`).join(" ") || "0 s";
}

export class TaskView {
  node = el("article", { class: "item task-item", "aria-label": "Step of the assistant" });

  update({ task }) {
    this.node.replaceChildren(taskNode(task));
  }
}

const KINDS = new Map([
  ["web_search", { title: "Searched the web", icon: "globe" }],
  ["file", { title: "Read files", icon: "document" }],
  ["image", { title: "Made an image", icon: "square-image" }],
]);
const STATUS = new Map([
  ["loading", ["dot", "in progress", "loading"]],
  ["complete", ["check", "done", "complete"]],
]);

function taskNode(task) {
  const kind = KINDS.get(task.type) ?? {};
  const [name, said, look] = STATUS.get(task.status_indicator) ?? [undefined, "", ""];
  const own = task.icon ?? kind.icon;
  const mark = name === "check" || !own ? icon(name ?? "dot") : namedIcon(own);
  const title = task.title ?? kind.title;
  const query = task.title_query && task.title_query !== title && el("span", { class: "muted" }, ` “${task.title_query}”`);
  const body = el("div", { class: "task-body" }, (title || query) && el("div", { class: "task-title" }, title, query));
  if (task.content) {
    const content = new MarkdownView();
    content.update(task.content);
    body.append(content.node);
  }
  const queries = task.queries ?? [];
  if (queries.length > 0) body.append(el("div", { class: "muted" }, queries.join(" · ")));
  const sources = task.sources ?? [];
  if (sources.length > 0) body.append(el("ul", { class: "task-sources" }, sources.map((it) => el("li", {}, sourceLink(it)))));
  return el("div", { class: `task ${look}` }, el("span", { class: "task-mark" }, mark, said && el("span", { class: "sr-only" }, said)), body);
}

// Sources

/** A source as a line: its title, linked where it has an address, and where it is from. */
export function sourceLink(source) {
  const title = titleOf(source);
  const href = source.type === "url" ? safeLink(source.url) : undefined;
  const place = href ? source.attribution || new URL(href).hostname : source.type === "file" && source.filename !== title ? source.filename : source.group;
  const rest = [place, source.timestamp].filter((it) => it).join(" · ");
  const about = source.description || undefined;
  return [href ? outsideLink(href, title, { title: about }) : el("span", { title: about }, title), rest && el("span", { class: "muted" }, ` ${rest}`)];
}

export function titleOf(source) {
  return source?.title || source?.filename || source?.label || source?.url || source?.id || "source";
}
