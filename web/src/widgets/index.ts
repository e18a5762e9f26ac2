import { type TemplateResult, html } from "lit";
import type { WidgetNode } from "../protocol";
import { WidgetChart } from "./chart";
import { WidgetCombo } from "./combo";
import { WidgetElement } from "./element";
import type { WidgetHost } from "./host";

export { widgetStyles } from "./look";
export type { WidgetAction, WidgetHost } from "./host";

// Another copy of the element may be on the page: the first one serves both.
if (!customElements.get("kitfox-widget")) customElements.define("kitfox-widget", WidgetElement);
if (!customElements.get("kitfox-widget-chart")) customElements.define("kitfox-widget-chart", WidgetChart);
if (!customElements.get("kitfox-widget-combo")) customElements.define("kitfox-widget-combo", WidgetCombo);

/** A widget as the chat shows it. Nothing in it reaches beyond its box. */
export function renderWidget(root: WidgetNode, host: WidgetHost, item: { id: string }): TemplateResult {
  return html`<kitfox-widget .root=${root} .host=${host} .item=${item}></kitfox-widget>`;
}
