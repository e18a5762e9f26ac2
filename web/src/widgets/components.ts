/**
 * The components of widgets as templates. All texts become text nodes, all addresses are checked, and all properties may be missing or of
 * any type; a component of a type that is not known shows its children.
 */
import { type TemplateResult, html, nothing } from "lit";
import { ifDefined } from "lit/directives/if-defined.js";
import { keyed } from "lit/directives/keyed.js";
import { repeat } from "lit/directives/repeat.js";
import { safeLink } from "../links";
import { styles } from "../styles";
import { type WidgetElement, childrenOf } from "./element";
import { checkbox, datePicker, editableText, fieldId, input, radioGroup, select, textarea } from "./fields";
import { wordsIn } from "./strings";
import {
  BORDER_COLORS, type Css, type Props, SURFACE_COLORS, TEXT_COLORS, boxStyles, classes, color, count, isProps, length, own, sides, spacing, words,
} from "./values";

/** Where a component stands. */
export interface Place {
  path: string;
  depth: number;
  /** The path of the form that it is in. */
  form?: string;
}

type Rendered = TemplateResult | typeof nothing;
type Part = (view: WidgetElement, props: Props, place: Place) => Rendered;

const SHOWN_BY_AUTO = 5;
const FITS = new Set(["cover", "contain", "fill", "scale-down", "none"]);
const POSITIONS = new Set(["top left", "top", "top right", "left", "center", "right", "bottom left", "bottom", "bottom right"]);

export function renderNode(view: WidgetElement, node: unknown, place: Place): Rendered {
  if (!isProps(node) || !view.admits(place.depth)) return nothing;
  return (own(PARTS, node.type) ?? unknown)(view, node, place);
}

function children(view: WidgetElement, props: Props, place: Place): unknown {
  const seen = new Set<string>();
  const named = childrenOf(props).map((node, index) => {
    const name = typeof node.key === "string" ? node.key : typeof node.id === "string" ? node.id : `${index}`;
    const key = seen.has(name) ? `${index} ${name}` : name;
    seen.add(key);
    return { node, key };
  });
  return repeat(named, (it) => it.key, ({ node, key }) => renderNode(view, node, { ...place, path: `${place.path}/${key}`, depth: place.depth + 1 }));
}

// Roots

const card: Part = (view, props, place) => {
  const asForm = props.asForm === true;
  const inside = asForm ? { ...place, form: place.path } : place;
  const head = status(view, props.status);
  const { background, ...pad } = { background: color(props.background, SURFACE_COLORS), ...sides("padding", props.padding) };
  const confirm = isProps(props.confirm) ? props.confirm : undefined;
  const cancel = isProps(props.cancel) ? props.cancel : undefined;
  const end = (config: Props | undefined, kind: "confirm" | "cancel") => {
    if (!config) return nothing;
    const path = `${place.path} ${kind}`;
    const submits = asForm && kind === "confirm";
    return html`<button type=${submits ? "submit" : "button"} class="w-button ${kind === "confirm" ? "color-primary" : "variant-soft"}" aria-busy=${String(view.isBusy(path))}
      @click=${(event: Event) => { if (!submits) void view.act(config.action, event.currentTarget as HTMLElement, path, "container"); }}>${words(config.label) || kind}</button>`;
  };
  const content = html`<div class="w-body w-col" ${styles(pad)}>${children(view, props, inside)}</div>
    ${confirm || cancel ? html`<div class="w-footer">${end(cancel, "cancel")}${end(confirm, "confirm")}</div>` : nothing}`;
  const open = view.memory.open.has(place.path);
  const whole = props.collapsed === true
    ? html`<details class="w-collapsed" ?open=${open} @toggle=${(event: Event) => { view.toggle(place.path, (event.currentTarget as HTMLDetailsElement).open); }}>
        <summary>${head === nothing ? "…" : head}</summary>${content}</details>`
    : html`${head}${content}`;
  const name = classes("w-card", { size: props.size, theme: props.theme });
  const css = { "background-color": background };
  return asForm
    ? html`<form class="${name} w-form" ${styles(css)} @submit=${submitted(() => confirm && { action: confirm.action, path: `${place.path} confirm` }, view)}>${whole}</form>`
    : html`<div class=${name} ${styles(css)}>${whole}</div>`;
};

const listView: Part = (view, props, place) => {
  const all = childrenOf(props);
  const limit = props.limit === "auto" ? SHOWN_BY_AUTO : count(props.limit, 1000) ?? Infinity;
  const cut = all.length > limit && !view.memory.open.has(place.path);
  return html`<div class=${classes("w-card w-listview", { theme: props.theme })}>
    ${status(view, props.status)}
    <div class="w-list" role="list">${children(view, cut ? { ...props, children: all.slice(0, limit) } : props, place)}</div>
    ${cut ? html`<button type="button" class="w-more" @click=${() => { view.toggle(place.path, true); }}>${wordsIn(view.host.locale).more(all.length - limit)}</button>` : nothing}
  </div>`;
};

