/** How each kind of thread item looks. A view has a `node`, and `update(item, state)` shows the item as it is now. */
import { ENDPOINT } from "./api.js";
import { ClientToolView, StructuredInputView } from "./asks.js";
import { copyFrom, el, icon, iconButton } from "./dom.js";
import { ownAddress, safeImage, safeLink } from "./links.js";
import { citeMark } from "./markdown.js";
import { MarkdownView, outsideLink } from "./markdown-view.js";
import { TaskView, WorkflowView, sourceLink, titleOf } from "./tasks.js";
import { textOf, withCitations } from "./updates.js";
import { WidgetView } from "./widgets.js";

/** The view of an item, or `undefined` where there is nothing to see. */
export function viewOf(item, actions) {
  switch (item.type) {
    case "user_message":
      return new UserMessageView(actions);
    case "assistant_message":
      return new AssistantMessageView(actions);
    case "workflow":
      return new WorkflowView();
    case "task":
      return new TaskView();
    case "generated_image":
      return new ImageView(actions);
    case "widget":
      return new WidgetView(actions);
    case "structured_input":
      return new StructuredInputView(actions);
    case "client_tool_call":
      return new ClientToolView(actions);
    case "end_of_turn":
      return undefined;
    default:
      return new PlaceholderView();
  }
}

class UserMessageView {
  node = el("article", { class: "item user", "aria-label": "You" });
  #actions;

  constructor(actions) {
    this.#actions = actions;
  }

  update(item) {
    const files = (item.attachments ?? []).map((it) => this.#attachment(it));
    const text = textOf(item);
    this.node.replaceChildren(
      el(
        "div",
        { class: "bubble" },
        item.quoted_text && el("blockquote", {}, item.quoted_text),
        text,
        files.length > 0 && el("div", { class: "attachments" }, files),
      ),
    );
    this.node.classList.toggle("pending", item.pending === true);
  }

  #attachment({ type, name, preview_url: preview }) {
    const address = type === "image" && typeof preview === "string" ? ownAddress(preview, new URL(ENDPOINT, document.baseURI)) : undefined;
    const url = address && safeImage(address, document.baseURI, this.#actions.imageHosts());
    const chip = () => el("span", { class: "attachment" }, icon("file"), name);
    if (!url) return chip();
    const image = el("img", { class: "preview", src: url, alt: name, title: name, onerror: () => image.replaceWith(chip()) });
    return image;
  }
}

class AssistantMessageView {
  node = el("article", { class: "item assistant", "aria-label": "Assistant" });
  #parts = el("div", { class: "parts" });
  #sources = el("ol", { class: "sources", "aria-label": "Sources" });
  #stopped = el("p", { class: "stopped" }, "Stopped here.");
  #bar;
  #views = [];
  #item;
  #citations = [];

  constructor(actions) {
    const copy = iconButton("copy", "Copy", () => copyFrom(copy, textOf(this.#item)));
    const rate = (kind, name, label) =>
      iconButton(name, label, async (event) => {
        const button = event.currentTarget;
        if (button.getAttribute("aria-pressed") === "true" || !(await actions.feedback(this.#item, kind))) return;
        this.#bar.querySelectorAll("[aria-pressed]").forEach((it) => it.setAttribute("aria-pressed", String(it === button)));
      }, { "aria-pressed": "false" });
    this.#bar = el(
      "div",
      { class: "item-bar" },
      copy,
      rate("positive", "good", "Good answer"),
      rate("negative", "bad", "Bad answer"),
      iconButton("retry", "Answer again", () => actions.retry(), { class: "icon-button retry" }),
    );
    this.node.append(this.#parts, this.#sources, this.#stopped, this.#bar);
  }

  update(item, { streaming = false, stopped = false } = {}) {
    this.#item = item;
    this.#citations = [];
    item.content.forEach((part, index) => part && this.#part(part, index));
    this.#sources.replaceChildren(...this.#citations.map((it) => el("li", {}, sourceLink(it.source))));
    this.#sources.hidden = this.#citations.length === 0;
    this.#stopped.hidden = !stopped;
    this.#bar.hidden = streaming;
    this.node.classList.toggle("streaming", streaming);
  }

  #part(part, index) {
    this.#views[index] ??= this.#addView();
    // Numbers count through all parts of the message.
    const first = this.#citations.length;
    const annotations = (part.annotations ?? []).filter((it) => it);
    this.#citations.push(...annotations);
    this.#views[index].update(withCitations(part.text ?? "", annotations, (number) => citeMark(first + number)));
  }

  #addView() {
    const view = new MarkdownView((number) => this.#citation(number));
    this.#parts.append(view.node);
    return view;
  }

  #citation(number) {
    const source = this.#citations[number]?.source;
    if (!source) return undefined;
    const href = source.type === "url" ? safeLink(source.url) : undefined;
    const label = String(number + 1);
    const title = `Source ${label}: ${titleOf(source)}`;
    return el("sup", { class: "cite" }, href ? outsideLink(href, label, { title, "aria-label": title }) : el("span", { title }, label));
  }
}

class ImageView {
  node = el("article", { class: "item image", "aria-label": "Generated image" });
  #picture = el("div");
  #bar = el("progress", { max: "1", "aria-label": "Progress of the image", hidden: true });
  #actions;
  #shown;

  constructor(actions) {
    this.#actions = actions;
    this.node.append(this.#picture, this.#bar);
  }

  update({ image, progress }, { streaming = false } = {}) {
    const url = typeof image?.url === "string" ? image.url : undefined;
    this.node.classList.toggle("streaming", streaming);
    this.#bar.hidden = !streaming || typeof progress !== "number" || !Number.isFinite(progress);
    if (!this.#bar.hidden) this.#bar.value = Math.min(Math.max(progress, 0), 1);
    const now = `${url} ${url ? "" : streaming}`;
    if (now === this.#shown) return;
    this.#shown = now;
    this.#picture.replaceChildren(url ? this.#show(url) : placeholder(streaming ? "Generating an image…" : "There is no image."));
  }

  #show(address) {
    const url = safeImage(address, document.baseURI, this.#actions.imageHosts());
    const href = safeLink(address);
    const instead = () => placeholder("The image cannot be shown here. ", href && outsideLink(href, "Open it"));
    if (!url) return instead();
    return el("img", { src: url, alt: "Generated image", referrerpolicy: "no-referrer", onerror: () => this.#picture.replaceChildren(instead()) });
  }
}

class PlaceholderView {
  node = el("article", { class: "item other" });

  update({ type }) {
    this.node.replaceChildren(placeholder("Something for which this plain page has no view (", el("code", {}, String(type)), ")."));
  }
}

/** Stands for an item that could not be shown as it came. */
export function brokenItem() {
  return placeholder("This item cannot be shown.");
}

function placeholder(...children) {
  return el("div", { class: "placeholder" }, icon("block"), el("div", {}, children));
}
