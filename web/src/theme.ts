/** A theme's options as the custom properties that the style sheets are written in. No DOM. */
import type { ThemeOption } from "./options";

const RADII = {
  pill: { control: "999px", card: "1.25em", bubble: "1.35em", composer: "1.75em", send: "50%" },
  round: { control: ".75em", card: "1em", bubble: "1.1em", composer: "1.25em", send: "50%" },
  soft: { control: ".5em", card: ".6em", bubble: ".75em", composer: ".8em", send: ".55em" },
  sharp: { control: "0px", card: "0px", bubble: "0px", composer: "0px", send: "0px" },
};
const DENSITIES = { compact: "3.25px", normal: "4px", spacious: "5px" };

/** Rules for `:host`; only what the theme sets is in them. */
export function themeRules(theme: ThemeOption): string {
  const set = new Map<string, string>();
  const radius = RADII[theme.radius ?? "round"] ?? RADII.round;
  if (theme.radius) {
    set.set("--kf-control-radius", radius.control);
    set.set("--kf-radius", radius.card);
    set.set("--kf-bubble-radius", radius.bubble);
    set.set("--kf-composer-radius", radius.composer);
    set.set("--kf-send-radius", radius.send);
  }
  if (theme.density) set.set("--kf-unit", DENSITIES[theme.density] ?? DENSITIES.normal);
  const { typography, color } = theme;
  if (typography?.baseSize) set.set("--kf-size", `${Math.min(Math.max(Number(typography.baseSize), 10), 28)}px`);
  if (typography?.fontFamily) set.set("--kf-sans", family(typography.fontFamily));
  if (typography?.fontFamilyMono) set.set("--kf-mono", family(typography.fontFamilyMono));
  if (color?.grayscale) {
    const { hue, tint, shade = 0 } = color.grayscale;
    set.set("--kf-hue", String(Number(hue) || 0));
    set.set("--kf-tint", `${Math.min(Math.max(Number(tint) || 0, 0), 9) * 3}%`);
    set.set("--kf-shade", `${Math.min(Math.max(Number(shade) || 0, -4), 4) * -1}%`);
  }
  const accent = color?.accent && colorOf(color.accent.primary);
  if (color?.accent && accent) {
    set.set("--kf-accent", accent);
    const light = luminance(accent);
    if (light !== undefined) set.set("--kf-on-accent", light > 0.4 ? "#000" : "#fff");
    // Words in the accent's colour are to be read on any ground.
    set.set("--kf-link", `color-mix(in oklab, ${accent} 55%, var(--kf-text))`);
    const level = Math.min(Math.max(Number(color.accent.level) || 0, 0), 3);
    set.set("--kf-accent-soft", `color-mix(in oklab, ${accent} ${6 + level * 6}%, var(--kf-surface))`);
    if (level > 1) set.set("--kf-bubble", `color-mix(in oklab, ${accent} ${level * 6}%, var(--kf-surface))`);
  }
  const surface = color?.surface;
  const background = surface && colorOf(surface.background);
  const foreground = surface && colorOf(surface.foreground);
  if (background) set.set("--kf-surface", background);
  if (foreground) set.set(isText(background, foreground) ? "--kf-text" : "--kf-raised", foreground);
  return `:host{${[...set].map(([name, value]) => `${name}:${value}`).join(";")}}`;
}

/** Pages mean the colour of text by it, or that of raised surfaces; what can be read on the background is text. */
function isText(background: string | undefined, foreground: string): boolean {
  const a = background ? luminance(background) : undefined;
  const b = luminance(foreground);
  if (a === undefined || b === undefined) return true;
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) >= 3;
}

/** A value that can stand in a rule without ending it. */
function colorOf(value: unknown): string | undefined {
  return typeof value === "string" && /^[#\w\s.,%()/+-]{1,100}$/.test(value) ? value.trim() : undefined;
}

function family(value: string): string {
  return /^[\w\s",'.-]{1,300}$/.test(value) ? value : "system-ui, sans-serif";
}

/** How light a colour in `#` or `rgb()` notation is, from 0 to 1; unknown for others. */
export function luminance(color: string): number | undefined {
  const channels = channelsOf(color);
  if (!channels) return undefined;
  const [red = 0, green = 0, blue = 0] = channels.map((it) => (it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function channelsOf(color: string): number[] | undefined {
  const short = /^#([\da-f])([\da-f])([\da-f])[\da-f]?$/i.exec(color);
  if (short) return short.slice(1, 4).map((it) => parseInt(it + it, 16) / 255);
  const long = /^#([\da-f]{2})([\da-f]{2})([\da-f]{2})(?:[\da-f]{2})?$/i.exec(color);
  if (long) return long.slice(1, 4).map((it) => parseInt(it, 16) / 255);
  const called = /^rgba?\(\s*(\d+)[\s,]+(\d+)[\s,]+(\d+)/i.exec(color);
  return called?.slice(1, 4).map((it) => Number(it) / 255);
}
