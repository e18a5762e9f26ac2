import { noChange } from "lit";
import { Directive, type ElementPart, PartType, type PartInfo, directive } from "lit/directive.js";

/**
 * Sets properties of an element's style through the CSSOM, which a Content-Security-Policy allows where it forbids `style` attributes:
 * `<div ${styles({ width: "3rem", "--size": "2" })}>`. What is `undefined` or no longer named is unset.
 */
class Styles extends Directive {
  #names = new Set<string>();

  constructor(part: PartInfo) {
    super(part);
    if (part.type !== PartType.ELEMENT) throw new Error("`styles` stands in an element's tag");
  }

  override render(_styles: Record<string, string | undefined>): unknown {
    return noChange;
  }

  override update(part: ElementPart, [styles]: [Record<string, string | undefined>]): unknown {
    const { style } = part.element as HTMLElement;
    for (const name of this.#names) if (styles[name] === undefined) style.removeProperty(name);
    this.#names.clear();
    for (const [name, value] of Object.entries(styles)) {
      if (value === undefined) continue;
      style.setProperty(name, value);
      this.#names.add(name);
    }
    return noChange;
  }
}

export const styles = directive(Styles);
