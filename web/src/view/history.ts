/** The list of conversations: titles, rename, delete. */
import { LitElement, type TemplateResult, html, nothing } from "lit";
import { repeat } from "lit/directives/repeat.js";
import { icon } from "../icons";
import type { WayIn } from "../login";
import type { Thread } from "../protocol";
import type { Strings } from "../strings";
import type { ThreadList } from "../threads";
import { plainName } from "../uploads";

export interface HistoryHost {
  t: Strings;
  list: ThreadList;
  brand?: string;
  /** Who is signed in and the way out, or the way in. */
  account?: Account;
  /** Conversations whose turn runs. */
  running: Set<string>;
  open(id: string | undefined): void;
  rename(thread: Thread, title: string): Promise<void>;
  remove?: (thread: Thread) => void;
  renames: boolean;
  more(): Promise<void>;
  close(): void;
}

/** With a name who it is and the way out, else the way in. */
export type Account = { name?: undefined; email?: undefined; way: WayIn } | { name: string; email?: string; leave: () => void };

export class ChatHistory extends LitElement {
  static override properties = { host: { attribute: false }, openId: { attribute: false }, revision: { attribute: false }, docked: { attribute: false } };
  declare host: HistoryHost;
  declare openId: string | undefined;
  declare revision: number;
  declare docked: boolean;
  #renaming?: string;

  override createRenderRoot(): HTMLElement {
    return this;
  }

  override focus(): void {
    this.querySelector<HTMLElement>("button, a")?.focus();
  }

  protected override render(): unknown {
    if (!this.host) return nothing;
    const { t, list } = this.host;
    const rows: { age: string; thread: Thread }[] = list.all.map((thread) => ({ age: ageOf(thread, t), thread }));
    return html`
      <div class="history-head">
        ${this.host.brand ? html`<span class="brand">${this.host.brand}</span>` : html`<h2>${t.conversations}</h2>`}
        <button type="button" class="icon-button" aria-label=${t.closeConversations} title=${t.closeConversations} @click=${() => this.host.close()}>${icon(this.docked ? "sidebar-collapse-left" : "close")}</button>
      </div>
      <button type="button" class="new-chat" @click=${() => this.host.open(undefined)}>${icon("compose")}<span>${t.newChat}</span></button>
      <nav aria-label=${t.conversations}>
        ${rows.length === 0 && list.loaded ? html`<p class="none">${t.noConversations}</p>` : nothing}
        ${repeat(rows, (it) => it.thread.id, ({ age, thread }, index) => html`${age !== rows[index - 1]?.age ? html`<h3 class="age">${age}</h3>` : nothing}${this.#row(thread)}`)}
        ${list.hasMore ? html`<button type="button" class="button quiet more" @click=${() => void this.host.more()}>${t.showMore}</button>` : nothing}
      </nav>
      ${this.#account(this.host)}
    `;
  }

  #account({ account, t }: HistoryHost): TemplateResult | typeof nothing {
    if (!account) return nothing;
    return html`<div class="account">
      <bdi title=${account.email ?? nothing}>${account.name ?? t.notSignedIn}</bdi>
      ${"way" in account
        ? html`<a class="button" href=${account.way.href} target=${account.way.target ?? nothing} rel="noopener">${t.signInNow}</a>`
        : html`<button type="button" class="button quiet" @click=${account.leave}>${t.signOut}</button>`}
    </div>`;
  }

  #row(thread: Thread): TemplateResult {
    const { t } = this.host;
    const title = plainName(thread.title || t.newChat);
    const open = thread.id === this.openId;
    if (this.#renaming === thread.id) return this.#form(thread);
    return html`<div class="thread ${open ? "open" : ""}">
      <button type="button" class="thread-title" title=${title} aria-current=${open ? "page" : nothing} @click=${() => this.host.open(thread.id)}><bdi>${title}</bdi>${this.host.running.has(thread.id) ? html`<span class="pulse"></span>` : nothing}</button>
      ${this.host.renames ? html`<button type="button" class="icon-button small" aria-label=${t.rename(title)} title=${t.rename(title)} @click=${() => this.#rename(thread.id)}>${icon("write")}</button>` : nothing}
      ${this.host.remove ? html`<button type="button" class="icon-button small" aria-label=${t.remove(title)} title=${t.remove(title)} @click=${() => this.host.remove?.(thread)}>${icon("delete")}</button>` : nothing}
    </div>`;
  }

  #form(thread: Thread): TemplateResult {
    const { t } = this.host;
    const leave = (): void => {
      if (this.#renaming !== thread.id) return;
      this.#renaming = undefined;
      this.requestUpdate();
    };
    const save = async (event: Event): Promise<void> => {
      event.preventDefault();
      const field = (event.currentTarget as HTMLFormElement).querySelector("input");
      const title = field?.value.trim() ?? "";
      leave();
      if (title !== "" && title !== thread.title) await this.host.rename(thread, title);
      await this.updateComplete;
      this.querySelector<HTMLElement>(".thread.open .thread-title")?.focus();
    };
    return html`<form class="thread rename" @submit=${save}
      @keydown=${(event: KeyboardEvent) => { if (event.key === "Escape") { event.stopPropagation(); event.preventDefault(); leave(); } }}
      @focusout=${(event: FocusEvent) => { if (!(event.currentTarget as Node).contains(event.relatedTarget as Node | null)) leave(); }}>
      <input type="text" class="field" maxlength="200" dir="auto" aria-label=${t.title} .defaultValue=${thread.title ?? ""}>
      <button type="submit" class="icon-button small" aria-label=${t.save} title=${t.save}>${icon("check")}</button>
    </form>`;
  }

  #rename(id: string): void {
    this.#renaming = id;
    this.requestUpdate();
    void this.updateComplete.then(() => {
      const field = this.querySelector<HTMLInputElement>(".rename input");
      field?.focus();
      field?.select();
    });
  }
}

function ageOf({ created_at: created }: Thread, t: Strings): string {
  const midnight = new Date().setHours(0, 0, 0, 0);
  const time = Date.parse(created);
  const day = 86_400_000;
  if (!(time < midnight)) return t.today;
  if (time >= midnight - day) return t.yesterday;
  return time >= midnight - 7 * day ? t.lastWeek : t.earlier;
}
