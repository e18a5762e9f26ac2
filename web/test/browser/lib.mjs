// A browser, and a server that says what a test scripts.
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import http from "node:http";
import path from "node:path";
import { chromium } from "playwright-core";

const here = import.meta.dirname;
export const root = path.join(here, "../..");
const built = [process.env.KITFOX_WEB_OUT, path.join(root, ".build/dist"), path.join(root, "dist")].find((it) => it && existsSync(path.join(it, "kitfox-chat.js")));
if (!built) throw new Error("there is no kitfox-chat.js: node build.mjs");
export const dist = path.resolve(built);
const shots = process.env.KITFOX_SHOTS;

const POLICY = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const TYPES = { ".js": "text/javascript", ".html": "text/html", ".css": "text/css", ".svg": "image/svg+xml", ".json": "application/json", ".png": "image/png" };

export function launch() {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"] });
}

/** An element's page, and the endpoint `/chatkit` with a handler for each operation: `(params, reply, request) => …`. */
export class Scripted {
  handlers = {
    "threads.list": () => ({ data: [], has_more: false }),
    "items.feedback": () => ({}),
    "threads.delete": () => ({}),
    "attachments.delete": () => ({}),
  };
  /** What was asked: `{ type, params, headers }`. */
  requests = [];
  options = undefined;
  files = new Map();
  #server = http.createServer((request, response) => void this.#answer(request, response).catch((err) => { response.destroy(err); }));

  async start() {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    this.origin = `http://127.0.0.1:${this.#server.address().port}`;
    return this;
  }

  stop() {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  asked(type) {
    return this.requests.filter((it) => it.type === type);
  }

  async #answer(request, response) {
    const { pathname } = new URL(request.url, this.origin);
    if (pathname === "/chatkit") return this.#operation(request, response);
    if (pathname === "/chatkit/options") {
      response.writeHead(this.options ? 200 : 404, { "content-type": "application/json" });
      response.end(JSON.stringify(this.options ?? {}));
      return;
    }
    const turn = /^\/chatkit\/threads\/([^/]+)\/(stream|stop)$/.exec(pathname);
    if (turn && this.handlers[turn[2]]) {
      this.requests.push({ type: turn[2], params: { thread_id: turn[1], after: new URL(request.url, this.origin).searchParams.get("after") } });
      await this.handlers[turn[2]](this.requests.at(-1).params, new Reply(response));
      return;
    }
    if (request.method !== "GET" && request.method !== "HEAD") {
      const body = await bytesOf(request);
      this.requests.push({ type: `${request.method} ${pathname}`, body, headers: request.headers });
      response.writeHead(204).end();
      return;
    }
    const own = this.files.get(pathname);
    const file = own ?? (existsSync(path.join(dist, pathname)) && pathname !== "/" ? await readFile(path.join(dist, pathname)) : undefined);
    if (file === undefined) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { "content-type": TYPES[path.extname(pathname)] ?? "text/html", "content-security-policy": POLICY, "cache-control": "no-store" });
    response.end(file);
  }

  async #operation(request, response) {
    const { type, params } = JSON.parse((await bytesOf(request)).toString());
    this.requests.push({ type, params, headers: request.headers });
    const reply = new Reply(response);
    const handler = this.handlers[type];
    if (!handler) return reply.json({ message: `no handler for ${type}` }, 400);
    const answer = await handler(params, reply, request);
    if (answer !== undefined) reply.json(answer);
  }
}

async function bytesOf(request) {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  return Buffer.concat(pieces);
}

export class Reply {
  constructor(response) {
    this.response = response;
    this.closed = false;
    response.on("close", () => { this.closed = true; });
  }

  json(value, status = 200, headers = {}) {
    this.response.writeHead(status, { "content-type": "application/json", ...headers });
    this.response.end(JSON.stringify(value));
  }

  begin() {
    this.response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
    this.response.flushHeaders();
    return this;
  }

  send(...events) {
    for (const event of events) this.response.write(`data: ${JSON.stringify(event)}\n\n`);
    return this;
  }

  /** The same with numbers, as for clients that may come back. */
  number(from, ...events) {
    events.forEach((event, index) => this.response.write(`id: ${from + index}\ndata: ${JSON.stringify(event)}\n\n`));
    return this;
  }

  nothing() {
    this.response.writeHead(204).end();
  }

  raw(bytes) {
    this.response.write(bytes);
    return this;
  }

  end(...events) {
    this.send(...events);
    this.response.end();
  }

  cut() {
    this.response.destroy();
  }
}

