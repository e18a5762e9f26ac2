import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { EMPTY, lastUserMessage, openCall, openQuestions, pass, prepend, put, reduce, settle, textOf } from "../../.build/reducer.js";

const streams = path.join(import.meta.dirname, "../../../src/tests/fixtures/chatkit/streams");
const read = (name) => readFileSync(path.join(streams, name), "utf8").trim().split("\n").map((it) => JSON.parse(it));
const play = (events, state = EMPTY) => events.reduce(reduce, state);
const items = (state) => state.entries.flatMap((it) => (it.item ? [it.item] : []));

test("every recorded stream ends with the items that its last events said", () => {
  for (const name of readdirSync(streams)) {
    const events = read(name);
    const state = play(events);
    const last = new Map();
    for (const event of events) {
      if (event.type === "thread.item.done" || event.type === "thread.item.replaced") last.set(event.item.id, event.item);
      if (event.type === "thread.item.removed") last.delete(event.item_id);
    }
    const ended = items(state).filter((it) => last.has(it.id));
    assert.ok(ended.length === last.size, name);
    for (const item of ended) assert.deepEqual(item, last.get(item.id), name);
  }
});

test("a message that streamed says what it says when it is done", () => {
  const events = read("message.jsonl");
  const done = events.findLast((it) => it.type === "thread.item.done" && it.item.type === "assistant_message").item;
  const before = play(events.filter((it) => !(it.type === "thread.item.done" && it.item.id === done.id)));
  const streamed = items(before).find((it) => it.id === done.id);
  assert.equal(streamed.content[0].text, done.content[0].text);
});

test("no event changes what was there before it", () => {
  for (const name of readdirSync(streams)) {
    let state = EMPTY;
    for (const event of read(name)) {
      const before = structuredClone(state);
      const next = reduce(state, event);
      assert.deepEqual(state, before, name);
      state = next;
    }
  }
});

test("an item that did not change stays the same object", () => {
  const state = play(read("message.jsonl"));
  const next = reduce(state, { type: "progress_update", text: "…" });
  state.entries.forEach((it, index) => assert.equal(next.entries[index], it));
});

test("an item that comes twice overwrites the first", () => {
  const item = { id: "a", type: "assistant_message", content: [] };
  const state = play([{ type: "thread.item.done", item }, { type: "thread.item.done", item: { ...item, content: [{ type: "output_text", text: "x" }] } }]);
  assert.equal(state.entries.length, 1);
  assert.equal(textOf(items(state)[0]), "x");
});

test("the server's message takes the place of the one that was pending", () => {
  const pending = put(EMPTY, { key: "pending", item: { id: "pending", type: "user_message", content: [] }, pending: true });
  const state = reduce(pending, { type: "thread.item.done", item: { id: "m", type: "user_message", content: [] } });
  assert.deepEqual(state.entries.map((it) => it.key), ["m"]);
});

test("of a turn that was stopped the text stays, and nothing else", () => {
  const added = (id, type, more) => ({ type: "thread.item.added", item: { id, type, ...more } });
  const state = play([
    added("w", "workflow", { workflow: { type: "custom", tasks: [] } }),
    added("a", "assistant_message", { content: [] }),
    { type: "thread.item.updated", item_id: "a", update: { type: "assistant_message.content_part.text_delta", content_index: 0, delta: "Half" } },
    added("b", "assistant_message", { content: [] }),
  ]);
  assert.deepEqual(settle(state, "stopped").entries.map((it) => [it.key, it.stopped]), [["a", true]]);
  assert.deepEqual(settle(state, "cut").entries.map((it) => it.key), ["w", "a", "b"]);
  assert.ok(settle(state, "ended").entries.every((it) => !it.streaming));
});

test("updates of items that are not there, and events of later versions, are passed over", () => {
  assert.equal(reduce(EMPTY, { type: "thread.item.updated", item_id: "x", update: { type: "widget.root.updated", widget: {} } }), EMPTY);
  assert.equal(reduce(EMPTY, { type: "thread.item.admired" }), EMPTY);
  const state = put(EMPTY, { key: "a", item: { id: "a", type: "assistant_message", content: [] } });
  assert.equal(reduce(state, { type: "thread.item.updated", item_id: "a", update: { type: "later" } }), state);
  assert.equal(reduce(state, { type: "thread.item.updated", item_id: "a", update: { type: "workflow.task.added", task_index: 0, task: {} } }), state);
});

test("an index out of all bounds makes no hole", () => {
  const state = play([
    { type: "thread.item.added", item: { id: "a", type: "assistant_message", content: [] } },
    { type: "thread.item.updated", item_id: "a", update: { type: "assistant_message.content_part.text_delta", content_index: 4_000_000_000, delta: "x" } },
  ]);
  assert.equal(items(state)[0].content.length, 1);
});

test("a component deep in a widget changes, and its siblings stay the same objects", () => {
  const widget = { type: "Card", children: [{ type: "Text", id: "t", value: "a" }, { type: "Row", children: { type: "Text", id: "u", value: "" } }] };
  const state = put(EMPTY, { key: "w", item: { id: "w", type: "widget", widget } });
  const next = reduce(state, { type: "thread.item.updated", item_id: "w", update: { type: "widget.streaming_text.value_delta", component_id: "u", delta: "b", done: false } });
  assert.equal(next.entries[0].item.widget.children[1].children.value, "b");
  assert.equal(next.entries[0].item.widget.children[0], widget.children[0]);
});

test("older pages come first, and nothing twice", () => {
  const item = (id) => ({ id, type: "end_of_turn" });
  const state = prepend(put(EMPTY, { key: "c", item: item("c") }), [item("a"), item("b"), item("c")]);
  assert.deepEqual(state.entries.map((it) => it.key), ["a", "b", "c"]);
});

test("what waits is found: questions, the call at the end, the last message", () => {
  const asked = put(EMPTY, { key: "q", item: { id: "q", type: "structured_input", status: "pending", inputs: [] } });
  assert.equal(openQuestions(asked).key, "q");
  const called = put(EMPTY, { key: "c", item: { id: "c", type: "client_tool_call", status: "pending" } });
  assert.equal(openCall(called).key, "c");
  assert.equal(openCall(put(called, { key: "m", item: { id: "m", type: "user_message", content: [] } })), undefined);
  const noticed = pass(put(called, { key: "m", item: { id: "m", type: "user_message", content: [] } }), { type: "notice", level: "info", message: "" });
  assert.equal(lastUserMessage(noticed).key, "m");
});
