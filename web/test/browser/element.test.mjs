import assert from "node:assert/strict";
import { after, before, beforeEach, afterEach, test } from "node:test";
import { Scripted, answering, chat, done, findings, holding, id, item, launch, opening, said, send, settled, shot, streamed, thread, user } from "./lib.mjs";

let browser;
let server;
let page;
before(async () => { browser = await launch(); });
after(async () => { await browser.close(); });
beforeEach(async () => { server = await new Scripted().start(); });
afterEach(async () => {
  if (page) {
    const wrong = page.wrong;
    await page.finish();
    page = undefined;
    assert.deepEqual(wrong, []);
  }
  server.stop();
});

const text = (selector) => page.locator(selector).allInnerTexts();
const pause = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });

test("a message streams in, is rendered as Markdown and announced when it is whole", async () => {
  answering(server, streamed("# Foxes\n\nThey are **small** and `quick`.\n\n```js\nconst fox = 1;\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |"));
  page = await chat(browser, server);
  await send(page, "Tell me");
  await settled(page);
  assert.deepEqual(await text(".bubble"), ["Tell me"]);
  assert.equal(await page.locator(".assistant strong").innerText(), "small");
  assert.equal(await page.locator(".assistant .hljs-keyword").innerText(), "const");
  assert.equal(await page.locator(".assistant td").count(), 2);
  assert.match(await page.locator(".announcer").textContent(), /# Foxes/);
  assert.equal(server.asked("threads.create").length, 1);
  await send(page, "And more");
  await settled(page);
  assert.equal(server.asked("threads.add_user_message")[0].params.thread_id, "thr_1");
});

test("comments, slow pieces and characters split between packets change nothing", async () => {
  const words = "naïve 漢字 👩‍👩‍👧‍👦 שלום";
  answering(server, async (reply) => {
    const bytes = Buffer.from(streamed(words, 3).map((it) => `data: ${JSON.stringify(it)}\r\n\r\n`).join(": keep-alive\n\n"));
    for (let at = 0; at < bytes.length; at += 37) {
      reply.raw(bytes.subarray(at, at + 37));
      await pause(1);
    }
    reply.end();
  });
  page = await chat(browser, server);
  await send(page, "x");
  await settled(page);
  assert.deepEqual(await text(".assistant .markdown"), [words]);
});

test("a stream that breaks off says so, and the message can be answered again", async () => {
  answering(server, (reply) => {
    reply.send(...streamed("This is only half of it").slice(0, 3));
    setTimeout(() => reply.cut(), 60);
  });
  server.handlers["threads.retry_after_item"] = (params, reply) => { reply.begin().end({ type: "stream_options", stream_options: { allow_cancel: true } }, ...streamed("All of it.")); };
  page = await chat(browser, server);
  await send(page, "x");
  await page.locator(".card.danger").waitFor();
  assert.match((await text(".card.danger"))[0], /connection broke off/);
  await page.getByRole("button", { name: "Try again" }).click();
  await settled(page);
  assert.deepEqual(await text(".assistant .markdown"), ["All of it."]);
  assert.equal(await page.locator(".card").count(), 0);
  assert.match(server.asked("threads.retry_after_item")[0].params.item_id, /^itm_/);
});

test("where the server numbers its events, a cut is read on, and nobody notices", async () => {
  server.options = { greeting: "Hi" };
  const events = [];
  server.handlers["threads.create"] = async (params, reply) => {
    events.push(...opening(params), ...streamed("One two three four five six", 4));
    reply.begin().number(1, ...events.slice(0, 6));
    await pause(60);
    reply.cut();
  };
  let tries = 0;
  server.handlers.stream = ({ after: last }, reply) => {
    tries += 1;
    if (tries === 1) return reply.json({}, 503);
    reply.begin().number(Number(last) + 1, ...events.slice(Number(last)));
    reply.end();
    return undefined;
  };
  page = await chat(browser, server);
  await page.getByText("Hi").waitFor();
  await send(page, "x");
  await page.getByText("four five six").first().waitFor();
  await settled(page);
  assert.deepEqual(await text(".assistant .markdown"), ["One two three four five six"]);
  assert.equal(await page.locator(".card, .alert").count(), 0);
  assert.deepEqual(server.asked("stream").map((it) => it.params.after), ["6", "6"]);
});

test("a turn that ended while the connection was away is there all the same", async () => {
  server.options = { greeting: "Hi" };
  const events = [];
  server.handlers["threads.create"] = async (params, reply) => {
    events.push(...opening(params), ...streamed("All of it", 4));
    holding(server, [events[1].item, events.at(-1).item]);
    reply.begin().number(1, ...events.slice(0, 6));
    await pause(60);
    reply.cut();
  };
  server.handlers.stream = (params, reply) => reply.nothing();
  page = await chat(browser, server);
  await page.getByText("Hi").waitFor();
  await send(page, "x");
  await page.getByText("All of it").first().waitFor();
  await settled(page);
  assert.equal(await page.locator(".card, .alert").count(), 0);
});

test("a turn that runs when the page is loaded is read along, and stopped by word", async () => {
  server.options = { greeting: "Hi" };
  holding(server, [user({ content: [{ type: "input_text", text: "Begun before" }] })]);
  server.handlers.stream = (params, reply) => { reply.begin().number(3, ...streamed("It goes on and on", 4).slice(0, 5)); };
  server.handlers.stop = (params, reply) => reply.json({ stopped: true });
  page = await chat(browser, server);
  await page.evaluate(() => document.querySelector("kitfox-chat").setThreadId("thr_1"));
  await page.getByText("It goes on").waitFor();
  await page.getByRole("button", { name: "Stop (Escape)" }).click();
  await page.locator(".stopped").waitFor();
  await pause(50);
  assert.equal(server.asked("stop").length, 1);
});

test("what the server cannot take now is sent again, and what it refuses comes back to the field", async () => {
  let calls = 0;
  server.handlers["threads.create"] = (params, reply) => {
    calls += 1;
    if (calls < 3) reply.json({}, 503, { "retry-after": "0.05" });
    else reply.json({ message: "no more today" }, 429, { "retry-after": "60" });
  };
  page = await chat(browser, server);
  await send(page, "keep this");
  await page.locator(".alert").waitFor();
  assert.match((await text(".alert"))[0], /No more today\. Try again in 60 s\./);
  assert.equal(await page.locator("textarea.message").inputValue(), "keep this");
  assert.equal(await page.locator("kitfox-chat-item").count(), 0);
});

test("Escape stops a turn by leaving it, and the text stays", async () => {
  let reply;
  answering(server, (it) => {
    reply = it;
    it.send(...streamed("Half of what was to be said").slice(0, 3));
  });
  page = await chat(browser, server);
  await send(page, "x");
  await page.locator(".assistant").waitFor();
  await page.keyboard.press("Escape");
  await page.locator(".stopped").waitFor();
  assert.equal((await text(".assistant .markdown"))[0], "Half of what");
  await pause(50);
  assert.ok(reply.closed);
});

test("an element that is moved in its page goes on, and one that is taken away leaves its turn", async () => {
  let reply;
  answering(server, (it) => {
    reply = it;
    it.send(...streamed("Here and there").slice(0, 3));
  });
  page = await chat(browser, server);
  await send(page, "x");
  await page.getByText("Here and").waitFor();
  await page.evaluate(() => document.body.append(document.querySelector("kitfox-chat")));
  await pause(100);
  assert.equal(reply.closed, false);
  await page.evaluate(() => document.querySelector("kitfox-chat").remove());
  for (let count = 0; count < 40 && !reply.closed; count += 1) await pause(50);
  assert.ok(reply.closed);
});

test("a turn that may not be stopped has no button for it", async () => {
  answering(server, (it) => { it.send({ type: "stream_options", stream_options: { allow_cancel: false } }, ...streamed("abc").slice(0, 2)); });
  page = await chat(browser, server);
  await send(page, "x");
  await page.locator(".working").waitFor();
  await page.locator(".assistant").waitFor({ state: "attached" });
  assert.ok(await page.locator(".send").isDisabled());
});

test("nothing hostile runs, loads, or leaves its place", async () => {
  const hostile = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg onload=alert(1)><use href='data:image/svg+xml,x'/></svg>", "[a](javascript:alert(1))", "[b](data:text/html,<script>alert(1)</script>)",
    "![c](https://tracker.example/pixel.png)", "![d](javascript:alert(1))", "<iframe src='https://evil.example'></iframe>", "<div style='position:fixed;inset:0' class='frame backdrop on'>x</div>",
    "<a href='https://ok.example' onclick='alert(1)' style='color:red'>ok</a>", "<form action='https://evil.example'><input name=a></form>", "<style>*{display:none}</style>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>", "`<img src=x onerror=alert(1)>`", "[x]: javascript:alert(1)\n\n[x]", "a\u202Ebc \u2066 d", `${"W".repeat(3000)}`, `| ${"x".repeat(2000)} |\n|---|\n| y |`,
    "[e](https://a.example/\"onmouseover=alert(1))", "<details open ontoggle=alert(1)><summary>s</summary></details>", `${">".repeat(400)} deep`, `${"- ".repeat(300)}x`, `${"*".repeat(5000)}a`, `${"[".repeat(3000)}`,
  ].join("\n\n");
  const outside = [];
  answering(server, streamed(hostile, 400));
  page = await chat(browser, server);
  page.on("request", (it) => { if (!it.url().startsWith(server.origin) && !it.url().startsWith("data:")) outside.push(it.url()); });
  await send(page, hostile.slice(0, 2000));
  await settled(page);
  const found = await page.evaluate(() => {
    const { shadowRoot } = document.querySelector("kitfox-chat");
    const all = [...shadowRoot.querySelectorAll(".assistant *")];
    const scroll = shadowRoot.querySelector(".scroll");
    return {
      tags: all.filter((it) => ["SCRIPT", "IFRAME", "FORM", "STYLE", "OBJECT", "EMBED", "MATH", "INPUT"].includes(it.tagName)).length,
      handlers: all.flatMap((it) => [...it.attributes]).filter((it) => it.name.startsWith("on") || it.name === "style").length,
      links: all.filter((it) => it.href && typeof it.href === "string").map((it) => new URL(it.href).protocol),
      wide: scroll.scrollWidth > scroll.clientWidth,
      frames: shadowRoot.querySelectorAll(".assistant .frame, .assistant .backdrop").length,
    };
  });
  assert.deepEqual({ ...found, links: [...new Set(found.links)] }, { tags: 0, handlers: 0, links: ["https:"], wide: false, frames: 0 });
  assert.deepEqual(outside, []);
});

