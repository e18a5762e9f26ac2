/**
 * Markdown as models write it → a tree of plain objects. No DOM and no HTML: tags in the text stay text.
 * Each pass is linear in the length of the text, and the depth of the tree is limited.
 *
 * Blocks:  paragraph, heading { level }, code { language, text }, list { ordered, start, tight, items },
 *          quote { blocks }, table { align, header, rows }, rule; those at the top have their source as `raw`.
 * Inlines: text { text }, code { text }, strong, em, strike, link { href }, break, cite { index }.
 */

import { safeLink } from "./links.js";

const DEEPEST_BLOCK = 8;
const DEEPEST_EMPHASIS = 16;

/** Stands in a text for the citation `index`; models do not write these private characters. */
export function citeMark(index) {
  return `\uE000${index}\uE001`;
}

/** The blocks of a text. */
export function parse(text) {
  return parseBlocks(text.replace(/\r\n?/g, "\n").replace(/\t/g, "    ").split("\n"), 0);
}

// Blocks

function parseBlocks(lines, depth) {
  const blocks = [];
  let at = 0;
  while (at < lines.length) {
    if (isBlank(lines[at])) {
      at += 1;
      continue;
    }
    const [block, end] = parseBlock(lines, at, depth);
    block.raw = lines.slice(at, end).join("\n");
    blocks.push(block);
    at = end;
  }
  return blocks;
}

/** The block that begins at a line, and the line after it. */
function parseBlock(lines, at, depth) {
  const nested = depth < DEEPEST_BLOCK;
  return (
    fencedCode(lines, at) ??
    heading(lines, at) ??
    rule(lines, at) ??
    (nested ? quote(lines, at, depth) : undefined) ??
    (nested ? list(lines, at, depth) : undefined) ??
    table(lines, at) ??
    paragraph(lines, at, depth)
  );
}

function fencedCode(lines, at) {
  const opening = fence(lines[at]);
  if (!opening) return undefined;
  const text = [];
  let end = at + 1;
  for (; end < lines.length; end += 1) {
    const closing = fence(lines[end]);
    if (closing && closing.mark[0] === opening.mark[0] && closing.mark.length >= opening.mark.length && closing.word === "") {
      end += 1;
      break;
    }
    text.push(lines[end].slice(Math.min(indentOf(lines[end]), opening.indent)));
  }
  return [{ type: "code", language: opening.word, text: text.join("\n") }, end];
}

