// The page of the real server, over the showcase and its demo model: KITFOX names the program (default: ../target/debug/kitfox).
// With KITFOX_WEB_OUT the element comes from that folder, else it is the one that the binary brings.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { findings, launch, open, root, send, settled, shot } from "./lib.mjs";

const binary = process.env.KITFOX ?? path.join(root, "../target/debug/kitfox");
const skip = existsSync(binary) ? false : `there is no ${binary}`;

let browser;
let server;
let proxy;
let folder;
let address;

const freePort = () => new Promise((resolve) => {
  const listener = net.createServer().listen(0, "127.0.0.1", () => {
    const { port } = listener.address();
    listener.close(() => resolve(port));
  });
});

async function answers(url) {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    if (await fetch(url).then((it) => it.ok, () => false)) return;
    await new Promise((resolve) => { setTimeout(resolve, 100); });
  }
  throw new Error(`${url} does not answer`);
}

before(async () => {
  if (skip) return;
  folder = await mkdtemp(path.join(os.tmpdir(), "kitfox-web-"));
  await cp(path.join(root, "../examples/showcase"), folder, { recursive: true });
  const port = await freePort();
  const config = path.join(folder, "kitfox.toml");
  await writeFile(config, (await readFile(config, "utf8")).replace("127.0.0.1:8000", `127.0.0.1:${port}`));
  server = spawn(binary, ["serve", "--project", folder], { stdio: "ignore", cwd: folder });
  address = `http://127.0.0.1:${port}/`;
  await answers(`${address}readyz`);
  if (process.env.KITFOX_WEB_OUT) {
    const outside = await freePort();
    proxy = spawn(process.execPath, [path.join(root, "dev.mjs"), String(outside), address.slice(0, -1)], { stdio: "ignore" });
    address = `http://127.0.0.1:${outside}/`;
    await answers(address);
  }
  browser = await launch();
});
after(async () => {
  await browser?.close();
  proxy?.kill();
  server?.kill();
  if (folder) await rm(folder, { recursive: true, force: true });
});

const begin = async (view) => {
  const page = await open(browser, address, view);
  await page.locator("textarea.message").waitFor();
  return page;
};
const say = async (page, text) => {
  await send(page, text);
  await page.locator(".send .filled").waitFor({ timeout: 3000 }).catch(() => undefined);
  await settled(page);
};

