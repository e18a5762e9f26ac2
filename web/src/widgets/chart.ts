/** Charts: bars, lines and areas as SVG, as wide as there is room, with the numbers as a table for those who do not see it. */
import { LitElement, type TemplateResult, html, nothing, svg } from "lit";
import { styles } from "../styles";
import { type Point, areaPath, barPath, linePath, numberAt, scaleOf, stacked } from "./chart-shapes";
import { CHART_COLORS, type Props, color, count, entries, isProps, length, own, sizeStyles, words } from "./values";

const MOST_ROWS = 500;
const MOST_SERIES = 12;
const HEIGHT = 220;
const NARROWEST = 120;
/** Of a character of an axis label, about. */
const LETTER = 6.4;

interface Series {
  type: string;
  key: string;
  label: string;
  color: string;
  stack?: string;
  curve: string;
  values: (number | undefined)[];
}

interface Data {
  rows: Props[];
  names: string[];
  series: Series[];
  hideAxis: boolean;
}

function dataOf(props: Props): Data {
  const rows = entries(props.data, MOST_ROWS);
  const axis: Props = isProps(props.xAxis) ? props.xAxis : { dataKey: props.xAxis };
  const labels = isProps(axis.labels) ? axis.labels : {};
  const names = rows.map((row) => {
    const name = words(own(row, axis.dataKey));
    return words(own(labels, name)) || name;
  });
  const palette = Object.values(CHART_COLORS);
  const series = entries(props.series, MOST_SERIES).map((it, index): Series => {
    const key = words(it.dataKey);
    return {
      type: words(it.type),
      key,
      label: words(it.label) || key,
      color: color(it.color, CHART_COLORS) ?? palette[index % palette.length] ?? "currentColor",
      stack: typeof it.stack === "string" ? `${words(it.type)} ${it.stack}` : undefined,
      curve: words(it.curveType) || "linear",
      values: rows.map((row) => numberAt(row, key)),
    };
  });
  return { rows, names, series, hideAxis: axis.hide === true };
}

export class WidgetChart extends LitElement {
  static override properties = { props: { attribute: false }, locale: {}, at: { state: true }, room: { state: true } };

  declare props: Props;
  declare locale: string;
  /** The row under the pointer. */
  declare at: number | undefined;
  declare room: number;

  #observer?: ResizeObserver;
  #height = HEIGHT;

  constructor() {
    super();
    this.props = {};
    this.locale = "en";
    this.room = 0;
  }

