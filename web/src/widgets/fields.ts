/** What a reader fills in. */
import { type TemplateResult, html, noChange, nothing } from "lit";
import { AsyncDirective } from "lit/async-directive.js";
import { type ElementPart, type PartInfo, PartType, directive } from "lit/directive.js";
import { ifDefined } from "lit/directives/if-defined.js";
import { repeat } from "lit/directives/repeat.js";
import { styles } from "../styles";
import type { Place } from "./components";
import type { Choice } from "./combo";
import { type WidgetElement, valueOf } from "./element";
import { safePattern } from "./forms";
import { wordsIn } from "./strings";
import { type Props, classes, count, entries, isProps, own, words } from "./values";

const MOST_OPTIONS = 500;
/** Options that are too many to be looked through. */
const MANY = 15;
const INPUT_TYPES = ["number", "email", "text", "password", "tel", "url"];
const GUTTERS: Record<string, string> = { "2xs": "6px", xs: "8px", sm: "10px", md: "12px", lg: "14px", xl: "16px" };

/** Remembers what is typed, and puts it back where the field is made anew; does what a field does when it appears. */
class Field extends AsyncDirective {
  #node?: HTMLElement;
  #view?: WidgetElement;
  #key = "";

  constructor(part: PartInfo) {
    super(part);
    if (part.type !== PartType.ELEMENT) throw new Error("`field` stands in an element's tag");
  }

  override render(_view: WidgetElement, _key: string, _props: Props): unknown {
    return noChange;
  }

