// The official React wrapper over the stand-in.
import assert from "node:assert/strict";
import path from "node:path";
import { after, before, test } from "node:test";
import { build } from "esbuild";
import { Scripted, answering, done, item, launch, open, root, said, streamed } from "./lib.mjs";

const APP = `
import * as React from "react";
import { createRoot } from "react-dom/client";
import { ChatKit, useChatKit } from "@openai/chatkit-react";

function App() {
  const [dark, setDark] = React.useState(false);
  const told = React.useRef([]);
  const note = (name) => (detail) => told.current.push(detail === undefined || detail === null ? name : [name, detail]);
  const chat = useChatKit({
    api: { url: "/chatkit", domainKey: "local", fetch: (url, init) => fetch(url, { ...init, headers: { ...init.headers, "x-page": "react" } }) },
    theme: { colorScheme: dark ? "dark" : "light", radius: "pill", density: "compact", color: { accent: { primary: "#0f172a", level: 1 } } },
    startScreen: { greeting: "Hello from React", prompts: [{ label: "Ask", prompt: "What is a fox?", icon: "circle-question" }] },
    threadItemActions: { feedback: true },
    composer: { placeholder: "Ask React", tools: [{ id: "docs", label: "Docs", icon: "book-open" }] },
    onClientTool: async ({ name, params }) => ({ ran: name, params }),
    onReady: note("ready"), onResponseStart: note("start"), onResponseEnd: note("end"), onThreadChange: note("thread"), onEffect: note("effect"), onError: note("error"), onToolChange: note("tool"), onHistoryOpen: note("history"),
    onDeeplink: note("deeplink"),
  });
  globalThis.chat = chat;
  globalThis.told = told.current;
  globalThis.setDark = setDark;
  return <main><ChatKit control={chat.control} className="chat" /></main>;
}
createRoot(document.getElementById("root")).render(<React.StrictMode><App /></React.StrictMode>);
`;
const PAGE = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>React</title><link rel="stylesheet" href="/test.css"><script type="module" src="/kitfox-chat.js?as=openai-chatkit"></script></head><body><div id="root"></div><script type="module" src="/app.js"></script></body></html>`;

let browser;
let bundle;
before(async () => {
  browser = await launch();
  const { outputFiles } = await build({ stdin: { contents: APP, loader: "jsx", resolveDir: root }, bundle: true, write: false, format: "esm", jsx: "automatic", define: { "process.env.NODE_ENV": '"production"' }, absWorkingDir: path.resolve(root) });
  bundle = outputFiles[0].contents;
});
after(async () => { await browser.close(); });

test("the official React wrapper drives the stand-in: options, events, methods", async () => {
  const server = await new Scripted().start();
  server.files.set("/", PAGE).set("/app.js", Buffer.from(bundle)).set("/test.css", "html, body, #root, main, .chat { display: block; height: 100%; margin: 0; }");
  const call = item("client_tool_call", { status: "pending", call_id: "c1", name: "get_selection", arguments: { kind: "text" } });
  answering(server, (reply, params) => {
    const text = params.input.content.map((it) => it.text).join("");
    if (text === "call") reply.end(done(call));
    else reply.end({ type: "client_effect", name: "highlight", data: { a: 1 } }, ...streamed("A fox, see [here](chatkit-link://open/doc?id=3)."));
  });
  server.handlers["threads.add_client_tool_output"] = (params, reply) => { reply.begin().end(done(said(`Tool: ${JSON.stringify(params.result)}`))); };
  const page = await open(browser, server.origin);
  try {
    await page.getByText("Hello from React").waitFor();
    assert.equal(await page.locator("textarea.message").getAttribute("placeholder"), "Ask React");
    assert.equal(server.requests.some((it) => it.type === "GET /chatkit/options"), false);
    await page.getByRole("button", { name: "Ask", exact: true }).click();
    await page.getByText("A fox").first().waitFor();
    assert.equal(server.asked("threads.create")[0].headers["x-page"], "react");
    assert.equal(await page.getByRole("button", { name: "Answer again" }).count(), 0);
    assert.equal(await page.getByRole("button", { name: "Good answer" }).count(), 1);
    await page.getByRole("button", { name: "here" }).click();
    await page.evaluate(() => globalThis.chat.sendUserMessage({ text: "call" }));
    await page.getByText("Tool:").first().waitFor();
    assert.deepEqual(server.asked("threads.add_client_tool_output")[0].params.result, { ran: "get_selection", params: { kind: "text" } });
    await page.evaluate(() => globalThis.chat.setComposerValue({ content: [{ type: "input_text", text: "To " }, { type: "input_tag", id: "1", text: "Ada" }], selectedToolId: "docs" }));
    assert.equal(await page.locator("textarea.message").inputValue(), "To @Ada");
    await page.evaluate(() => globalThis.setDark(true));
    await page.waitForFunction(() => getComputedStyle(document.querySelector("openai-chatkit")).colorScheme === "dark");
    assert.equal(await page.locator("textarea.message").inputValue(), "To @Ada");
    await page.evaluate(() => globalThis.chat.setThreadId(null));
    await page.getByText("Hello from React").waitFor();
    await page.evaluate(() => globalThis.chat.showHistory());
    await page.evaluate(() => globalThis.chat.focusComposer());
    const told = await page.evaluate(() => globalThis.told);
    const names = told.map((it) => (Array.isArray(it) ? it[0] : it));
    assert.deepEqual([...new Set(names)].sort(), ["deeplink", "effect", "end", "history", "ready", "start", "thread", "tool"]);
    assert.deepEqual(told.find((it) => it[0] === "deeplink"), ["deeplink", { name: "open/doc", data: { id: "3" } }]);
    assert.deepEqual(told.find((it) => it[0] === "effect"), ["effect", { name: "highlight", data: { a: 1 } }]);
    assert.deepEqual(told.filter((it) => it[0] === "thread").map((it) => it[1].threadId), ["thr_1", null]);
    assert.deepEqual(page.wrong, []);
  } finally {
    await page.finish();
    server.stop();
  }
});
