import assert from "node:assert/strict";
import { test } from "node:test";
import { changesBetween, duration, hintsOf, pretty, sentenceOf, turnsOf, withStep, withTurn } from "../../.build/inspector/project.js";

const turn = (id, more = {}) => ({ id, thread_id: "thr_1", agent: "assistant", generation: "g", cause: "message", started_at: `2026-01-01T00:00:0${id}Z`, state: "running", input_tokens: 0, output_tokens: 0, ...more });
const step = (number, more = {}) => ({ turn: "1", thread_id: "thr_1", step: number, at: number, milliseconds: 1, failed: false, kind: "tool", tool: "x", arguments: "{}", output: "", ...more });

test("a turn that is told again keeps its steps, and a step that is told twice is one", () => {
  let turns = withTurn([], turn("1"));
  turns = withStep(turns, step(1));
  turns = withStep(turns, step(0));
  turns = withStep(turns, step(1));
  turns = withTurn(turns, turn("1", { state: "done", milliseconds: 5 }));
  assert.equal(turns.length, 1);
  assert.equal(turns[0].state, "done");
  assert.deepEqual(turns[0].steps.map((it) => it.step), [0, 1]);
  assert.deepEqual(withStep(turns, step(0, { turn: "unknown" })), turns);
});

test("the newest turn comes first, of the open thread only", () => {
  const turns = ["1", "3", "2"].reduce((all, id) => withTurn(all, turn(id)), []);
  assert.deepEqual(turnsOf(withTurn(turns, turn("9", { thread_id: "thr_2" })), "thr_1").map((it) => it.id), ["3", "2", "1"]);
});

test("what a reload changed is a sentence", () => {
  const before = { id: "a", tools: [{ name: "x" }, { name: "y", description: "old" }], plugins: [{ name: "p" }], agents: [], mcp: [{ id: "s", state: "ready" }] };
  const after = { id: "b", tools: [{ name: "y", description: "new" }, { name: "z" }], plugins: [{ name: "p" }, { name: "q" }], agents: [], mcp: [{ id: "s", state: "failed" }] };
  assert.equal(sentenceOf(changesBetween(before, after)), "new tool z, tool y changed, tool x gone");
  assert.equal(sentenceOf(changesBetween(before, before)), "the next message uses your changes");
});

test("hints name files that are there, and those to make", () => {
  const files = (generation) => hintsOf(generation).map((it) => it.file);
  assert.deepEqual(files({ id: "a", agents: [{ id: "assistant", path: null }], demo: true }), ["prompts/assistant.md", "plugins/hello.rhai", "kitfox.toml"]);
  const full = { id: "a", default_agent: "kit", agents: [{ id: "kit", path: "prompts/kit.md" }], tools: [{ name: "n", origin: "plugins/notes/main.rhai" }], files: ["plugins/hello.rhai"], demo: false };
  assert.deepEqual(files(full), ["prompts/kit.md", "plugins/hello2.rhai", "plugins/notes/main.rhai"]);
  assert.match(hintsOf(full)[1].example, /^ {4}name: "hello",$/m);
});

test("durations and JSON are for people", () => {
  assert.deepEqual([duration(0), duration(999), duration(1000), duration(12_345)], ["0 ms", "999 ms", "1.0 s", "12 s"]);
  assert.equal(pretty('{"a":1}'), '{\n  "a": 1\n}');
  assert.equal(pretty("not JSON"), "not JSON");
});
