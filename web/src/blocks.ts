/**
 * Markdown in pieces that can be drawn one by one. What streams grows at its end only, so all blocks but the last are finished. No DOM.
 */
import { Lexer, type Token, type TokensList } from "marked";

/** Longer text is shown as it is: nobody reads it, and parsing it would take seconds. */
const LONGEST = 200_000;

export interface Block {
  /** What it was made of; a block with the same source looks the same. */
  source: string;
  tokens: Token[];
}

/** The blocks of a text. Definitions of links (`[a]: https://…`) hold for all of them. */
export function blocksOf(text: string): { blocks: Block[]; links: TokensList["links"] } {
  if (text.length > LONGEST) {
    const pieces: Block[] = [];
    for (let at = 0; at < text.length; at += LONGEST) {
      const source = text.slice(at, at + LONGEST);
      pieces.push({ source, tokens: [{ type: "code", raw: source, text: source, lang: "" } as Token] });
    }
    return { blocks: pieces, links: {} };
  }
  const tokens = new Lexer({ gfm: true }).lex(text);
  const blocks = tokens.filter((it) => it.type !== "space" && it.type !== "def").map((it) => ({ source: it.raw, tokens: [it] }));
  return { blocks, links: tokens.links };
}

/**
 * The text as it is drawn while more is to come: an open fence is closed, and half a mark at the end is held back, so that nothing
 * flickers from one look to another.
 */
export function closed(text: string): string {
  const fence = openFence(text);
  if (fence) return `${text}${text.endsWith("\n") ? "" : "\n"}${fence}`;
  return balanced(text.replace(/(?:^|\n)[ \t]{0,3}(?:[-*+>#]+|\d{1,9}[.)]|`{1,2}|~{1,2}|-{2,}|={1,})[ \t]*$/, ""));
}

function openFence(text: string): string | undefined {
  let open: { indent: string; mark: string } | undefined;
  for (const line of text.split("\n")) {
    const found = /^((?:[ \t]|>[ \t]?|[-*+][ \t]|\d{1,9}[.)][ \t])*)(`{3,}|~{3,})(.*)$/.exec(line);
    if (!found) continue;
    const [, indent = "", mark = "", rest = ""] = found;
    if (!open) {
      if (mark.startsWith("~") || !rest.includes("`")) open = { indent: indent.replace(/[^ \t>]/g, " "), mark };
    } else if (mark.startsWith(open.mark) && rest.trim() === "") {
      open = undefined;
    }
  }
  return open && open.indent + open.mark;
}

/** Ends emphasis, code and links that the last paragraph has begun. */
function balanced(text: string): string {
  const start = Math.max(text.lastIndexOf("\n\n"), 0);
  let tail = text.slice(start);
  // A link whose address is not whole yet is its text so far.
  tail = tail.replace(/!?\[([^\]\n]*)\]\([^)\s]*$/, "$1").replace(/(^|[^\\])!?\[([^\]\n]*)$/, "$1$2");
  // A mark that begins or ends something; which, the next letters say.
  tail = tail.replace(/(?:\*{1,3}|~{1,2}|`{1,2})$/, "");
  let ends = "";
  if (count(tail, /(?<!\\)`/g) % 2 === 1) {
    ends = "`";
  } else {
    const marks = tail.replace(/`[^`]*`/g, "").replace(/\\\*/g, "").replace(/^\s*\*\s|\s\*\s/gm, " ");
    if (count(marks.replaceAll("**", ""), /\*/g) % 2 === 1) ends += "*";
    if (count(marks, /\*\*/g) % 2 === 1) ends += "**";
    if (count(marks, /~~/g) % 2 === 1) ends += "~~";
  }
  return text.slice(0, start) + (ends ? tail.trimEnd() + ends : tail);
}

function count(text: string, pattern: RegExp): number {
  return text.match(pattern)?.length ?? 0;
}