const listViewItem: Part = (view, props, place) => {
  const css: Css = { gap: spacing(props.gap), "align-items": boxStyles({ align: props.align })["align-items"] };
  const content = children(view, props, place);
  if (!isProps(props.onClickAction)) return html`<div class="w-item" role="listitem"><div class="w-row" ${styles(css)}>${content}</div></div>`;
  const act = (event: Event): void => {
    // A control in it acts for itself.
    const control = (event.target as HTMLElement).closest("a, button, input, select, textarea, label");
    if (control === null) void view.act(props.onClickAction, event.currentTarget as HTMLElement, place.path, "self");
  };
  const press = (event: KeyboardEvent): void => {
    if (event.target !== event.currentTarget || (event.key !== "Enter" && event.key !== " ")) return;
    event.preventDefault();
    act(event);
  };
  return html`<div class="w-item w-clicks" role="listitem">
    <div class="w-row" role="button" tabindex="0" aria-busy=${String(view.isBusy(place.path))} @click=${act} @keydown=${press} ${styles(css)}>${content}</div></div>`;
};

const basic: Part = (view, props, place) =>
  html`<div class="w-basic ${classes(direction(props, "col"), { theme: props.theme })}" ${styles(boxStyles(props))}>${children(view, props, place)}</div>`;

function status(view: WidgetElement, value: unknown): Rendered {
  if (!isProps(value)) return nothing;
  const favicon = words(value.favicon);
  const mark = favicon && view.host.imageAllowed(favicon)
    ? html`<img class=${value.frame === true ? "w-frame" : ""} src=${favicon} alt="" loading="lazy" referrerpolicy="no-referrer">`
    : value.icon === undefined ? nothing : view.host.icon(words(value.icon));
  return html`<div class="w-status">${mark}<span>${words(value.text)}</span></div>`;
}

// Layout

function direction(props: Props, usual: "row" | "col"): string {
  const name = props.direction === "row" || props.direction === "col" ? props.direction : usual;
  return props.align === undefined ? `w-${name}` : `w-${name} w-aligned`;
}

const box = (usual: "row" | "col"): Part => (view, props, place) =>
  html`<div class="w-laid ${direction(props, usual)}" ${styles(boxStyles(props))}>${children(view, props, place)}</div>`;

const form: Part = (view, props, place) =>
  html`<form class="w-form w-laid ${direction(props, "col")}" ${styles(boxStyles(props))}
    @submit=${submitted(() => ({ action: props.onSubmitAction, path: place.path }), view)}>${children(view, props, { ...place, form: place.path })}</form>`;

/** Submits in the page, never to an address. A button with an action of its own acts by that one. */
function submitted(find: () => { action: unknown; path: string } | undefined, view: WidgetElement) {
  return (event: SubmitEvent): void => {
    event.preventDefault();
    event.stopPropagation();
    const target = find();
    if (event.submitter?.dataset.acts === undefined && target) void view.act(target.action, event.currentTarget as HTMLElement, target.path, "container");
  };
}

const divider: Part = (_view, props) =>
  html`<hr class=${classes("w-divider", { "w-flush": props.flush === true })} ${styles({
    "border-top-color": color(props.color, BORDER_COLORS), "border-top-width": length(props.size), "margin-block": spacing(props.spacing),
  })}>`;

const spacer: Part = (_view, props) => html`<div class="w-spacer" ${styles({ "min-width": length(props.minSize), "min-height": length(props.minSize) })}></div>`;

/** What follows the child that was there comes in softly. */
const transition: Part = (view, props, place) => {
  const [child] = childrenOf(props);
  const key = child ? words(child.key) || words(child.id) || words(child.type) : "";
  return html`<div class="w-transition w-col">${keyed(key, html`<div class="w-enters">${children(view, props, place)}</div>`)}</div>`;
};

const unknown: Part = (view, props, place) => html`<div class="w-col">${children(view, props, place)}</div>`;

// Texts

function textLook(base: string, props: Props): [string, Css] {
  const lines = props.truncate === true ? undefined : count(props.maxLines, 100);
  const least = count(props.minLines, 100);
  const name = classes(base, {
    size: props.size, weight: props.weight, align: props.textAlign, "w-truncate": props.truncate === true, "w-italic": props.italic === true,
    "w-struck": props.lineThrough === true, "w-clamp": lines !== undefined, "w-streaming": props.streaming === true,
  });
  return [name, {
    color: color(props.color, TEXT_COLORS), width: length(props.width), "-webkit-line-clamp": lines === undefined ? undefined : String(lines),
    "min-height": least === undefined ? undefined : `${least}lh`,
  }];
}

const text: Part = (view, props, place) => {
  const [name, css] = textLook("w-text", props);
  return isProps(props.editable) ? editableText(view, props, props.editable, place, name, css) : html`<p class=${name} ${styles(css)}>${words(props.value)}</p>`;
};

const title: Part = (_view, props) => {
  const [name, css] = textLook("w-title", props);
  return html`<p class=${name} ${styles(css)}>${words(props.value)}</p>`;
};

