/**
 * The components of widgets. A part is built once per component as it stands: `build(component, host)` gives its `node`,
 * the `slot` for its children if it has any, and `grow(text)` where its text may change afterwards. All texts become
 * text nodes, all addresses are checked, and all properties may be missing or of any type.
 */
import { el } from "./dom.js";
import { safePattern } from "./forms.js";
import { namedIcon } from "./icons.js";
import { safeImage, safeLink } from "./links.js";
import { MarkdownView, outsideLink } from "./markdown-view.js";
import { BORDER_COLORS, TEXT_COLORS, boxStyles, classes, color, isRecord, length, setStyles, spacing } from "./widget-style.js";

const LONGEST = 20_000;
const MOST_OPTIONS = 500;
const MOST_ROWS = 200;
const SHOWN_BY_AUTO = 5;

const SIZES = ["3xs", "2xs", "xs", "sm", "md", "lg", "xl", "2xl", "3xl", "4xl", "5xl"];
const WEIGHTS = ["normal", "medium", "semibold", "bold"];
const ALIGNMENTS = ["start", "center", "end"];
const VARIANTS = ["solid", "soft", "outline", "ghost"];
const COLORS = ["primary", "secondary", "info", "discovery", "success", "caution", "warning", "danger"];
const THEMES = ["light", "dark"];

/** Words of any length and type, as text. */
function words(value) {
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (typeof value !== "string") return "";
  return value.length > LONGEST ? `${value.slice(0, LONGEST)}…` : value;
}

/** The text of a component that may grow. */
export function contentOf(component) {
  return words(component.value);
}

function entries(list, most) {
  return Array.isArray(list) ? list.filter(isRecord).slice(0, most) : [];
}

// Roots

function card(component, host) {
  const asForm = component.asForm === true;
  const body = el("div", { class: "w-body w-col" });
  const node = el(asForm ? "form" : "div", { class: classes("w-card", { size: [component.size, SIZES], theme: [component.theme, THEMES] }) });
  const head = status(component.status, host);
  const { padding, ...look } = boxStyles({ background: component.background, padding: component.padding });
  setStyles(node, look);
  setStyles(node, { "--w-pad": padding });
  const footer = el("div", { class: "w-footer" }, button(component.cancel, "cancel"), button(component.confirm, "confirm"));
  const content = [body, footer.childElementCount > 0 && footer];
  if (component.collapsed === true) node.append(el("details", { class: "w-collapsed" }, el("summary", {}, head ?? "Show it again"), content));
  else node.append(...[head, ...content].filter(Boolean));
  if (asForm) onSubmit(node, () => isRecord(component.confirm) && host.act(component.confirm.action, node, "container"));
  return { node, slot: body };

  function button(config, kind) {
    if (!isRecord(config)) return undefined;
    const submits = asForm && kind === "confirm";
    const look = kind === "confirm" ? "w-button color-primary" : "w-button variant-soft";
    const it = el("button", { type: submits ? "submit" : "button", class: look }, words(config.label) || kind);
    if (!submits) it.addEventListener("click", () => host.act(config.action, it, "container"));
    return it;
  }
}

function status(value, host) {
  if (!isRecord(value)) return undefined;
  const favicon = value.favicon === undefined ? undefined : safeImage(words(value.favicon), document.baseURI, host.imageHosts());
  const mark = favicon ? picture(favicon, "") : value.icon !== undefined && namedIcon(value.icon);
  return el("div", { class: `w-status${value.frame === true ? " w-frame" : ""}` }, mark, words(value.text));
}

function listView(component, host) {
  const list = el("div", { class: "w-list", role: "list" });
  const head = status(component.status, host);
  const more = el("button", { type: "button", class: "w-more", hidden: true, onclick: () => { open = true; arranged(); } }, "Show more");
  const limit = component.limit === "auto" ? SHOWN_BY_AUTO : Number.isInteger(component.limit) && component.limit > 0 ? component.limit : Infinity;
  let open = false;
  const arranged = () => {
    [...list.children].forEach((it, index) => { it.hidden = !open && index >= limit; });
    more.hidden = open || list.childElementCount <= limit;
  };
  const node = el("div", { class: classes("w-card w-listview", { theme: [component.theme, THEMES] }) }, head, list, more);
  return { node, slot: list, arranged };
}

