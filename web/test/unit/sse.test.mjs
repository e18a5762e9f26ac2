import assert from "node:assert/strict";
import { test } from "node:test";
import { SseParser, readEvents } from "../../.build/sse.js";

const parse = (...pieces) => {
  const parser = new SseParser();
  return pieces.flatMap((it) => parser.feed(it));
};

test("events end at blank lines, whatever ends the lines", () => {
  for (const ending of ["\n", "\r\n", "\r"]) {
    assert.deepEqual(parse(`data: a${ending}${ending}data:b${ending}${ending}`).map((it) => it.data), ["a", "b"]);
  }
});

test("comments, unknown fields and a byte order mark are passed over", () => {
  assert.deepEqual(parse("\uFEFFdata: 1\n\n: keep-alive\n\nretry: 5\nid: 3\n\ndata: 2\n\n").map((it) => it.data), ["1", "2"]);
});

test("several data lines are one text, and an event has its name", () => {
  assert.deepEqual(parse("event: x\ndata: a\ndata: b\n\ndata: c\n\n"), [{ event: "x", data: "a\nb" }, { event: "message", data: "c" }]);
});

test("it does not matter where the text is cut", () => {
  const text = 'data: {"a":"ä漢👩‍👩‍👧"}\r\n\r\n: c\r\n\r\ndata: 2\r\n\r\n';
  const whole = parse(text);
  for (let at = 0; at < text.length; at += 1) assert.deepEqual(parse(text.slice(0, at), text.slice(at)), whole, String(at));
});

test("characters that are split between chunks are put together", async () => {
  const bytes = new TextEncoder().encode("data: naïve 漢字 👩‍👩‍👧\n\n");
  for (let size = 1; size < 5; size += 1) {
    let at = 0;
    const body = new ReadableStream({
      pull(controller) {
        if (at >= bytes.length) controller.close();
        else controller.enqueue(bytes.slice(at, (at += size)));
      },
    });
    const events = [];
    for await (const event of readEvents(body)) events.push(event.data);
    assert.deepEqual(events, ["naïve 漢字 👩‍👩‍👧"]);
  }
});

test("an event that the stream ends in is no event", () => {
  assert.deepEqual(parse("data: half"), []);
  assert.deepEqual(parse("data: half\n"), []);
});
