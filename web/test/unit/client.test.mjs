import assert from "node:assert/strict";
import { test } from "node:test";
import { Client, ConnectionLost, Refused, isAbort } from "../../.build/client.js";

const sse = (text) => new Response(text, { headers: { "content-type": "text/event-stream" } });
const json = (value, init) => Response.json(value, init);
/** A client whose requests are answered in turn; the last answer goes on. Waits are as short as a header can ask for. */
const clientOf = (...answers) => {
  const client = new Client("https://x.example/chatkit");
  const requests = [];
  client.fetch = async (url, init) => {
    requests.push({ url, ...init });
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    return answer();
  };
  return { client, requests };
};
const soon = { headers: { "retry-after": "0.001" } };
const all = async (stream) => {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
};
const create = (client, options) => all(client.stream("threads.create", { input: {} }, options));

test("a 5xx and what is no event stream are repeated with the same body", async () => {
  const { client, requests } = clientOf(() => json({}, { status: 503, ...soon }), () => json({}, { status: 200, ...soon }), () => sse('data: {"type":"a"}\n\n'));
  const waits = [];
  assert.deepEqual(await create(client, { onWait: (...it) => waits.push(it) }), [{ type: "a" }]);
  assert.equal(requests.length, 3);
  assert.equal(new Set(requests.map((it) => it.body)).size, 1);
  assert.deepEqual(waits, [[1, 5], [2, 5]]);
});

test("after five repetitions it is over", async () => {
  const { client, requests } = clientOf(() => json({ message: "down" }, { status: 500, ...soon }));
  await assert.rejects(create(client), (err) => err instanceof Refused && err.status === 500 && err.message === "down");
  assert.equal(requests.length, 6);
});

test("a 4xx is final, with the words of the server and its wait", async () => {
  const { client, requests } = clientOf(() => json({ message: "too fast" }, { status: 429, headers: { "retry-after": "7" } }));
  await assert.rejects(create(client), (err) => err instanceof Refused && err.status === 429 && err.message === "too fast" && err.retryAfter === 7);
  assert.equal(requests.length, 1);
});

test("a stream that breaks off is a lost connection, and no request is repeated", async () => {
  const broken = () => sse(new ReadableStream({ start(controller) { controller.enqueue(new TextEncoder().encode('data: {"type":"a"}\n\n')); setTimeout(() => controller.error(new TypeError("network")), 1); } }));
  const { client, requests } = clientOf(broken);
  await assert.rejects(create(client), (err) => err instanceof ConnectionLost && err.kind === "cut");
  assert.equal(requests.length, 1);
});

test("a stop is an abort, also while it waits", async () => {
  const stop = new AbortController();
  const { client } = clientOf(() => json({}, { status: 503, headers: { "retry-after": "10" } }));
  await assert.rejects(create(client, { signal: stop.signal, onWait: () => stop.abort() }), isAbort);
});

test("nothing that answers is a lost connection", async () => {
  const { client } = clientOf(() => { throw new TypeError("fetch failed"); });
  await assert.rejects(client.call("threads.list", {}), (err) => err instanceof ConnectionLost && err.kind === "unreachable");
});

test("each request says what it wants, in one language", async () => {
  const { client, requests } = clientOf(() => json({ data: [], has_more: false }));
  client.locale = "de-CH";
  await client.call("threads.list", { limit: 1 });
  assert.deepEqual(requests[0].headers, { "content-type": "application/json", accept: "application/json", "accept-language": "de-CH" });
  assert.deepEqual(JSON.parse(requests[0].body), { type: "threads.list", params: { limit: 1 } });
});

test("a server that numbers its events is asked for the rest, but not for ever", async () => {
  const cut = () => sse(new ReadableStream({ start(controller) { controller.enqueue(new TextEncoder().encode('id: 4\ndata: {"type":"a"}\n\n')); setTimeout(() => controller.error(new TypeError("network")), 1); } }));
  const rest = () => sse('id: 5\ndata: {"type":"b"}\n\n');
  const { client, requests } = clientOf(cut, rest);
  client.resumable = true;
  const events = await all(client.stream("threads.add_user_message", { thread_id: "thr_1", input: {} }));
  assert.deepEqual(events.map((it) => it.type), ["a", "b"]);
  assert.deepEqual(requests.map((it) => it.url), ["https://x.example/chatkit?resumable=true", "https://x.example/chatkit/threads/thr_1/stream?after=4"]);

  const broken = () => sse("id: 6\ndata: {no json\n\n");
  const other = clientOf(cut, broken);
  await assert.rejects(all(other.client.stream("threads.add_user_message", { thread_id: "thr_1", input: {} })), (err) => err instanceof ConnectionLost && err.kind === "cut");
  assert.equal(other.requests.length, 2);
});

test("of a turn that ended while nobody listened, the thread has the rest", async () => {
  const cut = () => sse(new ReadableStream({ start(controller) { controller.enqueue(new TextEncoder().encode('id: 4\ndata: {"type":"a"}\n\n')); setTimeout(() => controller.error(new TypeError("network")), 1); } }));
  const { client } = clientOf(cut, () => new Response(null, { status: 204 }));
  await assert.rejects(all(client.stream("threads.add_user_message", { thread_id: "thr_1", input: {} })), (err) => err instanceof ConnectionLost && err.kind === "missed");
});
