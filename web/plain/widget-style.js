/** How a widget may look: the values that are let through, as CSS. What is not understood is left out. */

/** Spacing counts in steps of four pixels, as the widgets' authors know it. */
const STEP = 4;
const LARGEST = 2000;

const PERCENT_LIKE = new Set(["%", "vw", "vh"]);
const SIZE_WORDS = new Set(["auto", "fit-content", "min-content", "max-content"]);

/** A length that cannot be negative and not exceed a screen: a number of `unit` pixels, or one with a CSS unit. */
export function length(value, unit = 1) {
  if (typeof value === "number" && Number.isFinite(value)) return `${clamp(value * unit, LARGEST)}px`;
  if (typeof value !== "string") return undefined;
  if (SIZE_WORDS.has(value)) return value;
  const parts = /^(\d{1,5}(?:\.\d{1,4})?)(px|rem|em|ch|%|vw|vh)?$/.exec(value.trim());
  if (!parts) return undefined;
  const [, digits, suffix] = parts;
  if (suffix === undefined) return length(Number(digits), unit);
  if (PERCENT_LIKE.has(suffix)) return `${clamp(Number(digits), 100)}${suffix}`;
  return `${clamp(Number(digits), suffix === "px" ? LARGEST : LARGEST / 16)}${suffix}`;
}

export function spacing(value) {
  return length(value, STEP);
}

function clamp(number, largest) {
  return Math.round(Math.min(Math.max(number, 0), largest) * 1000) / 1000;
}

// Colours

const HUES = {
  red: 25, orange: 50, amber: 72, yellow: 95, lime: 125, green: 148, emerald: 160, teal: 182, cyan: 208, sky: 232,
  blue: 258, indigo: 275, violet: 292, purple: 305, fuchsia: 322, pink: 352, rose: 14,
};
const LIGHTNESS = { 50: 97, 100: 94, 200: 88, 300: 81, 400: 73, 500: 65, 600: 57, 700: 49, 800: 42, 900: 36, 950: 27 };

export const TEXT_COLORS = {
  prose: "var(--text)", primary: "var(--text)", emphasis: "var(--text)", secondary: "var(--muted)", tertiary: "var(--muted)",
  success: "var(--good)", warning: "var(--warning)", danger: "var(--danger)",
};
export const SURFACE_COLORS = {
  surface: "var(--surface)", "surface-secondary": "var(--ground)", "surface-tertiary": "var(--bubble)",
  "surface-elevated": "var(--raised)", "surface-elevated-secondary": "var(--ground)",
};
export const BORDER_COLORS = { default: "var(--line)", subtle: "var(--hover)", strong: "var(--muted)" };

/** A colour: one of the tokens, a primitive (`red-100`), plain CSS, or one for each theme. */
export function color(value, tokens) {
  if (isRecord(value)) {
    const [light, dark] = [color(own(value, "light"), tokens), color(own(value, "dark"), tokens)];
    return light && dark ? `light-dark(${light}, ${dark})` : (light ?? dark);
  }
  if (typeof value !== "string" || value.length > 64) return undefined;
  return own(tokens, value) ?? alpha(value) ?? primitive(value) ?? cssColor(value);
}

/** `alpha-70`: the text's colour, that much of it. */
function alpha(value) {
  const percent = /^alpha-(\d{1,2}|100)$/.exec(value)?.[1];
  return percent && `color-mix(in srgb, var(--text) ${percent}%, transparent)`;
}

function primitive(value) {
  const [, hue, shade] = /^([a-z]+)-(\d{2,3})$/.exec(value) ?? [];
  const lightness = shade && own(LIGHTNESS, shade);
  if (lightness === undefined) return undefined;
  if (/^(?:gray|grey|slate|zinc|neutral|stone)$/.test(hue)) return `oklch(${lightness}% 0.006 60)`;
  const angle = own(HUES, hue);
  if (angle === undefined) return undefined;
  const chroma = lightness > 90 ? 0.035 : lightness > 80 ? 0.09 : 0.16;
  return `oklch(${lightness}% ${chroma} ${angle})`;
}

function cssColor(value) {
  const text = value.trim();
  const plain = /^#(?:[\da-f]{3,4}|[\da-f]{6}|[\da-f]{8})$/i.test(text) || /^[a-z]{3,24}$/i.test(text);
  return plain || /^(?:rgb|hsl|hwb|lab|lch|oklab|oklch)a?\([\d\s.,%/-]+(?:deg[\d\s.,%/-]*)?\)$/i.test(text) ? text : undefined;
}

