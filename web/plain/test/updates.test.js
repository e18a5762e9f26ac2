import assert from "node:assert/strict";
import { test } from "node:test";
import { applyUpdate, textOf, withCitations } from "../updates.js";

const part = (name, fields) => ({ type: `assistant_message.content_part.${name}`, content_index: 0, ...fields });

test("a streamed message ends as its finished text and keeps its annotations", () => {
  const item = { type: "assistant_message", content: [] };
  const annotation = { type: "annotation", source: { type: "url", title: "T", url: "https://a.example/" }, index: 3 };
  for (const update of [
    part("added", { content: { type: "output_text", text: "", annotations: [] } }),
    part("text_delta", { delta: "Hel" }),
    part("text_delta", { delta: "lo 🎉" }),
    part("annotation_added", { annotation_index: 0, annotation }),
    part("done", { content: { type: "output_text", text: "Hello 🎉", annotations: [] } }),
  ]) applyUpdate(item, update);
  assert.deepEqual(item.content, [{ type: "output_text", text: "Hello 🎉", annotations: [annotation] }]);
  assert.equal(textOf(item), "Hello 🎉");
});

test("text of a part that was never added is not lost", () => {
  const item = { type: "assistant_message", content: [] };
  applyUpdate(item, part("text_delta", { delta: "x" }));
  assert.equal(textOf(item), "x");
});

test("tasks of a workflow are added and replaced by index", () => {
  const item = { type: "workflow", workflow: { tasks: [] } };
  applyUpdate(item, { type: "workflow.task.added", task_index: 0, task: { title: "a" } });
  applyUpdate(item, { type: "workflow.task.updated", task_index: 0, task: { title: "b" } });
  assert.deepEqual(item.workflow.tasks, [{ title: "b" }]);
});

test("an unknown update changes nothing", () => {
  const item = { type: "widget", widget: {} };
  applyUpdate(item, { type: "hologram.rotated" });
  assert.deepEqual(item, { type: "widget", widget: {} });
});

test("tags of a user's message are part of its text", () => {
  assert.equal(textOf({ type: "user_message", content: [{ type: "input_text", text: "ask " }, { type: "input_tag", text: "Ada" }] }), "ask @Ada");
});

test("citations stand at code points, in order, and outside emphasis", () => {
  const at = (...places) => places.map((index) => ({ index }));
  const mark = (index) => `{${index}}`;
  assert.equal(withCitations("🦊 fox", at(1, 5), mark), "🦊{0} fox{1}");
  assert.equal(withCitations("a b", at(3, 1), mark), "a{1} b{0}");
  assert.equal(withCitations("**a** b", at(3), mark), "**a**{0} b");
  assert.equal(withCitations("ab", [{}, { index: 99 }], mark), "ab{1}");
});