test("a message of a megabyte is shown in parts, and the page lives", async () => {
  const big = "word ".repeat(200_000);
  answering(server, [done(said(big))]);
  page = await chat(browser, server);
  const begun = Date.now();
  await send(page, big);
  await settled(page);
  await page.locator(".fold").click();
  assert.ok((await page.locator(".bubble").innerText()).length < 120_000);
  assert.ok(Date.now() - begun < 20_000);
});

test("images that are allowed are shown, others are links", async () => {
  holding(server, [said("![a](/pixel.png) ![b](https://img.example/b.png) ![c](https://other.example/c.png)")], { allowed_image_domains: ["img.example"] });
  server.files.set("/pixel.png", Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==", "base64"));
  page = await chat(browser, server);
  await page.evaluate(() => document.querySelector("kitfox-chat").setThreadId("thr_1"));
  await page.locator(".assistant").waitFor();
  const sources = await page.locator(".assistant img").evaluateAll((all) => all.map((it) => it.src));
  assert.deepEqual(sources, [`${server.origin}/pixel.png`, "https://img.example/b.png"]);
  assert.equal(await page.locator(".assistant a").innerText(), "c");
  // The page's own policy keeps the host out that the thread would let in.
  page.wrong = [];
});

test("questions take the composer's place, and are answered step by step", async () => {
  const asked = item("structured_input", { status: "pending", inputs: [
    { id: "size", type: "multiple_choice", question: "Which size?", options: [{ value: "Small" }, { value: "Large" }] },
    { id: "top", type: "multiple_choice", question: "Which toppings?", options: [{ value: "Olive" }, { value: "Cheese" }], multiple: true },
    { id: "note", type: "freeform", question: "Anything else?" },
  ] });
  answering(server, [done(asked)]);
  server.handlers["threads.add_structured_input"] = ({ input }, reply) => {
    const inputs = asked.inputs.map((it) => ({ ...it, answer: input.answers[it.id] }));
    reply.begin().end({ type: "thread.item.replaced", item: { ...asked, status: input.status, inputs } }, done(said("Thanks.")));
  };
  page = await chat(browser, server);
  await send(page, "pizza");
  await page.getByText("Which size?").waitFor();
  assert.equal(await page.locator("textarea.message").count(), 0);
  await page.getByLabel("Large").check();
  await page.getByRole("button", { name: "Next" }).click();
  await page.getByLabel("Olive").check();
  await page.getByLabel("Something else: Which toppings?").fill("Basil");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Skip" }).click();
  await settled(page);
  assert.deepEqual(server.asked("threads.add_structured_input")[0].params, {
    thread_id: "thr_1", item_id: asked.id,
    input: { status: "answered", answers: { size: { values: ["Large"] }, top: { values: ["Olive", "Basil"] }, note: { values: [], skipped: true } } },
  });
  assert.match((await text(".answers"))[0].replace(/\s+/g, " "), /Which size\? Large Which toppings\? Olive, Basil Anything else\? skipped/);
  assert.equal(await page.locator("textarea.message").count(), 1);
});

test("questions can wait while the user writes something else", async () => {
  holding(server, [item("structured_input", { status: "pending", inputs: [{ id: "a", type: "freeform", question: "Why?" }] })]);
  page = await chat(browser, server);
  await page.evaluate(() => document.querySelector("kitfox-chat").setThreadId("thr_1"));
  await page.getByText("Why?").waitFor();
  await page.getByRole("button", { name: "Write a message instead" }).click();
  await page.locator("textarea.message").waitFor();
  await page.getByRole("button", { name: "Answer the questions" }).click();
  await page.getByLabel("Your answer").fill("So");
});

test("the page's client tool answers a call, and without one a person does", async () => {
  const call = item("client_tool_call", { status: "pending", call_id: "c1", name: "get_selection", arguments: { kind: "text" } });
  answering(server, [done(call)]);
  server.handlers["threads.add_client_tool_output"] = (params, reply) => { reply.begin().end(done(said(`It was ${JSON.stringify(params.result)}`))); };
  page = await chat(browser, server);
  await page.evaluate(() => document.querySelector("kitfox-chat").setOptions({ onClientTool: async ({ name, params }) => ({ name, params }) }));
  await send(page, "x");
  await page.getByText("It was").first().waitFor();
  assert.deepEqual(server.asked("threads.add_client_tool_output")[0].params.result, { name: "get_selection", params: { kind: "text" } });
  await page.evaluate(() => document.querySelector("kitfox-chat").setOptions({}));
  await page.getByRole("button", { name: "New chat" }).last().click();
  await send(page, "x");
  await page.getByLabel("Output of the tool, as JSON").fill('{"by":"hand"}');
  await page.getByRole("button", { name: "Answer", exact: true }).click();
  await page.getByText('It was {"by"').first().waitFor();
  await settled(page);
  assert.deepEqual(server.asked("threads.add_client_tool_output")[1].params.result, { by: "hand" });
});

test("widgets act: as a turn, at once, or in the page", async () => {
  const button = (label, action) => ({ type: "Button", label, onClickAction: action });
  const widget = item("widget", { widget: { type: "Card", children: [button("Turn", { type: "turn", payload: { a: 1 } }), button("Once", { type: "once", streaming: false }), button("Page", { type: "page", handler: "client", payload: { b: 2 } })] } });
  answering(server, [done(widget)]);
  server.handlers["threads.custom_action"] = (params, reply) => { reply.begin().end(done(said("Acted."))); };
  server.handlers["threads.sync_custom_action"] = () => ({ updated_item: { ...widget, widget: { type: "Card", children: [{ type: "Text", value: "Changed at once" }] } } });
  page = await chat(browser, server);
  await page.evaluate(() => document.querySelector("kitfox-chat").setOptions({ widgets: { onAction: (action, it) => { globalThis.acted = [action, it.id]; } } }));
  await send(page, "x");
  await settled(page);
  await page.getByRole("button", { name: "Turn" }).click();
  await page.getByText("Acted.").first().waitFor();
  assert.deepEqual(server.asked("threads.custom_action")[0].params, { thread_id: "thr_1", item_id: widget.id, action: { type: "turn", payload: { a: 1 } } });
  await page.getByRole("button", { name: "Page" }).click();
  assert.deepEqual(await page.evaluate(() => globalThis.acted), [{ type: "page", payload: { b: 2 } }, widget.id]);
  await page.getByRole("button", { name: "Once" }).click();
  await page.getByText("Changed at once").waitFor();
});

test("files come by click, paste and drop, in two phases, and go with the message", async () => {
  server.options = { attachments: { enabled: true, accept: ["text/*"], max_size: 100, max_count: 3 } };
  server.handlers["attachments.create"] = ({ name, mime_type }) => ({ id: `atc_${name}`, type: "file", name, mime_type, upload_descriptor: { url: `http://elsewhere.example/chatkit/attachments/${name}/upload?signature=x`, method: "PUT", headers: {} } });
  answering(server, streamed("Got them."));
  page = await chat(browser, server);
  await page.locator("input.files").waitFor({ state: "attached" });
  await page.locator("input.files").setInputFiles({ name: "a.txt", mimeType: "text/plain", buffer: Buffer.from("one") });
  const bring = (name, kind) => page.evaluate(([fileName, how]) => {
    const data = new DataTransfer();
    data.items.add(new File(["two"], fileName, { type: "text/plain" }));
    const target = document.querySelector("kitfox-chat").shadowRoot.querySelector("textarea.message");
    const event = how === "paste" ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true, composed: true }) : new DragEvent(how, { dataTransfer: data, bubbles: true, cancelable: true, composed: true });
    target.dispatchEvent(event);
  }, [name, kind]);
  await bring("b.txt", "paste");
  await bring("evil\u202Etxt.exe", "dragover");
  await bring("evil\u202Etxt.exe", "drop");
  await page.waitForFunction(() => document.querySelector("kitfox-chat").shadowRoot.querySelectorAll(".upload").length === 3 && !document.querySelector("kitfox-chat").shadowRoot.querySelector(".upload progress"));
  assert.deepEqual(await text(".upload bdi"), ["a.txt", "b.txt", "eviltxt.exe"]);
  assert.equal(server.asked("PUT /chatkit/attachments/a.txt/upload")[0].body.toString(), "one");
  await page.locator("input.files").setInputFiles({ name: "d.txt", mimeType: "text/plain", buffer: Buffer.from("four") });
  assert.match((await text(".alert"))[0], /No more than 3 files/);
  await page.getByRole("button", { name: "Remove b.txt" }).click();
  await page.locator("input.files").setInputFiles({ name: "big.txt", mimeType: "text/plain", buffer: Buffer.alloc(101) });
  assert.match((await text(".alert"))[0], /too large/);
  await page.locator("input.files").setInputFiles({ name: "p.png", mimeType: "image/png", buffer: Buffer.from("x") });
  assert.match((await text(".alert"))[0], /not taken here/);
  await page.locator("textarea.message").focus();
  await page.keyboard.press("Enter");
  await settled(page);
  assert.deepEqual(server.asked("threads.create")[0].params.input.attachments, ["atc_a.txt", "atc_evil\u202Etxt.exe"]);
  assert.equal(server.asked("attachments.delete")[0].params.attachment_id, "atc_b.txt");
});

