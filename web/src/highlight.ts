/** Colours for code, once the script that knows languages is there. */

export type Highlighter = (code: string, language: string) => string | undefined;

let highlighter: Highlighter | undefined;
let loading: Promise<Highlighter | undefined> | undefined;

/** The code as HTML with classes; nothing for a language that is not known, or not known yet. */
export function highlighted(code: string, language: string): string | undefined {
  return highlighter?.(code, language);
}

/** The highlighter, where it is not there yet; nothing where it is, or cannot be had. */
export function loadHighlighter(): Promise<Highlighter | undefined> | undefined {
  if (highlighter) return undefined;
  loading ??= (import(new URL("kitfox-highlight.js", import.meta.url).href) as Promise<{ highlighted: Highlighter }>).then(
    (it) => (highlighter = it.highlighted),
    // Code without colours is code, too.
    () => undefined,
  );
  return loading;
}