function listViewItem(component, host) {
  const slot = laidOut("div", "w-row", { gap: component.gap, align: component.align });
  const node = el("div", { class: "w-item", role: "listitem" }, slot);
  if (isRecord(component.onClickAction)) {
    const click = (event) => {
      if (event.target.closest("a, button, input, select, textarea, label") === null) host.act(component.onClickAction, slot, "self");
    };
    for (const [name, value] of [["role", "button"], ["tabindex", "0"]]) slot.setAttribute(name, value);
    node.classList.add("w-clicks");
    node.addEventListener("click", click);
    slot.addEventListener("keydown", (event) => {
      if (event.target !== slot || !["Enter", " "].includes(event.key)) return;
      event.preventDefault();
      click(event);
    });
  }
  return { node, slot };
}

function basic(component) {
  const node = laidOut("div", classes("w-basic w-col", { theme: [component.theme, THEMES] }), component);
  return { node, slot: node };
}

// Layout

function laidOut(tag, name, component) {
  const styles = boxStyles(component);
  const node = el(tag, { class: styles["align-items"] ? `${name} w-aligned` : name });
  setStyles(node, styles);
  return node;
}

function box(component, kind) {
  const node = laidOut("div", kind === "row" || component.direction === "row" ? "w-row" : "w-col", component);
  return { node, slot: node };
}

function form(component, host) {
  const node = laidOut("form", component.direction === "row" ? "w-row" : "w-col", component);
  onSubmit(node, () => host.act(component.onSubmitAction, node, "container"));
  return { node, slot: node };
}

/** Submits in the page, never to an address. A button with an action of its own acts by that one. */
function onSubmit(node, submit) {
  node.addEventListener("submit", (event) => {
    event.preventDefault();
    event.stopPropagation();
    if (event.submitter?.dataset.acts === undefined) submit();
  });
}

function divider(component) {
  const node = el("hr", { class: `w-divider${component.flush === true ? " w-flush" : ""}` });
  setStyles(node, {
    "border-top-color": color(component.color, BORDER_COLORS),
    "border-top-width": length(component.size),
    "margin-block": spacing(component.spacing),
  });
  return { node };
}

function spacer(component) {
  const node = el("div", { class: "w-spacer" });
  setStyles(node, { "min-width": length(component.minSize), "min-height": length(component.minSize) });
  return { node };
}

function wrapper() {
  const node = el("div", { class: "w-col" });
  return { node, slot: node };
}

// Texts

function text(component, tag, name) {
  const node = el(tag, { class: classes(name, { size: [component.size, SIZES], weight: [component.weight, WEIGHTS], align: [component.textAlign, ALIGNMENTS] }) });
  node.classList.toggle("w-truncate", component.truncate === true);
  node.classList.toggle("w-italic", component.italic === true);
  node.classList.toggle("w-struck", component.lineThrough === true);
  const lines = (value) => (Number.isInteger(value) && value > 0 && value < 100 ? value : undefined);
  const most = lines(component.maxLines);
  const least = lines(component.minLines);
  if (most && component.truncate !== true) node.classList.add("w-clamp");
  setStyles(node, {
    color: color(component.color, TEXT_COLORS),
    width: length(component.width),
    "-webkit-line-clamp": most && String(most),
    "min-height": least && `${least}lh`,
  });
  const grow = (value) => {
    if (node.textContent !== value) node.textContent = value;
  };
  grow(words(component.value));
  return { node, grow };
}

function plainText(component) {
  if (!isRecord(component.editable)) return text(component, "p", "w-text");
  const editable = component.editable;
  const node = field("input", { ...editable, disabled: false }, { type: "text", autocomplete: autocomplete(editable) });
  node.value = node.defaultValue = words(component.value);
  node.classList.add("w-editable");
  const grow = (value) => {
    if (node.value === node.defaultValue) node.value = value;
    node.defaultValue = value;
  };
  return { node, grow };
}

function markdown(component) {
  const view = new MarkdownView();
  const grow = (value) => view.update(value);
  grow(words(component.value));
  return { node: view.node, grow };
}

function badge(component) {
  const name = classes("w-badge", { color: [component.color, COLORS], variant: [component.variant, VARIANTS], size: [component.size, SIZES] });
  return { node: el("span", { class: component.pill === false ? `${name} w-square` : name }, words(component.label)) };
}

function label(component) {
  const { node } = text(component, "label", "w-label");
  node.dataset.for = words(component.fieldName);
  return { node };
}

// Pictures and data

function iconPart(component) {
  const node = el("span", { class: classes("w-icon", { size: [component.size, SIZES] }) }, namedIcon(component.name));
  setStyles(node, { color: color(component.color, TEXT_COLORS) });
  return { node };
}

