/** What the chat says, in the languages it speaks. No DOM. */
import { en } from "./locales/en";

export type Strings = typeof en;

/** The languages whose words are in a script of their own, loaded where one of them is spoken. */
const LOADED = ["ar", "de", "ja"];
const spoken: Record<string, Strings> = { en };
let loading: Promise<void> | undefined;
const RIGHT_TO_LEFT = new Set(["ar", "he", "fa", "ur"]);

/** The words for a locale (`de-CH` is `de`), English where none are known. */
export function stringsFor(locale: string): Strings {
  return spoken[languageOf(locale)] ?? en;
}

/** Brings the words for a locale, where they are not there yet; where they cannot be had, it stays with English. */
export function loadStrings(locale: string): Promise<void> | undefined {
  if (spoken[languageOf(locale)]) return undefined;
  loading ??= (import(new URL("kitfox-locales.js", import.meta.url).href) as Promise<Record<string, Strings>>).then(learn, () => learn(Object.fromEntries(LOADED.map((it) => [it, en]))));
  return loading;
}

export function learn(languages: Record<string, Strings>): void {
  Object.assign(spoken, languages);
}

/** The language that is spoken for a locale. */
export function languageOf(locale: string): string {
  const language = locale.toLowerCase().split(/[-_]/)[0] ?? "";
  return LOADED.includes(language) ? language : "en";
}

export function directionOf(locale: string): "ltr" | "rtl" {
  return RIGHT_TO_LEFT.has(languageOf(locale)) ? "rtl" : "ltr";
}
