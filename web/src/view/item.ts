/** One line of the transcript, drawn again only when it changed. */
import { LitElement, type PropertyValues, type TemplateResult, html, nothing } from "lit";
import { type Citation, citationsOf, withCitations } from "../citations";
import { icon } from "../icons";
import { safeLink } from "../links";
import { copyText, markdown } from "../markdown";
import type { AssistantMessageItem, Attachment, FeedbackKind, GeneratedImageItem, Item, UserMessageItem, WidgetItem } from "../protocol";
import { type Entry, type Passing, textOf } from "../reducer";
import { plainName } from "../uploads";
import { renderWidget } from "../widgets/index";
import { callView, questionsView } from "./asks";
import type { ItemHost } from "./host";
import { sourceLine } from "./source";
import { taskView, workflowView } from "./work";

/** Longer messages of the user are folded, so that one paste does not fill the transcript. */
const FOLDED = { characters: 1500, lines: 16 };
/** Of a message of a megabyte, this much is shown even when it is unfolded. */
const LONGEST = 100_000;

export class ChatItem extends LitElement {
  static override properties = { entry: { attribute: false }, host: { attribute: false }, last: { attribute: false }, ends: { attribute: false } };
  declare entry: Entry;
  declare host: ItemHost;
  declare last: boolean;
  /** Whether it is the last that was said in its turn. */
  declare ends: boolean;
  #rated?: FeedbackKind;
  #copied = false;
  #unfolded = false;
  #touched = false;

