/** Entities in the text of the composer, which stay what they are while the text around them is edited. No DOM. */
import type { Entity } from "./options";
import type { UserContent } from "./protocol";

export interface Tag {
  start: number;
  end: number;
  entity: Entity;
}

/** Where the tags are after an edit; one that was cut into is text from then on. */
export function shifted(before: string, after: string, tags: readonly Tag[]): Tag[] {
  if (before === after) return [...tags];
  const shorter = Math.min(before.length, after.length);
  let prefix = 0;
  while (prefix < shorter && before[prefix] === after[prefix]) prefix += 1;
  let suffix = 0;
  while (suffix < shorter - prefix && before[before.length - 1 - suffix] === after[after.length - 1 - suffix]) suffix += 1;
  const end = before.length - suffix;
  const delta = after.length - before.length;
  return tags.flatMap((tag) => {
    if (tag.end <= prefix) return [tag];
    if (tag.start >= end) return [{ ...tag, start: tag.start + delta, end: tag.end + delta }];
    // The same letters may have been taken out and put in beside it.
    return after.slice(tag.start, tag.end) === before.slice(tag.start, tag.end) && prefix >= tag.start ? [tag] : [];
  });
}

/** What is sent for the text: pieces of text, and the tags between them. */
export function contentOf(text: string, tags: readonly Tag[]): UserContent[] {
  const content: UserContent[] = [];
  const add = (piece: string): void => {
    if (piece !== "") content.push({ type: "input_text", text: piece });
  };
  let from = text.length - text.trimStart().length;
  const end = text.trimEnd().length;
  for (const { start, end: tagEnd, entity } of [...tags].sort((a, b) => a.start - b.start)) {
    if (start < from || tagEnd > end) continue;
    add(text.slice(from, start));
    content.push({
      type: "input_tag",
      id: entity.id,
      text: entity.title,
      data: entity.data ?? {},
      ...(entity.group !== undefined && { group: entity.group }),
      interactive: entity.interactive === true,
    });
    from = tagEnd;
  }
  add(text.slice(from, end));
  return content;
}

export interface Query {
  sign: "@" | "/";
  start: number;
  text: string;
}

/** What is asked for at the caret: `@ada` anywhere after a space, `/new` as the first thing. */
export function queryAt(text: string, caret: number, tags: readonly Tag[]): Query | undefined {
  if (tags.some((it) => caret > it.start && caret <= it.end)) return undefined;
  const head = text.slice(0, caret);
  const command = /^\/([\p{L}\p{N}_-]*)$/u.exec(head);
  if (command) return { sign: "/", start: 0, text: command[1] ?? "" };
  const mention = /(?:^|[\s(])@([^\s@][^@\n]{0,40}|)$/u.exec(head);
  if (!mention) return undefined;
  const query = mention[1] ?? "";
  // More than three words are a sentence.
  return query.split(/\s+/).length > 3 ? undefined : { sign: "@", start: caret - query.length - 1, text: query };
}
