/** Forms of widgets: what their fields hold, and how that becomes part of an action. */
import { isRecord } from "./widget-style.js";

const DEEPEST_NAME = 8;

/**
 * The payload of an action with the values of the form around it, each under its field's name; `a.b` is the property
 * `b` of `a`. A value whose place is taken is left out, and its name is listed in `ignored`.
 */
export function payloadWith(payload, values) {
  if (values.length === 0) return { payload, ignored: [] };
  const absent = payload === undefined || payload === null;
  if (!absent && !isRecord(payload)) return { payload, ignored: values.map(([name]) => name) };
  const whole = absent ? {} : structuredClone(payload);
  const ignored = values.filter(([name, value]) => !put(whole, name.split("."), value)).map(([name]) => name);
  return { payload: whole, ignored };
}

function put(record, [first, ...rest], value) {
  if (rest.length >= DEEPEST_NAME) return false;
  const taken = Object.hasOwn(record, first);
  if (rest.length === 0) {
    if (!taken) define(record, first, value);
    return !taken;
  }
  if (!taken) define(record, first, {});
  return isRecord(record[first]) && put(record[first], rest, value);
}

/** Also `__proto__` is only a name here. */
function define(record, name, value) {
  Object.defineProperty(record, name, { value, configurable: true, enumerable: true, writable: true });
}

/** The fields below a node by name, in their order. Fields carry `data-field`, never `name`, which would shadow the form's own. */
export function valuesOf(root) {
  return [...root.querySelectorAll("[data-field]")].map((it) => [it.dataset.field, valueOf(it)]).filter(([, value]) => value !== undefined);
}

/** What a field holds: text, for a checkbox whether it is ticked, nothing for a group without a choice. */
export function valueOf(field) {
  if (field.getAttribute("role") === "radiogroup") return field.querySelector("input:checked")?.value;
  return field.type === "checkbox" ? field.checked : field.value;
}

/** A pattern that the browser may try on what is typed: none that could keep it busy for hours. */
export function safePattern(pattern) {
  if (typeof pattern !== "string" || pattern.length > 200) return undefined;
  const repeatsGroups = /\)(?:[*+]|\{)/.test(pattern);
  const unbounded = pattern.match(/[*+]|\{\d+,\}/g)?.length ?? 0;
  return repeatsGroups || unbounded > 3 ? undefined : pattern;
}