test("an image is shown before it is sent, and what is attached outlives a refusal", async () => {
  server.options = { attachments: { enabled: true } };
  server.handlers["attachments.create"] = ({ name, mime_type }) => ({ id: "atc_1", type: "image", name, mime_type, preview_url: "/dot.png" });
  server.handlers["threads.create"] = (params, reply) => reply.json({ message: "not now" }, 409);
  page = await chat(browser, server);
  await page.locator("input.files").waitFor({ state: "attached" });
  await page.locator("input.files").setInputFiles({ name: "dot.png", mimeType: "image/png", buffer: Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==", "base64") });
  await page.waitForFunction(() => document.querySelector("kitfox-chat").shadowRoot.querySelector(".upload img")?.naturalWidth === 1);
  await send(page, "look");
  await page.locator(".alert").waitFor();
  assert.deepEqual(await text(".upload bdi"), ["dot.png"]);
  assert.equal(await page.locator("textarea.message").inputValue(), "look");
});

test("what is dictated is written down by the server, behind what is there", async () => {
  server.options = { transcribe: true };
  server.handlers["input.transcribe"] = () => ({ text: "and this was said" });
  page = await chat(browser, server);
  await page.locator("textarea.message").fill("Typed");
  await page.getByRole("button", { name: "Dictate" }).click();
  await page.getByRole("button", { name: "Stop dictating" }).waitFor();
  await pause(300);
  await page.getByRole("button", { name: "Stop dictating" }).click();
  await page.waitForFunction(() => document.querySelector("kitfox-chat").shadowRoot.querySelector("textarea.message").value === "Typed and this was said");
  const { audio_base64: audio, mime_type: type } = server.asked("input.transcribe")[0].params;
  assert.match(type, /^audio\//);
  assert.ok(Buffer.from(audio, "base64").length > 100);
});

test("commands of the page give entities, further menus, or do something", async () => {
  answering(server, streamed("ok"));
  page = await chat(browser, server);
  await page.evaluate(() => document.querySelector("kitfox-chat").setOptions({ commands: { enabled: true,
    onSearch: async () => [{ id: "order", label: "Pick an order", description: "of the last month", icon: "cube" }],
    onSelect: async (command) => (command.id === "order" ? { type: "menu", commands: [{ id: "k1", label: "Order K-1" }] } : { type: "entity", entity: { id: command.id, title: command.label } }),
  } }));
  await page.locator("textarea.message").pressSequentially("/");
  await page.getByRole("option", { name: "Pick an order" }).waitFor();
  await page.keyboard.press("Enter");
  await page.getByRole("option", { name: "Order K-1" }).waitFor();
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelector("kitfox-chat").shadowRoot.querySelector("textarea.message").value === "@Order K-1 ");
  await page.keyboard.press("Enter");
  await settled(page);
  assert.deepEqual(server.asked("threads.create")[0].params.input.content, [{ type: "input_tag", id: "k1", text: "Order K-1", data: {}, interactive: false }]);
});

test("a direct upload is one form to the page's address", async () => {
  server.handlers["threads.create"] = (params, reply) => { reply.begin().end(...opening(params), ...streamed("ok")); };
  page = await chat(browser, server);
  await page.evaluate(() => document.querySelector("kitfox-chat").setOptions({
    api: { url: "/chatkit", uploadStrategy: { type: "direct", uploadUrl: "/upload" }, fetch: async (url, init) => {
      if (!String(url).endsWith("/upload")) return fetch(url, init);
      globalThis.form = [...init.body.entries()].map(([name, file]) => [name, file.name]);
      return Response.json({ id: "atc_9", type: "file", name: "x.txt", mime_type: "text/plain" });
    } },
    composer: { attachments: { enabled: true } },
  }));
  await page.locator("input.files").setInputFiles({ name: "x.txt", mimeType: "text/plain", buffer: Buffer.from("x") });
  await page.locator(".upload").waitFor();
  await page.waitForFunction(() => !document.querySelector("kitfox-chat").shadowRoot.querySelector(".upload progress"));
  assert.deepEqual(await page.evaluate(() => globalThis.form), [["file", "x.txt"]]);
  await send(page, "see");
  await settled(page);
  assert.deepEqual(server.asked("threads.create")[0].params.input.attachments, ["atc_9"]);
});

test("entities are found by @, chosen by keyboard, sent as tags, and removed as a whole", async () => {
  answering(server, streamed("ok"));
  page = await chat(browser, server);
  await page.evaluate(() => document.querySelector("kitfox-chat").setOptions({ entities: {
    onTagSearch: async (query) => [{ id: "1", title: "Ada Lovelace", group: "People", interactive: true, data: { x: "y" } }, { id: "2", title: "Alan", group: "People" }, { id: "3", title: "Plan", group: "Documents", icon: "document" }].filter((it) => it.title.toLowerCase().includes(query.toLowerCase())),
    onRequestPreview: async (entity) => ({ preview: { type: "Card", children: [{ type: "Text", value: `About ${entity.title}` }] } }),
    onClick: (entity) => { globalThis.clicked = entity.id; },
  } }));
  await page.locator("textarea.message").pressSequentially("Ask @a");
  await page.getByRole("option", { name: "Ada Lovelace" }).waitFor();
  await page.getByText("About Ada Lovelace").waitFor();
  await page.keyboard.press("ArrowDown");
  await page.getByText("About Alan").waitFor();
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("Enter");
  await page.keyboard.type("and @pla");
  await page.getByRole("option", { name: "Plan" }).waitFor();
  await page.keyboard.press("Tab");
  assert.equal(await page.locator("textarea.message").inputValue(), "Ask @Ada Lovelace and @Plan ");
  await page.keyboard.press("Backspace");
  await page.keyboard.press("Backspace");
  assert.equal(await page.locator("textarea.message").inputValue(), "Ask @Ada Lovelace and ");
  await page.keyboard.press("Enter");
  await settled(page);
  assert.deepEqual(server.asked("threads.create")[0].params.input.content, [
    { type: "input_text", text: "Ask " },
    { type: "input_tag", id: "1", text: "Ada Lovelace", data: { x: "y" }, group: "People", interactive: true },
    { type: "input_text", text: " and" },
  ]);
  await page.locator("button.tag").click();
  assert.equal(await page.evaluate(() => globalThis.clicked), "1");
});

test("tools and models go with the message; commands are found by a slash", async () => {
  answering(server, streamed("ok"));
  page = await chat(browser, server, { composer: {
    tools: [{ id: "search", label: "Search the docs", shortLabel: "Docs", icon: "book-open", placeholderOverride: "What to look for?" }, { id: "draw", label: "Draw", pinned: true }],
    models: [{ id: "small", label: "Small" }, { id: "large", label: "Large", description: "Slow and clever", default: true }, { id: "none", label: "None", disabled: true }],
  } });
  await page.getByRole("button", { name: "Add files and tools" }).click();
  await page.keyboard.press("Enter");
  assert.equal(await page.locator("textarea.message").getAttribute("placeholder"), "What to look for?");
  await page.getByRole("button", { name: "Model: Large" }).click();
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Model: Small" }).waitFor();
  await send(page, "x");
  await settled(page);
  assert.deepEqual(server.asked("threads.create")[0].params.input.inference_options, { model: "small", tool_choice: { id: "search" } });
  await page.locator("textarea.message").pressSequentially("/dr");
  await page.getByRole("option", { name: "Draw" }).waitFor();
  await page.keyboard.press("Enter");
  assert.equal(await page.getByRole("button", { name: "Draw" }).getAttribute("aria-pressed"), "true");
  await page.locator("textarea.message").pressSequentially("/new");
  await page.keyboard.press("Enter");
  await page.locator(".start").waitFor();
});

test("conversations are listed, renamed, deleted and opened again", async () => {
  const threads = [thread({ id: "thr_a", title: "First" }), thread({ id: "thr_b", title: "Second <b>" })];
  server.handlers["threads.list"] = () => ({ data: threads, has_more: false });
  server.handlers["threads.update"] = ({ thread_id: it, title }) => ({ ...threads.find(({ id: own }) => own === it), title });
  holding(server, [said("Hello again.")], { id: "thr_b", title: "Second <b>" });
  page = await chat(browser, server);
  await page.getByRole("button", { name: "Conversations" }).click();
  await page.getByRole("button", { name: "First", exact: true }).hover();
  await page.getByRole("button", { name: "Rename “First”" }).click();
  await page.getByLabel("Title").fill("Foxes");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Foxes", exact: true }).waitFor();
  assert.deepEqual(server.asked("threads.update")[0].params, { thread_id: "thr_a", title: "Foxes" });
  await page.getByRole("button", { name: "Foxes", exact: true }).hover();
  await page.getByRole("button", { name: "Delete “Foxes”" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await page.waitForFunction(() => document.querySelector("kitfox-chat").shadowRoot.querySelectorAll(".thread").length === 1);
  await page.getByRole("button", { name: "Second <b>", exact: true }).click();
  await page.getByText("Hello again.").waitFor();
  assert.equal(await page.locator(".title").innerText(), "Second <b>");
});

test("a locked thread says why, and takes nothing", async () => {
  holding(server, [said("The end.")], { status: { type: "locked", reason: "It is over." } });
  page = await chat(browser, server);
  await page.evaluate(() => document.querySelector("kitfox-chat").setThreadId("thr_1"));
  await page.getByText("The end.").waitFor();
  assert.ok(await page.locator("textarea.message").isDisabled());
  assert.equal(await page.locator("textarea.message").getAttribute("placeholder"), "It is over.");
});

test("a thread of five thousand items opens at its end, and goes back page by page without a jump", async () => {
  const items = [];
  for (let at = 0; at < 2500; at += 1) items.push(user({ content: [{ type: "input_text", text: `Question ${at}` }] }), said(`Answer ${at}\n\n- a\n- b`));
  holding(server, items);
  page = await chat(browser, server);
  const begun = Date.now();
  await page.evaluate(() => document.querySelector("kitfox-chat").setThreadId("thr_1"));
  await page.getByText("Answer 2499").waitFor();
  assert.ok(Date.now() - begun < 3000);
  assert.equal(await page.locator("kitfox-chat-item").count(), 30);
  const at = () => page.evaluate(() => {
    const root = document.querySelector("kitfox-chat").shadowRoot;
    const top = root.querySelector(".scroll").getBoundingClientRect().top;
    const seen = [...root.querySelectorAll("kitfox-chat-item")].find((it) => it.getBoundingClientRect().bottom > top + 60);
    return [seen.textContent.match(/\d+/)[0], Math.round(seen.getBoundingClientRect().top - top)];
  });
  await page.locator(".scroll").evaluate((it) => { it.scrollTop = 500; });
  await pause(200);
  const [before, y] = await at();
  await page.locator(".scroll").evaluate((it) => { it.scrollTop -= 150; });
  await page.waitForFunction(() => document.querySelector("kitfox-chat").shadowRoot.querySelectorAll("kitfox-chat-item").length === 60);
  await pause(200);
  const [afterwards, now] = await at();
  assert.ok(Number(before) - Number(afterwards) <= 2 && Math.abs(now - y) < 400, `${before}@${y} → ${afterwards}@${now}`);
});

test("what is open, focused, selected or half filled in survives a stream", async () => {
  let reply;
  const workflow = item("workflow", { workflow: { type: "custom", summary: { title: "Worked" }, tasks: [{ type: "custom", title: "One" }] } });
  const form = item("widget", { widget: { type: "Card", asForm: true, children: [{ type: "Input", name: "city", placeholder: "City" }] } });
  answering(server, (it) => {
    reply = it;
    it.send(done(workflow), done(form), ...streamed("First block stays.\n\nSecond", 100).slice(0, 3));
  });
  page = await chat(browser, server);
  await send(page, "x");
  await page.getByText("Second").waitFor();
  await page.locator(".workflow summary").click();
  await page.getByPlaceholder("City").fill("Wien");
  await page.evaluate(() => {
    const block = document.querySelector("kitfox-chat").shadowRoot.querySelector(".assistant p");
    globalThis.block = block;
    getSelection().setBaseAndExtent(block.firstChild, 0, block.firstChild, 5);
  });
  const message = await page.evaluate(() => document.querySelector("kitfox-chat").shadowRoot.querySelectorAll(".assistant")[0]?.textContent);
  assert.match(message, /First block/);
  const added = (await page.locator("kitfox-chat-item").count());
  reply.send(...Array.from({ length: 30 }, () => ({ type: "progress_update", text: "…" })));
  reply.end(...streamed("Another one.\n\nAnd on."));
  await settled(page);
  assert.ok((await page.locator("kitfox-chat-item").count()) > added);
  assert.equal(await page.locator(".workflow details").evaluate((it) => it.open), true);
  assert.equal(await page.getByPlaceholder("City").inputValue(), "Wien");
  assert.equal(await page.evaluate(() => globalThis.block.isConnected), true);
});

test("notices, progress, effects and errors are shown and told to the page", async () => {
  answering(server, async (reply) => {
    reply.send({ type: "progress_update", icon: "search", text: "Looking around" });
    await pause(150);
    reply.end({ type: "notice", level: "warning", title: "Careful", message: "A **bold** word" }, { type: "client_effect", name: "highlight", data: { a: 1 } }, { type: "error", code: "custom", message: "It failed", allow_retry: true });
  });
  page = await chat(browser, server);
  await page.evaluate(() => {
    globalThis.told = [];
    for (const name of ["chatkit.effect", "chatkit.error", "chatkit.response.start", "chatkit.response.end", "chatkit.thread.change"]) document.querySelector("kitfox-chat").addEventListener(name, () => globalThis.told.push(name));
  });
  await send(page, "x");
  await page.getByText("Looking around").first().waitFor();
  await settled(page);
  assert.deepEqual((await text(".card-body")).map((it) => it.replace(/\s+/g, " ")), ["Careful A bold word", "It failed Try again"]);
  assert.match((await text(".effect"))[0], /highlight/);
  assert.deepEqual(await page.evaluate(() => globalThis.told), ["chatkit.response.start", "chatkit.thread.change", "chatkit.effect", "chatkit.error", "chatkit.response.end"]);
});

test("citations are numbered, linked where they may be, and listed", async () => {
  const annotations = [{ type: "annotation", index: 5, source: { type: "url", title: "Page", url: "https://a.example/x" } }, { type: "annotation", index: 10, source: { type: "url", title: "Evil", url: "javascript:alert(1)" } }, { type: "annotation", index: 10, source: { type: "entity", id: "e", title: "Thing", inline_label: "the thing", interactive: true } }];
  holding(server, [said("First Again.", annotations)]);
  page = await chat(browser, server);
  await page.evaluate(() => {
    const element = document.querySelector("kitfox-chat");
    element.setOptions({ entities: { onClick: (it) => { globalThis.clicked = it.id; } } });
    return element.setThreadId("thr_1");
  });
  await page.locator(".cite").first().waitFor();
  assert.deepEqual(await text(".cite"), ["1", "2", "the thing"]);
  assert.equal(await page.locator(".cite a").count(), 1);
  await page.locator(".sources summary").click();
  assert.equal(await page.locator(".sources li").count(), 3);
  await page.locator(".cite button").click();
  assert.equal(await page.evaluate(() => globalThis.clicked), "e");
});

test("icons have the protocol's names, or any of Lucide's", async () => {
  holding(server, ["bolt", "lucide:cat", "lucide:no-such-icon", "vendor:x"].map((icon) => item("task", { task: { type: "custom", title: icon, icon } })));
  page = await chat(browser, server);
  await page.evaluate(() => document.querySelector("kitfox-chat").setThreadId("thr_1"));
  await page.waitForFunction(() => document.querySelector("kitfox-chat").shadowRoot.querySelectorAll(".task svg").length === 4);
  await page.waitForFunction(() => performance.getEntriesByName(`${location.origin}/lucide.json`).length > 0);
  await pause(100);
  const drawn = await page.locator(".task svg").evaluateAll((all) => all.map((it) => it.innerHTML));
  assert.equal(new Set(drawn).size, 3);
  assert.equal(drawn[2], drawn[3]);
});

test("a generated image shows its progress", async () => {
  const image = item("generated_image", {});
  let reply;
  answering(server, (it) => {
    reply = it;
    it.send({ type: "thread.item.added", item: image }, { type: "thread.item.updated", item_id: image.id, update: { type: "generated_image.updated", image: { id: "i", url: "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==" }, progress: 0.25 } });
  });
  page = await chat(browser, server);
  await send(page, "x");
  await page.locator(".picture img").waitFor();
  assert.equal(await page.locator(".picture progress").evaluate((it) => it.value), 0.25);
  reply.end(done({ ...image, image: { id: "i", url: "javascript:alert(1)" } }));
  await page.getByText("The image cannot be shown here.").waitFor();
});

test("the words, their direction and the server's language follow the locale", async () => {
  server.options = { greeting: "" };
  page = await chat(browser, server, { locale: "ar" });
  assert.equal(await page.locator(".frame").getAttribute("dir"), "rtl");
  assert.equal(await page.locator("textarea.message").getAttribute("placeholder"), "اكتب رسالة…");
  await page.evaluate(() => document.querySelector("kitfox-chat").setOptions({ locale: "ja" }));
  await page.waitForFunction(() => document.querySelector("kitfox-chat").shadowRoot.querySelector("textarea.message").placeholder === "メッセージを書く…");
  await page.evaluate(() => document.querySelector("kitfox-chat").setOptions({ locale: "de" }));
  await page.getByText("Wobei kann ich helfen?").waitFor();
  answering(server, streamed("ok"));
  await send(page, "x");
  await settled(page);
  assert.equal(server.asked("threads.create")[0].headers["accept-language"], "de");
});

test("methods do what they say: send, quote, attach, new thread, update", async () => {
  answering(server, streamed("ok"));
  holding(server, [said("Updated.")]);
  page = await chat(browser, server);
  await page.evaluate(() => document.querySelector("kitfox-chat").sendUserMessage({ text: "by method", reply: "quoted words", attachments: [{ id: "atc_1", type: "file", name: "a", mime_type: "text/plain" }] }));
  assert.deepEqual(server.asked("threads.create")[0].params.input, { content: [{ type: "input_text", text: "by method" }], attachments: ["atc_1"], quoted_text: "quoted words", inference_options: {} });
  assert.match((await text(".bubble"))[0], /quoted words/);
  await page.evaluate(() => document.querySelector("kitfox-chat").setComposerValue({ text: "draft", reply: "about this" }));
  assert.equal(await page.locator("textarea.message").inputValue(), "draft");
  assert.match((await text(".composer-quote"))[0], /about this/);
  await page.evaluate(() => document.querySelector("kitfox-chat").fetchUpdates());
  await page.getByText("Updated.").waitFor();
  await page.evaluate(() => document.querySelector("kitfox-chat").setThreadId(null));
  await page.locator(".start").waitFor();
});

test("rating and answering again are sent for the message they stand below", async () => {
  const first = user({ content: [{ type: "input_text", text: "One" }] });
  const answer = said("Answer one");
  holding(server, [first, answer, user({ content: [{ type: "input_text", text: "Two" }] }), said("Answer two")]);
  server.handlers["threads.retry_after_item"] = (params, reply) => { reply.begin().end(done(said("Answer one again"))); };
  page = await chat(browser, server);
  await page.evaluate(() => document.querySelector("kitfox-chat").setThreadId("thr_1"));
  await page.getByText("Answer one").hover();
  await page.getByRole("button", { name: "Good answer" }).first().click();
  await page.locator('[aria-pressed="true"]').waitFor();
  assert.deepEqual(server.asked("items.feedback")[0].params, { thread_id: "thr_1", item_ids: [answer.id], kind: "positive" });
  await page.getByRole("button", { name: "Answer again" }).first().click();
  await page.getByText("Answer one again").first().waitFor();
  assert.equal(server.asked("threads.retry_after_item")[0].params.item_id, first.id);
  assert.deepEqual(await text(".bubble"), ["One"]);
});

test("a hidden item type of a later version is named, and hides nothing else", async () => {
  holding(server, [{ ...item("hologram"), id: id("x") }, { ...item("widget", { widget: null }) }, said("Still here.")]);
  page = await chat(browser, server);
  await page.evaluate(() => document.querySelector("kitfox-chat").setThreadId("thr_1"));
  await page.getByText("Still here.").waitFor();
  assert.match((await text(".placeholder"))[0], /hologram/);
  page.wrong = page.wrong.filter((it) => !it.startsWith("console:"));
});

test("whoever is not signed in is told so, and has a link that comes back here", async () => {
  server.handlers["threads.list"] = (params, reply) => reply.json({ message: "you are not signed in", login: "missing", methods: ["oidc"], sign_in: `${server.origin}/auth/login` }, 401);
  server.handlers["threads.create"] = (params, reply) => reply.json({ message: "your login has ended", login: "expired", methods: ["oidc"], sign_in: `${server.origin}/auth/login` }, 401);
  page = await chat(browser, server, undefined, { hash: "?a=b" });
  await page.evaluate(() => { document.querySelector("kitfox-chat").sidebar = true; });
  await page.locator(".alert").waitFor();
  assert.match((await text(".alert"))[0], /You are not signed in\. What you type stays here\./);
  const link = page.locator(".alert").getByRole("link", { name: "Sign in" });
  assert.equal(await link.getAttribute("href"), `${server.origin}/auth/login?next=%2F%3Fa%3Db`);
  assert.equal(await link.getAttribute("target"), null);
  const told = page.evaluate(() => new Promise((resolve) => { document.addEventListener("kitfox.signin", ({ detail }) => resolve(detail), { once: true }); }));
  await send(page, "keep this");
  assert.deepEqual(await told, { login: "expired", methods: ["oidc"], signIn: `${server.origin}/auth/login` });
  await page.getByText("You have been signed out.").waitFor();
  assert.equal(await page.locator("textarea.message").inputValue(), "keep this");
  assert.deepEqual(await findings(page), []);
  await shot(page, "sign-in");
});

test("an address that is no web address is no way to sign in", async () => {
  server.handlers["threads.list"] = (params, reply) => reply.json({ message: "no", login: "missing", methods: ["oidc"], sign_in: "javascript:alert(1)" }, 401);
  page = await chat(browser, server);
  await page.getByText("Sign in, then reload this page").waitFor();
  assert.equal(await page.getByRole("link", { name: "Sign in" }).count(), 0);
});

test("on the server's own page, whoever is signed in sees who it is, and signs out", async () => {
  server.options = { greeting: "Hi", project: "Foxes", login: { name: "Ada Lovelace", email: "ada@example.com", sign_out: `${server.origin}/auth/logout` } };
  page = await chat(browser, server, undefined, { width: 1200 });
  assert.equal(await page.getByText("Ada Lovelace").count(), 0);
  await page.evaluate(() => { document.querySelector("kitfox-chat").sidebar = true; });
  await page.getByText("Ada Lovelace").waitFor();
  assert.deepEqual(await findings(page), []);
  await shot(page, "signed-in");
  await page.route("**/auth/logout", (route) => route.fulfill({ json: { location: "/?gone" } }));
  const asked = page.waitForRequest("**/auth/logout");
  await page.getByRole("button", { name: "Sign out" }).click();
  assert.equal((await asked).method(), "POST");
  await page.waitForURL("**/?gone");
});

test("where people may sign in but need not, the server's own page has the way", async () => {
  server.options = { greeting: "Hi", login: { sign_in: `${server.origin}/auth/login` } };
  page = await chat(browser, server, undefined, { width: 1200 });
  await page.evaluate(() => { document.querySelector("kitfox-chat").sidebar = true; });
  await page.getByText("Not signed in").waitFor();
  assert.match(await page.getByRole("link", { name: "Sign in" }).getAttribute("href"), /\/auth\/login\?next=/);
});

test("a limit that is reached is told in the reader's words and time", async () => {
  server.handlers["threads.create"] = (params, reply) => reply.json({ message: "you have reached your limit of 20 messages a minute: there is more at 10:00:00 UTC", limit: "turns_per_minute", of: "user", most: 20, retry_after: 41, available_at: new Date(Date.now() + 41_000).toISOString() }, 429, { "retry-after": "41" });
  page = await chat(browser, server);
  await send(page, "keep this");
  await page.locator(".alert.warning").waitFor();
  assert.match((await text(".alert"))[0], /You have reached your limit \(20 messages a minute\)\. Try again in (?:39|40|41) s\./);
  assert.equal(await page.locator("textarea.message").inputValue(), "keep this");
  await shot(page, "limit");
});