  override update(part: ElementPart, [view, key, props]: [WidgetElement, string, Props]): unknown {
    const node = part.element as HTMLElement;
    this.#view = view;
    this.#key = key;
    if (node !== this.#node) {
      this.#node = node;
      node.addEventListener("input", this.#keep);
      node.addEventListener("change", this.#keep);
      const { values } = view.memory;
      // Its children are there in a moment.
      queueMicrotask(() => {
        if (values.has(key)) restore(node, values.get(key));
      });
      if (props.autoFocus === true) {
        queueMicrotask(() => {
          if (document.activeElement === document.body) node.focus({ preventScroll: true });
        });
      }
      if (props.autoSelect === true) node.addEventListener("focus", () => (node as HTMLInputElement).select());
    }
    return noChange;
  }

  #keep = (): void => {
    if (this.#node) this.#view?.memory.values.set(this.#key, valueOf(this.#node));
  };
}

const field = directive(Field);

function restore(node: HTMLElement, value: unknown): void {
  if (node.getAttribute("role") === "radiogroup") {
    for (const radio of node.querySelectorAll("input")) radio.checked = radio.value === value;
  } else if (node instanceof HTMLInputElement && node.type === "checkbox") node.checked = value === true;
  else if (typeof value === "string") (node as HTMLInputElement).value = value;
}

interface Naming {
  name: string;
  id: string;
  key: string;
  /** Where no label names it. */
  label: string | undefined;
}

function naming(view: WidgetElement, props: Props, place: Place): Naming {
  const name = words(props.name);
  const label = view.labelled.has(name) ? undefined : words(props.ariaLabel) || words(props.placeholder) || name || "Field";
  return { name, id: fieldId(view, place, name), key: `${place.form ?? ""} ${name || place.path}`, label };
}

/** Of the field that a label in the same form names. */
export function fieldId(view: WidgetElement, place: Place, name: string): string {
  return `${view.mark}-${place.form ?? ""}-${name.replace(/[^\w.-]/g, "_")}`;
}

function look(props: Props, more = ""): string {
  return classes(`w-field${more}`, { size: props.size, variant: props.variant, "w-pill": props.pill === true, "w-block": props.block === true });
}

function gutter(props: Props): Record<string, string | undefined> {
  return { "padding-inline": own(GUTTERS, props.gutterSize) };
}

const autocomplete = (props: Props): string => {
  const hint = props.autoComplete;
  return typeof hint === "string" && /^[a-z-]{1,40}( [a-z-]{1,40}){0,3}$/.test(hint) ? hint : "off";
};

/** Password managers stay away unless they are welcome. */
const stranger = (props: Props): string | undefined => (props.allowAutofillExtensions === true ? undefined : "true");

const changed = (view: WidgetElement, props: Props, place: Place) => (event: Event): void => {
  if (isProps(props.onChangeAction)) void view.act(props.onChangeAction, event.currentTarget as HTMLElement, place.path, "none");
};

export function input(view: WidgetElement, props: Props, place: Place): TemplateResult {
  const { name, id, key, label } = naming(view, props, place);
  const type = INPUT_TYPES.includes(words(props.inputType)) ? words(props.inputType) : "text";
  return html`<input class=${look(props)} id=${id} data-field=${name} type=${type} step=${ifDefined(type === "number" ? "any" : undefined)}
    .defaultValue=${words(props.defaultValue)} placeholder=${ifDefined(words(props.placeholder) || undefined)} aria-label=${ifDefined(label)}
    pattern=${ifDefined(safePattern(props.pattern))} autocomplete=${autocomplete(props)} data-1p-ignore=${ifDefined(stranger(props))} data-lpignore=${ifDefined(stranger(props))}
    ?required=${props.required === true} ?disabled=${props.disabled === true} ${styles(gutter(props))} ${field(view, key, props)}>`;
}

export function textarea(view: WidgetElement, props: Props, place: Place): TemplateResult {
  const { name, id, key, label } = naming(view, props, place);
  const most = count(props.maxRows, 60);
  return html`<textarea class=${look(props, props.autoResize === true ? " w-grows" : "")} id=${id} data-field=${name} rows=${count(props.rows, 30) ?? 3}
    .defaultValue=${words(props.defaultValue)} placeholder=${ifDefined(words(props.placeholder) || undefined)} aria-label=${ifDefined(label)}
    data-1p-ignore=${ifDefined(stranger(props))} data-lpignore=${ifDefined(stranger(props))}
    ?required=${props.required === true} ?disabled=${props.disabled === true}
    ${styles({ ...gutter(props), "max-height": most === undefined ? undefined : `calc(${most}lh + 1rem)` })} ${field(view, key, props)}></textarea>`;
}

/** A text that its reader may change where it stands. */
export function editableText(view: WidgetElement, props: Props, editable: Props, place: Place, looks: string, css: Record<string, string | undefined>): TemplateResult {
  const { name, id, key, label } = naming(view, { ...editable }, place);
  const several = props.maxLines !== undefined || props.minLines !== undefined;
  const rest = { placeholder: words(editable.placeholder) || undefined };
  return several
    ? html`<textarea class="${looks} w-editable w-grows" id=${id} data-field=${name} rows=${count(props.minLines, 30) ?? 1} .defaultValue=${words(props.value)}
        placeholder=${ifDefined(rest.placeholder)} aria-label=${ifDefined(label)} ?required=${editable.required === true} ${styles(css)} ${field(view, key, editable)}></textarea>`
    : html`<input class="${looks} w-editable" id=${id} data-field=${name} .defaultValue=${words(props.value)} placeholder=${ifDefined(rest.placeholder)} aria-label=${ifDefined(label)}
        pattern=${ifDefined(safePattern(editable.pattern))} autocomplete=${autocomplete(editable)} data-1p-ignore=${ifDefined(stranger(editable))} data-lpignore=${ifDefined(stranger(editable))}
        ?required=${editable.required === true} ${styles(css)} ${field(view, key, editable)}>`;
}

/** Takes what was chosen away again. */
function clearer(view: WidgetElement, props: Props, id: string): TemplateResult | typeof nothing {
  if (props.clearable !== true || props.disabled === true) return nothing;
  const clear = (event: Event): void => {
    const control = (event.currentTarget as HTMLElement).parentElement?.querySelector<HTMLSelectElement>(`#${CSS.escape(id)}`);
    if (!control || control.value === "") return;
    control.value = "";
    for (const type of ["input", "change"]) control.dispatchEvent(new Event(type, { bubbles: true }));
    control.focus();
  };
  return html`<button type="button" class="w-clear" aria-label=${wordsIn(view.host.locale).clear} @click=${clear}>${view.host.icon("close")}</button>`;
}

export function select(view: WidgetElement, props: Props, place: Place): TemplateResult {
  const { name, id, key, label } = naming(view, props, place);
  const options = entries(props.options, MOST_OPTIONS);
  const chosen = words(props.defaultValue);
  const known = options.some((it) => words(it.value) === chosen);
  if (props.searchable === true || (props.searchable !== false && options.length > MANY)) {
    const choices = options.map((it): Choice => ({ value: words(it.value), label: words(it.label) || words(it.value), about: words(it.description), disabled: it.disabled === true }));
    return html`<span class=${classes("w-control", { "w-block": props.block === true })}>
      <kitfox-widget-combo id=${id} data-field=${name} .choices=${choices} .initial=${chosen} .look=${look(props)} .hint=${words(props.placeholder)} .label=${label}
        .labelled=${label === undefined ? `${id}-label` : undefined} ?required=${props.required === true} ?disabled=${props.disabled === true}
        @change=${changed(view, props, place)} ${field(view, key, props)}></kitfox-widget-combo>${clearer(view, props, id)}</span>`;
  }
  return html`<span class=${classes("w-control", { "w-block": props.block === true })}>
    <select class=${look(props)} id=${id} data-field=${name} aria-label=${ifDefined(label)} ?required=${props.required === true} ?disabled=${props.disabled === true}
      @change=${changed(view, props, place)} ${field(view, key, props)}>
      ${!known || props.clearable === true ? html`<option value="" ?selected=${!known}>${words(props.placeholder) || "…"}</option>` : nothing}
      ${repeat(options, (it) => words(it.value), (it) => {
        const about = words(it.description);
        return html`<option value=${words(it.value)} ?disabled=${it.disabled === true} ?selected=${known && words(it.value) === chosen}>${words(it.label) || words(it.value)}${about && ` – ${about}`}</option>`;
      })}
    </select>${clearer(view, props, id)}</span>`;
}

export function datePicker(view: WidgetElement, props: Props, place: Place): TemplateResult {
  const { name, id, key, label } = naming(view, props, place);
  const day = (value: unknown): string | undefined => /^\d{4}-\d{2}-\d{2}/.exec(words(value))?.[0];
  return html`<span class=${classes("w-control", { "w-block": props.block === true })}>
    <input type="date" class=${look(props)} id=${id} data-field=${name} aria-label=${ifDefined(label)} .defaultValue=${day(props.defaultValue) ?? ""}
      min=${ifDefined(day(props.min))} max=${ifDefined(day(props.max))} ?required=${props.required === true} ?disabled=${props.disabled === true}
      @change=${changed(view, props, place)} ${field(view, key, props)}>${clearer(view, props, id)}</span>`;
}

export function checkbox(view: WidgetElement, props: Props, place: Place): TemplateResult {
  const { name, id, key } = naming(view, props, place);
  const text = words(props.label);
  return html`<label class="w-choice"><input type="checkbox" id=${id} data-field=${name} .defaultChecked=${props.defaultChecked === true}
    aria-label=${ifDefined(text || view.labelled.has(name) ? undefined : name || "Checkbox")} ?required=${props.required === true} ?disabled=${props.disabled === true}
    @change=${changed(view, props, place)} ${field(view, key, props)}>${text ? html`<span>${text}</span>` : nothing}</label>`;
}

export function radioGroup(view: WidgetElement, props: Props, place: Place): TemplateResult {
  const { name, id, key, label } = naming(view, props, place);
  return html`<div class="w-choices ${props.direction === "row" ? "w-row" : "w-col"}" role="radiogroup" id=${id} data-field=${name}
    aria-label=${ifDefined(words(props.ariaLabel) || label)} aria-labelledby=${ifDefined(label === undefined ? `${id}-label` : undefined)} aria-required=${String(props.required === true)}
    @change=${changed(view, props, place)} ${field(view, key, props)}>
    ${repeat(entries(props.options, MOST_OPTIONS), (it) => words(it.value), (it) => html`<label class="w-choice"><input type="radio" name=${`${id} ${key}`} value=${words(it.value)}
      .defaultChecked=${it.value === props.defaultValue} ?required=${props.required === true} ?disabled=${props.disabled === true || it.disabled === true}>
      <span>${words(it.label) || words(it.value)}</span></label>`)}
  </div>`;
}