  override createRenderRoot(): HTMLElement {
    return this;
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("entry")) this.toggleAttribute("data-streaming", this.entry.streaming === true);
    if (changed.has("last")) this.toggleAttribute("data-last", this.last);
  }

  protected override render(): unknown {
    const { entry } = this;
    if (entry.hidden) return nothing;
    try {
      return entry.item ? this.#item(entry.item) : entry.passing ? this.#passing(entry.passing) : nothing;
    } catch (err) {
      // One item that is not as it should be hides none of the others.
      console.error(err);
      return html`<p class="placeholder">${icon("unknown")}${this.host.t.brokenItem}</p>`;
    }
  }

  #item(item: Item): unknown {
    const { host, entry } = this;
    switch (item.type) {
      case "user_message":
        return this.#userMessage(item);
      case "assistant_message":
        return this.#assistantMessage(item);
      case "workflow":
        return workflowView(item, entry.streaming === true, this.#touched, () => { this.#touched = true; }, host);
      case "task":
        return html`<article class="item task-item" aria-label=${host.t.work}>${taskView(item.task, host)}</article>`;
      case "widget":
        return this.#widget(item);
      case "generated_image":
        return this.#image(item);
      case "structured_input":
        return questionsView(item, host);
      case "client_tool_call":
        return callView(item, this.last, host);
      case "end_of_turn":
        return nothing;
      default:
        return html`<p class="placeholder">${icon("unknown")}${host.t.unknownItem(String((item as { type: unknown }).type))}</p>`;
    }
  }

  // Messages

  #userMessage(item: UserMessageItem): TemplateResult {
    const { host, entry } = this;
    const { t } = host;
    const text = textOf(item);
    const folds = text.length > FOLDED.characters || text.split("\n", FOLDED.lines + 1).length > FOLDED.lines;
    let left = this.#unfolded ? LONGEST : folds ? FOLDED.characters * 2 : LONGEST;
    const content = (item.content ?? []).map((part) => {
      if (part.type !== "input_tag") {
        const piece = (part.text ?? "").slice(0, Math.max(left, 0));
        left -= piece.length;
        return piece;
      }
      const title = plainName(part.text);
      return part.interactive
        ? html`<button type="button" class="tag" @click=${(event: Event) => host.entity(part, "click", event.currentTarget as HTMLElement)} @pointerenter=${(event: Event) => host.entity(part, "enter", event.currentTarget as HTMLElement)} @pointerleave=${(event: Event) => host.entity(part, "leave", event.currentTarget as HTMLElement)}><bdi>${title}</bdi></button>`
        : html`<span class="tag"><bdi>${title}</bdi></span>`;
    });
    const attachments = item.attachments ?? [];
    return html`<article class="item user ${entry.pending ? "pending" : ""}" aria-label=${t.you}>
      ${attachments.length > 0 ? html`<div class="attachments">${attachments.map((it) => this.#attachment(it))}</div>` : nothing}
      ${text !== "" || item.quoted_text ? html`<div class="bubble">
        ${item.quoted_text ? html`<blockquote class="quote" dir="auto">${item.quoted_text.slice(0, 600)}</blockquote>` : nothing}
        <div class="words ${folds && !this.#unfolded ? "folded" : ""}" dir="auto">${content}${left <= 0 && this.#unfolded ? "…" : nothing}</div>
        ${folds ? html`<button type="button" class="fold" aria-expanded=${this.#unfolded} @click=${() => { this.#unfolded = !this.#unfolded; this.requestUpdate(); }}>${this.#unfolded ? t.showLess : t.showAll}</button>` : nothing}
      </div>` : nothing}
    </article>`;
  }

  #attachment(attachment: Attachment): TemplateResult {
    const name = plainName(attachment.name);
    const src = attachment.type === "image" ? this.host.preview(attachment) : undefined;
    if (!src) return html`<span class="file">${icon("document")}<bdi class="file-name" title=${name}>${name}</bdi></span>`;
    return html`<img class="preview" src=${src} alt=${name} title=${name} loading="lazy" @error=${(event: Event) => (event.target as HTMLElement).classList.add("broken")}>`;
  }

  #assistantMessage(item: AssistantMessageItem): TemplateResult {
    const { host, entry } = this;
    const { t } = host;
    const parts = (item.content ?? []).filter((it) => it);
    const citations = citationsOf(parts.flatMap((it) => it.annotations ?? []));
    const streaming = entry.streaming === true;
    return html`<article class="item assistant" aria-label=${t.assistant}>
      ${parts.map((part) => html`<div class="markdown" ${markdown(withCitations(part.text ?? "", part.annotations ?? [], citations), host.markdown, { streaming, citations })}></div>`)}
      ${!streaming && citations.length > 0 ? this.#sources(citations) : nothing}
      ${entry.stopped ? html`<p class="stopped">${t.stoppedHere}</p>` : nothing}
      ${this.ends ? this.#bar(item) : nothing}
    </article>`;
  }

  #sources(citations: Citation[]): TemplateResult {
    return html`<details class="sources">
      <summary>${icon("quote")}<span>${this.host.t.sources}</span><span class="count">${citations.length}</span></summary>
      <ol>${citations.map(({ source, number }) => html`<li>${sourceLine(source, source.type === "entity" ? undefined : number)}</li>`)}</ol>
    </details>`;
  }

  /** What can be done with a message. */
  #bar(item: Item): TemplateResult | typeof nothing {
    const { t, feedback, retry } = this.host;
    const text = textOf(item);
    const button = (name: string, label: string, act: () => void, pressed?: boolean): TemplateResult =>
      html`<button type="button" class="icon-button small" title=${label} aria-label=${label} aria-pressed=${pressed ?? nothing} @click=${act}>${icon(name)}</button>`;
    const rates = feedback && item.type === "assistant_message";
    return html`<div class="item-bar">
      ${text === "" ? nothing : button(this.#copied ? "check" : "copy", this.#copied ? t.copied : t.copy, () => void this.#copy(text))}
      ${rates ? [button("good", t.goodAnswer, () => void this.#rate("positive"), this.#rated === "positive"), button("bad", t.badAnswer, () => void this.#rate("negative"), this.#rated === "negative")] : nothing}
      ${retry && item.type === "assistant_message" ? button("retry", t.answerAgain, () => this.host.again(this.entry.key)) : nothing}
    </div>`;
  }

  async #copy(text: string): Promise<void> {
    if (!(await copyText(text))) return;
    this.#copied = true;
    this.requestUpdate();
    setTimeout(() => {
      this.#copied = false;
      this.requestUpdate();
    }, 1600);
  }

  async #rate(kind: FeedbackKind): Promise<void> {
    const { item } = this.entry;
    if (!item || this.#rated === kind || !(await this.host.rate(item, kind))) return;
    this.#rated = kind;
    this.requestUpdate();
  }

  // Other items

  #widget(item: WidgetItem): TemplateResult {
    return html`<article class="item widget" aria-label=${this.host.t.assistant}>
      ${renderWidget(item.widget, this.host.widgets, { id: item.id })}
      ${item.copy_text && this.ends ? this.#bar(item) : nothing}
    </article>`;
  }

  #image({ image, progress }: GeneratedImageItem): TemplateResult {
    const { t } = this.host;
    const { streaming } = this.entry;
    const src = image && this.host.image(image.url);
    const href = safeLink(image?.url);
    const known = typeof progress === "number" && Number.isFinite(progress);
    return html`<article class="item image" aria-label=${t.generatedImage} aria-busy=${streaming === true}>
      <div class="picture ${streaming ? "growing" : ""}">
        ${src
          ? html`<img src=${src} alt=${t.generatedImage} referrerpolicy="no-referrer" loading="lazy" @error=${(event: Event) => (event.target as HTMLElement).classList.add("broken")}>`
          : html`<p class="picture-text">${icon("square-image")}<span>${image ? t.imageBlocked : streaming ? t.generatingImage : t.noImage}</span>${href ? html`<a href=${href} target="_blank" rel="noopener noreferrer nofollow">${t.openIt}</a>` : nothing}</p>`}
        ${streaming ? html`<progress max="1" .value=${known ? Math.min(Math.max(progress, 0), 1) : 0} ?data-unknown=${!known} aria-label=${t.imageProgress}></progress>` : nothing}
      </div>
    </article>`;
  }

  #passing(passing: Passing): TemplateResult {
    const { host } = this;
    const { t } = host;
    if (passing.type === "effect") {
      const data = JSON.stringify(passing.data);
      return html`<p class="effect">${icon("bolt")}<span>${t.effect} <code>${passing.name}</code> ${data === "{}" ? nothing : html`<span class="muted">${data.slice(0, 300)}</span>`}</span></p>`;
    }
    const error = passing.type === "error" ? passing : undefined;
    const level = passing.type === "notice" ? passing.level : passing.reason === "stopped" ? "info" : "danger";
    const message = error?.reason === "stopped" ? t.stoppedEarly : error?.reason === "cut" ? t.cut : passing.message || t.wentWrong;
    return html`<div class="card ${level}" role=${level === "danger" ? "alert" : "status"}>
      ${icon(level === "info" ? "info" : level === "warning" ? "warning" : "alert")}
      <div class="card-body">
        ${passing.type === "notice" && passing.title ? html`<strong dir="auto">${passing.title}</strong>` : nothing}
        <div class="markdown" ${markdown(message, host.markdown)}></div>
        ${error && (error.retry || error.reason === "cut") ? html`<div class="card-row">
          ${error.retry ? html`<button type="button" class="button" @click=${() => host.again(this.entry.key)}>${icon("retry")}${t.tryAgain}</button>` : nothing}
          ${error.reason === "cut" ? html`<button type="button" class="button quiet" @click=${() => host.reload()}>${t.loadAgain}</button>` : nothing}
        </div>` : nothing}
      </div>
      <button type="button" class="icon-button small" aria-label=${t.dismiss} title=${t.dismiss} @click=${() => host.dismiss(this.entry.key)}>${icon("close")}</button>
    </div>`;
  }
}
