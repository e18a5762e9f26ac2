import assert from "node:assert/strict";
import { test } from "node:test";
import { areaPath, barPath, linePath, scaleOf, stacked } from "../../.build/widgets/chart-shapes.js";
import { payloadWith, safePattern } from "../../.build/widgets/forms.js";
import { BORDER_COLORS, SURFACE_COLORS, TEXT_COLORS, boxStyles, classes, color, flex, length, ratio, spacing, words } from "../../.build/widgets/values.js";

const set = (styles) => Object.fromEntries(Object.entries(styles).filter(([, value]) => value !== undefined));

test("lengths are pixels, or have a unit, and end at a screen", () => {
  assert.equal(length(12), "12px");
  assert.equal(length("12"), "12px");
  assert.equal(length("50%"), "50%");
  assert.equal(length("2.5rem"), "2.5rem");
  assert.equal(length("fit-content"), "fit-content");
  assert.equal(length(1e9), "2000px");
  assert.equal(length(-5), "0px");
  assert.equal(length("900vw"), "100vw");
  for (const wrong of [NaN, Infinity, null, {}, [], true, "calc(1px)", "1e9px", "url(x)", "1px;color:red", "-4px", "var(--x)"]) assert.equal(length(wrong), undefined, String(wrong));
});

test("spacing counts in steps", () => {
  assert.equal(spacing(3), "calc(var(--kf-unit, 4px) * 3)");
  assert.equal(spacing("3"), "calc(var(--kf-unit, 4px) * 3)");
  assert.equal(spacing("12px"), "12px");
  assert.equal(spacing(-1), "calc(var(--kf-unit, 4px) * 0)");
});