  /** In the document around it: its styles are the widgets'. */
  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.#observer = new ResizeObserver(([entry]) => {
      if (entry) this.room = Math.floor(entry.contentRect.width);
    });
    this.#observer.observe(this);
  }

  override disconnectedCallback(): void {
    this.#observer?.disconnect();
    super.disconnectedCallback();
  }

  protected override render(): TemplateResult {
    const { props } = this;
    const data = dataOf(props);
    const { height, "aspect-ratio": aspect, ...sizes } = sizeStyles(props);
    const pixels = /^(\d+(?:\.\d+)?)px$/.exec(height ?? "")?.[1];
    const width = Math.max(this.room, NARROWEST);
    this.#height = pixels !== undefined ? Math.max(Number(pixels), 60) : aspect !== undefined ? Math.min(width / quotient(aspect), 800) : HEIGHT;
    const legend = props.showLegend === true && data.series.length > 0;
    return html`<div class="w-chart" ${styles({ ...sizes, width: sizes.width ?? length(props.width) })}>
      ${this.room > 0 ? this.#drawing(data, width) : html`<div ${styles({ height: `${this.#height}px` })}></div>`}
      ${legend ? html`<ul class="w-legend" aria-hidden="true">${data.series.map((it) => html`<li><i ${styles({ background: it.color })}></i>${it.label}</li>`)}</ul>` : nothing}
      ${this.#table(data)}
    </div>`;
  }

  #drawing({ names, series, hideAxis }: Data, width: number): TemplateResult {
    const height = this.#height;
    const { showYAxis, showTooltip } = this.props;
    const format = new Intl.NumberFormat(this.locale || undefined, { notation: "compact", maximumFractionDigits: 1 });
    const ranges = stacked(series);
    const { least, most, ticks } = scaleOf(ranges.flat(2).filter(Number.isFinite), height < 120 ? 2 : 4);
    const labels = ticks.map((it) => format.format(it));
    const left = showYAxis === true ? Math.ceil(Math.max(...labels.map((it) => it.length)) * LETTER) + 10 : 2;
    const bottom = hideAxis ? 4 : 24;
    const plot = { width: width - left - 4, height: height - bottom - 8 };
    const y = (value: number) => 8 + ((most - value) / (most - least)) * plot.height;
    const slot = plot.width / Math.max(names.length, 1);
    const x = (index: number) => left + slot * (index + 0.5);
    const every = Math.max(1, Math.ceil((Math.max(...names.map((it) => Math.min(it.length, 12)), 1) * LETTER + 10) / slot));

    // Bars of one stack share a place beside those of others.
    const places = [...new Set(series.flatMap((it, index) => (it.type === "bar" ? [it.stack ?? `alone ${index}`] : [])))];
    const between = count(this.props.barCategoryGap, 200) ?? slot * 0.25;
    const gap = this.props.barGap === 0 ? 0 : count(this.props.barGap, 50) ?? 3;
    const bar = Math.min(Math.max((slot - Math.min(between, slot * 0.8) - gap * (places.length - 1)) / Math.max(places.length, 1), 1), 56);
    const group = bar * places.length + gap * (places.length - 1);

    const drawn = series.map((it, index) => {
      const range = ranges[index] ?? [];
      if (it.type === "bar") {
        const offset = places.indexOf(it.stack ?? `alone ${index}`) * (bar + gap) - group / 2;
        return it.values.map((value, row) => {
          const [from, to] = range[row] ?? [0, 0];
          return value === undefined || value === 0 ? nothing : svg`<path d=${barPath(x(row) + offset, bar, y(from), y(to), it.stack === undefined ? 4 : 1)} fill=${it.color}></path>`;
        });
      }
      return runs(it.values).map((rows) => {
        const tops: Point[] = rows.map((row) => ({ x: x(row), y: y(range[row]?.[1] ?? 0) }));
        const bottoms: Point[] = rows.map((row) => ({ x: x(row), y: y(range[row]?.[0] ?? 0) }));
        const single = tops.length === 1 && tops[0] ? svg`<circle cx=${tops[0].x} cy=${tops[0].y} r="3" fill=${it.color}></circle>` : nothing;
        return svg`
          ${it.type === "area" ? svg`<path d=${areaPath(tops, bottoms, it.curve)} fill=${it.color} fill-opacity=".22"></path>` : nothing}
          <path d=${linePath(tops, it.curve)} fill="none" stroke=${it.color} stroke-width="2" stroke-linejoin="round" stroke-linecap="round"></path>${single}`;
      });
    });

    const row = showTooltip === false ? undefined : this.at;
    return html`<div class="w-plot" @pointermove=${(event: PointerEvent) => { this.#point(event, left, slot, names.length); }} @pointerleave=${() => { this.at = undefined; }}>
      <svg viewBox="0 0 ${width} ${height}" aria-hidden="true" ${styles({ width: `${width}px`, height: `${height}px` })}>
        ${ticks.map((it, index) => svg`
          <line x1=${left} x2=${width - 4} y1=${y(it)} y2=${y(it)} class=${it === 0 ? "w-zero" : "w-grid"}></line>
          ${showYAxis === true ? svg`<text x=${left - 8} y=${y(it)} dy=".32em" text-anchor="end">${labels[index]}</text>` : nothing}`)}
        ${row === undefined ? nothing : svg`<rect x=${x(row) - slot / 2} y="4" width=${slot} height=${height - bottom - 2} rx="4" class="w-band"></rect>`}
        ${drawn}
        ${row === undefined ? nothing : series.map((it, index) => (it.type === "bar" || it.values[row] === undefined ? nothing : svg`<circle cx=${x(row)} cy=${y(ranges[index]?.[row]?.[1] ?? 0)} r="4" fill=${it.color} class="w-dot"></circle>`))}
        ${hideAxis ? nothing : names.map((name, index) => (index % every === 0 ? svg`<text x=${x(index)} y=${height - 6} text-anchor="middle">${name.length > 13 ? `${name.slice(0, 12)}…` : name}</text>` : nothing))}
      </svg>
      ${row === undefined ? nothing : this.#tooltip(row, names[row] ?? "", series, x(row), width)}
    </div>`;
  }

  #tooltip(row: number, name: string, series: Series[], x: number, width: number): TemplateResult {
    const format = new Intl.NumberFormat(this.locale || undefined);
    const side = x > width / 2 ? { right: `${width - x + 10}px` } : { left: `${x + 10}px` };
    return html`<div class="w-tooltip" aria-hidden="true" ${styles(side)}><b>${name}</b>
      ${series.map((it) => html`<span><i ${styles({ background: it.color })}></i>${it.label}<em>${it.values[row] === undefined ? "–" : format.format(it.values[row])}</em></span>`)}
    </div>`;
  }

  #table({ names, series }: Data): TemplateResult {
    return html`<table class="w-unseen">
      <thead><tr><td></td>${series.map((it) => html`<th scope="col">${it.label}</th>`)}</tr></thead>
      <tbody>${names.map((name, row) => html`<tr><th scope="row">${name}</th>${series.map((it) => html`<td>${it.values[row] ?? ""}</td>`)}</tr>`)}</tbody>
    </table>`;
  }

  #point(event: PointerEvent, left: number, slot: number, rows: number): void {
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    const row = Math.floor((event.clientX - box.left - left) / slot);
    this.at = row >= 0 && row < rows ? row : undefined;
  }
}

/** The rows that follow one another without a gap. */
function runs(values: readonly (number | undefined)[]): number[][] {
  const all: number[][] = [];
  let run: number[] = [];
  values.forEach((value, row) => {
    if (value !== undefined) run.push(row);
    else if (run.length > 0) {
      all.push(run);
      run = [];
    }
  });
  if (run.length > 0) all.push(run);
  return all;
}

function quotient(aspect: string): number {
  const [width = 1, height = 1] = aspect.split("/").map(Number);
  return width / height || 1;
}