// Boxes

const ALIGN = { start: "flex-start", center: "center", end: "flex-end", baseline: "baseline", stretch: "stretch" };
const JUSTIFY = {
  start: "flex-start", center: "center", end: "flex-end", between: "space-between", around: "space-around",
  evenly: "space-evenly", stretch: "stretch",
};
const RADIUS = {
  none: "0", "2xs": "2px", xs: "4px", sm: "6px", md: "8px", lg: "10px", xl: "12px", "2xl": "16px", "3xl": "20px",
  "4xl": "24px", full: "999px", "100%": "100%",
};
const LINES = new Set(["solid", "dashed", "dotted", "double", "groove", "ridge", "inset", "outset"]);
const WRAPS = new Set(["nowrap", "wrap", "wrap-reverse"]);

/** The CSS properties of a component that is laid out: containers, images, charts. */
export function boxStyles(component) {
  const styles = {
    "align-items": own(ALIGN, component.align),
    "justify-content": own(JUSTIFY, component.justify),
    "flex-wrap": WRAPS.has(component.wrap) ? component.wrap : undefined,
    flex: flex(component.flex),
    gap: spacing(component.gap),
    width: length(component.width) ?? length(component.size),
    height: length(component.height) ?? length(component.size),
    "min-width": length(component.minWidth) ?? length(component.minSize),
    "min-height": length(component.minHeight) ?? length(component.minSize),
    "max-width": length(component.maxWidth) ?? length(component.maxSize),
    "max-height": length(component.maxHeight) ?? length(component.maxSize),
    "aspect-ratio": ratio(component.aspectRatio),
    "border-radius": own(RADIUS, component.radius),
    background: color(component.background, SURFACE_COLORS),
    ...sides("padding", component.padding),
    ...sides("margin", component.margin),
    ...borders(component.border),
  };
  return Object.fromEntries(Object.entries(styles).filter(([, value]) => value !== undefined));
}

function flex(value) {
  if (typeof value === "number" && Number.isFinite(value)) return String(clamp(value, 100));
  const plain = typeof value === "string" && /^(?:auto|none|\d{1,3}(?:\.\d+)?(?: \d{1,3}(?: (?:auto|\d{1,4}(?:px|%)?))?)?)$/.test(value);
  return plain ? value : undefined;
}

function ratio(value) {
  if (typeof value === "number" && value > 0.01 && value < 100) return String(value);
  return typeof value === "string" && /^\d{1,4}(?:\.\d+)?\s*(?:\/\s*\d{1,4}(?:\.\d+)?)?$/.test(value) ? value : undefined;
}

function sides(name, value) {
  if (!isRecord(value)) return { [name]: spacing(value) };
  const at = (side, axis) => spacing(own(value, side) ?? own(value, axis));
  return { [`${name}-top`]: at("top", "y"), [`${name}-right`]: at("right", "x"), [`${name}-bottom`]: at("bottom", "y"), [`${name}-left`]: at("left", "x") };
}

function borders(value) {
  if (!isRecord(value) || Object.hasOwn(value, "size")) return { border: line(value) };
  const at = (side, axis) => line(own(value, side) ?? own(value, axis));
  return { "border-top": at("top", "y"), "border-right": at("right", "x"), "border-bottom": at("bottom", "y"), "border-left": at("left", "x") };
}

function line(value) {
  const { size, style, color: shade } = isRecord(value) ? value : { size: value };
  if (typeof size !== "number" || !(size >= 0)) return undefined;
  return `${clamp(size, 16)}px ${LINES.has(style) ? style : "solid"} ${color(shade, BORDER_COLORS) ?? "var(--line)"}`;
}

/** Sets the properties one by one, which a content security policy allows, and the browser checks them again. */
export function setStyles(node, styles) {
  for (const [name, value] of Object.entries(styles)) {
    if (value !== undefined) node.style.setProperty(name, value);
  }
}

/** The classes for properties whose values are tokens: `classes("w-text", { size: ["sm", SIZES] })`. */
export function classes(base, properties) {
  const names = Object.entries(properties)
    .filter(([, [value, tokens]]) => typeof value === "string" && tokens.includes(value))
    .map(([name, [value]]) => `${name}-${value}`);
  return [base, ...names].join(" ");
}

/** An object of JSON: not an array, not null. */
export function isRecord(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A property of the object itself, never of its prototype. */
function own(record, name) {
  return typeof name === "string" && Object.hasOwn(record, name) ? record[name] : undefined;
}
