/** Where citations stand in a text. No DOM. */
import type { Annotation, Source } from "./protocol";

/** Stand around the number of a citation in text that is rendered; both are for private use, and taken out of what models write. */
export const OPEN = "\uE0A0";
export const CLOSE = "\uE0A1";

/** A source with the number that readers see, from 1. */
export interface Citation {
  number: number;
  source: Source;
}

/** The sources of annotations, each once, numbered as they are first mentioned. */
export function citationsOf(annotations: readonly (Annotation | undefined)[]): Citation[] {
  const citations = new Map<string, Citation>();
  for (const annotation of annotations) {
    if (!annotation?.source) continue;
    const key = keyOf(annotation.source);
    if (!citations.has(key)) citations.set(key, { number: citations.size + 1, source: annotation.source });
  }
  return [...citations.values()];
}

function keyOf(source: Source): string {
  if (source.type === "url") return `url ${source.url}`;
  return source.type === "file" ? `file ${source.filename} ${source.title}` : `entity ${source.id}`;
}

/**
 * Text with a mark at the place of each annotation, which counts in code points; those without a place have no mark. A mark moves past the
 * signs of emphasis around it, so as not to break them.
 */
export function withCitations(text: string, annotations: readonly (Annotation | undefined)[], citations: readonly Citation[]): string {
  const plain = text.replace(/[\uE0A0\uE0A1]/g, "");
  const placed = annotations
    .flatMap((it) => (it?.source && Number.isInteger(it.index) && (it.index ?? -1) >= 0 ? [{ at: it.index ?? 0, key: keyOf(it.source) }] : []))
    .sort((a, b) => a.at - b.at);
  if (placed.length === 0) return plain;

  const numbers = new Map(citations.map((it) => [keyOf(it.source), it.number]));
  const points = Array.from(plain);
  let marked = "";
  let from = 0;
  for (const { at, key } of placed) {
    let to = Math.max(from, Math.min(at, points.length));
    while (to < points.length && "*_~`".includes(points[to] ?? " ")) to += 1;
    marked += `${points.slice(from, to).join("")}${OPEN}${numbers.get(key) ?? ""}${CLOSE}`;
    from = to;
  }
  return marked + points.slice(from).join("");
}

export function titleOf(source: Source): string {
  if (source.title) return source.title;
  if (source.type === "file") return source.filename;
  return source.type === "url" ? source.url : (source.label ?? source.id);
}
