/** How much of metre, kilogram, second and bit something has: a speed is [1, 0, -1, 0]. */
export type Dimension = [metre: number, kilogram: number, second: number, bit: number];

/** A number of base units. */
export interface Quantity {
  value: number;
  dimension: Dimension;
}

const NONE: Dimension = [0, 0, 0, 0];
const LENGTH: Dimension = [1, 0, 0, 0];
const AREA: Dimension = [2, 0, 0, 0];
const VOLUME: Dimension = [3, 0, 0, 0];
const MASS: Dimension = [0, 1, 0, 0];
const TIME: Dimension = [0, 0, 1, 0];
const SPEED: Dimension = [1, 0, -1, 0];
const DATA: Dimension = [0, 0, 0, 1];
const FORCE: Dimension = [1, 1, -2, 0];
const ENERGY: Dimension = [2, 1, -2, 0];
const POWER: Dimension = [2, 1, -3, 0];
const PRESSURE: Dimension = [-1, 1, -2, 0];
const FREQUENCY: Dimension = [0, 0, -1, 0];

/** By each of their names. Those of `PREFIXED` take the prefixes of the SI as well. */
const UNITS: [names: string, value: number, dimension: Dimension][] = [
  ["inch inches", 0.0254, LENGTH],
  ["ft foot feet", 0.3048, LENGTH],
  ["yd yard yards", 0.9144, LENGTH],
  ["mi mile miles", 1609.344, LENGTH],
  ["nmi", 1852, LENGTH],
  ["ha hectare hectares", 1e4, AREA],
  ["acre acres", 4046.8564224, AREA],
  ["gal gallon gallons", 0.003785411784, VOLUME],
  ["cup cups", 0.0002365882365, VOLUME],
  ["t tonne tonnes", 1000, MASS],
  ["oz ounce ounces", 0.028349523125, MASS],
  ["lb lbs pound pounds", 0.45359237, MASS],
  ["min minute minutes", 60, TIME],
  ["h hour hours", 3600, TIME],
  ["d day days", 86400, TIME],
  ["week weeks", 604800, TIME],
  ["mph", 0.44704, SPEED],
  ["kn knot knots", 1852 / 3600, SPEED],
  ["kcal", 4184, ENERGY],
  ["hp", 745.6998715822702, POWER],
  ["psi", 6894.757293168361, PRESSURE],
  ["KiB", 8 * 2 ** 10, DATA],
  ["MiB", 8 * 2 ** 20, DATA],
  ["GiB", 8 * 2 ** 30, DATA],
  ["%", 0.01, NONE],
];
const PREFIXED: [names: string, value: number, dimension: Dimension][] = [
  ["m metre metres meter meters", 1, LENGTH],
  ["g gram grams", 0.001, MASS],
  ["s second seconds", 1, TIME],
  ["L l litre litres liter liters", 0.001, VOLUME],
  ["N", 1, FORCE],
  ["J", 1, ENERGY],
  ["W", 1, POWER],
  ["Wh", 3600, ENERGY],
  ["Pa", 1, PRESSURE],
  ["bar", 1e5, PRESSURE],
  ["Hz", 1, FREQUENCY],
  ["B byte bytes", 8, DATA],
  ["bit bits", 1, DATA],
];
const PREFIXES: Record<string, number> = {
  T: 1e12, G: 1e9, M: 1e6, k: 1e3, kilo: 1e3, h: 100, d: 0.1, c: 0.01, centi: 0.01, m: 1e-3, milli: 1e-3, µ: 1e-6, u: 1e-6, n: 1e-9,
};

export function findUnit(name: string): Quantity | undefined {
  return find(UNITS, name) ?? find(PREFIXED, name) ?? prefixed(name);
}

function find(units: typeof UNITS, name: string): Quantity | undefined {
  const unit = units.find(([names]) => names.split(" ").includes(name));
  return unit && { value: unit[1], dimension: unit[2] };
}

function prefixed(name: string): Quantity | undefined {
  for (const [prefix, factor] of Object.entries(PREFIXES)) {
    const unit = name.startsWith(prefix) ? find(PREFIXED, name.slice(prefix.length)) : undefined;
    if (unit) return { value: factor * unit.value, dimension: unit.dimension };
  }
}

/** A dimension in base units, as `kg m/s^2`. */
export function baseUnits(dimension: Dimension): string {
  const power = (symbol: string, exponent: number) => (exponent === 1 ? symbol : `${symbol}^${exponent}`);
  const symbols = ["m", "kg", "s", "bit"].map((symbol, i) => [symbol, dimension[i]] as const);
  const above = symbols.filter(([, it]) => it > 0).map(([symbol, it]) => power(symbol, it));
  const below = symbols.filter(([, it]) => it < 0).map(([symbol, it]) => power(symbol, -it));
  if (below.length === 0) return above.join(" ");
  return `${above.join(" ") || "1"}/${below.length > 1 ? `(${below.join(" ")})` : below[0]}`;
}
