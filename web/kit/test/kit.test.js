import assert from "node:assert/strict";
import { test } from "node:test";
import { kitfoxFetch, loadElement, loginGate, pageContext, sessionId } from "../index.js";

/** A server that remembers what it was sent. */
function recorder(...answers) {
  const calls = [];
  const send = async (input, init) => {
    const request = new Request(input, init);
    calls.push({ url: request.url, headers: request.headers, body: await request.clone().text(), signal: init?.signal });
    return answers.shift() ?? new Response("{}");
  };
  return { calls, send };
}

const URL_ = "http://chat.test/chatkit";
const post = (body, headers = { "content-type": "application/json" }) => ({ method: "POST", body, headers });

test("headers of every kind stay", async () => {
  for (const headers of [new Headers({ "x-a": "1" }), [["x-a", "1"]], { "x-a": "1" }]) {
    const { calls, send } = recorder();
    await kitfoxFetch({ user: "ada", token: async () => "t", fetch: send })(URL_, { headers });
    assert.equal(calls[0].headers.get("x-a"), "1");
    assert.equal(calls[0].headers.get("x-user-id"), "ada");
    assert.equal(calls[0].headers.get("authorization"), "Bearer t");
  }
});

test("what the request says wins", async () => {
  const { calls, send } = recorder();
  const context = { pageContext: { title: "Ours" }, extra: 1 };
  const body = JSON.stringify({ type: "threads.list", metadata: { pageContext: { title: "Theirs" } } });
  await kitfoxFetch({ token: "ours", context, fetch: send })(URL_, post(body, { authorization: "theirs", "content-type": "application/json" }));
  assert.equal(calls[0].headers.get("authorization"), "theirs");
  assert.deepEqual(JSON.parse(calls[0].body).metadata, { pageContext: { title: "Theirs" }, extra: 1 });
});

test("the context goes into a body of JSON, also of a Request", async () => {
  const { calls, send } = recorder();
  const request = kitfoxFetch({ user: { id: "1", name: "Ada" }, context: () => ({ selectedText: "x" }), fetch: send });
  await request(URL_, post('{"type":"threads.create"}'));
  await request(new Request(URL_, post('{"type":"threads.create"}')));
  for (const { body, headers } of calls) {
    assert.deepEqual(JSON.parse(body), { type: "threads.create", metadata: { userInfo: { name: "Ada" }, selectedText: "x" } });
    assert.equal(headers.get("content-type"), "application/json");
  }
});

test("an upload is left alone", async () => {
  const form = new FormData();
  form.set("file", new Blob(["abc"], { type: "text/plain" }), "a.txt");
  const { calls, send } = recorder();
  await kitfoxFetch({ user: "ada", context: { a: 1 }, fetch: send })(URL_, { method: "POST", body: form });
  assert.match(calls[0].headers.get("content-type"), /^multipart\/form-data; boundary=/);
  assert.match(calls[0].body, /abc/);
  await kitfoxFetch({ context: { a: 1 }, fetch: send })(URL_, { method: "PUT", body: new Blob(["{}"]) });
  assert.equal(calls[1].body, "{}");
});

test("a header takes any text", async () => {
  const { calls, send } = recorder();
  await kitfoxFetch({ user: "Ada\r\nX-Evil: 1", headers: { "x-page-url": "https://a.test/" }, fetch: send })(URL_);
  await kitfoxFetch({ user: "狐 fox", fetch: send })(URL_);
  assert.equal(calls[0].headers.get("x-user-id"), "Ada X-Evil: 1");
  assert.equal(calls[0].headers.get("x-evil"), null);
  assert.equal(calls[1].headers.get("x-user-id"), encodeURIComponent("狐 fox"));
});

test("other origins are told nothing", async () => {
  const { calls, send } = recorder();
  await kitfoxFetch({ url: "http://chat.test/chatkit", token: "secret", context: { a: 1 }, fetch: send })("http://files.test/upload", post("{}"));
  assert.equal(calls[0].headers.get("authorization"), null);
  assert.equal(calls[0].body, "{}");
});

test("stopping is passed on", async () => {
  const { calls, send } = recorder();
  const { signal } = new AbortController();
  await kitfoxFetch({ user: "ada", fetch: send })(URL_, { signal });
  assert.equal(calls[0].signal, signal);
});

