/** Widgets: the tree of components that a widget is, as nodes that are kept while they stay the same. */
import { el, iconButton, copyFrom } from "./dom.js";
import { payloadWith, valueOf, valuesOf } from "./forms.js";
import { PARTS, UNKNOWN, contentOf } from "./widget-parts.js";
import { isRecord } from "./widget-style.js";

/** A widget comes from outside: more than this of it is not shown. */
const MOST_COMPONENTS = 1500;
const DEEPEST = 32;

let last = 0;

export class WidgetView {
  node = el("article", { class: "item widget", "aria-label": "Widget" });
  #box = el("div", { class: "widget-box" });
  #rest = el("p", { class: "muted w-cut", hidden: true }, "The rest of this widget is too large to be shown.");
  #bar;
  #actions;
  #item;
  #root;
  #hosts = "";
  #left = 0;

  constructor(actions) {
    this.#actions = actions;
    const copy = iconButton("copy", "Copy", () => copyFrom(copy, this.#item.copy_text));
    this.#bar = el("div", { class: "item-bar" }, copy);
    this.node.append(this.#box, this.#rest, this.#bar);
  }

  update(item, { streaming = false } = {}) {
    this.#item = item;
    const hosts = this.#actions.imageHosts().join(" ");
    if (hosts !== this.#hosts) this.#root = undefined;
    this.#hosts = hosts;
    this.#left = MOST_COMPONENTS;
    this.#root = this.#show(item.widget, this.#root, 0);
    arrange(this.#box, this.#root ? [this.#root.node] : []);
    this.#rest.hidden = this.#left > 0;
    this.#bar.hidden = streaming || typeof item.copy_text !== "string";
    this.#joinLabels();
  }

  // The tree

  /** What stands for a component: the same as before where it did not change, with its children looked at one by one. */
  #show(component, before, depth) {
    if (this.#left <= 0 || depth > DEEPEST) {
      this.#left = 0;
      return undefined;
    }
    this.#left -= 1;
    if (!isRecord(component)) return undefined;
    const part = PARTS.get(component.type) ?? UNKNOWN;
    const signature = signatureOf(component, part);
    const kept = before !== undefined && signature !== undefined && before.signature === signature;
    const shown = kept ? before : { signature, children: [], ...part.build(component, this.#host) };
    if (kept) shown.grow?.(contentOf(component));
    if (shown.slot) this.#showChildren(shown, component, depth);
    return shown;
  }

  #showChildren(shown, component, depth) {
    const known = new Map(shown.children.map((it) => [it.key, it.shown]));
    const children = [];
    for (const [index, child] of childrenOf(component).entries()) {
      const key = keyOf(child, index);
      const it = this.#show(child, known.get(key), depth + 1);
      known.delete(key);
      if (it) children.push({ key, shown: it });
      if (this.#left <= 0) break;
    }
    shown.children = children;
    arrange(shown.slot, children.map((it) => it.shown.node));
    shown.arranged?.(children.length);
  }

  /** A label names the field of its form, wherever the two stand. */
  #joinLabels() {
    for (const label of this.#box.querySelectorAll("label[data-for]")) {
      const field = [...formOf(label, this.#box).querySelectorAll("[data-field]")].find((it) => it.dataset.field === label.dataset.for);
      if (!field || label.htmlFor !== "") continue;
      field.id ||= `field-${(last += 1)}`;
      label.id ||= `label-${(last += 1)}`;
      label.htmlFor = field.id;
      field.removeAttribute("aria-label");
      field.setAttribute("aria-labelledby", label.id);
    }
  }

  // Actions

  /** What the parts may use. `act(action, source, loading)` runs an action that a component names. */
  #host = {
    act: (action, source, loading) => this.#act(action, source, loading),
    imageHosts: () => this.#actions.imageHosts(),
    group: () => `group-${(last += 1)}`,
  };

  async #act(action, source, usual) {
    if (!isRecord(action) || typeof action.type !== "string" || source.getAttribute("aria-busy") === "true") return;
    const form = source.closest("form");
    const own = source.dataset.field === undefined ? [] : [[source.dataset.field, valueOf(source)]];
    const loading = ["self", "container", "none"].includes(action.loadingBehavior) ? action.loadingBehavior : usual;
    const free = this.#wait(loading, source);
    try {
      const { payload, ignored } = payloadWith(action.payload, form && this.#box.contains(form) ? valuesOf(form) : own);
      await this.#actions.act(this.#item, { ...action, payload }, ignored);
    } finally {
      free();
    }
  }

  /** Marks what waits for an action; gives what ends it. */
  #wait(loading, source) {
    if (loading === "none") return () => {};
    const waiting = loading === "container" ? this.#box : source;
    const focused = this.#box.contains(document.activeElement) ? document.activeElement : undefined;
    waiting.setAttribute("aria-busy", "true");
    waiting.inert = loading === "container";
    return () => {
      waiting.removeAttribute("aria-busy");
      waiting.inert = false;
      if (loading === "container" && document.activeElement === document.body) focused?.focus({ preventScroll: true });
    };
  }
}

function formOf(node, box) {
  return node.closest("form") ?? box;
}

/** All of a component but its children and the text that may grow; `undefined` where it cannot be told. */
function signatureOf(component, part) {
  const { children: _, ...own } = component;
  if (part.grows) delete own.value;
  try {
    return JSON.stringify(own);
  } catch {
    return undefined; // Nested too deeply.
  }
}

function childrenOf({ children }) {
  if (Array.isArray(children)) return children.slice(0, MOST_COMPONENTS);
  return isRecord(children) ? [children] : [];
}

function keyOf(child, index) {
  const name = isRecord(child) ? (child.key ?? child.id) : undefined;
  return typeof name === "string" ? `key ${name}` : index;
}

/** Makes the children of a node these, touching only what moved. */
function arrange(parent, nodes) {
  nodes.forEach((node, index) => {
    if (parent.children[index] !== node) parent.insertBefore(node, parent.children[index] ?? null);
  });
  while (parent.children.length > nodes.length) parent.lastElementChild.remove();
}
