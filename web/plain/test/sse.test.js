import assert from "node:assert/strict";
import { test } from "node:test";
import { SseParser, readEvents } from "../sse.js";

function eventsOf(...pieces) {
  const events = [];
  const parser = new SseParser((event) => events.push(event));
  pieces.forEach((piece) => parser.feed(piece));
  return events;
}

const dataOf = (...pieces) => eventsOf(...pieces).map((it) => it.data);

test("every line ending ends a line", () => {
  assert.deepEqual(dataOf("data: a\n\ndata: b\r\n\r\ndata: c\r\r"), ["a", "b", "c"]);
});

test("a line ending split between pieces is one line ending", () => {
  assert.deepEqual(dataOf("data: a\r", "\ndata: b\r", "\n\r", "\n"), ["a\nb"]);
});

test("pieces of any size give the same events", () => {
  const whole = "\uFEFF: hello\r\nevent: tool\r\nid: 7\r\ndata: {\r\ndata:  \"a\": 1}\r\n\r\n: keep-alive\n\ndata\n\ndata: z\n\n";
  const expected = [
    { event: "tool", data: '{\n "a": 1}', id: "7" },
    { event: "message", data: "", id: "7" },
    { event: "message", data: "z", id: "7" },
  ];
  for (let size = 1; size <= whole.length; size += 1) {
    assert.deepEqual(eventsOf(...whole.match(new RegExp(`[^]{1,${size}}`, "g"))), expected, `pieces of ${size}`);
  }
});

test("comments and events without data are no events", () => {
  assert.deepEqual(dataOf(": keep-alive\n\nevent: x\n\nretry: 10\n\n"), []);
});

test("an event that is not finished is not told", () => {
  assert.deepEqual(dataOf("data: a\n\ndata: b\n"), ["a"]);
});

test("one space after the colon goes, further ones stay", () => {
  assert.deepEqual(dataOf("data:a\n\ndata:  b\n\n"), ["a", " b"]);
});

test("characters split between chunks arrive whole", async () => {
  const bytes = new TextEncoder().encode("data: Grüße 🦊\n\n");
  for (let size = 1; size < 5; size += 1) {
    const body = new ReadableStream({
      start(controller) {
        for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.slice(at, at + size));
        controller.close();
      },
    });
    const events = [];
    for await (const { data } of readEvents(body)) events.push(data);
    assert.deepEqual(events, ["Grüße 🦊"]);
  }
});

test("leaving the loop cancels the stream", async () => {
  let cancelled = false;
  const body = new ReadableStream({
    pull: (controller) => controller.enqueue(new TextEncoder().encode("data: a\n\n")),
    cancel: () => { cancelled = true; },
  });
  for await (const event of readEvents(body)) if (event) break;
  assert.equal(cancelled, true);
});