const refused = (login) => new Response(JSON.stringify({ message: "no", login }), { status: 401 });

test("requests that are refused wait for one login, and are sent again with what it gave", async () => {
  const { calls, send } = recorder(refused("expired"), refused("expired"));
  let token = "old";
  const reasons = [];
  const login = async (reason) => {
    reasons.push(reason);
    await new Promise((resolve) => setTimeout(resolve));
    token = "new";
    return true;
  };
  const request = kitfoxFetch({ token: () => token, login, fetch: send });
  const answers = await Promise.all([request(URL_, post('{"a":1}')), request(new Request(URL_, post('{"b":1}')))]);
  assert.deepEqual(answers.map((it) => it.status), [200, 200]);
  assert.deepEqual(reasons, ["expired"]);
  assert.deepEqual(calls.map((it) => it.headers.get("authorization")), ["Bearer old", "Bearer old", "Bearer new", "Bearer new"]);
  assert.deepEqual(calls.slice(2).map((it) => it.body).sort(), ['{"a":1}', '{"b":1}']);
});

test("who does not log in gets the refusal", async () => {
  const { calls, send } = recorder(new Response("no", { status: 401 }));
  const response = await loginGate((reason) => reason !== "missing", send)(URL_);
  assert.equal(response.status, 401);
  assert.equal(await response.text(), "no");
  assert.equal(calls.length, 1);
});

test("a session is long, stays, and needs no storage", () => {
  assert.match(sessionId(), /^[\da-f]{32}$/);
  assert.equal(sessionId(), sessionId());
  const items = new Map([["short", "abc"]]);
  globalThis.localStorage = { getItem: (key) => items.get(key) ?? null, setItem: (key, value) => items.set(key, value) };
  assert.equal(sessionId("other"), items.get("other"));
  assert.notEqual(sessionId("short"), "abc");
  delete globalThis.localStorage;
});

test("a server has no page", () => {
  assert.equal(pageContext().url, "");
});

/** A document that knows scripts only; `load` says what becomes of each. */
function fakeDocument(load) {
  const defined = new Map();
  const waiting = new Map();
  const scripts = [];
  globalThis.customElements = {
    get: (tag) => defined.get(tag),
    whenDefined: (tag) => new Promise((resolve) => (defined.has(tag) ? resolve() : waiting.set(tag, [...(waiting.get(tag) ?? []), resolve]))),
  };
  const define = (tag) => {
    defined.set(tag, true);
    waiting.get(tag)?.forEach((it) => it());
  };
  globalThis.document = {
    createElement: () => ({
      addEventListener(name, listener) { this[name] = listener; },
      remove() { this.removed = true; },
    }),
    head: { append: (script) => { scripts.push(script); setTimeout(() => load(script, define)); } },
  };
  return scripts;
}

test("an element is loaded once", async () => {
  const scripts = fakeDocument((_, define) => define("kitfox-chat"));
  const both = await Promise.all([loadElement({ src: "/a.js" }), loadElement({ src: "/a.js" })]);
  assert.deepEqual(both, ["/a.js", "/a.js"]);
  assert.equal(scripts.length, 1);
  assert.equal(scripts[0].type, "module");
});

test("a script that is blocked or slow gives way to its fallback", async () => {
  const scripts = fakeDocument((script, define) => {
    if (script.src === "/b.js") script.error();
    if (script.src === "/c.js") define("kitfox-chat");
  });
  assert.equal(await loadElement({ src: "/b.js", fallback: "/c.js" }), "/c.js");
  assert.equal(scripts[0].removed, true);
  fakeDocument((script, define) => {
    if (script.src === "/e.js") define("kitfox-chat");
  });
  assert.equal(await loadElement({ src: "/never.js", timeout: 200, fallback: "/e.js" }), "/e.js");
});

test("what failed says why, and may be tried again", async () => {
  const scripts = fakeDocument((script) => script.error());
  await assert.rejects(loadElement({ src: "/d.js" }), /<kitfox-chat> cannot be loaded from \/d\.js: it is blocked/);
  await assert.rejects(loadElement({ src: "/d.js" }));
  assert.equal(scripts.length, 2);
});