const FITS = ["cover", "contain", "fill", "scale-down", "none"];
const POSITIONS = ["top left", "top", "top right", "left", "center", "right", "bottom left", "bottom", "bottom right"];

function image(component, host) {
  const source = words(component.src);
  const name = words(component.alt);
  const url = safeImage(source, document.baseURI, host.imageHosts());
  const node = el("span", { class: `w-image${component.frame === true ? " w-frame" : ""}${component.flush === true ? " w-flush" : ""}` });
  const instead = () => {
    const href = safeLink(source);
    node.classList.add("w-no-image");
    node.replaceChildren(namedIcon("square-image"), href ? outsideLink(href, name || new URL(href).hostname || "Image") : name);
  };
  setStyles(node, boxStyles(component));
  if (!url) {
    instead();
    return { node };
  }
  const img = picture(url, name, instead);
  setStyles(img, {
    "object-fit": FITS.includes(component.fit) ? component.fit : undefined,
    "object-position": POSITIONS.includes(component.position) ? component.position : undefined,
  });
  node.append(img);
  return { node };
}

/** An image from an address that has passed `safeImage`. */
function picture(url, alt, onerror) {
  return el("img", { src: url, alt, loading: "lazy", decoding: "async", referrerpolicy: "no-referrer", onerror });
}

/** The numbers of a chart, as a table. */
function chart(component) {
  const rows = entries(component.data, MOST_ROWS);
  const series = entries(component.series, 12);
  const axis = isRecord(component.xAxis) ? component.xAxis : { dataKey: component.xAxis };
  const cell = (row, key) => (typeof key === "string" && Object.hasOwn(row, key) ? words(row[key]) : "");
  const named = (value) => (isRecord(axis.labels) && Object.hasOwn(axis.labels, value) ? words(axis.labels[value]) : value);
  const table = el(
    "table",
    {},
    el("thead", {}, el("tr", {}, el("td"), series.map((it) => el("th", { scope: "col", class: "align-right" }, words(it.label) || words(it.dataKey))))),
    el("tbody", {}, rows.map((row) => el("tr", {}, el("th", { scope: "row" }, named(cell(row, axis.dataKey))), series.map((it) => el("td", { class: "align-right" }, cell(row, it.dataKey)))))),
  );
  return { node: el("div", { class: "prose w-chart" }, el("div", { class: "table-scroll", tabindex: "0", role: "region", "aria-label": "Data of a chart" }, table)) };
}

// Controls

function button(component, host) {
  const name = classes("w-button", {
    color: [component.color ?? component.style, COLORS],
    variant: [component.variant ?? (component.style === "secondary" ? "soft" : undefined), VARIANTS],
    size: [component.size, SIZES],
    icons: [component.iconSize, SIZES],
  });
  const text = words(component.label);
  const icons = [component.iconStart, component.iconEnd].map((it) => it !== undefined && namedIcon(it));
  const title = text === "" ? words(component.iconStart) || "Button" : undefined;
  const submits = component.submit === true;
  const acts = isRecord(component.onClickAction);
  const node = el(
    "button",
    { type: submits ? "submit" : "button", class: name, disabled: component.disabled === true, "aria-label": title, "data-acts": acts },
    icons[0], text && el("span", {}, text), icons[1],
  );
  for (const shape of ["pill", "uniform", "block"]) node.classList.toggle(`w-${shape}`, component[shape] === true);
  if (acts) {
    node.addEventListener("click", () => {
      if (!submits || (node.form?.reportValidity() ?? true)) host.act(component.onClickAction, node, "self");
    });
  }
  return { node };
}

/** A control that belongs to its form by `data-field`. */
function field(tag, component, attributes = {}, ...children) {
  const name = words(component.name);
  return el(
    tag,
    {
      class: classes("w-field", { size: [component.size, SIZES], variant: [component.variant, VARIANTS] }),
      "data-field": name,
      "aria-label": words(component.placeholder) || name || "Field",
      placeholder: tag === "select" ? undefined : words(component.placeholder) || undefined,
      required: component.required === true,
      disabled: component.disabled === true,
      pattern: tag === "input" ? safePattern(component.pattern) : undefined,
      ...attributes,
    },
    ...children,
  );
}

function autocomplete(component) {
  const hint = component.autoComplete;
  return typeof hint === "string" && /^[a-z-]{1,40}( [a-z-]{1,40}){0,3}$/.test(hint) ? hint : "off";
}

const INPUT_TYPES = ["number", "email", "text", "password", "tel", "url"];

