import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { findings, shot, stage } from "./stage.mjs";

const SOURCE = `
import { KitfoxInspector } from "./inspector/index";
if (!customElements.get("kitfox-inspector")) customElements.define("kitfox-inspector", KitfoxInspector);
document.documentElement.style.setProperty("color-scheme", "light dark");
const inspector = new KitfoxInspector();
globalThis.told = [];
for (const name of ["available", "reloaded", "errors", "try", "user", "close"]) inspector.addEventListener("kitfox-" + name, ({ detail }) => { told.push([name, detail]); if (name === "available") inspector.hidden = false; });
inspector.thread = "thr_1";
inspector.style.setProperty("height", "800px");
document.querySelector("#stage").append(inspector);
globalThis.inspector = inspector;
globalThis.ready = true;
`;

const tool = (name, more) => ({ name, description: `What ${name} does, in a sentence that goes on for a while.`, origin: "plugins/demo.rhai", examples: [`try ${name} with this`],
  parameters: { type: "object", properties: { who: { type: "string", description: "Whom to greet." }, unit: { enum: ["c", "f"] } }, required: ["who"] }, ...more });
const GENERATION = {
  id: "3fa9c1d27e", created_at: "2026-11-21T22:15:03Z", project: { name: "Cat lounge", folder: "/home/ada/cats" }, version: "0.1.0", default_agent: "assistant", demo: true,
  agents: [{ id: "assistant", name: "Kit", path: "prompts/assistant.md" }, { id: "billing", name: "Billing", model: "large", path: "prompts/billing.md" }],
  tools: [tool("get_weather"), tool("delete_note", { approval: "always" })],
  plugins: [{ name: "demo", path: "plugins/demo.rhai", version: "1.0.0", description: "Small things", approved: true, permissions: { http: ["api.example.com"] }, requested: {} }, { name: "cats", path: "plugins/cats", approved: false, permissions: {}, requested: { model: true } }],
  mcp: [{ id: "notes", state: "ready", tools: ["a", "b"] }, { id: "mail", state: "failed", reason: "connection refused: is `mail-mcp` running?" }],
  files: ["kitfox.toml", "prompts/assistant.md", "plugins/demo.rhai"], errors: [], viewer: { user: { id: "0123456789abcdef", name: null, roles: [] }, auth: { modes: ["session"], header: "X-User-ID" } },
};
const BROKEN = { ...GENERATION, errors: [{ file: "plugins/demo.rhai", line: 12, column: 5, message: "`}` is missing", remedy: "close the map that begins in line 3" }] };
const turn = (more) => ({ id: "t1", thread_id: "thr_1", agent: "assistant", model: "gpt-5-mini", generation: "3fa9c1d27e", cause: "message", started_at: "2026-11-21T22:16:00Z", state: "running", input_tokens: 0, output_tokens: 0, ...more });
const step = (number, more) => ({ turn: "t1", thread_id: "thr_1", step: number, failed: false, ...more });
const STEPS = [
  ["model", step(0, { at: 4, milliseconds: 620, kind: "model", model: "gpt-5-mini", first: 380, input_items: 1, tools: 2, calls: 1, input_tokens: 812, output_tokens: 24, instructions: "You are Kit.\n\nThe user is Ada." })],
  ["tool", step(1, { at: 626, milliseconds: 210, kind: "tool", tool: "get_weather", arguments: '{"city":"Oslo"}', output: '{"temperature":21}' })],
  ["tool", step(2, { at: 628, milliseconds: 950, failed: true, kind: "tool", tool: "delete_note", arguments: "{}", output: "there is no note 2" })],
  ["model", step(3, { at: 1580, milliseconds: 900, kind: "model", model: "gpt-5-mini", first: 300, input_items: 3, tools: 2, calls: 0, input_tokens: 950, output_tokens: 71 })],
];

