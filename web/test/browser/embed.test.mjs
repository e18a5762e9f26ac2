// The element on pages of other sites, and the page at / by its inspector: KITFOX names the program. With KITFOX_WEB_OUT the page comes from
// that folder, else it is the one that the program brings.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createServer as listen } from "node:net";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { shot } from "./stage.mjs";

const kitfox = process.env.KITFOX;
const examples = path.join(import.meta.dirname, "../../../examples");
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css" };

let folder, program, proxy, site, browser, server, origin, home;

async function freePort() {
  const probe = listen().listen(0, "127.0.0.1");
  await new Promise((resolve) => probe.once("listening", resolve));
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

before(async () => {
  if (!kitfox) return;
  folder = await mkdtemp(path.join(os.tmpdir(), "kitfox-embed-"));
  await cp(path.join(examples, "embed-html"), folder, { recursive: true });
  const port = await freePort();
  server = `http://localhost:${port}`;

  // The site of the example, at an origin of its own.
  site = createServer(async (request, response) => {
    const name = new URL(request.url, "http://site").pathname.slice(1) || "index.html";
    if (name === "favicon.ico") {
      response.writeHead(204).end();
      return;
    }
    const text = await readFile(path.join(folder, name), "utf8").catch(() => undefined);
    if (text === undefined) response.writeHead(404).end();
    else response.writeHead(200, { "content-type": TYPES[path.extname(name)] ?? "text/plain" }).end(text.replaceAll("http://localhost:8000", server));
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => site.once("listening", resolve));
  origin = `http://localhost:${site.address().port}`;

  program = spawn(kitfox, ["serve", "--project", folder], {
    env: { ...process.env, KITFOX_SERVER__LISTEN: `127.0.0.1:${port}`, KITFOX_SERVER__CORS_ORIGINS: origin, OPENAI_API_KEY: "", KITFOX_STORE__URL: "sqlite::memory:" },
    stdio: ["ignore", "inherit", "inherit"],
  });
  for (let tries = 0; tries < 200; tries += 1) {
    if (await fetch(`${server}/readyz`).then((it) => it.ok, () => false)) break;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  home = server;
  if (process.env.KITFOX_WEB_OUT) {
    const outside = await freePort();
    proxy = spawn(process.execPath, [path.join(import.meta.dirname, "../../dev.mjs"), String(outside), server], { stdio: "ignore" });
    home = `http://localhost:${outside}`;
    for (let tries = 0; tries < 100 && !(await fetch(home).then((it) => it.ok, () => false)); tries += 1) await new Promise((resolve) => setTimeout(resolve, 100));
  }
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
});

after(async () => {
  await browser?.close();
  proxy?.kill();
  program?.kill("SIGTERM");
  site?.closeAllConnections();
  site?.close();
  if (folder) await rm(folder, { recursive: true, force: true });
});

async function open(address, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1300, height: 860 }, ...options });
  const page = await context.newPage();
  page.troubles = [];
  page.on("console", (it) => { if (it.type() === "error") page.troubles.push(`${it.text()} ${it.location().url}`); });
  page.on("pageerror", (it) => page.troubles.push(String(it)));
  await page.goto(address);
  return page;
}

const composer = (page) => page.locator("kitfox-chat textarea.message");

test("a page of another origin loads the element, chats, and asks about what is selected", { skip: !kitfox && "KITFOX names no program" }, async () => {
  const page = await open(origin);
  await page.getByRole("button", { name: "Chat", exact: true }).click();
  await composer(page).fill("hello there");
  await composer(page).press("Enter");
  await page.locator("kitfox-chat").getByText("hello there").filter({ visible: true }).first().waitFor();
  await shot(page, "embed-html");
  await page.getByRole("button", { name: "Chat", exact: true }).click();

  const paragraph = page.getByText("A fox has about twenty calls.");
  await paragraph.click({ clickCount: 3 });
  const ask = page.getByRole("button", { name: "Ask" });
  await ask.click();
  await page.locator("kitfox-chat").getByText("Explain this.").filter({ visible: true }).first().waitFor();
  assert.equal(await ask.isVisible(), false);
  // What is selected in the chat is not asked about.
  await page.evaluate(() => getSelection().removeAllRanges());
  await page.locator("kitfox-chat").getByText("Explain this.").filter({ visible: true }).first().click({ clickCount: 3 });
  assert.equal(await ask.isVisible(), false);
  assert.deepEqual(page.troubles, []);
  await page.context().close();
});

test("what the page sends is what the prompt sees", { skip: !kitfox && "KITFOX names no program" }, async () => {
  const page = await open(origin);
  const { pageContext } = await page.evaluate((it) => import(`${it}/kitfox-kit.js`).then((kit) => ({ pageContext: kit.pageContext() })), server);
  assert.equal(pageContext.title, "About foxes");
  assert.deepEqual(pageContext.headings, ["About foxes", "Where they live", "What they eat", "How they sound"]);
  await page.context().close();
});

test("other sites get the element and nothing else", { skip: !kitfox && "KITFOX names no program" }, async () => {
  const foreign = { origin: "https://elsewhere.example" };
  const element = await fetch(`${server}/kitfox-chat.js`, { headers: { ...foreign, "accept-encoding": "br" } });
  assert.equal(element.status, 200);
  assert.equal(element.headers.get("access-control-allow-origin"), "*");
  assert.equal(element.headers.get("content-encoding"), "br");
  assert.equal((await fetch(`${server}/api/generation`, { headers: foreign })).status, 403);
  const known = await fetch(`${server}/kitfox-chat.js`, { headers: { "if-none-match": element.headers.get("etag"), "accept-encoding": "br" } });
  assert.equal(known.status, 304);
});

test("a first-time visitor changes the chat by editing a file, and sees the turn", { skip: !kitfox && "KITFOX names no program" }, async () => {
  // The server's own page brings the session.
  const page = await open(server);
  if (home !== server) await page.goto(home);
  await page.getByText("Change what it says").waitFor();
  await shot(page, "page-first");
  const hello = await page.locator("kitfox-inspector pre", { hasText: 'name: "hello"' }).innerText();
  await mkdir(path.join(folder, "plugins"), { recursive: true });
  await writeFile(path.join(folder, "plugins/hello.rhai"), hello);
  await page.locator("kitfox-inspector").getByText("new tool hello").waitFor();

  await composer(page).fill("say hello to Ada");
  await composer(page).press("Enter");
  await page.locator("kitfox-inspector .step.tool").first().waitFor();
  await page.locator("kitfox-inspector .step.tool").first().click();
  assert.match(await page.locator("kitfox-inspector [role=tabpanel]").innerText(), /Hello, Ada!/);
  await shot(page, "page-timeline");

  await writeFile(path.join(folder, "plugins/hello.rhai"), hello.replace("});", ""));
  await page.locator("kitfox-inspector").getByRole("alert").getByText("plugins/hello.rhai").waitFor();
  await shot(page, "page-broken");
  await writeFile(path.join(folder, "plugins/hello.rhai"), hello);
  await page.locator("kitfox-inspector").getByRole("alert").waitFor({ state: "detached" });
  assert.deepEqual(page.troubles, []);
  await page.context().close();
});
