import { baseUnits, findUnit, type Dimension, type Quantity } from "./units.ts";

/** What an expression comes to, with its unit. Throws a text that says what is wrong with it. */
export function calculate(expression: string): string {
  const parser = new Parser(expression);
  const quantity = parser.sum();
  if (!parser.takes("in", "to")) {
    parser.end();
    return `${number(quantity.value)} ${baseUnits(quantity.dimension)}`.trim();
  }
  const name = parser.rest();
  const unit = parser.product();
  parser.end();
  check(quantity, unit, "converted to");
  return `${number(quantity.value / unit.value)} ${name}`;
}

const number = (value: number) => String(Number(value.toPrecision(10)));

function check(a: Quantity, b: Quantity, done: string) {
  if (a.dimension.every((it, i) => it === b.dimension[i])) return;
  const name = ({ dimension }: Quantity) => baseUnits(dimension) || "no unit";
  throw `a quantity in ${name(a)} cannot be ${done} one in ${name(b)}`;
}

/** A number and the unit behind it belong together: 5 km / 2 h is 2.5 km/h. */
class Parser {
  private tokens: string[];
  private at = 0;

  constructor(expression: string) {
    this.tokens = expression.match(/\d+(?:\.\d+)?(?:e[+-]?\d+)?|\.\d+|[\p{L}%]+|\S/giu) ?? [];
  }

  takes(...tokens: string[]): string | undefined {
    const token = this.tokens[this.at];
    if (tokens.includes(token)) this.at++;
    return tokens.includes(token) ? token : undefined;
  }

  /** What is left, as text. */
  rest(): string {
    return this.tokens.slice(this.at).join(" ").replace(/ ?([/^]) ?/g, "$1");
  }

  end() {
    if (this.at < this.tokens.length) throw `\`${this.rest()}\` is not understood: use + - * / ^ ( ) and units`;
  }

  sum(): Quantity {
    let left = this.product();
    for (let sign; (sign = this.takes("+", "-")); ) {
      const right = this.product();
      check(left, right, sign === "+" ? "added to" : "reduced by");
      left = { ...left, value: sign === "+" ? left.value + right.value : left.value - right.value };
    }
    return left;
  }

  product(): Quantity {
    let left = this.term();
    for (let sign; (sign = this.takes("*", "·", "×", "/", "÷")); ) {
      left = multiply(left, this.term(), "/÷".includes(sign) ? -1 : 1);
    }
    return left;
  }

  private term(): Quantity {
    let left = this.power();
    while (/^[\p{L}%(]/u.test(this.tokens[this.at] ?? "") && !["in", "to"].includes(this.tokens[this.at])) {
      left = multiply(left, this.power(), 1);
    }
    return left;
  }

  private power(): Quantity {
    const base = this.atom();
    if (!this.takes("^")) return base;
    const sign = this.takes("-") ? -1 : 1;
    const exponent = sign * Number(this.tokens[this.at++]);
    if (!Number.isInteger(exponent)) throw "an exponent has to be a whole number";
    return { value: base.value ** exponent, dimension: base.dimension.map((it) => it * exponent) as Dimension };
  }

  private atom(): Quantity {
    const token = this.tokens[this.at++];
    if (token === undefined) throw "something is missing at the end";
    if (token === "-") return multiply({ value: -1, dimension: [0, 0, 0, 0] }, this.power(), 1);
    if (token === "(") {
      const inner = this.sum();
      if (!this.takes(")")) throw "a `)` is missing";
      return inner;
    }
    if (/^[.\d]/.test(token)) return { value: Number(token), dimension: [0, 0, 0, 0] };
    const unit = findUnit(token);
    if (!unit) throw `there is no unit \`${token}\``;
    return unit;
  }
}

function multiply(a: Quantity, b: Quantity, exponent: 1 | -1): Quantity {
  const dimension = a.dimension.map((it, i) => it + exponent * b.dimension[i]) as Dimension;
  return { value: a.value * b.value ** exponent, dimension };
}
