/** Items that wait for the user, or for the page around the chat. Questions that are open are asked by the composer. */
import { type TemplateResult, html, nothing } from "lit";
import { icon } from "../icons";
import type { ClientToolCallItem, StructuredInputItem } from "../protocol";
import type { ItemHost } from "./host";

export function questionsView(item: StructuredInputItem, host: ItemHost): TemplateResult {
  const { t } = host;
  const questions = item.inputs ?? [];
  if (item.status === "pending") {
    return html`<article class="item asked" aria-label=${t.questions}>
      <ul class="asked-list">${questions.map((it) => html`<li dir="auto">${it.question}</li>`)}</ul>
      <button type="button" class="button" @click=${() => host.ask(item)}>${icon("circle-question")}${t.answerQuestions}</button>
    </article>`;
  }
  return html`<article class="item asked" aria-label=${t.questions}>
    <dl class="answers">${questions.map(({ question, answer }) => {
      const values = answer?.skipped ? [] : (answer?.values ?? []);
      return html`<div><dt dir="auto">${question}</dt><dd dir="auto">${values.length > 0 ? values.join(", ") : html`<span class="muted">${t.skipped}</span>`}</dd></div>`;
    })}</dl>
  </article>`;
}

export function callView(item: ClientToolCallItem, last: boolean, host: ItemHost): TemplateResult {
  const { t } = host;
  const name = html`<code>${item.name}</code>`;
  const words = (sentence: (name: string) => string): unknown[] => {
    const [before, after] = sentence("\0").split("\0");
    return [before, name, after];
  };
  if (item.status !== "pending") {
    return html`<article class="item call" aria-label=${t.pageRan(item.name)}>
      <details><summary>${icon("desktop")}<span>${words(t.pageRan)}</span><span class="chevron">${icon("chevron-right")}</span></summary>
        <pre class="json" tabindex="0" dir="ltr">${pretty(item.arguments)}</pre>
        <pre class="json" tabindex="0" dir="ltr">${pretty(item.output)}</pre>
      </details>
    </article>`;
  }
  return html`<article class="item call pending" aria-label=${t.pageAsked(item.name)}>
    <p class="call-head">${icon("desktop")}<span>${words(t.pageAsked)}</span></p>
    <pre class="json" tabindex="0" dir="ltr">${pretty(item.arguments)}</pre>
    ${last ? (host.hasTools ? html`<div class="card-row"><button type="button" class="button primary" @click=${() => void host.runCall(item)}>${t.runIt}</button></div>` : form(item, host)) : nothing}
  </article>`;
}

/** There is no such tool in the page: a person answers in its place. */
function form(item: ClientToolCallItem, host: ItemHost): TemplateResult {
  const { t } = host;
  const send = (event: SubmitEvent): void => {
    event.preventDefault();
    const target = event.currentTarget as HTMLFormElement;
    const field = target.querySelector("textarea");
    if (!field) return;
    let output: unknown;
    try {
      output = JSON.parse(field.value);
    } catch (err) {
      field.setCustomValidity(t.notJson(err instanceof Error ? err.message : ""));
      field.reportValidity();
      return;
    }
    target.inert = true;
    void host.answerCall(item, output).finally(() => { target.inert = false; });
  };
  return html`<form class="call-form" @submit=${send}>
    <p class="muted">${t.answerForPage}</p>
    <textarea class="field mono" rows="3" spellcheck="false" dir="ltr" aria-label=${t.outputAsJson} .defaultValue=${"{}"} @input=${(event: Event) => (event.target as HTMLTextAreaElement).setCustomValidity("")}></textarea>
    <div class="card-row">
      <button type="submit" class="button primary">${t.answer}</button>
      <button type="button" class="button quiet" @click=${() => void host.answerCall(item, { error: t.toolFailed })}>${t.fail}</button>
    </div>
  </form>`;
}

function pretty(value: unknown): string {
  try {
    return (JSON.stringify(value, null, 2) ?? "…").slice(0, 20_000);
  } catch {
    return "…";
  }
}
