import assert from "node:assert/strict";
import { test } from "node:test";
import { submissionOf } from "../asks.js";
import { payloadWith, safePattern } from "../forms.js";
import { ownAddress, safeImage, safeLink } from "../links.js";
import { duration } from "../tasks.js";
import { applyUpdate } from "../updates.js";
import { boxStyles, classes, color, length, spacing } from "../widget-style.js";

test("the values of a form join the payload of its action, dotted names as objects", () => {
  const { payload, ignored } = payloadWith({ id: 7, todo: { list: "a" } }, [["title", "t"], ["todo.title", "x"], ["agree", true]]);
  assert.deepEqual(payload, { id: 7, todo: { list: "a", title: "x" }, title: "t", agree: true });
  assert.deepEqual(ignored, []);
});

test("an action without a form, or without a payload, keeps what it has", () => {
  assert.deepEqual(payloadWith([1], []), { payload: [1], ignored: [] });
  assert.deepEqual(payloadWith(undefined, [["a", "1"]]).payload, { a: "1" });
  assert.deepEqual(payloadWith("word", [["a", "1"]]), { payload: "word", ignored: ["a"] });
});

test("a value of the form never replaces one that the action brings", () => {
  const given = { id: 7, word: "w" };
  assert.deepEqual(payloadWith(given, [["id", "8"], ["word.deep", "x"]]), { payload: { id: 7, word: "w" }, ignored: ["id", "word.deep"] });
  assert.deepEqual(given, { id: 7, word: "w" });
});

test("names of fields reach no prototype", () => {
  const { payload } = payloadWith({}, [["__proto__.polluted", "1"], ["constructor.prototype.polluted", "1"]]);
  assert.equal(JSON.stringify(payload), '{"__proto__":{"polluted":"1"},"constructor":{"prototype":{"polluted":"1"}}}');
  assert.equal({}.polluted, undefined);
  assert.equal(Object.getPrototypeOf(payload), Object.prototype);
});

test("patterns that could take hours are not tried", () => {
  for (const pattern of ["(a+)+$", "(a|a)*b", "((a+)b?)+", ".*.*.*.*x", "(a){2,}", "x".repeat(201), 7]) assert.equal(safePattern(pattern), undefined, pattern);
  for (const pattern of ["[A-Z]{3}\\d{2}", "[^@]+@[^@]+\\.[a-z]{2,}"]) assert.equal(safePattern(pattern), pattern);
});

test("lengths are plain, never negative and never larger than a screen", () => {
  assert.equal(spacing(4), "16px");
  assert.equal(spacing("2"), "8px");
  assert.equal(length("50%"), "50%");
  assert.equal(length("1.5rem"), "1.5rem");
  assert.equal(length(1e300), "2000px");
  assert.equal(length(-5), "0px");
  for (const value of ["calc(1px)", "100vw;position:fixed", "-4px", "url(x)", "1e9px", NaN, {}, null]) assert.equal(length(value), undefined, String(value));
});

