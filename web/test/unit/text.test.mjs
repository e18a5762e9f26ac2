import assert from "node:assert/strict";
import { test } from "node:test";
import { blocksOf, closed } from "../../.build/blocks.js";
import { CLOSE, OPEN, citationsOf, withCitations } from "../../.build/citations.js";

test("what grows changes the last block only", () => {
  const text = "# Title\n\nSome *text* here.\n\n- one\n- two\n  - deep\n\n```js\nlet a = 1;\n\nlet b;\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nEnd.";
  const whole = blocksOf(text).blocks.map((it) => it.source.trim());
  for (let at = 1; at < text.length; at += 1) {
    const partial = blocksOf(closed(text.slice(0, at))).blocks.map((it) => it.source.trim());
    assert.deepEqual(partial.slice(0, -1), whole.slice(0, Math.max(partial.length - 1, 0)), JSON.stringify(text.slice(0, at)));
  }
});

test("an open fence is closed while it streams, with its own mark", () => {
  assert.equal(closed("```js\nlet a"), "```js\nlet a\n```");
  assert.equal(closed("~~~~\nx\n"), "~~~~\nx\n~~~~");
  assert.equal(closed("```\nx\n```\nafter"), "```\nx\n```\nafter");
  assert.equal(closed("````\n```\nx"), "````\n```\nx\n````");
});

test("marks that have begun are ended, and half of one is held back", () => {
  assert.equal(closed("some **bold wor"), "some **bold wor**");
  assert.equal(closed("some **bold*"), "some **bold**");
  assert.equal(closed("some **bold**"), "some **bold**");
  assert.equal(closed("some *it"), "some *it*");
  assert.equal(closed("some `co"), "some `co`");
  assert.equal(closed("a [link](https://exa"), "a link");
  assert.equal(closed("a [lin"), "a lin");
  assert.equal(closed("a ~~b"), "a ~~b~~");
  assert.equal(closed("2 * 3"), "2 * 3");
  assert.equal(closed("* item"), "* item");
  assert.equal(closed("text\n-"), "text");
  assert.equal(closed("text\n## "), "text");
});

test("text of a megabyte is not parsed", () => {
  const { blocks } = blocksOf("*".repeat(1_000_000));
  assert.ok(blocks.length <= 6);
  assert.ok(blocks.every((it) => it.tokens[0].type === "code"));
});

const url = (address) => ({ type: "url", url: address, title: address });
const annotation = (source, index) => ({ type: "annotation", source, index });

test("a source has one number, however often it is cited", () => {
  const citations = citationsOf([annotation(url("a"), 1), annotation(url("b"), 2), annotation(url("a"), 3), undefined, {}]);
  assert.deepEqual(citations.map((it) => [it.number, it.source.url]), [[1, "a"], [2, "b"]]);
});

test("citations stand at code points, past the signs of emphasis", () => {
  const annotations = [annotation(url("a"), 6)];
  const marked = withCitations("👩 **ab** c", annotations, citationsOf(annotations));
  assert.equal(marked, `👩 **ab**${OPEN}1${CLOSE} c`);
});

test("a place beyond the end is the end, and no place is no mark", () => {
  const annotations = [annotation(url("a"), 999), annotation(url("b"))];
  assert.equal(withCitations("x", annotations, citationsOf(annotations)), `x${OPEN}1${CLOSE}`);
  assert.equal(withCitations(`x${OPEN}9${CLOSE}`, [], []), "x9");
});
