/**
 * The seam between the chat and its widgets. `./index.ts` gives the chat two things: `renderWidget(root: WidgetNode, host:
 * WidgetHost, item: { id: string }): TemplateResult`, and `widgetStyles: CSSResult`, which the chat's shadow root adopts beside its own.
 *
 * Both speak in the chat's custom properties, which follow scheme and theme: `--kf-text`, `--kf-muted`, `--kf-line`, `--kf-surface`
 * (behind messages), `--kf-raised` (cards, fields), `--kf-hover`, `--kf-accent`, `--kf-on-accent`, `--kf-accent-soft`; `--kf-good`,
 * `--kf-danger`, `--kf-warning`, `--kf-info`, `--kf-discovery`, each with `…-soft` behind its text; `--kf-radius` (cards),
 * `--kf-control-radius` (buttons, fields), `--kf-unit` (4px at normal density), `--kf-sans`, `--kf-mono`, `--kf-shadow`.
 * Styles of single elements go through the CSSOM (`styles` in ../styles.ts): the page's policy allows no `style` attributes.
 */
import type { TemplateResult } from "lit";

/** What a click, a choice or a form asks for; what is absent is `server`, `auto` and `true`. */
export interface WidgetAction {
  type: string;
  payload?: unknown;
  handler?: "server" | "client";
  loadingBehavior?: string;
  streaming?: boolean;
}

/** What widgets need of the chat that shows them. */
export interface WidgetHost {
  /** Runs an action; settled once it has ended, well or not. What goes wrong is shown by the chat. */
  action(action: WidgetAction, item: { id: string }): Promise<void>;
  /** Markdown, rendered and sanitised as in messages. */
  markdown(text: string): TemplateResult;
  /** An icon of the protocol (`bolt`), of Lucide (`lucide:cat`), or a neutral one for a name that is not known. */
  icon(name: string): TemplateResult;
  /** Whether an image may be loaded from this address. */
  imageAllowed(src: string): boolean;
  locale: string;
  colorScheme: "light" | "dark";
}
