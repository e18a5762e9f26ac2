/** Small helpers to make DOM nodes. Text only ever becomes text nodes: nothing here parses HTML. */

const SVG = "http://www.w3.org/2000/svg";

/** `el("button", { class: "quiet", onclick: copy }, "Copy")`; attributes and children that are absent are left out. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((it) => it !== undefined && it !== null && it !== false));
  return node;
}

/** One of the icons that index.html defines. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

/** A button that shows only an icon; its label is its name and its tooltip. */
export function iconButton(name, label, onclick, attributes = {}) {
  return el("button", { type: "button", class: "icon-button", title: label, "aria-label": label, onclick, ...attributes }, icon(name));
}

/** Copies text, also where the page has no secure context, and shows a tick on the button for a moment. */
export async function copyFrom(button, text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = el("textarea", { class: "sr-only", "aria-hidden": "true" });
    field.value = text;
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
    button.focus();
  }
  const label = button.getAttribute("aria-label");
  button.querySelector("use").setAttribute("href", "#icon-check");
  button.setAttribute("aria-label", "Copied");
  setTimeout(() => {
    button.querySelector("use").setAttribute("href", "#icon-copy");
    button.setAttribute("aria-label", label);
  }, 1500);
}

/** What this browser remembers; without storage (private windows, policies) it remembers nothing. */
export const memory = {
  get(key, storage = "localStorage") {
    try {
      return window[storage].getItem(`kitfox.${key}`);
    } catch {
      return null;
    }
  },
  set(key, value, storage = "localStorage") {
    try {
      if (value === null || value === "") window[storage].removeItem(`kitfox.${key}`);
      else window[storage].setItem(`kitfox.${key}`, value);
    } catch {
      // Remembering is a convenience.
    }
  },
};
