/** What stands around the messages: header, start screen, transcript, the question before something is deleted. */
import { type TemplateResult, html, nothing } from "lit";
import { repeat } from "lit/directives/repeat.js";
import type { Conversation } from "../conversation";
import { icon } from "../icons";
import { markdown } from "../markdown";
import type { ChatOptions, StartPrompt } from "../options";
import type { StructuredInputItem } from "../protocol";
import { type Entry, type ThreadState, textOf } from "../reducer";
import type { Strings } from "../strings";
import type { ItemHost } from "./host";

export interface HeaderState {
  options: ChatOptions["header"];
  t: Strings;
  title: string | undefined;
  level: number;
  /** How the list of conversations is opened from here, where it is not in sight. */
  history?: { icon: string; open: boolean; toggle: () => void };
  newChat?: () => void;
}

export function headerView({ options, t, title, level, history, newChat }: HeaderState): TemplateResult | typeof nothing {
  if (options?.enabled === false) return nothing;
  const action = (it: NonNullable<typeof options>["leftAction"]): TemplateResult | typeof nothing =>
    it ? html`<button type="button" class="icon-button" aria-label=${it.label ?? it.icon} title=${it.label ?? nothing} @click=${() => it.onClick()}>${icon(it.icon)}${it.badge ? html`<span class="badge" aria-hidden="true">${it.badge}</span>` : nothing}</button>` : nothing;
  return html`<header class="bar">
    ${action(options?.leftAction)}
    ${history ? html`<button type="button" class="icon-button open-history" aria-label=${t.conversations} title=${t.conversations} aria-expanded=${history.open} @click=${history.toggle}>${icon(history.icon)}</button>` : nothing}
    ${options?.title?.enabled === false || !title ? html`<span class="space"></span>` : html`<div class="title" role="heading" aria-level=${level}><bdi>${title}</bdi></div>`}
    ${newChat ? html`<button type="button" class="icon-button" aria-label=${t.newChat} title=${t.newChat} @click=${newChat}>${icon("compose")}</button>` : nothing}
    ${action(options?.rightAction)}
  </header>`;
}

export function startView(greeting: string, prompts: StartPrompt[], note: string | undefined, level: number, use: (prompt: string) => void, { t, markdown: context }: ItemHost): TemplateResult {
  return html`<section class="start">
    <slot name="logo"></slot>
    <p class="greeting" role="heading" aria-level=${level} dir="auto">${greeting}</p>
    ${prompts.length > 0 ? html`<ul class="prompts" aria-label=${t.startPrompts}>${prompts.slice(0, 12).map((it) => html`<li><button type="button" @click=${() => use(it.prompt)}>${icon(it.icon ?? "sparkle")}<span dir="auto">${it.label}</span></button></li>`)}</ul>` : nothing}
    ${note ? html`<div class="note markdown" ${markdown(note, context)}></div>` : nothing}
  </section>`;
}

/** All but the questions that the composer asks. */
export function transcriptView(conversation: Conversation, question: StructuredInputItem | undefined, earlier: () => void, host: ItemHost): TemplateResult {
  const { t } = host;
  const { state, loading, running } = conversation;
  const entries = question ? state.entries.filter((it) => it.key !== question.id) : state.entries;
  const ends = endsOf(entries, running);
  const last = entries.findLast((it) => it.item && it.item.type !== "end_of_turn" && !it.hidden)?.key;
  return html`
    ${conversation.hasEarlier ? html`<button type="button" class="button quiet earlier" @click=${earlier}>${t.loadEarlier}</button>` : nothing}
    <div class="transcript" role="log" aria-live="off" aria-label=${t.messages} aria-busy=${loading}>
      ${repeat(entries, (it: Entry) => it.key, (it: Entry) => html`<kitfox-chat-item .entry=${it} .host=${host} .last=${it.key === last} .ends=${ends.has(it.key)}></kitfox-chat-item>`)}
      ${loading && entries.length === 0 ? html`<div class="skeleton" aria-hidden="true"><i></i><i></i><i></i><i></i></div>` : nothing}
      ${running ? workingView(conversation, t) : nothing}
    </div>`;
}

function workingView({ waiting, state: { progress, entries } }: Conversation, t: Strings): TemplateResult | typeof nothing {
  const last = entries.at(-1);
  const streams = last?.streaming === true && (last.item?.type !== "assistant_message" || textOf(last.item) !== "") && last.item?.type !== "widget";
  if (!waiting && !progress && streams) return nothing;
  const text = waiting ? t.busy(waiting.attempt, waiting.repeats) : (progress?.text ?? t.thinking);
  return html`<p class="working">${progress?.icon && !waiting ? icon(progress.icon) : html`<span class="pulse"></span>`}<span class="shimmer" dir="auto">${text}</span></p>`;
}

/** The last of what the assistant said in each turn: what is done with a message is done there. */
function endsOf(entries: readonly Entry[], running: boolean): Set<string> {
  const ends = new Set<string>();
  let last: string | undefined;
  for (const { key, item, hidden } of entries) {
    if (hidden) continue;
    if (item?.type === "user_message") {
      if (last !== undefined) ends.add(last);
      last = undefined;
    } else if (item?.type === "assistant_message" || (item?.type === "widget" && item.copy_text)) {
      last = key;
    }
  }
  if (last !== undefined && !running) ends.add(last);
  return ends;
}

/** Whether nothing was said after the questions. */
export function isLatest({ entries }: ThreadState, id: string): boolean {
  const index = entries.findIndex((it) => it.key === id);
  return entries.slice(index + 1).every((it) => it.item?.type !== "user_message");
}

export function confirmView(title: string, t: Strings, close: () => void, remove: () => void): TemplateResult {
  return html`<dialog class="confirm" aria-labelledby="confirm-title" @close=${close} @click=${(event: Event) => { if (event.target === event.currentTarget) close(); }}>
    <h2 id="confirm-title">${t.deleteQuestion}</h2>
    <p>${t.deleteText(title)}</p>
    <div class="card-row"><button type="button" class="button" autofocus @click=${close}>${t.keep}</button><button type="button" class="button danger" @click=${remove}>${t.delete}</button></div>
  </dialog>`;
}
