/** The parts of the project panel. */
import { type TemplateResult, html, nothing, svg } from "lit";
import { repeat } from "lit/directives/repeat.js";
import { styles } from "../styles";
import { type Agent, type Generation, type Hint, type LoadError, type McpServer, type Plugin, type Step, type Tool, type Turn, duration, pretty } from "./project";

type Shown = TemplateResult | typeof nothing;

const icon = (path: string): TemplateResult => html`<svg viewBox="0 0 24 24" aria-hidden="true">${svg`<path d=${path}></path>`}</svg>`;
export const close = (): TemplateResult => icon("m6 6 12 12M18 6 6 18");
const modelIcon = (): TemplateResult => icon("M12 3c.8 5.4 3.6 8.2 9 9-5.4.8-8.2 3.6-9 9-.8-5.4-3.6-8.2-9-9 5.4-.8 8.2-3.6 9-9Z");
const toolIcon = (): TemplateResult => icon("M14.7 6.3a4.5 4.5 0 0 1 5.6-1.6l-3 3 1 2 2 1 3-3a4.5 4.5 0 0 1-6.4 5L8.5 21 3 15.5l8.4-8.4");
const copyIcon = (): TemplateResult => icon("M9 9h11v11H9zM5 15H4V4h11v1");

/** Text in which `this` is code. */
function ticks(text = ""): unknown {
  return text.split("`").map((part, index, parts) => (index % 2 === 1 && index < parts.length - 1 ? html`<code>${part}</code>` : part));
}

export function section(title: string, entries: readonly unknown[], empty: string): TemplateResult {
  return html`<section><h3>${title}${entries.length > 0 ? html`<span class="count">${entries.length}</span>` : nothing}</h3>
    <div class="list">${entries.length > 0 ? entries : html`<div class="entry muted">${empty}</div>`}</div></section>`;
}

export function errorView({ file, line, column, message, remedy }: LoadError): TemplateResult {
  const place = [file, line, line && column].filter(Boolean).join(":");
  return html`<div class="error">${place ? html`<code class="place">${place}</code>` : nothing}<p>${ticks(message)}</p>${remedy ? html`<p class="remedy">${ticks(remedy)}</p>` : nothing}</div>`;
}

export function agentView({ id, name, model, path }: Agent, { default_agent }: Generation, fresh: boolean): TemplateResult {
  return html`<div class="entry ${fresh ? "fresh" : ""}"><span class="name">${name ?? id}</span>${id === default_agent ? html`<span class="tag">default</span>` : nothing}
    <span class="about">${model === undefined || model === "default" ? "" : model}</span><span class="path">${path ?? "built in"}</span></div>`;
}

export function toolView({ name, description, parameters, examples = [], origin, approval }: Tool, fresh: boolean, say: (text: string) => void): TemplateResult {
  const [example] = examples;
  return html`<details class=${fresh ? "fresh" : ""}><summary><code class="name">${name}</code><span class="about">${description}</span>
      ${approval && approval !== "never" ? html`<span class="tag">asks first</span>` : nothing}</summary>
    <div class="fold">${description ? html`<p>${description}</p>` : nothing}${parametersView(parameters)}
      ${example === undefined ? nothing : html`<button class="try" @click=${() => { say(example); }}>Try: “${example}”</button>`}
      ${origin ? html`<span class="path">${origin}</span>` : nothing}</div></details>`;
}

function parametersView(schema: Record<string, unknown> | undefined): Shown {
  const properties = Object.entries((schema?.properties ?? {}) as Record<string, Record<string, unknown> | undefined>);
  if (properties.length === 0) return nothing;
  const required = Array.isArray(schema?.required) ? schema.required : [];
  return html`<dl>${properties.map(([name, it]) => html`<div><dt><code>${name}</code> <span class="muted">${typeOf(it)}${required.includes(name) ? "" : ", optional"}</span></dt>
    ${typeof it?.description === "string" ? html`<dd>${it.description}</dd>` : nothing}</div>`)}</dl>`;
}

function typeOf(schema: Record<string, unknown> | undefined): string {
  if (Array.isArray(schema?.enum)) return schema.enum.map((it) => JSON.stringify(it)).join(" | ");
  return [schema?.type ?? "any"].flat().join(" | ");
}

export function pluginView({ name, path, version, description, approved, permissions, requested }: Plugin, fresh: boolean): TemplateResult {
  const granted = JSON.stringify(permissions ?? {}, null, 2);
  const asked = JSON.stringify(requested ?? {}, null, 2);
  return html`<details class=${fresh ? "fresh" : ""}><summary><span class="name">${name}</span>${version ? html`<span class="muted">${version}</span>` : nothing}
      <span class="about">${description ?? ""}</span>${approved === false ? html`<span class="tag bad">waits for approval</span>` : nothing}</summary>
    <div class="fold"><span class="path">${path}</span>
      ${granted === "{}" ? html`<p class="muted">It may reach nothing outside.</p>` : html`<div><h3 class="small">May reach</h3><pre tabindex="0">${granted}</pre></div>`}
      ${asked === granted || asked === "{}" ? nothing : html`<div><h3 class="small">Asks for</h3><pre tabindex="0">${asked}</pre></div>`}
      ${approved === false ? html`<p><code>kitfox plugins approve ${name}</code></p>` : nothing}</div></details>`;
}

