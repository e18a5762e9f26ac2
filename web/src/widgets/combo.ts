/** A choice among many: a field that is searched in, and a list that stands above everything else. */
import { LitElement, type TemplateResult, html, nothing } from "lit";
import { ifDefined } from "lit/directives/if-defined.js";
import { repeat } from "lit/directives/repeat.js";

export interface Choice {
  value: string;
  label: string;
  about: string;
  disabled: boolean;
}

const MOST_SHOWN = 100;
/** Of the list, in pixels. */
const HEIGHT = 280;

export class WidgetCombo extends LitElement {
  static override properties = {
    choices: { attribute: false }, initial: {}, look: {}, hint: {}, label: {}, labelled: {}, required: { type: Boolean }, disabled: { type: Boolean },
    query: { state: true }, open: { state: true }, active: { state: true }, chosen: { state: true },
  };

  declare choices: Choice[];
  declare initial: string;
  declare look: string;
  declare hint: string;
  declare label: string | undefined;
  /** The id of what names it. */
  declare labelled: string | undefined;
  declare required: boolean;
  declare disabled: boolean;
  declare query: string | undefined;
  declare open: boolean;
  declare active: number;
  declare chosen: string | undefined;

  constructor() {
    super();
    this.choices = [];
    this.initial = "";
    this.look = "w-field";
    this.hint = "";
    this.required = false;
    this.disabled = false;
    this.open = false;
    this.active = 0;
  }

  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  get value(): string {
    const value = this.chosen ?? this.initial;
    return this.choices.some((it) => it.value === value) ? value : "";
  }

  set value(value: string) {
    this.chosen = value;
  }

  override focus(options?: FocusOptions): void {
    this.#field?.focus(options);
  }

  get #field(): HTMLInputElement | null {
    return this.querySelector("input");
  }

  get #found(): Choice[] {
    const words = (this.query ?? "").trim().toLowerCase().split(/\s+/);
    const holds = ({ label, about }: Choice): boolean => words.every((it) => `${label} ${about}`.toLowerCase().includes(it));
    return this.choices.filter(holds).slice(0, MOST_SHOWN);
  }

  protected override render(): TemplateResult {
    const found = this.open ? this.#found : [];
    const list = `${this.id}-list`;
    const option = (index: number): string => `${list}-${index}`;
    const label = this.choices.find((it) => it.value === this.value)?.label ?? "";
    return html`<input class=${this.look} role="combobox" autocomplete="off" aria-autocomplete="list" aria-expanded=${String(this.open)} aria-controls=${list}
        aria-activedescendant=${ifDefined(this.open && found.length > 0 ? option(this.active) : undefined)} aria-label=${ifDefined(this.label)} aria-labelledby=${ifDefined(this.labelled)}
        placeholder=${this.hint} .value=${this.query ?? label} ?required=${this.required} ?disabled=${this.disabled}
        @input=${this.#search} @change=${this.#inside} @click=${this.#show} @keydown=${this.#key} @blur=${this.#hide}>
      <ul class="w-options" id=${list} role="listbox" aria-label=${this.label ?? (this.hint || "…")} popover="manual" @pointerdown=${(event: Event) => { event.preventDefault(); }}>
        ${repeat(found, (it) => it.value, (it, index) => html`<li id=${option(index)} role="option" aria-selected=${String(it.value === this.value)} aria-disabled=${String(it.disabled)}
          class=${index === this.active ? "w-active" : ""} @click=${() => { this.#choose(it); }}>${it.label}${it.about ? html`<small>${it.about}</small>` : nothing}</li>`)}
        ${this.open && found.length === 0 ? html`<li role="option" aria-disabled="true" aria-selected="false">–</li>` : nothing}
      </ul>`;
  }

  protected override updated(): void {
    const list = this.querySelector<HTMLElement>(".w-options");
    const field = this.#field;
    if (!list || !field) return;
    list.togglePopover(this.open);
    if (!this.open) return;
    // In the top layer, where no box cuts it.
    const box = field.getBoundingClientRect();
    const below = innerHeight - box.bottom > HEIGHT || box.top < innerHeight - box.bottom;
    const room = Math.max(80, Math.min(HEIGHT, below ? innerHeight - box.bottom - 12 : box.top - 12));
    for (const [name, value] of [["left", `${box.left}px`], ["width", `${box.width}px`], ["max-height", `${room}px`], ["top", below ? `${box.bottom + 4}px` : "auto"], ["bottom", below ? "auto" : `${innerHeight - box.top + 4}px`]] as const) list.style.setProperty(name, value);
    list.children[this.active]?.scrollIntoView({ block: "nearest" });
  }

  #show = (): void => {
    if (this.disabled || this.open) return;
    this.open = true;
    this.active = Math.max(0, this.#found.findIndex((it) => it.value === this.value));
    this.#field?.select();
  };

  #hide = (): void => {
    this.open = false;
    this.query = undefined;
  };

  #search = (event: Event): void => {
    event.stopPropagation();
    this.query = (event.target as HTMLInputElement).value;
    this.open = true;
    this.active = 0;
  };

  /** What is typed is no choice yet. */
  #inside = (event: Event): void => {
    event.stopPropagation();
  };

  #choose({ value, disabled }: Choice): void {
    if (disabled) return;
    this.#hide();
    if (value === this.value) return;
    this.value = value;
    for (const type of ["input", "change"]) this.dispatchEvent(new Event(type, { bubbles: true }));
  }

  #key = (event: KeyboardEvent): void => {
    const found = this.#found;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!this.open) {
        this.#show();
        return;
      }
      const by = event.key === "ArrowDown" ? 1 : -1;
      this.active = (this.active + by + found.length) % Math.max(found.length, 1);
    } else if (event.key === "Enter" && this.open) {
      event.preventDefault();
      const choice = found[this.active];
      if (choice) this.#choose(choice);
    } else if (event.key === "Escape" && this.open) {
      // It closes the list, and nothing around it.
      event.preventDefault();
      event.stopPropagation();
      this.#hide();
    }
  };
}
