/** How a widget may look: the values that are let through, as CSS. A widget comes from outside, and what is not understood is left out. */

export type Props = Record<string, unknown>;
export type Css = Record<string, string | undefined>;

/** In CSS pixels: nothing is larger than a screen. */
const LARGEST = 2000;
/** Of a text. */
const LONGEST = 20_000;

const SIZE_WORDS = new Set(["auto", "fit-content", "min-content", "max-content"]);
const LENGTH = /^(\d{1,5}(?:\.\d{1,4})?)(px|rem|em|ch|lh|%|vw|vh|dvh|dvw|svh|svw|cqw)?$/;

/** An object of JSON: not an array, not null. */
export function isProps(value: unknown): value is Props {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A property of the object itself, never of its prototype. */
export function own<T>(record: Record<string, T>, name: unknown): T | undefined {
  return typeof name === "string" && Object.hasOwn(record, name) ? record[name] : undefined;
}

/** Words of any length and type, as text. */
export function words(value: unknown): string {
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (typeof value !== "string") return "";
  return value.length > LONGEST ? `${value.slice(0, LONGEST)}…` : value;
}

/** The objects of a list, so many at most. */
export function entries(list: unknown, most: number): Props[] {
  return Array.isArray(list) ? list.slice(0, most).filter(isProps) : [];
}

/** A whole number from 1 up, cut at `most`. */
export function count(value: unknown, most: number): number | undefined {
  return typeof value === "number" && Number.isInteger(value) && value > 0 ? Math.min(value, most) : undefined;
}

// Lengths

function clamp(value: number, largest: number): number {
  return Math.round(Math.min(Math.max(value, 0), largest) * 1000) / 1000;
}

/** A length that is neither negative nor larger than a screen: a number of pixels, or one with a unit. */
export function length(value: unknown): string | undefined {
  if (typeof value === "number" && Number.isFinite(value)) return `${clamp(value, LARGEST)}px`;
  if (typeof value !== "string") return undefined;
  const text = value.trim();
  if (SIZE_WORDS.has(text)) return text;
  const [, digits, unit] = LENGTH.exec(text) ?? [];
  if (digits === undefined) return undefined;
  if (unit === undefined) return length(Number(digits));
  const largest = unit === "px" ? LARGEST : /^(?:rem|em|ch|lh)$/.test(unit) ? LARGEST / 16 : 100;
  return `${clamp(Number(digits), largest)}${unit}`;
}

/** As a length, but a number counts in the chat's steps of four pixels. */
export function spacing(value: unknown): string | undefined {
  const number = typeof value === "string" && /^\d{1,3}(?:\.\d{1,2})?$/.test(value) ? Number(value) : value;
  if (typeof number === "number" && Number.isFinite(number)) return `calc(var(--kf-unit, 4px) * ${clamp(number, 100)})`;
  return length(number);
}

export function flex(value: unknown): string | undefined {
  // As in CSS, `1` grows and shrinks from nothing.
  if (typeof value === "number" && Number.isFinite(value)) return String(clamp(value, 100));
  const plain = typeof value === "string" && /^(?:auto|none|\d{1,3}(?:\.\d+)?(?: \d{1,3}(?: (?:auto|\d{1,4}(?:px|%)?))?)?)$/.test(value);
  return plain ? value : undefined;
}

export function ratio(value: unknown): string | undefined {
  if (typeof value === "number") return value > 0.01 && value < 100 ? String(value) : undefined;
  if (typeof value !== "string") return undefined;
  const [, width, height = "1"] = /^\s*(\d{1,4}(?:\.\d{1,3})?)\s*(?:\/\s*(\d{1,4}(?:\.\d{1,3})?))?\s*$/.exec(value) ?? [];
  return width !== undefined && ratio(Number(width) / Number(height)) ? value.trim() : undefined;
}

// Colours

const HUES: Record<string, number> = {
  red: 25, orange: 50, amber: 72, yellow: 95, lime: 125, green: 148, emerald: 160, teal: 182, cyan: 208, sky: 232,
  blue: 258, indigo: 275, violet: 292, purple: 305, fuchsia: 322, pink: 352, rose: 14,
};
const GREYS = /^(?:gray|grey|slate|zinc|neutral|stone)$/;

export const TEXT_COLORS: Record<string, string> = {
  prose: "var(--kf-text)", primary: "var(--kf-text)", emphasis: "var(--kf-text)", secondary: "var(--kf-muted)", tertiary: "var(--kf-muted)",
  success: "var(--kf-good)", warning: "var(--kf-warning)", danger: "var(--kf-danger)",
};
export const SURFACE_COLORS: Record<string, string> = {
  surface: "var(--kf-surface)", "surface-secondary": "color-mix(in oklab, var(--kf-text) 4%, var(--kf-surface))",
  "surface-tertiary": "color-mix(in oklab, var(--kf-text) 8%, var(--kf-surface))",
  "surface-elevated": "var(--kf-raised)", "surface-elevated-secondary": "color-mix(in oklab, var(--kf-text) 4%, var(--kf-raised))",
};
export const BORDER_COLORS: Record<string, string> = {
  default: "var(--kf-line)", subtle: "color-mix(in oklab, var(--kf-line) 60%, transparent)", strong: "var(--kf-muted)",
};
export const CHART_COLORS: Record<string, string> = {
  blue: "oklch(62% .17 255)", purple: "oklch(60% .19 300)", orange: "oklch(70% .16 55)", green: "oklch(64% .15 152)",
  red: "oklch(62% .19 25)", yellow: "oklch(78% .15 88)", pink: "oklch(66% .18 350)",
};

/** A colour: one of the tokens, a primitive (`red-100`), plain CSS, or one for each theme. Never an image. */
export function color(value: unknown, tokens: Record<string, string>): string | undefined {
  if (isProps(value)) {
    const [light, dark] = [color(own(value, "light"), tokens), color(own(value, "dark"), tokens)];
    return light !== undefined && dark !== undefined ? `light-dark(${light}, ${dark})` : light ?? dark;
  }
  if (typeof value !== "string" || value.length > 64) return undefined;
  const text = value.trim();
  return own(tokens, text) ?? alpha(text) ?? primitive(text) ?? plain(text);
}

/** `alpha-70`: so much of the text's colour. */
function alpha(text: string): string | undefined {
  const percent = /^alpha-(\d{1,2}|100)$/.exec(text)?.[1];
  return percent && `color-mix(in srgb, var(--kf-text) ${percent}%, transparent)`;
}

/** From 0, white, to 1000, black. */
function primitive(text: string): string | undefined {
  const [, hue = "", shade] = /^([a-z]+)-(\d{1,4})$/.exec(text) ?? [];
  if (shade === undefined || Number(shade) > 1000) return undefined;
  const step = Number(shade) / 1000;
  const lightness = Math.round((1 - step) * 80 + 19 - step * 6 + 3 * Math.sin(step * Math.PI));
  if (GREYS.test(hue)) return `oklch(${lightness}% .004 80)`;
  const angle = own(HUES, hue);
  if (angle === undefined) return undefined;
  return `oklch(${lightness}% ${(0.015 + 0.165 * Math.sin(Math.min(step, 1) * Math.PI) ** 0.9).toFixed(3)} ${angle})`;
}

function plain(text: string): string | undefined {
  const simple = /^#(?:[\da-f]{3,4}|[\da-f]{6}|[\da-f]{8})$/i.test(text) || /^[a-z]{3,24}$/i.test(text);
  return simple || /^(?:rgb|hsl|hwb|lab|lch|oklab|oklch)a?\([\d\s.,%/-]+(?:deg[\d\s.,%/-]*)?\)$/i.test(text) ? text : undefined;
}

// Boxes

const ALIGN: Record<string, string> = { start: "flex-start", center: "center", end: "flex-end", baseline: "baseline", stretch: "stretch" };
const JUSTIFY: Record<string, string> = {
  start: "flex-start", center: "center", end: "flex-end", between: "space-between", around: "space-around", evenly: "space-evenly", stretch: "stretch",
};
const RADIUS: Record<string, string> = {
  none: "0", "2xs": "2px", xs: "4px", sm: "6px", md: "8px", lg: "10px", xl: "12px", "2xl": "16px", "3xl": "20px", "4xl": "24px", full: "999px", "100%": "100%",
};
const LINES = new Set(["solid", "dashed", "dotted", "double", "groove", "ridge", "inset", "outset"]);
const WRAPS = new Set(["nowrap", "wrap", "wrap-reverse"]);

/** The size of a component that has one. */
export function sizeStyles(props: Props): Css {
  const size = length(props.size), least = length(props.minSize), most = length(props.maxSize);
  return {
    flex: flex(props.flex),
    width: length(props.width) ?? size,
    height: length(props.height) ?? size,
    "min-width": length(props.minWidth) ?? least,
    "min-height": length(props.minHeight) ?? least,
    "max-width": length(props.maxWidth) ?? most,
    "max-height": length(props.maxHeight) ?? most,
    "aspect-ratio": ratio(props.aspectRatio),
  };
}

/** All of a component that is laid out. */
export function boxStyles(props: Props): Css {
  return {
    ...sizeStyles(props),
    "align-items": own(ALIGN, props.align),
    "justify-content": own(JUSTIFY, props.justify),
    "flex-wrap": typeof props.wrap === "string" && WRAPS.has(props.wrap) ? props.wrap : undefined,
    gap: spacing(props.gap),
    "border-radius": own(RADIUS, props.radius),
    "background-color": color(props.background, SURFACE_COLORS),
    ...sides("padding", props.padding),
    ...sides("margin", props.margin),
    ...borders(props.border),
  };
}

export function sides(name: string, value: unknown): Css {
  if (!isProps(value)) return { [name]: spacing(value) };
  const at = (side: string, axis: string) => spacing(own(value, side) ?? own(value, axis));
  return { [`${name}-top`]: at("top", "y"), [`${name}-right`]: at("right", "x"), [`${name}-bottom`]: at("bottom", "y"), [`${name}-left`]: at("left", "x") };
}

function borders(value: unknown): Css {
  if (!isProps(value) || Object.hasOwn(value, "size")) return { border: line(value) };
  const at = (side: string, axis: string) => line(own(value, side) ?? own(value, axis));
  return { "border-top": at("top", "y"), "border-right": at("right", "x"), "border-bottom": at("bottom", "y"), "border-left": at("left", "x") };
}

function line(value: unknown): string | undefined {
  const { size, style, color: shade } = isProps(value) ? value : { size: value, style: undefined, color: undefined };
  if (typeof size !== "number" || !(size >= 0)) return undefined;
  return `${clamp(size, 16)}px ${typeof style === "string" && LINES.has(style) ? style : "solid"} ${color(shade, BORDER_COLORS) ?? "var(--kf-line)"}`;
}

const TOKENS = new Set([
  "3xs", "2xs", "xs", "sm", "md", "lg", "xl", "2xl", "3xl", "4xl", "5xl", "full", "normal", "medium", "semibold", "bold", "start", "center", "end",
  "solid", "soft", "outline", "ghost", "light", "dark",
  "primary", "secondary", "info", "discovery", "success", "caution", "warning", "danger",
]);

/** The classes of a component: `classes("w-text", { size: "sm" })` is `w-text size-sm`; only known tokens become one, and what is `true`. */
export function classes(base: string, properties: Record<string, unknown>): string {
  let names = base;
  for (const [name, value] of Object.entries(properties)) {
    if (value === true) names += ` ${name}`;
    else if (typeof value === "string" && TOKENS.has(value)) names += ` ${name}-${value}`;
  }
  return names;
}
