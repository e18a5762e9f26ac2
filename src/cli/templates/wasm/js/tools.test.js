import assert from "node:assert/strict";
import { test } from "node:test";

import { tools } from "./tools.js";

const ctx = (member) => ({ "kv.user.get": 2, "kv.user.compare_and_set": true })[member] ?? null;

test("it greets and counts", () => {
  const greeted = tools["TOOL"].run({ who: "Ada" }, ctx);
  assert.deepEqual(greeted, { greeting: "Hello, Ada!", times: 3 });
});

test("it asks whom to greet", () => {
  assert.throws(() => tools["TOOL"].run({ who: "" }, ctx), /^say whom to greet$/);
});
