/** Markdown in the document: parsed by block, sanitised, code coloured; while it streams only its end is drawn again. */
import DOMPurify from "dompurify";
import { noChange } from "lit";
import { Directive, type ElementPart, type PartInfo, PartType, directive } from "lit/directive.js";
import { Parser, Renderer, type Token, type Tokens } from "marked";
import { type Block, blocksOf, closed } from "./blocks";
import { CLOSE, type Citation, OPEN, titleOf } from "./citations";
import { highlighted, loadHighlighter } from "./highlight";
import { iconElement } from "./icons";
import { safeLink } from "./links";
import type { EntitySource } from "./protocol";
import type { Strings } from "./strings";

export interface MarkdownContext {
  t: Strings;
  /** The level of the highest heading. */
  level: number;
  image(src: string): string | undefined;
  /** A link to something in the page around the chat: `chatkit-link://open?id=3`. */
  deeplink?: (name: string, data: Record<string, string>) => void;
  /** Where the page wants to hear of clicks on entities. */
  entity?: (source: EntitySource, how: "click" | "enter" | "leave", anchor: HTMLElement) => void;
}

export interface MarkdownOptions {
  streaming?: boolean;
  citations?: readonly Citation[];
}

/** Code that still grows is coloured up to this length; finished code, four times as long. */
const LONGEST_CODE = 6000;

class MarkdownDirective extends Directive {
  #view?: MarkdownView;

  constructor(part: PartInfo) {
    super(part);
    if (part.type !== PartType.ELEMENT) throw new Error("`markdown` stands in an element's tag");
  }

  override render(_text: string, _context: MarkdownContext, _options?: MarkdownOptions): unknown {
    return noChange;
  }

  override update(part: ElementPart, [text, context, options]: [string, MarkdownContext, MarkdownOptions?]): unknown {
    this.#view ??= new MarkdownView(part.element as HTMLElement);
    this.#view.show(text, context, options ?? {});
    return noChange;
  }
}

/** `<div class="markdown" ${markdown(text, context)}></div>` */
export const markdown = directive(MarkdownDirective);

interface Shown {
  source: string;
  nodes: ChildNode[];
}

class MarkdownView {
  #text?: string;
  #key = "";
  #shown: Shown[] = [];
  /** How much of the text is in blocks that nothing can change any more, and how many blocks. */
  #settled = { length: 0, count: 0 };

  constructor(readonly root: HTMLElement) {}

