/** A widget in the document: what its reader typed and opened outlives updates, and what acts waits for its action. */
import { LitElement, type TemplateResult, html } from "lit";
import type { WidgetNode } from "../protocol";
import { styles } from "../styles";
import { renderNode } from "./components";
import { payloadWith } from "./forms";
import type { WidgetHost } from "./host";
import { entries, isProps, own, type Props, words } from "./values";

/** A widget comes from outside: more than this of it is not shown. */
const MOST_COMPONENTS = 1500;
const DEEPEST = 32;
/** Widgets whose fields are remembered when they leave the document. */
const MOST_REMEMBERED = 100;

export type Loading = "self" | "container" | "none";

/** What a reader did in a widget. */
interface Memory {
  /** By the fields' places. */
  values: Map<string, unknown>;
  /** Lists that show all, cards that are unfolded. */
  open: Set<string>;
}

const memories = new Map<string, Memory>();
let last = 0;

function memoryOf(id: string): Memory {
  const memory = memories.get(id) ?? { values: new Map<string, unknown>(), open: new Set<string>() };
  memories.delete(id);
  memories.set(id, memory);
  for (const oldest of memories.keys()) {
    if (memories.size <= MOST_REMEMBERED) break;
    memories.delete(oldest);
  }
  return memory;
}

export class WidgetElement extends LitElement {
  static override properties = { root: { attribute: false }, host: { attribute: false }, item: { attribute: false } };

  declare root: WidgetNode;
  declare host: WidgetHost;
  declare item: { id: string };

  /** Of ids in the document. */
  readonly mark = `w${(last += 1)}`;
  /** Names of fields that a label names. */
  labelled = new Set<string>();
  #left = 0;
  /** What waits for an action, by its path; "" is the whole widget. */
  #busy = new Map<string, number>();

  /** In the chat's shadow root: its styles are the chat's. */
  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  get memory(): Memory {
    return memoryOf(this.item.id);
  }

  protected override render(): TemplateResult {
    this.#left = MOST_COMPONENTS;
    this.labelled = labelsIn(this.root);
    const busy = this.isBusy("");
    return html`<div class="w-box" ?inert=${busy} aria-busy=${String(busy)} ${styles({})}>
      ${renderNode(this, this.root, { path: "0", depth: 0 })}
      ${this.#left <= 0 ? html`<p class="w-caption">…</p>` : ""}
    </div>`;
  }

  /** Whether there is room for one more component at this depth. */
  admits(depth: number): boolean {
    this.#left = depth > DEEPEST ? 0 : this.#left - 1;
    return this.#left > 0;
  }

  isBusy(path: string): boolean {
    return (this.#busy.get(path) ?? 0) > 0;
  }

  toggle(path: string, open: boolean): void {
    if (open) this.memory.open.add(path);
    else this.memory.open.delete(path);
    this.requestUpdate();
  }

  /** Runs the action of the component at `path`, with the values of the form that `source` is in. */
  async act(action: unknown, source: HTMLElement, path: string, usual: Loading): Promise<void> {
    if (!isProps(action) || typeof action.type !== "string" || this.isBusy(path) || this.isBusy("")) return;
    const form = source.closest<HTMLFormElement>("form.w-form");
    const field = source.closest<HTMLElement>("[data-field]");
    const values = form && this.contains(form) ? valuesOf(form) : field ? [[field.dataset.field ?? "", valueOf(field)] as const] : [];
    const { type, handler, loadingBehavior, streaming } = action;
    const wish = loadingBehavior === "self" || loadingBehavior === "container" || loadingBehavior === "none" ? loadingBehavior : usual;
    const waiting = wish === "container" ? "" : wish === "self" ? path : undefined;
    const focused = (this.getRootNode() as Document | ShadowRoot).activeElement;
    this.#wait(waiting, 1);
    try {
      await this.host.action(
        {
          type,
          payload: payloadWith(action.payload, values),
          ...(handler === "client" || handler === "server" ? { handler } : {}),
          ...(typeof loadingBehavior === "string" ? { loadingBehavior } : {}),
          ...(typeof streaming === "boolean" ? { streaming } : {}),
        },
        this.item,
      );
    } catch {
      // The chat has shown what went wrong.
    } finally {
      this.#wait(waiting, -1);
      await this.updateComplete;
      // What is inert loses the focus.
      if (waiting === "" && focused instanceof HTMLElement && this.contains(focused) && document.activeElement === document.body) focused.focus({ preventScroll: true });
    }
  }

  #wait(path: string | undefined, by: number): void {
    if (path === undefined) return;
    this.#busy.set(path, (this.#busy.get(path) ?? 0) + by);
    this.requestUpdate();
  }
}

/** The fields below a form by name, in their order. Fields carry `data-field`, never `name`, which would shadow the form's own. */
function valuesOf(form: HTMLElement): [string, unknown][] {
  const fields = [...form.querySelectorAll<HTMLElement>("[data-field]")].filter((it) => it.closest("form.w-form") === form);
  return fields.map((it): [string, unknown] => [it.dataset.field ?? "", valueOf(it)]).filter(([name, value]) => name !== "" && value !== undefined);
}

/** What a field holds: text, for a checkbox whether it is ticked, nothing for a group without a choice. */
export function valueOf(field: HTMLElement): unknown {
  if (field.getAttribute("role") === "radiogroup") return field.querySelector<HTMLInputElement>("input:checked")?.value;
  const control = field as HTMLInputElement;
  return control.type === "checkbox" ? control.checked : control.value;
}

function labelsIn(root: unknown): Set<string> {
  const names = new Set<string>();
  const waiting: unknown[] = [root];
  for (let seen = 0; seen < MOST_COMPONENTS; seen += 1) {
    const node = waiting.pop();
    if (!isProps(node)) {
      if (waiting.length === 0) break;
      continue;
    }
    if (node.type === "Label") names.add(words(node.fieldName));
    waiting.push(...childrenOf(node));
  }
  return names;
}

export function childrenOf(node: Props): Props[] {
  const children = own(node, "children");
  return Array.isArray(children) ? entries(children, MOST_COMPONENTS) : isProps(children) ? [children] : [];
}
