/** Markdown on the page: the tree of markdown.js as DOM nodes, renewed block by block while a text grows. */
import { copyFrom, el, iconButton } from "./dom.js";
import { parse } from "./markdown.js";

/** Shows a text; finished blocks keep their nodes (and the reader's selection in them). */
export class MarkdownView {
  node = el("div", { class: "prose" });
  #shown = [];
  #cite;

  /** `cite(index)` makes the node for a citation mark. */
  constructor(cite = () => undefined) {
    this.#cite = cite;
  }

  update(text) {
    const blocks = parse(text);
    let same = 0;
    while (same < blocks.length && blocks[same].raw === this.#shown[same]) same += 1;
    while (this.node.childNodes.length > same) this.node.lastChild.remove();
    for (const block of blocks.slice(same)) this.node.append(this.#block(block));
    this.#shown = blocks.map((it) => it.raw);
  }

  #block(block) {
    switch (block.type) {
      case "heading":
        // The page's own headings are the first two levels.
        return el(`h${Math.min(block.level + 2, 6)}`, {}, this.#inlines(block.children));
      case "code":
        return codeBlock(block);
      case "list":
        return this.#list(block);
      case "quote":
        return el("blockquote", {}, this.#blocks(block.blocks));
      case "table":
        return this.#table(block);
      case "rule":
        return el("hr");
      default:
        return el("p", {}, this.#inlines(block.children));
    }
  }

  #blocks(blocks) {
    return blocks.map((it) => this.#block(it));
  }

  #list({ ordered, start, tight, items }) {
    const list = el(ordered ? "ol" : "ul", { start: ordered && start !== 1 ? start : undefined });
    for (const { checked, blocks } of items) {
      const nodes = blocks.map((it) => (tight && it.type === "paragraph" ? this.#inlines(it.children) : this.#block(it))).flat();
      const box = checked === undefined ? undefined : el("input", { type: "checkbox", checked, disabled: true, "aria-label": checked ? "done" : "to do" });
      list.append(el("li", { class: box && "task" }, box, nodes));
    }
    return list;
  }

  #table({ align, header, rows }) {
    const cell = (tag, nodes, column) => el(tag, { class: `align-${align[column]}`, scope: tag === "th" && "col" }, this.#inlines(nodes));
    const table = el(
      "table",
      {},
      el("thead", {}, el("tr", {}, header.map((it, column) => cell("th", it, column)))),
      el("tbody", {}, rows.map((row) => el("tr", {}, row.map((it, column) => cell("td", it, column))))),
    );
    return el("div", { class: "table-scroll", tabindex: "0", role: "region", "aria-label": "Table" }, table);
  }

  #inlines(nodes) {
    return nodes.map((it) => this.#inline(it)).filter((it) => it !== undefined);
  }

  #inline(node) {
    switch (node.type) {
      case "text":
        return node.text;
      case "code":
        return el("code", {}, node.text);
      case "strong":
        return el("strong", {}, this.#inlines(node.children));
      case "em":
        return el("em", {}, this.#inlines(node.children));
      case "strike":
        return el("del", {}, this.#inlines(node.children));
      case "link":
        return outsideLink(node.href, this.#inlines(node.children));
      case "break":
        return el("br");
      case "cite":
        return this.#cite(node.index);
      default:
        return undefined;
    }
  }
}

/** A link that leaves the page; the address must have passed `safeLink`. */
export function outsideLink(href, children, attributes = {}) {
  return el("a", { href, target: "_blank", rel: "noopener noreferrer nofollow", ...attributes }, children);
}

function codeBlock({ language, text }) {
  const copy = iconButton("copy", "Copy code", () => copyFrom(copy, text));
  return el(
    "figure",
    { class: "code" },
    el("figcaption", {}, el("span", {}, language || "text"), copy),
    el("pre", { tabindex: "0" }, el("code", {}, text)),
  );
}
