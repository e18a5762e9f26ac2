// How it behaves when there is much: a stream into a long thread, many turns. Limits are loose: busy machines are no bugs.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Scripted, answering, chat, holding, launch, said, send, settled, streamed, user } from "./lib.mjs";

const factor = Number(process.env.KITFOX_SLOW ?? 4);
let browser;
before(async () => { browser = await launch(); });
after(async () => { await browser.close(); });

test("200 tokens at 100 a second, after 1,000 items: no long tasks, no lost words", async (context) => {
  const server = await new Scripted().start();
  const items = [];
  for (let at = 0; at < 500; at += 1) items.push(user({ content: [{ type: "input_text", text: `Question ${at}` }] }), said(`Answer **${at}**\n\n- a\n- b`));
  holding(server, items);
  // All of it in one page.
  server.handlers["items.list"] = () => ({ data: items.toReversed(), has_more: false });
  const words = Array.from({ length: 200 }, (_, at) => (at % 20 === 19 ? `word${at}.\n\n` : `word${at} `)).join("");
  answering(server, async (reply) => {
    for (const event of streamed(words, 8)) {
      reply.send(event);
      await new Promise((resolve) => { setTimeout(resolve, 10); });
    }
    reply.end();
  });
  const page = await chat(browser, server);
  try {
    await page.evaluate(() => document.querySelector("kitfox-chat").setThreadId("thr_1"));
    await page.getByText("Answer 499").waitFor();
    await page.waitForTimeout(500);
    await page.evaluate(() => {
      globalThis.long = [];
      new PerformanceObserver((list) => globalThis.long.push(...list.getEntries().map((it) => Math.round(it.duration)))).observe({ type: "longtask" });
    });
    await send(page, "go");
    await settled(page);
    const long = await page.evaluate(() => globalThis.long);
    context.diagnostic(`long tasks: ${JSON.stringify(long)}`);
    assert.ok(long.every((it) => it < 50 * factor), String(long));
    assert.match(await page.locator(".assistant").last().innerText(), /word199/);
    assert.deepEqual(page.wrong, []);
  } finally {
    await page.finish();
    server.stop();
  }
});

test("a hundred turns leave no more behind than their words", async (context) => {
  const server = await new Scripted().start();
  answering(server, streamed("A short **answer**.\n\n```js\nlet a;\n```"));
  const page = await chat(browser, server);
  try {
    const cdp = await page.context().newCDPSession(page);
    const heap = async () => {
      await cdp.send("HeapProfiler.collectGarbage");
      return (await cdp.send("Runtime.getHeapUsage")).usedSize / 1e6;
    };
    const turn = () => page.evaluate(() => document.querySelector("kitfox-chat").sendUserMessage({ text: "again" }));
    for (let at = 0; at < 10; at += 1) await turn();
    const first = await heap();
    for (let at = 0; at < 100; at += 1) await turn();
    const last = await heap();
    context.diagnostic(`heap: ${first.toFixed(1)} MB after 10 turns, ${last.toFixed(1)} MB after 110`);
    assert.ok(last - first < 15, `${first} → ${last} MB`);
    assert.deepEqual(page.wrong, []);
  } finally {
    await page.finish();
    server.stop();
  }
});

test("the page can be used soon", async (context) => {
  const server = await new Scripted().start();
  const page = await chat(browser, server);
  const ready = await page.evaluate(() => performance.now());
  context.diagnostic(`${Math.round(ready)} ms until there was a field to write in`);
  assert.ok(ready < 500 * factor);
  await page.finish();
  server.stop();
});