  show(text: string, context: MarkdownContext, { streaming = false, citations = [] }: MarkdownOptions): void {
    const key = `${streaming}|${citations.map((it) => `${it.number}${it.source.type}`).join()}`;
    if (text === this.#text && key === this.#key) return;
    const before = this.#text;
    const goesOn = streaming && before !== undefined && text.length >= before.length && text.startsWith(before.slice(0, this.#settled.length));
    if (!goesOn) this.#settled = { length: 0, count: 0 };
    this.#text = text;
    this.#key = key;

    const normal = text.includes("\r") ? text.replace(/\r\n?/g, "\n") : text;
    const rest = normal.slice(this.#settled.length);
    const { blocks, links } = blocksOf(streaming ? closed(rest) : rest);
    const first = this.#settled.count;
    blocks.forEach((block, index) => this.#draw(first + index, block, links, context, { streaming: streaming && index === blocks.length - 1, citations }));
    for (const gone of this.#shown.splice(first + blocks.length)) gone.nodes.forEach((it) => it.remove());
    this.#outline(context.level);
    if (streaming) this.#settle(rest, blocks);
  }

  /** Headings stand below the chat's own, without a gap, whichever level a message begins with. */
  #outline(top: number): void {
    const above: number[] = [];
    for (const heading of this.root.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
      const level = Number(heading.localName[1]);
      while (above.length > 0 && (above.at(-1) ?? 0) >= level) above.pop();
      above.push(level);
      heading.setAttribute("aria-level", String(Math.min(top + above.length - 1, 6)));
      heading.setAttribute("role", "heading");
    }
  }

  /** All blocks but the last are finished: they are found in the text again, and left alone from now on. */
  #settle(rest: string, blocks: Block[]): void {
    let length = 0;
    for (const block of blocks.slice(0, -1)) {
      const at = rest.indexOf(block.source, length);
      if (at < 0) return;
      length = at + block.source.length;
    }
    // Definitions of links hold for the whole text.
    if (/^ {0,3}\[[^\]]+\]:/m.test(rest)) return;
    this.#settled = { length: this.#settled.length + length, count: this.#settled.count + Math.max(blocks.length - 1, 0) };
  }

  #draw(index: number, block: Block, links: unknown, context: MarkdownContext, options: { streaming: boolean; citations: readonly Citation[] }): void {
    const shown = this.#shown[index];
    const source = `${block.source}${options.streaming ? "" : "\0"}`;
    if (shown?.source === source) return;
    const nodes = render(block.tokens, links, context, options);
    if (shown) {
      const [head, ...others] = shown.nodes;
      others.forEach((it) => it.remove());
      if (head) head.replaceWith(...nodes);
      else this.root.append(...nodes);
    } else {
      this.root.append(...nodes);
    }
    this.#shown[index] = { source, nodes };
  }
}

// From tokens to nodes

let context: MarkdownContext | undefined;

const purify = DOMPurify(window);
const RULES = {
  ALLOWED_TAGS: ["a", "b", "blockquote", "br", "code", "del", "details", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img", "kbd", "li", "mark", "ol", "p", "pre", "q", "s", "small", "span", "strong", "sub", "summary", "sup", "table", "tbody", "td", "th", "thead", "tr", "u", "ul"],
  ALLOWED_ATTR: ["align", "alt", "class", "colspan", "href", "rowspan", "src", "start", "title"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  ALLOWED_URI_REGEXP: /^(?:(?:https?|mailto|chatkit-link):|[^a-z]|[a-z+.-]+(?:[^a-z+.\-:]|$))/i,
  RETURN_DOM_FRAGMENT: true as const,
};
const DEEPLINK = /^chatkit-link:\/\//i;

purify.addHook("afterSanitizeAttributes", (node) => {
  const classes = [...node.classList].filter((it) => /^(?:hljs|language-|done$|todo$)/.test(it));
  if (classes.length > 0) node.setAttribute("class", classes.join(" "));
  else node.removeAttribute("class");
  if (node.localName === "a") {
    const given = node.getAttribute("href") ?? "";
    const href = safeLink(given);
    if (DEEPLINK.test(given)) return;
    if (href) {
      node.setAttribute("href", href);
      node.setAttribute("target", "_blank");
      node.setAttribute("rel", "noopener noreferrer nofollow");
    } else {
      node.removeAttribute("href");
    }
  } else if (node.localName === "img") {
    const given = node.getAttribute("src") ?? "";
    const src = context?.image(given);
    if (src) {
      node.setAttribute("src", src);
      node.setAttribute("loading", "lazy");
      node.setAttribute("referrerpolicy", "no-referrer");
      if (!node.hasAttribute("alt")) node.setAttribute("alt", "");
    } else {
      node.replaceWith(instead(node, given));
    }
  } else {
    node.removeAttribute("href");
    node.removeAttribute("src");
  }
});

/** An image that may not be loaded is a link to it. */
function instead(node: Element, address: string): Element {
  const href = safeLink(address);
  const text = node.getAttribute("alt") || node.getAttribute("title") || (href ? new URL(href).hostname : "");
  const element = node.ownerDocument.createElement(href ? "a" : "span");
  element.textContent = text || "…";
  if (href) {
    element.setAttribute("href", href);
    element.setAttribute("target", "_blank");
    element.setAttribute("rel", "noopener noreferrer nofollow");
  }
  return element;
}

const ESCAPES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (it) => ESCAPES[it] ?? it);
}

let growing = false;

class ChatRenderer extends Renderer {
  override code({ text, lang }: Tokens.Code): string {
    const language = (lang ?? "").split(/[\s{,:]/)[0]?.toLowerCase() ?? "";
    const limit = growing ? LONGEST_CODE : LONGEST_CODE * 4;
    const html = text.length <= limit ? highlighted(text, language) : undefined;
    const name = /^[\w+#.-]{1,30}$/.test(language) ? ` class="language-${language}"` : "";
    return `<pre><code${name}>${html ?? escaped(text)}\n</code></pre>`;
  }

  override checkbox({ checked }: Tokens.Checkbox): string {
    return `<span class="${checked ? "done" : "todo"}"></span>`;
  }

  /** HTML that is more than a word's look is shown as it was written. */
  override html({ text }: Tokens.HTML | Tokens.Tag): string {
    return /^<\/?(?:b|br|del|details|em|i|kbd|mark|q|s|small|strong|sub|summary|sup|u)\s*\/?>\s*$/i.test(text) ? text : escaped(text);
  }
}

const renderer = new ChatRenderer();
const parser = new Parser({ renderer, gfm: true });

function render(tokens: Token[], links: unknown, given: MarkdownContext, { streaming, citations }: { streaming: boolean; citations: readonly Citation[] }): ChildNode[] {
  context = given;
  growing = streaming;
  const list = Object.assign([...tokens], { links });
  const fragment = purify.sanitize(parser.parse(list as Token[]), RULES);
  context = undefined;
  finish(fragment, given, citations);
  return [...fragment.childNodes].filter((it) => it.nodeType !== Node.TEXT_NODE || it.textContent?.trim());
}

/** What no sanitised HTML can hold: buttons, places to scroll, names for readers, citations. */
function finish(fragment: DocumentFragment, given: MarkdownContext, citations: readonly Citation[]): void {
  for (const node of fragment.querySelectorAll("p, h1, h2, h3, h4, h5, h6, ul, ol, li, blockquote, table, td, th, summary")) node.setAttribute("dir", "auto");
  for (const link of fragment.querySelectorAll("a")) {
    const address = link.getAttribute("href") ?? "";
    if (DEEPLINK.test(address)) link.replaceWith(deeplink(link, address, given));
  }
  for (const mark of fragment.querySelectorAll("span.done, span.todo")) {
    const done = mark.classList.contains("done");
    mark.className = "check";
    mark.setAttribute("role", "img");
    mark.setAttribute("aria-label", done ? given.t.done : given.t.notDone);
    if (done) mark.append(iconElement("check"));
    mark.closest("li")?.classList.add("has-check");
  }
  for (const table of fragment.querySelectorAll("table")) {
    const around = document.createElement("div");
    around.className = "table";
    around.tabIndex = 0;
    around.setAttribute("role", "group");
    around.setAttribute("aria-label", given.t.table);
    table.replaceWith(around);
    around.append(table);
  }
  for (const pre of fragment.querySelectorAll("pre")) pre.replaceWith(codeBlock(pre, given.t));
  if (citations.length > 0) cite(fragment, given, citations);
}

function deeplink(link: HTMLAnchorElement, address: string, { deeplink: follow }: MarkdownContext): HTMLElement {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "deeplink";
  button.append(...link.childNodes);
  const [path = "", query = ""] = address.replace(DEEPLINK, "").split("?");
  button.addEventListener("click", () => follow?.(path.replace(/\/$/, ""), Object.fromEntries(new URLSearchParams(query))));
  return button;
}

function codeBlock(pre: HTMLPreElement, t: Strings): HTMLElement {
  const figure = document.createElement("figure");
  figure.className = "code";
  const code = pre.querySelector("code");
  const language = [...(code?.classList ?? [])].find((it) => it.startsWith("language-"))?.slice(9);
  const head = document.createElement("figcaption");
  const label = document.createElement("span");
  label.textContent = language ?? t.code;
  const copy = document.createElement("button");
  copy.type = "button";
  copy.className = "copy-code";
  copy.title = t.copy;
  copy.setAttribute("aria-label", t.copyCode);
  copy.append(iconElement("copy"));
  copy.addEventListener("click", () => {
    void copyText(pre.textContent?.replace(/\n$/, "") ?? "").then((copied) => {
      if (!copied) return;
      copy.replaceChildren(iconElement("check"));
      setTimeout(() => copy.replaceChildren(iconElement("copy")), 1600);
    });
  });
  head.append(label, copy);
  pre.tabIndex = 0;
  pre.dir = "ltr";
  pre.setAttribute("role", "group");
  pre.setAttribute("aria-label", language ? `${t.code}: ${language}` : t.code);
  figure.append(head, pre.cloneNode(true));
  if (language) void loadHighlighter()?.then(() => colour(figure, language));
  return figure;
}

/** Colours code that was drawn before the highlighter was there. */
function colour(figure: HTMLElement, language: string): void {
  const code = figure.querySelector("code");
  const text = code?.textContent ?? "";
  const html = text.length <= LONGEST_CODE * 4 ? highlighted(text, language) : undefined;
  if (html !== undefined) code?.replaceChildren(purify.sanitize(html, RULES));
}

/** Whether the text is in the clipboard now. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without a secure context there is only the old way.
    const area = document.createElement("textarea");
    area.value = text;
    area.readOnly = true;
    area.style.position = "fixed";
    area.style.opacity = "0";
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    return copied;
  }
}

const MARK = new RegExp(`${OPEN}(\\d+)${CLOSE}`);

function cite(fragment: DocumentFragment, given: MarkdownContext, citations: readonly Citation[]): void {
  const walker = document.createTreeWalker(fragment, NodeFilter.SHOW_TEXT);
  const texts: Text[] = [];
  while (walker.nextNode()) if (MARK.test(walker.currentNode.textContent ?? "")) texts.push(walker.currentNode as Text);
  for (const text of texts) {
    const pieces = (text.textContent ?? "").split(MARK);
    text.replaceWith(...pieces.map((piece, index) => (index % 2 === 0 ? piece : mark(citations.find((it) => it.number === Number(piece)), given))));
  }
}

function mark(citation: Citation | undefined, { t, entity }: MarkdownContext): Node {
  if (!citation) return document.createTextNode("");
  const { source, number } = citation;
  const title = titleOf(source);
  const href = source.type === "url" ? safeLink(source.url) : undefined;
  const around = document.createElement("span");
  around.className = "cite";
  if (source.type === "entity") {
    const clicks = source.interactive === true && entity;
    const chip = document.createElement(clicks ? "button" : "span");
    chip.className = "entity";
    if (source.inline_label) chip.textContent = source.inline_label;
    else chip.append(iconElement(source.icon ?? "cube"));
    chip.title = title;
    if (chip instanceof HTMLButtonElement) chip.type = "button";
    else chip.setAttribute("role", "img");
    chip.setAttribute("aria-label", title);
    if (clicks) {
      chip.addEventListener("click", () => clicks(source, "click", chip));
      chip.addEventListener("pointerenter", () => clicks(source, "enter", chip));
      chip.addEventListener("focus", () => clicks(source, "enter", chip));
      chip.addEventListener("pointerleave", () => clicks(source, "leave", chip));
      chip.addEventListener("blur", () => clicks(source, "leave", chip));
    }
    around.append(chip);
    return around;
  }
  const label = t.source(number, title);
  const chip = document.createElement(href ? "a" : "span");
  chip.textContent = String(number);
  chip.title = title;
  if (chip instanceof HTMLAnchorElement && href) {
    chip.href = href;
    chip.target = "_blank";
    chip.rel = "noopener noreferrer nofollow";
  } else {
    chip.setAttribute("role", "img");
  }
  chip.setAttribute("aria-label", label);
  around.append(chip);
  return around;
}
