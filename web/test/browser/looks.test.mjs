// What axe finds, and pictures to look at, of one thread with everything in it.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Scripted, answering, chat, findings, holding, item, launch, said, send, shot, streamed, user } from "./lib.mjs";

const text = `## What a kit fox needs

Kit foxes live in **dry** places; see [the guide](https://fox.example/guide). They need \`burrows\`, and:

1. sand that holds,
2. prey at night:
   - mice
   - crickets

> The ears are radiators.

| Place | Foxes | Size |
|:------|------:|:----:|
| Mojave | 12 | small |
| Sonora | 7 | large |

\`\`\`rust
/// How far a fox hears.
fn reach(ears: u32) -> u32 {
    ears * 40 // metres
}
\`\`\`

- [x] dig
- [ ] sleep`;
const png = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAGAAAAAwCAIAAABhdOiYAAAAdElEQVR42u3QMRGAMBQFsGpiRkSVdEYENlgQgQxssDEwYeDfM9DcRUHaM1aCpkCQIEGCBAkSJIgy6D06gSBBggQJEiRIkCDqoO/eCQQJEiRIkCBBgqYN2s6LQJAgQYIECRIkSBB10NIHgSBBggQJEiRI0Kx+Si1ZUpCyg7cAAAAASUVORK5CYII=";
const source = (title, index) => ({ type: "annotation", index, source: { type: "url", title, url: `https://fox.example/${index}`, attribution: "Fox Institute" } });
const everything = () => [
  user({ content: [{ type: "input_text", text: "Tell me about foxes, " }, { type: "input_tag", id: "1", text: "Ada", data: {}, interactive: true }], quoted_text: "They only come out at night." }),
  item("workflow", { workflow: { type: "custom", expanded: true, summary: { title: "Looked it up", icon: "book-open" }, tasks: [
    { type: "web_search", title: "Searched for foxes", queries: ["kit fox", "burrows"], sources: [{ type: "url", title: "Kit fox", url: "https://fox.example" }], status_indicator: "complete" },
    { type: "thought", title: "Compared", content: "The *first* page says more." },
    { type: "custom", title: "Writing", icon: "write", status_indicator: "loading" },
  ] } }),
  item("workflow", { workflow: { type: "reasoning", summary: { duration: 75 }, tasks: [{ type: "thought", content: "Hm." }] } }),
  said(text, [source("The guide", 60), source("Sand and its uses", 140)]),
  item("task", { task: { type: "file", title: "Read notes", sources: [{ type: "file", title: "Notes", filename: "notes.md" }] } }),
  item("generated_image", { image: { id: "i", url: png } }),
  item("client_tool_call", { status: "completed", call_id: "c", name: "get_selection", arguments: { kind: "text" }, output: { text: "x" } }),
  item("structured_input", { status: "answered", inputs: [{ id: "a", type: "freeform", question: "How many?", answer: { values: ["Two"] } }] }),
  item("widget", { widget: { type: "Card", size: "md", children: [{ type: "Title", value: "Order" }, { type: "Text", value: "Two foxes" }, { type: "Button", label: "Pay", style: "primary", onClickAction: { type: "pay" } }] }, copy_text: "Order" }),
  user({ content: [{ type: "input_text", text: "Thanks" }] }),
  said("You are welcome."),
];

const VIEWS = {
  light: {},
  dark: { dark: true },
  mobile: { width: 390, height: 844, isMobile: true, hasTouch: true },
  "mobile-dark": { width: 390, height: 844, isMobile: true, hasTouch: true, dark: true },
  arabic: { locale: "ar" },
  forced: { forcedColors: "active" },
};

let browser;
before(async () => { browser = await launch(); });
after(async () => { await browser.close(); });

for (const [name, view] of Object.entries(VIEWS)) {
  test(`axe finds nothing: ${name}`, async () => {
    const server = await new Scripted().start();
    server.options = { greeting: "What is it about?", prompts: [{ label: "Foxes", prompt: "Tell me about {animal}" }, { label: "Sand", prompt: "Sand" }], models: [{ id: "a", label: "Small" }, { id: "b", label: "Large" }], attachments: { enabled: true } };
    server.handlers["threads.list"] = () => ({ data: [{ id: "thr_1", title: "Foxes", created_at: new Date().toISOString() }], has_more: true, after: "thr_1" });
    holding(server, everything(), { title: "Foxes" });
    answering(server, (reply) => { reply.send({ type: "notice", level: "info", title: "Note", message: "A *notice*" }, { type: "notice", level: "danger", message: "Bad" }, ...streamed("More").slice(0, 3)); });
    const page = await chat(browser, server, name === "arabic" ? { locale: "ar" } : undefined, view);
    await page.evaluate(() => { const title = document.createElement("h1"); title.textContent = "Test"; title.hidden = false; document.querySelector("main").prepend(title); title.style.cssText = "position:absolute;clip-path:inset(50%)"; });
    try {
      await page.locator(".prompts button").first().waitFor();
      assert.deepEqual(await findings(page), []);
      await shot(page, `${name}-start`);
      await page.evaluate(() => document.querySelector("kitfox-chat").setThreadId("thr_1"));
      await page.locator(".assistant h2").waitFor();
      await page.locator(".sources summary").first().click();
      await page.locator(".scroll").evaluate((it) => { it.scrollTop = 0; });
      await page.waitForTimeout(100);
      assert.deepEqual(await findings(page), []);
      await shot(page, `${name}-thread`);
      await send(page, "One more thing");
      await page.locator(".card.danger").waitFor();
      assert.deepEqual(await findings(page), []);
      await shot(page, `${name}-turn`);
      await page.evaluate(() => document.querySelector("kitfox-chat").showHistory());
      await page.waitForTimeout(100);
      assert.deepEqual(await findings(page), []);
      await shot(page, `${name}-history`);
      assert.deepEqual(page.wrong, []);
    } finally {
      await page.finish();
      server.stop();
    }
  });
}

test("a question and its menu: axe finds nothing", async () => {
  const server = await new Scripted().start();
  holding(server, [item("structured_input", { status: "pending", inputs: [{ id: "a", type: "multiple_choice", question: "Which size?", options: [{ value: "Small" }, { value: "Large" }] }, { id: "b", type: "freeform", question: "Why?", description: "In a word" }] })]);
  const page = await chat(browser, server, { composer: { tools: [{ id: "a", label: "Search", icon: "search" }], models: [{ id: "m", label: "Model" }] }, header: { title: { text: "Questions" } } });
  try {
    await page.evaluate(() => { const title = document.createElement("h1"); title.textContent = "Test"; document.querySelector("main").prepend(title); title.style.cssText = "position:absolute;clip-path:inset(50%)"; });
    await page.getByRole("button", { name: "Add files and tools" }).click();
    assert.deepEqual(await findings(page), []);
    await page.keyboard.press("Escape");
    await page.evaluate(() => document.querySelector("kitfox-chat").setThreadId("thr_1"));
    await page.getByText("Which size?").waitFor();
    assert.deepEqual(await findings(page), []);
    await shot(page, "question");
    assert.deepEqual(page.wrong, []);
  } finally {
    await page.finish();
    server.stop();
  }
});