function input(component) {
  const type = INPUT_TYPES.includes(component.inputType) ? component.inputType : "text";
  const node = field("input", component, { type, autocomplete: autocomplete(component), step: type === "number" && "any" });
  node.defaultValue = words(component.defaultValue);
  if (component.pill === true) node.classList.add("w-pill");
  if (component.autoSelect === true) node.addEventListener("focus", () => node.select());
  return { node };
}

function textarea(component) {
  const rows = Number.isInteger(component.rows) ? Math.min(Math.max(component.rows, 1), 30) : 3;
  const node = field("textarea", component, { rows });
  node.defaultValue = words(component.defaultValue);
  if (component.autoResize === true) node.classList.add("w-grows");
  return { node };
}

function select(component, host) {
  const options = entries(component.options, MOST_OPTIONS);
  const chosen = options.find((it) => it.value === component.defaultValue);
  const empty = !chosen || component.clearable === true;
  const node = field(
    "select",
    component,
    {},
    empty && el("option", { value: "" }, words(component.placeholder) || "Choose…"),
    options.map((it) => {
      const about = words(it.description);
      return el("option", { value: words(it.value), disabled: it.disabled === true, selected: it === chosen }, `${words(it.label) || words(it.value)}${about && ` – ${about}`}`);
    }),
  );
  for (const shape of ["pill", "block"]) node.classList.toggle(`w-${shape}`, component[shape] === true);
  onChange(node, component, host);
  return { node };
}

function datePicker(component, host) {
  const day = (value) => /^\d{4}-\d{2}-\d{2}/.exec(words(value))?.[0];
  const node = field("input", component, { type: "date", placeholder: undefined, pattern: undefined, min: day(component.min), max: day(component.max) });
  node.defaultValue = day(component.defaultValue) ?? "";
  for (const shape of ["pill", "block"]) node.classList.toggle(`w-${shape}`, component[shape] === true);
  onChange(node, component, host);
  return { node };
}

function checkbox(component, host) {
  const name = words(component.label);
  const control = field("input", component, { type: "checkbox", class: false, pattern: undefined, checked: component.defaultChecked === true, "aria-label": name ? undefined : words(component.name) || "Checkbox" });
  onChange(control, component, host);
  return { node: el("label", { class: "w-choice" }, control, name && el("span", {}, name)) };
}

function radioGroup(component, host) {
  const group = host.group();
  const node = el("div", {
    class: component.direction === "row" ? "w-choices w-row" : "w-choices w-col",
    role: "radiogroup",
    "data-field": words(component.name),
    "aria-label": words(component.ariaLabel) || words(component.name) || "Choice",
  });
  for (const it of entries(component.options, MOST_OPTIONS)) {
    const radio = el("input", {
      type: "radio", name: group, value: words(it.value), checked: it.value === component.defaultValue,
      required: component.required === true, disabled: component.disabled === true || it.disabled === true,
    });
    node.append(el("label", { class: "w-choice" }, radio, el("span", {}, words(it.label) || words(it.value))));
  }
  onChange(node, component, host);
  return { node };
}

function onChange(node, component, host) {
  if (isRecord(component.onChangeAction)) node.addEventListener("change", () => host.act(component.onChangeAction, node, "none"));
}

/** By the type of a component. `grows`: its `value` may change without building it anew. */
export const PARTS = new Map([
  ["Card", { build: card }],
  ["ListView", { build: listView }],
  ["Basic", { build: basic }],
  ["ListViewItem", { build: listViewItem }],
  ["Box", { build: (it) => box(it, "box") }],
  ["Row", { build: (it) => box(it, "row") }],
  ["Col", { build: (it) => box(it, "col") }],
  ["Form", { build: form }],
  ["Divider", { build: divider }],
  ["Spacer", { build: spacer }],
  ["Transition", { build: wrapper }],
  ["Text", { build: plainText, grows: true }],
  ["Title", { build: (it) => text(it, "h3", "w-title"), grows: true }],
  ["Caption", { build: (it) => text(it, "p", "w-caption"), grows: true }],
  ["Markdown", { build: markdown, grows: true }],
  ["Badge", { build: badge }],
  ["Label", { build: label }],
  ["Icon", { build: iconPart }],
  ["Image", { build: image }],
  ["Chart", { build: chart }],
  ["Button", { build: button }],
  ["Input", { build: input }],
  ["Textarea", { build: textarea }],
  ["Select", { build: select }],
  ["DatePicker", { build: datePicker }],
  ["Checkbox", { build: checkbox }],
  ["RadioGroup", { build: radioGroup }],
]);

/** A component of a type that this page does not know shows its children. */
export const UNKNOWN = { build: wrapper };
