/** Forms of widgets: what their fields hold, and how that becomes part of an action. */
import { type Props, isProps } from "./values";

const DEEPEST_NAME = 8;

/**
 * The payload of an action with the values of the form around it, each under its field's name; `a.b` is the property `b` of `a`. What
 * the widget's author wrote stays: a value whose place is taken is left out.
 */
export function payloadWith(payload: unknown, values: readonly (readonly [string, unknown])[]): unknown {
  if (values.length === 0) return payload;
  const absent = payload === undefined || payload === null;
  if (!absent && !isProps(payload)) return payload;
  const whole: Props = absent ? {} : structuredClone(payload);
  for (const [name, value] of values) put(whole, name.split("."), value);
  return whole;
}

function put(record: Props, [first = "", ...rest]: string[], value: unknown): void {
  if (rest.length >= DEEPEST_NAME) return;
  const taken = Object.hasOwn(record, first);
  if (rest.length === 0) {
    if (!taken) define(record, first, value);
    return;
  }
  if (!taken) define(record, first, {});
  const below = record[first];
  if (isProps(below)) put(below, rest, value);
}

/** Also `__proto__` is only a name here. */
function define(record: Props, name: string, value: unknown): void {
  Object.defineProperty(record, name, { value, configurable: true, enumerable: true, writable: true });
}

/** A pattern that the browser may try on what is typed: none that could keep it busy for hours. */
export function safePattern(pattern: unknown): string | undefined {
  if (typeof pattern !== "string" || pattern.length > 200) return undefined;
  const repeatsGroups = /\)(?:[*+]|\{)/.test(pattern);
  const unbounded = pattern.match(/[*+]|\{\d+,\}/g)?.length ?? 0;
  return repeatsGroups || unbounded > 3 ? undefined : pattern;
}