let scene, watchers, asked;
/** Tells whoever listens. */
const tell = (event, data) => { for (const it of watchers) it.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`); };

before(async () => {
  watchers = new Set();
  asked = [];
  scene = await stage(SOURCE, (request, response) => {
    if (request.url !== "/api/events") return false;
    asked.push(request.headers);
    if (request.headers["x-session-id"] === "refused") {
      response.writeHead(403).end();
      return true;
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(`event: generation\ndata: ${JSON.stringify(GENERATION)}\n\n`);
    watchers.add(response);
    request.on("close", () => watchers.delete(response));
    return true;
  });
});
after(async () => { await scene?.close(); });

async function open(options) {
  const page = await scene.open(options);
  await page.waitForFunction(() => globalThis.inspector.available);
  return page;
}

test("it shows what is in force, what is not, and what turns do, live", async () => {
  for (const [name, options] of [["light", {}], ["dark", { colorScheme: "dark" }], ["mobile", { viewport: { width: 390, height: 844 }, hasTouch: true }]]) {
    const page = await open({ viewport: { width: 460, height: 860 }, ...options });
    await page.getByText("prompts/assistant.md").first().waitFor();
    await shot(page, `inspector-change-${name}`);
    assert.deepEqual(await findings(page), [], name);

    tell("turn", turn());
    for (const [event, data] of STEPS) tell(event, data);
    tell("turn", turn({ state: "done", milliseconds: 2480, input_tokens: 1762, output_tokens: 95 }));
    await page.getByText("1762 → 95 tokens").waitFor();
    await page.getByText("get_weather").first().click();
    assert.match(await page.getByRole("tabpanel").innerText(), /"city": "Oslo"[\s\S]*"temperature": 21/);
    await shot(page, `inspector-timeline-${name}`);
    assert.deepEqual(await findings(page), [], name);

    tell("generation", { ...BROKEN, id: "777", tools: [...GENERATION.tools, tool("hello")] });
    await page.getByText("new tool hello").waitFor();
    assert.match(await page.getByRole("alert").innerText(), /plugins\/demo\.rhai:12:5[\s\S]*is missing[\s\S]*close the map/);
    await page.getByRole("tab", { name: "Project" }).click();
    await shot(page, `inspector-project-${name}`);
    assert.deepEqual(await findings(page), [], name);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false, name);
    assert.deepEqual(page.troubles, [], name);
    await page.context().close();
  }
});

test("turns of other threads are not shown", async () => {
  const page = await open();
  tell("turn", turn({ id: "t9", thread_id: "thr_9" }));
  tell("turn", turn());
  await page.getByRole("tab", { name: "Timeline" }).click();
  assert.equal(await page.locator(".turn").count(), 1);
  await page.evaluate(() => { globalThis.inspector.thread = undefined; });
  await page.getByText("Say something").waitFor();
  await page.context().close();
});

test("it turns to the timeline when something was said, and stays where its reader went", async () => {
  const page = await open();
  const shown = (name) => page.getByRole("tab", { name }).getAttribute("aria-selected");
  assert.equal(await shown("Change it"), "true");
  await page.evaluate(() => { globalThis.inspector.thread = undefined; });
  tell("turn", turn());
  await page.waitForFunction(() => globalThis.inspector.turns.length === 1);
  await page.evaluate(() => { globalThis.inspector.thread = "thr_1"; });
  await page.locator(".turn").waitFor();
  await page.getByRole("tab", { name: "Change it" }).click();
  tell("turn", turn({ id: "t2" }));
  await page.waitForFunction(() => globalThis.inspector.turns.length === 2);
  assert.equal(await shown("Change it"), "true");
  await page.context().close();
});

test("its tabs are moved through by the arrows", async () => {
  const page = await open();
  await page.getByRole("tab", { name: "Change it" }).focus();
  await page.keyboard.press("ArrowLeft");
  assert.equal(await page.getByRole("tab", { name: "Project" }).getAttribute("aria-selected"), "true");
  await page.getByText("get_weather", { exact: true }).click();
  await page.getByRole("button", { name: /Try:/ }).first().click();
  assert.deepEqual(await page.evaluate(() => globalThis.told.find(([name]) => name === "try")), ["try", { text: "try get_weather with this" }]);
  await page.context().close();
});

test("a developer goes on as somebody else, in this browser", async () => {
  const page = await open();
  await page.getByLabel("User, for development").selectOption("+");
  await page.getByLabel("Name of the user").fill("bob");
  await page.keyboard.press("Enter");
  const [, detail] = await page.evaluate(() => globalThis.told.find(([name]) => name === "user"));
  assert.equal(detail.name, "bob");
  assert.ok(detail.headers["X-Session-Id"].length >= 16);
  await page.reload();
  await page.waitForFunction(() => globalThis.told?.some(([name]) => name === "user"));
  assert.deepEqual(await page.evaluate(() => globalThis.told.find(([name]) => name === "user")[1]), detail);
  await page.context().close();
});

test("it asks again when the stream breaks, and stays away where it is refused", async () => {
  const page = await open();
  const before = asked.length;
  for (const it of watchers) it.end();
  await page.waitForFunction(() => globalThis.inspector.live === false);
  await page.waitForFunction(() => globalThis.inspector.live === true);
  assert.ok(asked.length > before);
  await page.evaluate(() => { globalThis.inspector.request = (input, init) => fetch(input, { ...init, headers: { "x-session-id": "refused" } }); });
  await page.waitForFunction(() => !globalThis.inspector.available);
  assert.equal(await page.locator("header h2").count(), 0);
  await page.context().close();
});
