/** What the assistant did on its way to an answer: workflows and their tasks. */
import { type TemplateResult, html, noChange, nothing } from "lit";
import { icon } from "../icons";
import { markdown } from "../markdown";
import type { Source, Task, WorkflowItem } from "../protocol";
import type { ItemHost } from "./host";
import { sourceLine } from "./source";

export function workflowView({ workflow }: WorkflowItem, streaming: boolean, touched: boolean, touch: () => void, host: ItemHost): TemplateResult {
  const tasks = (workflow.tasks ?? []).filter((it) => it);
  const { summary } = workflow;
  const name = summary && "icon" in summary ? summary.icon : workflow.type === "reasoning" ? "lightbulb" : undefined;
  const title = titleOf(workflow.type, summary, tasks, streaming, host);
  const body = tasks.length > 0 ? html`<ol class="tasks">${tasks.map((it) => html`<li>${taskView(it, host)}</li>`)}</ol>` : nothing;
  const head = html`<span class="workflow-icon">${icon(name ?? "sparkle")}</span><span class="workflow-title ${streaming ? "shimmer" : ""}" dir="auto">${title}</span>`;
  if (tasks.length === 0) return html`<article class="item workflow" aria-label=${host.t.work}><p class="workflow-head">${head}</p></article>`;
  // What the reader opened or closed stays so.
  const open = workflow.expanded === true || (streaming && workflow.type !== "reasoning");
  return html`<article class="item workflow" aria-label=${host.t.work}>
    <details ?open=${touched ? noChange : open}>
      <summary class="workflow-head" @click=${touch}>${head}<span class="chevron">${icon("chevron-right")}</span></summary>
      ${body}
    </details>
  </article>`;
}

function titleOf(type: string, summary: WorkflowItem["workflow"]["summary"], tasks: Task[], streaming: boolean, { t, locale }: ItemHost): string {
  if (summary && "title" in summary && summary.title) return summary.title;
  if (summary && "duration" in summary && typeof summary.duration === "number") {
    const time = summary.duration > 0 ? duration(summary.duration, locale) : t.moment;
    return type === "reasoning" ? t.thought(time) : t.worked(time);
  }
  if (type === "reasoning") return streaming ? t.thinking : t.thoughts;
  return tasks.findLast((it) => it.title)?.title ?? (streaming ? t.working : t.steps);
}

/** Seconds in words of the locale: `75` is `1 min 15 sec`. */
export function duration(seconds: number, locale: string): string {
  const whole = Math.round(seconds);
  const parts = ([[Math.floor(whole / 3600), "hour"], [Math.floor(whole / 60) % 60, "minute"], [whole % 60, "second"]] as const).filter(([count]) => count > 0).slice(0, 2);
  return parts.map(([count, unit]) => new Intl.NumberFormat(locale, { style: "unit", unit, unitDisplay: "short" }).format(count)).join(" ");
}

const ICONS: Record<string, string> = { web_search: "globe", file: "document", image: "square-image", thought: "lightbulb" };

export function taskView(task: Task, host: ItemHost): TemplateResult {
  const { t } = host;
  const kinds: Record<string, string> = { web_search: t.searchedWeb, file: t.readFiles, image: t.madeImage };
  const status = task.status_indicator ?? "none";
  const own = task.type === "custom" ? task.icon : ICONS[task.type];
  const title = task.title ?? kinds[task.type];
  const query = task.type === "web_search" && task.title_query && task.title_query !== title ? task.title_query : undefined;
  const content = task.type === "custom" || task.type === "thought" ? task.content : undefined;
  const queries = task.type === "web_search" ? (task.queries ?? []) : [];
  const sources: Source[] = task.type === "web_search" || task.type === "file" ? (task.sources ?? []) : [];
  return html`<div class="task is-${status}">
    <span class="task-mark">${status === "loading" ? html`<span class="spinner"></span>` : own ? icon(own) : status === "complete" ? icon("check") : html`<span class="dot"></span>`}
      ${status === "none" ? nothing : html`<span class="sr-only">${status === "loading" ? t.inProgress : t.done}</span>`}</span>
    <div class="task-body">
      ${title || query ? html`<p class="task-title" dir="auto"><span class=${status === "loading" ? "shimmer" : ""}>${title}</span>${query ? html`<span class="muted"> “${query}”</span>` : nothing}${status === "complete" && own ? html`<span class="task-done">${icon("check")}</span>` : nothing}</p>` : nothing}
      ${content ? html`<div class="markdown" ${markdown(content, host.markdown)}></div>` : nothing}
      ${queries.length > 0 ? html`<p class="queries">${queries.map((it) => html`<span class="query" dir="auto">${icon("search")}${it}</span>`)}</p>` : nothing}
      ${sources.length > 0 ? html`<ul class="task-sources">${sources.map((it) => html`<li>${sourceLine(it)}</li>`)}</ul>` : nothing}
    </div>
  </div>`;
}
