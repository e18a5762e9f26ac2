/** What the page shows of an entity while it is pointed at. */
import type { ChatOptions, Entity } from "./options";
import type { EntitySource, TagContent, WidgetNode } from "./protocol";

const SOON = 250;
const WIDTH = 328;

export interface Preview {
  widget: WidgetNode;
  /** Where it stands in the element. */
  x: number;
  y: number;
}

export interface PreviewsHost {
  options(): ChatOptions["entities"];
  frame(): DOMRect;
  changed(): void;
}

export class Previews {
  shown?: Preview;
  #timer?: ReturnType<typeof setTimeout>;
  #known = new Map<string, Promise<WidgetNode | null>>();

  constructor(private readonly host: PreviewsHost) {}

  hide(): void {
    clearTimeout(this.#timer);
    this.shown = undefined;
  }

  /** What was asked before may be answered otherwise now. */
  forget(): void {
    this.#known.clear();
  }

  of(entity: Entity): Promise<WidgetNode | null> {
    let preview = this.#known.get(entity.id);
    if (!preview) {
      preview = Promise.resolve(this.host.options()?.onRequestPreview?.(entity)).then((it) => it?.preview ?? null);
      this.#known.set(entity.id, preview);
    }
    return preview;
  }

  meet(source: EntitySource | TagContent, how: "click" | "enter" | "leave", anchor: HTMLElement): void {
    const entity = entityOf(source);
    clearTimeout(this.#timer);
    if (how === "click") this.host.options()?.onClick?.(entity);
    else if (how === "enter") this.#timer = setTimeout(() => void this.#show(entity, anchor), SOON);
    else this.#timer = setTimeout(() => {
      this.hide();
      this.host.changed();
    }, SOON / 2);
  }

  async #show(entity: Entity, anchor: HTMLElement): Promise<void> {
    if (!this.host.options()?.onRequestPreview) return;
    const widget = await this.of(entity).catch(() => null);
    if (!anchor.isConnected || !widget) return;
    const box = anchor.getBoundingClientRect();
    const frame = this.host.frame();
    this.shown = { widget, x: Math.max(8, Math.min(box.left - frame.left, frame.width - WIDTH)), y: box.bottom - frame.top + 6 };
    this.host.changed();
  }
}

function entityOf(source: EntitySource | TagContent): Entity {
  const { id, interactive, group, data } = source;
  return source.type === "entity" ? { id, title: source.title, icon: source.icon, interactive, group, data } : { id, title: source.text, interactive, group, data };
}
