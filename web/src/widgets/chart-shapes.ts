/** The geometry of charts: numbers in, paths out. */
import { type Props, own } from "./values";

export interface Point {
  x: number;
  y: number;
}

export interface Scale {
  least: number;
  most: number;
  ticks: number[];
}

/** A number of a row, `undefined` where there is none. */
export function numberAt(row: Props, key: string): number | undefined {
  const value = own(row, key);
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) && Math.abs(number) < 1e15 ? number : undefined;
}

/** Round steps that hold all of `values`, and zero. */
export function scaleOf(values: readonly number[], steps = 4): Scale {
  const least = Math.min(0, ...values), most = Math.max(0, ...values);
  const span = most - least || 1;
  const rough = span / steps;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 2.5, 5, 10].find((it) => it * power >= rough) ?? 10) * power;
  const first = Math.floor(least / step), last = Math.max(Math.ceil(most / step), first + 1);
  const ticks = Array.from({ length: last - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12)));
  return { least: first * step, most: last * step, ticks };
}

/** What stands below each value of a series of a stack: positive values go up from zero, negative ones down. */
export function stacked(series: readonly { stack?: string; values: readonly (number | undefined)[] }[]): [number, number][][] {
  const tops = new Map<string, Map<number, [number, number]>>();
  return series.map(({ stack, values }) =>
    values.map((value = 0, index) => {
      if (stack === undefined) return [0, value];
      let rows = tops.get(stack);
      if (!rows) tops.set(stack, (rows = new Map<number, [number, number]>()));
      const [down, up] = rows.get(index) ?? [0, 0];
      rows.set(index, value < 0 ? [down + value, up] : [down, up + value]);
      return value < 0 ? [down, down + value] : [up, up + value];
    }),
  );
}

const n = (value: number): string => String(Math.round(value * 100) / 100);
const at = ({ x, y }: Point): string => `${n(x)} ${n(y)}`;

/** A line through the points, without its first move. */
export function curve(points: readonly Point[], type: string): string {
  const [first, ...rest] = points;
  if (!first) return "";
  let path = "";
  if (type.startsWith("step")) {
    let before = first;
    for (const point of rest) {
      const turn = type === "stepBefore" ? before.x : type === "stepAfter" ? point.x : (before.x + point.x) / 2;
      path += `H${n(turn)}V${n(point.y)}H${n(point.x)}`;
      before = point;
    }
    return path;
  }
  if (type.startsWith("linear")) return rest.map((it) => `L${at(it)}`).join("");
  const slopes = tangents(points, type === "natural" || type.startsWith("b"));
  points.slice(1).forEach((point, index) => {
    const before = points[index] ?? first;
    const third = (point.x - before.x) / 3;
    path += `C${at({ x: before.x + third, y: before.y + third * (slopes[index] ?? 0) })} ${at({ x: point.x - third, y: point.y - third * (slopes[index + 1] ?? 0) })} ${at(point)}`;
  });
  return path;
}

/** The slope at each point; of a curve that is not `loose`, no more than its neighbours allow, so that it never overshoots. */
function tangents(points: readonly Point[], loose: boolean): number[] {
  const slope = (a?: Point, b?: Point) => (a && b && b.x !== a.x ? (b.y - a.y) / (b.x - a.x) : undefined);
  return points.map((point, index) => {
    const before = slope(points[index - 1], point), after = slope(point, points[index + 1]);
    if (before === undefined || after === undefined) return loose ? 0 : before ?? after ?? 0;
    if (loose) return (before + after) / 2;
    return before * after <= 0 ? 0 : (2 * before * after) / (before + after);
  });
}

export function linePath(points: readonly Point[], type: string): string {
  const first = points[0];
  return first ? `M${at(first)}${curve(points, type)}` : "";
}

/** Between two lines that go through as many points each. */
export function areaPath(tops: readonly Point[], bottoms: readonly Point[], type: string): string {
  const back = [...bottoms].reverse();
  const [first, last] = [tops[0], back[0]];
  return first && last ? `M${at(first)}${curve(tops, type)}L${at(last)}${curve(back, mirrored(type))}Z` : "";
}

/** Drawn from the right, a step that comes before is one that comes after. */
function mirrored(type: string): string {
  return type === "stepBefore" ? "stepAfter" : type === "stepAfter" ? "stepBefore" : type;
}

/** A bar from zero, round at its far end. */
export function barPath(x: number, width: number, zero: number, end: number, radius: number): string {
  const r = Math.max(0, Math.min(radius, width / 2, Math.abs(end - zero)));
  const inward = end < zero ? r : -r;
  return `M${n(x)} ${n(zero)}V${n(end + inward)}Q${n(x)} ${n(end)} ${n(x + r)} ${n(end)}H${n(x + width - r)}Q${n(x + width)} ${n(end)} ${n(x + width)} ${n(end + inward)}V${n(zero)}Z`;
}