test("colours are tokens, primitives, plain CSS, or one for each theme", () => {
  assert.equal(color("secondary", TEXT_COLORS), "var(--kf-muted)");
  assert.equal(color("surface-elevated", SURFACE_COLORS), "var(--kf-raised)");
  assert.match(color("red-100", TEXT_COLORS), /^oklch\(\d+% 0\.\d+ 25\)$/);
  assert.match(color("gray-500", TEXT_COLORS), /^oklch\(/);
  assert.equal(color("#FF0080", TEXT_COLORS), "#FF0080");
  assert.equal(color("rgb(1 2 3 / 50%)", TEXT_COLORS), "rgb(1 2 3 / 50%)");
  assert.equal(color({ light: "#fff", dark: "#000" }, TEXT_COLORS), "light-dark(#fff, #000)");
  assert.equal(color({ light: "#fff" }, TEXT_COLORS), "#fff");
  for (const wrong of ["url(https://a.test/x)", "red-9999", "#12", "image-set('x')", "__proto__", "rgb(1,2,3);x", "x".repeat(100), 5, null]) {
    assert.equal(color(wrong, TEXT_COLORS), undefined, String(wrong));
  }
});

test("a light primitive is light and a dark one dark", () => {
  const lightness = (value) => Number(/oklch\((\d+)%/.exec(color(value, TEXT_COLORS))[1]);
  const shades = ["blue-50", "blue-100", "blue-300", "blue-500", "blue-700", "blue-950"].map(lightness);
  assert.deepEqual(shades, [...shades].sort((a, b) => b - a));
  assert.ok(shades[0] > 90 && shades[5] < 35, String(shades));
});

test("boxes are laid out by what is known", () => {
  assert.deepEqual(set(boxStyles({ align: "center", justify: "between", gap: 2, size: 40, radius: "lg", border: 1 })), {
    width: "40px", height: "40px", "align-items": "center", "justify-content": "space-between", gap: "calc(var(--kf-unit, 4px) * 2)", "border-radius": "10px", border: "1px solid var(--kf-line)",
  });
  assert.deepEqual(set(boxStyles({ padding: { x: 2, top: 1 }, border: { bottom: { size: 99, style: "dashed", color: "strong" } } })), {
    "padding-top": "calc(var(--kf-unit, 4px) * 1)", "padding-right": "calc(var(--kf-unit, 4px) * 2)", "padding-left": "calc(var(--kf-unit, 4px) * 2)",
    "border-bottom": `16px dashed ${BORDER_COLORS.strong}`,
  });
  assert.deepEqual(set(boxStyles({ align: "constructor", wrap: "x", flex: "expression(1)", aspectRatio: "0/0", background: [] })), {});
});

test("flex and ratios are numbers or what CSS writes", () => {
  assert.equal(flex(1), "1");
  assert.equal(flex("1 1 auto"), "1 1 auto");
  assert.equal(flex("1 1 url(x)"), undefined);
  assert.equal(ratio(1.5), "1.5");
  assert.equal(ratio("16/9"), "16/9");
  assert.equal(ratio("1/0"), undefined);
  assert.equal(ratio("0"), undefined);
});

test("classes are made of known tokens alone", () => {
  assert.equal(classes("w-a", { size: "sm", color: "evil x", on: true, off: false }), "w-a size-sm on");
});

test("words are text whatever they were", () => {
  assert.equal(words(5), "5");
  assert.equal(words({ toString: () => "x" }), "");
  assert.equal(words("x".repeat(30_000)).length, 20_001);
});

test("what is filled in joins the payload and replaces nothing", () => {
  assert.deepEqual(payloadWith({ id: 1 }, [["id", 2], ["name", "Ada"], ["a.b", true]]), { id: 1, name: "Ada", a: { b: true } });
  assert.deepEqual(payloadWith(undefined, [["x", ""]]), { x: "" });
  assert.equal(payloadWith("text", [["x", ""]]), "text");
  assert.equal(payloadWith(undefined, []), undefined);
  const payload = payloadWith({}, [["__proto__.polluted", 1]]);
  assert.equal({}.polluted, undefined);
  assert.equal(Object.getOwnPropertyNames(payload)[0], "__proto__");
});

test("a pattern that could keep the browser busy is not tried", () => {
  assert.equal(safePattern("[a-z]{2,8}"), "[a-z]{2,8}");
  for (const wrong of ["(a+)+$", "(a|a)*", "(.*)(.*){9}", "a*b*c*d*", "x".repeat(300), 5]) assert.equal(safePattern(wrong), undefined, String(wrong));
});

test("a scale is round and holds zero", () => {
  assert.deepEqual(scaleOf([3, 97]).ticks, [0, 25, 50, 75, 100]);
  assert.deepEqual(scaleOf([-4, 4]).ticks, [-4, -2, 0, 2, 4]);
  assert.deepEqual(scaleOf([]).ticks.length > 1, true);
  assert.deepEqual(scaleOf([0.1, 0.3]).ticks, [0, 0.1, 0.2, 0.3]);
});

test("what is stacked stands on what is below it, up and down from zero", () => {
  const series = [{ stack: "a", values: [1, -1] }, { stack: "a", values: [2, -2] }, { values: [5, undefined] }];
  assert.deepEqual(stacked(series), [[[0, 1], [0, -1]], [[1, 3], [-1, -3]], [[0, 5], [0, 0]]]);
});

test("paths are numbers", () => {
  const points = [{ x: 0, y: 0 }, { x: 10, y: 5 }, { x: 20, y: 0 }];
  assert.equal(linePath(points, "linear"), "M0 0L10 5L20 0");
  assert.equal(linePath(points, "stepAfter"), "M0 0H10V5H10H20V0H20");
  assert.equal(linePath([], "linear"), "");
  for (const type of ["natural", "monotone", "bumpX", "step", "unheard of"]) {
    assert.match(areaPath(points, points, type), /^[MLCHVZ\d\s.-]+$/, type);
    assert.doesNotMatch(areaPath(points, points, type), /NaN/);
  }
  assert.match(barPath(0, 10, 100, 100, 4), /^M0 100V100/);
});