test("colours are tokens, primitives, plain CSS or one for each theme", () => {
  const tokens = { secondary: "var(--muted)" };
  assert.equal(color("secondary", tokens), "var(--muted)");
  assert.match(color("blue-400", tokens), /^oklch\(/);
  assert.equal(color("#fff", tokens), "#fff");
  assert.equal(color("rgb(1 2 3 / 50%)", tokens), "rgb(1 2 3 / 50%)");
  assert.equal(color({ light: "red", dark: "#000" }, tokens), "light-dark(red, #000)");
  for (const value of ["url(//x)", "red;x:y", "var(--x)", "image-set('x')", "__proto__", { light: [] }, [], 7, "red-5", "nohue-500"]) assert.equal(color(value, tokens), undefined, String(value));
});

test("only known properties of a box become styles", () => {
  assert.deepEqual(boxStyles({ gap: 2, align: "center", justify: "between", padding: { x: 1, top: 2 }, radius: "md", border: { size: 1, color: "url(x)" } }), {
    "align-items": "center", "justify-content": "space-between", gap: "8px", "border-radius": "8px",
    "padding-top": "8px", "padding-right": "4px", "padding-left": "4px", border: "1px solid var(--line)",
  });
  assert.deepEqual(boxStyles({ align: "constructor", radius: "__proto__", flex: "1;x", aspectRatio: "a", background: "url(x)", border: "1", position: "fixed" }), {});
});

test("classes are made of tokens alone", () => {
  assert.equal(classes("w-text", { size: ["sm", ["sm"]], weight: ["x y", ["bold"]], align: [{}, ["end"]] }), "w-text size-sm");
});

const widget = () => ({ type: "widget", widget: { type: "Card", children: [{ type: "Row", children: [{ type: "Text", id: "note", value: "one" }] }, { type: "Transition", children: { type: "Text", id: "inner", value: "x" } }] } });

test("text of a widget grows where its component stands", () => {
  const item = widget();
  const before = item.widget;
  applyUpdate(item, { type: "widget.streaming_text.value_delta", component_id: "note", delta: " two", done: false });
  assert.equal(item.widget.children[0].children[0].value, "one two");
  assert.equal(item.widget.children[1], before.children[1]);
  applyUpdate(item, { type: "widget.streaming_text.value_delta", component_id: "inner", delta: "y", done: true });
  assert.equal(item.widget.children[1].children.value, "xy");
});

test("components and the root of a widget are replaced, unknown ones are not", () => {
  const item = widget();
  applyUpdate(item, { type: "widget.component.updated", component_id: "note", component: { type: "Badge", label: "b" } });
  assert.deepEqual(item.widget.children[0].children, [{ type: "Badge", label: "b" }]);
  const before = item.widget;
  applyUpdate(item, { type: "widget.component.updated", component_id: "nobody", component: { type: "Badge" } });
  assert.equal(item.widget, before);
  applyUpdate(item, { type: "widget.root.updated", widget: { type: "Basic", id: "root" } });
  applyUpdate(item, { type: "widget.component.updated", component_id: "root", component: { type: "Card" } });
  assert.deepEqual(item.widget, { type: "Card" });
});

test("a widget that is nested without end is searched to a depth", () => {
  let deep = { type: "Text", id: "note", value: "" };
  for (let level = 0; level < 10_000; level += 1) deep = { type: "Box", children: [deep] };
  const item = { type: "widget", widget: deep };
  applyUpdate(item, { type: "widget.streaming_text.value_delta", component_id: "note", delta: "x", done: true });
  assert.equal(item.widget, deep);
});

test("answers are sent by question, those left out as skipped", () => {
  assert.deepEqual(submissionOf([["a", ["M"]], ["b", []]]), { status: "answered", answers: { a: { values: ["M"] }, b: { values: [], skipped: true } } });
  assert.deepEqual(submissionOf([["a", []]]), { status: "skipped", answers: {} });
});

test("durations are said in words", () => {
  assert.deepEqual([0, 9, 75, 120, 3700].map(duration), ["0 s", "9 s", "1 min 15 s", "2 min", "1 h 1 min"]);
});

test("only harmless addresses are opened or shown", () => {
  for (const address of ["javascript:alert(1)", "data:text/html,x", "vbscript:x", " java\nscript:x", "blob:x", {}, null]) {
    assert.equal(safeLink(address), undefined, String(address));
    assert.equal(safeImage(address, "https://chat.example/")?.startsWith("https://chat.example/") ?? true, true);
  }
  assert.equal(safeImage("https://i.example/a.png", "https://chat.example/"), undefined);
  assert.equal(safeImage("https://i.example/a.png", "https://chat.example/", ["i.example"]), "https://i.example/a.png");
  assert.equal(safeImage("data:image/svg+xml;base64,AA", "https://chat.example/"), undefined);
});

test("addresses of our own server are reached where the page was loaded from", () => {
  const endpoint = "http://127.0.0.1:8000/chatkit";
  assert.equal(ownAddress("http://localhost:8000/chatkit/attachments/a?sig=1", endpoint), "http://127.0.0.1:8000/chatkit/attachments/a?sig=1");
  assert.equal(ownAddress("https://bucket.example/a", endpoint), "https://bucket.example/a");
  assert.equal(ownAddress("http://127.0.0.1:8000/chatkit/x", endpoint), "http://127.0.0.1:8000/chatkit/x");
});