const caption: Part = (_view, props) => {
  const [name, css] = textLook("w-caption", props);
  return html`<p class=${name} ${styles(css)}>${words(props.value)}</p>`;
};

const label: Part = (view, props, place) => {
  const [name, css] = textLook("w-label", props);
  const id = fieldId(view, place, words(props.fieldName));
  return html`<label class=${name} id=${`${id}-label`} for=${id} ${styles(css)}>${words(props.value)}</label>`;
};

const markdown: Part = (view, props) => html`<div class=${classes("w-markdown", { "w-streaming": props.streaming === true })}>${view.host.markdown(words(props.value))}</div>`;

const badge: Part = (_view, props) =>
  html`<span class=${classes("w-badge", { color: props.color, variant: props.variant, size: props.size, "w-square": props.pill === false })}>${words(props.label)}</span>`;

// Pictures

const icon: Part = (view, props) =>
  html`<span class=${classes("w-icon", { size: props.size })} ${styles({ color: color(props.color, TEXT_COLORS) })}>${view.host.icon(words(props.name))}</span>`;

const image: Part = (view, props) => {
  const source = words(props.src);
  const name = words(props.alt);
  const css = boxStyles({ ...props, border: undefined, padding: undefined, align: undefined, justify: undefined });
  const looks = classes("w-image", { "w-frame": props.frame === true, "w-flush": props.flush === true });
  if (!view.host.imageAllowed(source)) {
    const link = safeLink(source);
    return html`<span class="${looks} w-no-image" ${styles(css)}>${view.host.icon("square-image")}
      ${link ? html`<a href=${link} target="_blank" rel="noopener noreferrer nofollow">${name || new URL(link).hostname || "Image"}</a>` : html`<span>${name}</span>`}</span>`;
  }
  return html`<span class=${looks} ${styles(css)}><img src=${source} alt=${name} loading="lazy" decoding="async" referrerpolicy="no-referrer"
    ${styles({ "object-fit": FITS.has(words(props.fit)) ? words(props.fit) : undefined, "object-position": POSITIONS.has(words(props.position)) ? words(props.position) : undefined })}></span>`;
};

const chart: Part = (view, props) => html`<kitfox-widget-chart .props=${props} .locale=${view.host.locale}></kitfox-widget-chart>`;

// Data

const table: Part = (view, props, place) => html`<div class="w-scroll" tabindex="0" role="region" aria-label="Table"><table class="w-table"><tbody>${children(view, props, place)}</tbody></table></div>`;

const tableRow: Part = (view, props, place) => html`<tr class=${props.header === true ? "w-head" : ""}>${children(view, props, place)}</tr>`;

const tableCell: Part = (view, props, place) =>
  html`<td colspan=${ifDefined(count(props.colSpan, 50))} rowspan=${ifDefined(count(props.rowSpan, 500))} class=${classes("", { align: props.align })}
    ${styles({ width: length(props.width), ...sides("padding", props.padding) })}>${typeof props.value === "string" ? props.value : children(view, props, place)}</td>`;

// Buttons

const button: Part = (view, props, place) => {
  const name = classes("w-button", {
    color: props.color ?? props.style, variant: props.variant ?? (props.style === "secondary" ? "soft" : undefined), size: props.size, icons: props.iconSize,
    "w-pill": props.pill === true, "w-uniform": props.uniform === true, "w-block": props.block === true,
  });
  const caption_ = words(props.label);
  const submits = props.submit === true;
  const acts = isProps(props.onClickAction);
  const busy = view.isBusy(place.path);
  const click = (event: Event): void => {
    const source = event.currentTarget as HTMLButtonElement;
    if (acts && (!submits || (source.form?.reportValidity() ?? true))) void view.act(props.onClickAction, source, place.path, submits ? "container" : "self");
  };
  return html`<button type=${submits ? "submit" : "button"} class=${name} ?disabled=${props.disabled === true} aria-busy=${String(busy)}
    aria-label=${ifDefined(caption_ ? undefined : words(props.iconStart) || "Button")} data-acts=${ifDefined(acts ? "" : undefined)} @click=${click}>
    ${props.iconStart === undefined ? nothing : view.host.icon(words(props.iconStart))}${caption_ ? html`<span>${caption_}</span>` : nothing}
    ${props.iconEnd === undefined ? nothing : view.host.icon(words(props.iconEnd))}</button>`;
};

const PARTS: Record<string, Part> = {
  Card: card, ListView: listView, ListViewItem: listViewItem, Basic: basic,
  Box: box("col"), Row: box("row"), Col: box("col"), Form: form, Divider: divider, Spacer: spacer, Transition: transition,
  Text: text, Title: title, Caption: caption, Label: label, Markdown: markdown, Badge: badge,
  Icon: icon, Image: image, Chart: chart, Table: table, "Table.Row": tableRow, "Table.Cell": tableCell,
  Button: button, Input: input, Textarea: textarea, Select: select, DatePicker: datePicker, Checkbox: checkbox, RadioGroup: radioGroup,
};

/** The types that this page knows, for tests. */
export const TYPES = Object.keys(PARTS);