test("the showcase from one end to the other: nothing is refused, nothing wrong", { skip }, async () => {
  const page = await begin({ width: 1360, height: 900 });
  await page.locator(".prompts button").first().waitFor();
  assert.deepEqual(await findings(page), []);
  await shot(page, "page-start");
  await page.getByRole("button", { name: "The tour" }).click();
  await page.getByText("The tour is shown.").first().waitFor();
  await settled(page);
  assert.equal(await page.locator(".card").count(), 2);
  assert.equal(await page.locator(".workflow").count(), 1);
  await shot(page, "page-tour");
  await say(page, "show my order");
  await page.getByRole("button", { name: "Pay" }).click();
  await page.getByText("Thank you, it is paid.").first().waitFor();
  await settled(page);
  await say(page, "where can I eat?");
  await page.getByText("Vulpes").first().click();
  await settled(page);
  await say(page, "book a table");
  await say(page, "count the visitors");
  await page.getByRole("button", { name: "One more" }).click();
  await settled(page);
  await page.getByRole("button", { name: "From zero" }).click();
  await say(page, "write a poem");
  await page.getByText("her night is done.").first().waitFor();
  await say(page, "show the week in figures");
  await page.waitForTimeout(400);
  await shot(page, "page-figures");
  const fromEnd = await page.locator(".scroll").evaluate((it) => it.scrollHeight - it.scrollTop - it.clientHeight);
  assert.ok(fromEnd < 5, `${fromEnd}px from the end`);
  assert.deepEqual(await findings(page), []);
  await say(page, "order a pizza");
  await page.getByLabel("Medium").check();
  await page.getByRole("button", { name: "Next" }).click();
  await page.getByRole("button", { name: "Skip" }).click();
  await page.getByRole("button", { name: "Skip" }).click();
  await settled(page);
  await page.locator(".answers").waitFor();
  await say(page, "refund order K-107");
  await page.getByRole("button", { name: "Approve" }).click();
  await page.getByText("is refunded").first().waitFor();
  await settled(page);
  await say(page, "what have I selected?");
  await page.getByLabel("Output of the tool, as JSON").fill('{"text":"a fox"}');
  await page.getByRole("button", { name: "Answer", exact: true }).click();
  await page.getByText("a fox").last().waitFor({ state: "attached" });
  await settled(page);
  await say(page, "lock this thread");
  await page.waitForFunction(() => document.querySelector("kitfox-chat").shadowRoot.querySelector("textarea.message").disabled);
  assert.match(page.url(), /#thr_/);
  assert.match(await page.title(), /The end of the tour/);
  await shot(page, "page-locked");
  const before = await page.locator("kitfox-chat-item").count();
  await page.reload();
  await page.getByText("The thread is locked.").first().waitFor();
  assert.ok((await page.locator("kitfox-chat-item").count()) >= Math.min(before, 20));
  assert.deepEqual(page.wrong, []);
  await page.finish();
});

test("files of all kinds go to the server and come back", { skip }, async () => {
  const page = await begin();
  await page.locator("input.files").waitFor({ state: "attached" });
  await page.locator("input.files").setInputFiles([
    { name: "table.csv", mimeType: "text/csv", buffer: Buffer.from("a,b\n1,2\n") },
    { name: "dot.png", mimeType: "image/png", buffer: Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==", "base64") },
  ]);
  await page.waitForFunction(() => document.querySelector("kitfox-chat").shadowRoot.querySelectorAll(".upload").length === 2 && !document.querySelector("kitfox-chat").shadowRoot.querySelector(".upload progress"));
  await say(page, "what have I sent?");
  await page.getByText("table.csv: text/csv").first().waitFor();
  await page.waitForFunction(() => document.querySelector("kitfox-chat").shadowRoot.querySelector("img.preview")?.naturalWidth === 1);
  assert.deepEqual(page.wrong, []);
  await page.finish();
});

test("a reload in mid-turn, and going back, show what there is", { skip }, async () => {
  const page = await begin();
  await send(page, "write a poem");
  await page.getByText("The kit fox").first().waitFor();
  await page.reload();
  await page.getByText("write a poem").first().waitFor();
  await page.getByText("her night is done.").first().waitFor();
  await settled(page);
  await page.getByRole("button", { name: "New chat" }).last().click();
  await page.locator(".start").waitFor();
  assert.doesNotMatch(page.url(), /#/);
  await page.goBack();
  await page.getByText("write a poem").first().waitFor();
  assert.deepEqual(page.wrong, []);
  await page.finish();
});

test("by keyboard alone: a prompt, an answer, another thread", { skip }, async () => {
  const page = await begin({ width: 800 });
  const focused = () => page.evaluate(() => {
    let it = document.activeElement;
    while (it?.shadowRoot?.activeElement) it = it.shadowRoot.activeElement;
    return it?.getAttribute("aria-label") ?? it?.textContent?.trim();
  });
  const tabTo = async (name) => {
    for (let count = 0; count < 60; count += 1) {
      if ((await focused())?.includes(name)) return;
      await page.keyboard.press("Tab");
    }
    assert.fail(`${name} cannot be reached; at ${await focused()}`);
  };
  await page.locator(".prompts button").first().waitFor();
  await tabTo("An order as a card");
  await page.keyboard.press("Enter");
  await page.getByText("The order is shown.").first().waitFor();
  await settled(page);
  assert.equal(await focused(), "Message");
  await tabTo("Conversations");
  await page.keyboard.press("Enter");
  await page.locator(".history.shown").waitFor();
  await tabTo("New chat");
  await page.keyboard.press("Enter");
  await page.locator(".start").waitFor();
  await page.keyboard.type("count the foxes");
  await page.keyboard.press("Enter");
  await page.getByText("The counter is shown.").first().waitFor();
  await settled(page);
  await tabTo("One more");
  await page.keyboard.press("Enter");
  await settled(page);
  assert.deepEqual(page.wrong, []);
  await page.finish();
});

test("on a telephone nothing is wider than the screen", { skip }, async () => {
  const page = await begin({ width: 390, height: 844, isMobile: true, hasTouch: true, dark: true });
  for (const text of ["take the tour", "show my order", "where can I eat?", "book a table", "show the week in figures"]) await say(page, text);
  await page.waitForTimeout(300);
  await shot(page, "page-mobile");
  const wide = await page.evaluate(() => {
    const { shadowRoot } = document.querySelector("kitfox-chat");
    return document.documentElement.scrollWidth > innerWidth || shadowRoot.querySelector(".scroll").scrollWidth > innerWidth;
  });
  assert.equal(wide, false);
  assert.equal(await page.locator("textarea.message").evaluate((it) => parseFloat(getComputedStyle(it).fontSize) >= 16), true);
  assert.deepEqual(await findings(page), []);
  assert.deepEqual(page.wrong, []);
  await page.finish();
});
