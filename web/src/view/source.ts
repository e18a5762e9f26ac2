/** Sources as lines: a title, linked where it has an address, and where it is from. */
import { type TemplateResult, html, nothing } from "lit";
import { titleOf } from "../citations";
import { icon } from "../icons";
import { safeLink } from "../links";
import type { Source } from "../protocol";
import { plainName } from "../uploads";

export function sourceLine(source: Source, number?: number): TemplateResult {
  const title = titleOf(source);
  const href = source.type === "url" ? safeLink(source.url) : undefined;
  const place = placeOf(source, href, title);
  const mark = number === undefined ? icon(source.type === "url" ? "globe" : source.type === "file" ? "document" : (source.icon ?? "cube")) : html`<span class="number" aria-hidden="true">${number}</span>`;
  const words = html`<bdi class="source-title">${plainName(title)}</bdi>${place ? html`<span class="muted source-place">${plainName(place)}</span>` : nothing}`;
  return href
    ? html`<a class="source" href=${href} target="_blank" rel="noopener noreferrer nofollow" title=${source.description ?? title}>${mark}${words}</a>`
    : html`<span class="source" title=${source.description ?? title}>${mark}${words}</span>`;
}

function placeOf(source: Source, href: string | undefined, title: string): string {
  const from = source.type === "url" ? source.attribution || (href ? new URL(href).hostname.replace(/^www\./, "") : undefined) : source.type === "file" && source.filename !== title ? source.filename : source.group;
  return [from, source.timestamp].filter((it) => it).join(" · ");
}