let ids = 0;
const now = () => new Date().toISOString();
export const id = (prefix) => `${prefix}_${(ids += 1)}`;
export const thread = (more = {}) => ({ id: "thr_1", created_at: now(), status: { type: "active" }, metadata: {}, items: { data: [], has_more: false }, ...more });
export const item = (type, more) => ({ id: id("itm"), thread_id: "thr_1", created_at: now(), type, ...more });
export const user = (input) => item("user_message", { content: input.content, attachments: [], inference_options: {}, ...(input.quoted_text && { quoted_text: input.quoted_text }) });
export const said = (text, annotations = []) => item("assistant_message", { content: [{ type: "output_text", text, annotations }] });
export const done = (it) => ({ type: "thread.item.done", item: it });
export const opening = (params) => [
  ...(params.thread_id ? [] : [{ type: "thread.created", thread: thread() }]),
  done(user(params.input)),
  { type: "stream_options", stream_options: { allow_cancel: true } },
];

/** The events of a text that streams. */
export function streamed(text, size = 12) {
  const it = said("");
  const update = (of) => ({ type: "thread.item.updated", item_id: it.id, update: of });
  const events = [{ type: "thread.item.added", item: { ...it, content: [] } }, update({ type: "assistant_message.content_part.added", content_index: 0, content: { type: "output_text", text: "", annotations: [] } })];
  const points = Array.from(text);
  for (let at = 0; at < points.length; at += size) events.push(update({ type: "assistant_message.content_part.text_delta", content_index: 0, delta: points.slice(at, at + size).join("") }));
  events.push(done({ ...it, content: [{ type: "output_text", text, annotations: [] }] }));
  return events;
}

/** Answers each message with these events, whether it begins a thread or not. */
export function answering(server, events) {
  const handler = async (params, reply) => {
    reply.begin().send(...opening(params));
    await (typeof events === "function" ? events(reply, params) : reply.end(...events));
  };
  server.handlers["threads.create"] = handler;
  server.handlers["threads.add_user_message"] = handler;
}

/** A thread that is there already. */
export function holding(server, items, more = {}) {
  server.handlers["threads.get_by_id"] = () => thread({ ...more, items: { data: items.slice(0, 20), has_more: items.length > 20 } });
  server.handlers["items.list"] = ({ limit = 20, after }) => {
    const newest = items.toReversed();
    const from = after ? newest.findIndex((it) => it.id === after) + 1 : 0;
    const data = newest.slice(from, from + limit);
    return { data, has_more: from + limit < newest.length, after: data.at(-1)?.id };
  };
}

export const PAGE = `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1, interactive-widget=resizes-content"><title>Test</title>
<link rel="stylesheet" href="/test.css"><script type="module" src="/kitfox-chat.js"></script></head><body><main><kitfox-chat></kitfox-chat></main></body></html>`;
export const CSS = "html, body, main { height: 100%; margin: 0; } body { overflow: hidden; }";

/** A tab with what went wrong in it. */
export async function open(browser, url, { width = 1000, height = 800, dark = false, ...more } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: dark ? "dark" : "light", locale: "en-US", reducedMotion: "reduce", ...more });
  const page = await context.newPage();
  const wrong = [];
  page.on("pageerror", (err) => wrong.push(`error: ${err.message}`));
  page.on("console", (it) => { if (it.type() === "error" && !/Failed to load resource/.test(it.text())) wrong.push(`console: ${it.text()}`); });
  page.on("dialog", (it) => { wrong.push(`dialog: ${it.message()}`); void it.dismiss(); });
  await page.addInitScript(() => document.addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`)));
  await page.goto(url);
  return Object.assign(page, { wrong, finish: () => context.close() });
}

/** The element's page of a scripted server, with options where it has any. */
export async function chat(browser, server, options, view = {}) {
  server.files.set("/", PAGE).set("/test.css", CSS);
  const page = await open(browser, `${server.origin}/${view.hash ?? ""}`, view);
  await page.waitForFunction(() => customElements.get("kitfox-chat"));
  if (options) await page.evaluate((it) => document.querySelector("kitfox-chat").setOptions(it), options);
  await page.locator("textarea.message").waitFor();
  return page;
}

export async function send(page, text) {
  await page.locator("textarea.message").fill(text);
  await page.keyboard.press("Enter");
}

export async function settled(page) {
  await page.waitForFunction(() => !document.querySelector("kitfox-chat")?.shadowRoot.querySelector(".send .filled"), undefined, { timeout: 20_000 });
}

const axeSource = await readFile(path.join(root, "node_modules/axe-core/axe.min.js"), "utf8");

/** What axe finds, one line each. */
export async function findings(page) {
  await page.evaluate(axeSource);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  return violations.flatMap((it) => it.nodes.map((node) => `${it.id}: ${node.target.flat().join(" ")}: ${node.failureSummary?.split("\n")[1]?.trim()}`));
}

export async function shot(page, name) {
  if (!shots) return;
  await mkdir(shots, { recursive: true });
  await page.screenshot({ path: path.join(shots, `${name}.png`) });
}