export function serverView(server: McpServer, fresh: boolean): TemplateResult {
  const { id, state = "", reason, tools = [], changed = [] } = server;
  return html`<details class=${fresh ? "fresh" : ""}><summary><span class="name">${id}</span><span class="tag ${state === "ready" ? "ready" : reason ? "bad" : ""}">${state.replace(/_/g, " ")}</span>
      <span class="about">${reason ?? `${tools.length} ${tools.length === 1 ? "tool" : "tools"}`}</span>${changed.length > 0 ? html`<span class="tag bad">tools changed</span>` : nothing}</summary>
    <div class="fold">${reason ? html`<p>${ticks(reason)}</p>` : nothing}<pre tabindex="0">${JSON.stringify(server, null, 2)}</pre></div></details>`;
}

// Turns

const STATES: Record<Turn["state"], string> = { running: "running…", done: "done", cancelled: "stopped", failed: "failed" };

export function turnView(turn: Turn): TemplateResult {
  const steps = turn.steps ?? [];
  const ends = steps.map((it) => it.at + it.milliseconds);
  const whole = Math.max(turn.milliseconds ?? 0, ...ends, 1);
  const time = new Date(turn.started_at);
  return html`<article class="turn" aria-label="Turn of ${turn.agent}">
    <div class="turn-head"><span class="name">${turn.cause}</span><span class="tag ${turn.state}">${STATES[turn.state]}</span>
      <span class="muted num">${Number.isNaN(time.getTime()) ? "" : time.toLocaleTimeString()}</span><span class="grow"></span>
      ${turn.milliseconds === undefined ? nothing : html`<span class="num">${duration(turn.milliseconds)}</span>`}
      ${turn.input_tokens + turn.output_tokens > 0 ? html`<span class="muted num" title="tokens in and out">${turn.input_tokens} → ${turn.output_tokens} tokens</span>` : nothing}</div>
    ${turn.error ? html`<div class="error"><p>${turn.error}</p></div>` : nothing}
    ${repeat(steps, (it) => it.step, (it) => stepView(it, whole))}
  </article>`;
}

function stepView(step: Step, whole: number): TemplateResult {
  const left = (step.at / whole) * 100;
  const width = (step.milliseconds / whole) * 100;
  const name = step.kind === "model" ? step.model : step.tool;
  const first = step.kind === "model" ? step.first : undefined;
  const wait = first === undefined || step.milliseconds === 0 ? 0 : Math.min(first / step.milliseconds, 1) * width;
  const bar = (class_: string, from: number, size: number): TemplateResult =>
    html`<i class=${class_} ${styles({ "inset-inline-start": `${from.toFixed(2)}%`, width: `${Math.max(size, 0).toFixed(2)}%` })}></i>`;
  return html`<details class="step ${step.kind} ${step.failed ? "failed" : ""}"><summary>
      ${step.kind === "model" ? modelIcon() : toolIcon()}<span class="name" title=${name}>${name}</span>
      <span class="track" aria-hidden="true">${wait > 0 ? bar("wait", left, wait) : nothing}${bar("", left + wait, width - wait)}</span>
      <span class="num">${duration(step.milliseconds)}</span></summary>
    <div class="fold">${step.kind === "model" ? modelView(step) : toolStepView(step)}</div></details>`;
}

function modelView(step: Extract<Step, { kind: "model" }>): TemplateResult {
  return html`<div class="pairs"><span><b>${step.input_tokens}</b> tokens in</span><span><b>${step.output_tokens}</b> out</span>
      ${step.first === undefined ? nothing : html`<span>first word after <b>${duration(step.first)}</b></span>`}
      <span><b>${step.input_items}</b> items of history</span><span><b>${step.tools}</b> tools offered</span>${step.calls > 0 ? html`<span><b>${step.calls}</b> called</span>` : nothing}</div>
    ${step.error ? html`<div class="error"><p>${step.error}</p></div>` : nothing}
    ${step.instructions === undefined ? nothing : html`<div><h3 class="small">Instructions, as rendered</h3><pre tabindex="0">${step.instructions}</pre></div>`}`;
}

function toolStepView(step: Extract<Step, { kind: "tool" }>): TemplateResult {
  return html`<div><h3 class="small">Arguments</h3><pre tabindex="0">${pretty(step.arguments)}</pre></div><div><h3 class="small">${step.failed ? "Failure" : "Result"}</h3><pre tabindex="0">${pretty(step.output)}</pre></div>`;
}

// What to change

export function hintView({ title, file, text, example }: Hint, folder: string | undefined, copied: string | undefined, copy: (text: string, what: string) => void): TemplateResult {
  const path = folder === undefined ? file : `${folder}/${file}`;
  const button = (value: string, what: string, label: string): TemplateResult =>
    html`<button class="icon-button" aria-label=${label} title=${label} @click=${() => { copy(value, what); }}>${copyIcon()}</button>${copied === what ? html`<span class="copied" role="status">copied</span>` : nothing}`;
  return html`<div class="hint"><b>${title}</b><div class="file"><code title=${path}>${file}</code>${button(path, `path ${file} ${title}`, "Copy the path")}</div>
    <p>${text}</p>${example === undefined ? nothing : html`<div class="sample"><pre tabindex="0">${example}</pre>${button(example, `text ${title}`, "Copy the text")}</div>`}</div>`;
}