function fence(line) {
  const indent = indentOf(line);
  const mark = /^(?:`{3,}|~{3,})/.exec(line.slice(indent))?.[0];
  if (!mark || indent > 3) return undefined;
  const rest = line.slice(indent + mark.length).trim();
  if (mark[0] === "`" && rest.includes("`")) return undefined;
  return { indent, mark, word: rest.split(" ", 1)[0] };
}

function heading(lines, at) {
  const mark = /^ {0,3}(#{1,6})(?= |$)/.exec(lines[at]);
  if (!mark) return undefined;
  let text = lines[at].slice(mark[0].length).trim();
  const closing = text.length - endRun(text, "#");
  if (closing === 0 || text[closing - 1] === " ") text = text.slice(0, closing).trim();
  return [{ type: "heading", level: mark[1].length, children: parseInline(text) }, at + 1];
}

function rule(lines, at) {
  const marks = lines[at].replaceAll(" ", "");
  const isRule = indentOf(lines[at]) <= 3 && marks.length >= 3 && "-*_".includes(marks[0]) && endRun(marks, marks[0]) === marks.length;
  return isRule ? [{ type: "rule" }, at + 1] : undefined;
}

function quote(lines, at, depth) {
  const inner = [];
  let end = at;
  for (; end < lines.length; end += 1) {
    const mark = /^ {0,3}> ?/.exec(lines[end]);
    if (!mark) break;
    inner.push(lines[end].slice(mark[0].length));
  }
  if (end === at) return undefined;
  return [{ type: "quote", blocks: parseBlocks(inner, depth + 1) }, end];
}

function list(lines, at, depth) {
  const first = listMark(lines[at]);
  if (!first || first.indent > 3) return undefined;
  const items = [];
  let tight = true;
  let end = at;
  let mark = first;
  while (mark) {
    const inner = [lines[end].slice(mark.content)];
    let blank = false;
    let next;
    for (end += 1; end < lines.length; end += 1) {
      const line = lines[end];
      if (isBlank(line)) {
        blank = true;
        inner.push("");
        continue;
      }
      const indent = indentOf(line);
      const other = listMark(line);
      // Models indent nested lists by two, where the standard may ask for more.
      const belongs = indent >= mark.content || (other && indent >= first.indent + 2);
      if (!belongs && other?.kind === first.kind && !rule(lines, end)) {
        next = other;
        break;
      }
      if (!belongs && (blank || other || startsBlock(lines, end))) break;
      if (blank && belongs) tight = tight && other !== undefined;
      inner.push(line.slice(Math.min(indent, mark.content)));
      blank = false;
    }
    if (next && blank) tight = false;
    items.push(listItem(inner, depth));
    mark = next;
  }
  const ordered = first.number !== undefined;
  return [{ type: "list", ordered, start: first.number ?? 1, tight, items }, end];
}

function listItem(lines, depth) {
  const task = /^\[([ xX])\] /.exec(lines[0]);
  if (task) lines[0] = lines[0].slice(task[0].length);
  return { checked: task ? task[1] !== " " : undefined, blocks: parseBlocks(lines, depth + 1) };
}

/** The bullet or number that begins a line: its kind, its number, and the column where the content begins. */
function listMark(line) {
  const indent = indentOf(line);
  const found = /^(?:([-*+])|(\d{1,9})([.)]))(?= |$)/.exec(line.slice(indent, indent + 12));
  if (!found) return undefined;
  const after = indent + found[0].length;
  const spaces = indentOf(line.slice(after));
  const content = after + (spaces >= 1 && spaces <= 4 ? spaces : 1);
  return { indent, content, kind: found[1] ?? found[3], number: found[2] && Number(found[2]) };
}

function table(lines, at) {
  if (!lines[at].includes("|") || at + 1 >= lines.length) return undefined;
  const marks = cellsOf(lines[at + 1]);
  const header = cellsOf(lines[at]);
  if (marks.length !== header.length || !marks.every((it) => /^:?-+:?$/.test(it))) return undefined;

  const rows = [];
  let end = at + 2;
  for (; end < lines.length && !isBlank(lines[end]) && !startsBlock(lines, end); end += 1) {
    const cells = cellsOf(lines[end]);
    rows.push(header.map((_, column) => parseInline(cells[column] ?? "")));
  }
  const align = marks.map((it) => (it.endsWith(":") ? (it.startsWith(":") ? "center" : "right") : "left"));
  return [{ type: "table", align, header: header.map(parseInline), rows }, end];
}

function cellsOf(line) {
  const row = line.trim();
  const cells = [];
  let cell = "";
  for (let at = 0; at < row.length; at += 1) {
    if (row[at] === "\\" && row[at + 1] === "|") {
      cell += "|";
      at += 1;
    } else if (row[at] === "|") {
      if (at > 0) cells.push(cell.trim());
      cell = "";
    } else {
      cell += row[at];
    }
  }
  if (cell.trim() !== "") cells.push(cell.trim());
  return cells;
}

function paragraph(lines, at) {
  let end = at + 1;
  while (end < lines.length && !isBlank(lines[end]) && !startsBlock(lines, end) && !table(lines.slice(end, end + 2), 0)) end += 1;
  const text = lines.slice(at, end).map((it) => it.slice(indentOf(it))).join("\n");
  return [{ type: "paragraph", children: parseInline(text.trimEnd()) }, end];
}

/** Whether a line ends the paragraph before it. */
function startsBlock(lines, at) {
  const mark = listMark(lines[at]);
  return Boolean(fence(lines[at]) || heading(lines, at) || rule(lines, at) || /^ {0,3}>/.test(lines[at]) || (mark && (mark.number ?? 1) === 1));
}

function isBlank(line) {
  return line.trim() === "";
}

function indentOf(line) {
  let at = 0;
  while (line[at] === " ") at += 1;
  return at;
}

function endRun(text, character) {
  let length = 0;
  while (length < text.length && text[text.length - 1 - length] === character) length += 1;
  return length;
}

// Inlines

const PUNCTUATION = /[!-/:-@[-`{-~]/;
const WORD = /[\p{L}\p{N}]/u;

/** The inline nodes of a text; links do not nest. */
export function parseInline(text, inLink = false) {
  return new InlineParser(text, inLink).parse();
}

class InlineParser {
  #text;
  #inLink;
  #at = 0;
  #brackets;
  #ticks;
  /** Open emphasis, innermost last; the first frame is the text itself. */
  #frames = [{ mark: "", count: 0, children: [] }];

  constructor(text, inLink) {
    this.#text = text;
    this.#inLink = inLink;
    this.#brackets = matchBrackets(text);
    this.#ticks = lastTicks(text);
  }

  parse() {
    while (this.#at < this.#text.length) this.#step();
    return this.#flatten(0);
  }

  #step() {
    const character = this.#text[this.#at];
    if (character === "\\") this.#escape();
    else if (character === "\n") this.#lineEnd();
    else if (character === "`") this.#code();
    else if (character === "*" || character === "_" || character === "~") this.#emphasis(character);
    else if (character === "[" || (character === "!" && this.#text[this.#at + 1] === "[")) this.#link();
    else if (character === "<") this.#angle();
    else if (character === "h" && /^https?:\/\//.test(this.#text.slice(this.#at, this.#at + 8))) this.#bareLink();
    else if (character === "\uE000") this.#cite();
    else this.#plain();
  }

  #add(node) {
    this.#frames.at(-1).children.push(node);
  }

  #addText(text) {
    const { children } = this.#frames.at(-1);
    const last = children.at(-1);
    if (last?.type === "text") last.text += text;
    else children.push({ type: "text", text });
  }

  #literal(length) {
    this.#addText(this.#text.slice(this.#at, this.#at + length));
    this.#at += length;
  }

  #plain() {
    const special = /[\\\n`*_~![<h\uE000]/g;
    special.lastIndex = this.#at + 1;
    const end = special.exec(this.#text)?.index ?? this.#text.length;
    this.#literal(end - this.#at);
  }

  #escape() {
    const next = this.#text[this.#at + 1];
    if (next === "\n") this.#add({ type: "break" });
    else if (next !== undefined && PUNCTUATION.test(next)) this.#addText(next);
    else return this.#literal(1);
    this.#at += 2;
    return undefined;
  }

  #lineEnd() {
    const before = this.#text.slice(Math.max(0, this.#at - 2), this.#at);
    if (before === "  ") this.#add({ type: "break" });
    else this.#addText("\n");
    this.#at += 1;
  }

  #code() {
    let length = 1;
    while (this.#text[this.#at + length] === "`") length += 1;
    const from = this.#at + length;
    const end = (this.#ticks.get(length) ?? -1) >= from ? this.#closingTicks(from, length) : -1;
    if (end < 0) return this.#literal(length);
    let code = this.#text.slice(from, end).replaceAll("\n", " ");
    if (code.startsWith(" ") && code.endsWith(" ") && code.trim() !== "") code = code.slice(1, -1);
    this.#add({ type: "code", text: withoutMarks(code) });
    this.#at = end + length;
    return undefined;
  }

  #closingTicks(from, length) {
    const runs = /`+/g;
    runs.lastIndex = from;
    for (let run = runs.exec(this.#text); run; run = runs.exec(this.#text)) {
      if (run[0].length === length) return run.index;
    }
    return -1;
  }

  #emphasis(mark) {
    let length = 1;
    while (this.#text[this.#at + length] === mark) length += 1;
    const before = this.#text[this.#at - 1] ?? " ";
    const after = this.#text[this.#at + length] ?? " ";
    if (length > 3 || (mark === "~" && length !== 2)) return this.#literal(length);

    const insideWord = mark === "_" && WORD.test(before) && WORD.test(after);
    const canOpen = after.trim() !== "" && !insideWord && !(mark === "_" && WORD.test(before));
    const canClose = before.trim() !== "" && !insideWord && !(mark === "_" && WORD.test(after));
    let left = length;
    while (canClose && left > 0) {
      const used = this.#close(mark, left);
      if (used === 0) break;
      left -= used;
    }
    this.#at += length;
    if (left === 0) return undefined;
    if (canOpen && this.#frames.length < DEEPEST_EMPHASIS) this.#frames.push({ mark, count: left, children: [] });
    else this.#addText(mark.repeat(left));
    return undefined;
  }

  /** Closes the innermost emphasis of this mark; how many marks that took. */
  #close(mark, count) {
    const index = this.#frames.findLastIndex((it) => it.mark === mark);
    if (index < 1) return 0;
    const children = this.#flatten(index);
    const frame = this.#frames[index];
    if (children.length === 0) {
      frame.children = [];
      return 0;
    }
    const used = mark === "~" || (frame.count >= 2 && count >= 2) ? 2 : 1;
    const node = { type: mark === "~" ? "strike" : used === 2 ? "strong" : "em", children };
    frame.count -= used;
    if (frame.count > 0) {
      frame.children = [node];
    } else {
      this.#frames.pop();
      this.#add(node);
    }
    return used;
  }

  /** The children of a frame, with the frames above it taken as the text that they were. */
  #flatten(index) {
    const { children } = this.#frames[index];
    for (const frame of this.#frames.splice(index + 1)) {
      children.push({ type: "text", text: frame.mark.repeat(frame.count) });
      for (const child of frame.children) children.push(child);
    }
    return children;
  }

  #link() {
    const image = this.#text[this.#at] === "!";
    const open = this.#at + (image ? 1 : 0);
    const close = this.#brackets.get(open);
    const target = close === undefined || this.#inLink ? undefined : linkTarget(this.#text, close + 1);
    if (!target) return this.#literal(open + 1 - this.#at);

    const label = this.#text.slice(open + 1, close);
    const href = safeLink(withoutMarks(target.address));
    const children = label === "" ? [{ type: "text", text: target.address }] : parseInline(label, true);
    if (href) this.#add({ type: "link", href, children });
    else children.forEach((it) => this.#add(it));
    this.#at = target.end;
    return undefined;
  }

  #angle() {
    const rest = this.#text.slice(this.#at, this.#at + 2048);
    const lineBreak = /^<br ?\/?>/i.exec(rest);
    if (lineBreak) {
      this.#add({ type: "break" });
      this.#at += lineBreak[0].length;
      return undefined;
    }
    const address = /^<((?:https?:\/\/|mailto:)[^\s<>]*)>/i.exec(rest)?.[1];
    const href = address && !this.#inLink ? safeLink(withoutMarks(address)) : undefined;
    if (!href) return this.#literal(1);
    this.#add({ type: "link", href, children: [{ type: "text", text: address.replace(/^mailto:/i, "") }] });
    this.#at += address.length + 2;
    return undefined;
  }

  #bareLink() {
    const found = /^https?:\/\/[^\s<>`*\uE000]+/.exec(this.#text.slice(this.#at, this.#at + 2048))?.[0] ?? "h";
    const address = withoutTail(found);
    const href = this.#inLink || WORD.test(this.#text[this.#at - 1] ?? " ") ? undefined : safeLink(address);
    if (!href) return this.#literal(address.length);
    this.#add({ type: "link", href, children: [{ type: "text", text: address }] });
    this.#at += address.length;
    return undefined;
  }

  #cite() {
    const found = /^\uE000(\d{1,4})\uE001/.exec(this.#text.slice(this.#at, this.#at + 6));
    if (found) this.#add({ type: "cite", index: Number(found[1]) });
    this.#at += found ? found[0].length : 1;
  }
}

/** For each `[` the `]` that closes it. */
function matchBrackets(text) {
  const pairs = new Map();
  const open = [];
  for (let at = 0; at < text.length; at += 1) {
    if (text[at] === "\\") at += 1;
    else if (text[at] === "[") open.push(at);
    else if (text[at] === "]" && open.length > 0) pairs.set(open.pop(), at);
  }
  return pairs;
}

/** For each length of a run of backticks, where the last one begins. */
function lastTicks(text) {
  const last = new Map();
  for (const run of text.matchAll(/`+/g)) last.set(run[0].length, run.index);
  return last;
}

/** `(address "title")` at a place in the text; the title is not kept. */
function linkTarget(text, at) {
  if (text[at] !== "(") return undefined;
  const rest = text.slice(at, at + 4096);
  const found = /^\( *(?:<([^<>\n]*)>|([^\s<>]*))(?:\s+(?:"[^"]*"|'[^']*'))? *\)/.exec(balanced(rest));
  return found ? { address: found[1] ?? found[2], end: at + found[0].length } : undefined;
}

/** The text up to the parenthesis that closes its first one. */
function balanced(text) {
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    if (text[at] === "(") depth += 1;
    if (text[at] === ")") depth -= 1;
    if (depth === 0) return text.slice(0, at + 1);
  }
  return "";
}

/** A bare address without the punctuation of the sentence around it. */
function withoutTail(address) {
  let end = address.length;
  let open = address.split("(").length - address.split(")").length;
  for (; end > 0; end -= 1) {
    const last = address[end - 1];
    if (last === ")" && open < 0) open += 1;
    else if (!".,:;!?'\"_~]|".includes(last)) break;
  }
  return address.slice(0, end);
}

function withoutMarks(text) {
  return text.replace(/\uE000\d*\uE001?/g, "");
}
