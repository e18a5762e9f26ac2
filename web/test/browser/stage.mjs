/** A page with a part of the element on it, under the strictest policy, in Chromium. */
import { createServer } from "node:http";
import { mkdir, readFile } from "node:fs/promises";
import path from "node:path";
import { build } from "esbuild";
import { chromium } from "playwright-core";

const web = path.join(import.meta.dirname, "../..");
const POLICY = "default-src 'self'; img-src 'self' data:; style-src 'self'; object-src 'none'; base-uri 'none'";

/** Serves a page that runs this module, and gives what opens it. `routes` answers further paths. */
export async function stage(source, routes = () => undefined) {
  const { outputFiles } = await build({
    stdin: { contents: source, resolveDir: path.join(web, "src"), loader: "ts" },
    bundle: true, format: "esm", target: ["es2022"], write: false, logLevel: "error", tsconfig: path.join(web, "tsconfig.json"),
  });
  const server = createServer((request, response) => {
    if (routes(request, response)) return;
    const { pathname } = new URL(request.url, "http://stage");
    if (pathname === "/stage.js") response.writeHead(200, { "content-type": "text/javascript" }).end(outputFiles[0].contents);
    else if (pathname === "/") response.writeHead(200, { "content-type": "text/html", "content-security-policy": POLICY }).end('<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Stage</title><script type="module" src="/stage.js"></script><body><header><h1>Stage</h1></header><main id="stage"></main></body></html>');
    else response.writeHead(pathname === "/favicon.ico" ? 204 : 404).end();
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });

  const open = async (options = {}) => {
    const context = await browser.newContext({ viewport: { width: 900, height: 900 }, colorScheme: "light", ...options });
    const page = await context.newPage();
    page.troubles = [];
    page.on("console", (it) => { if (it.type() === "error" || /Content.Security.Policy/i.test(it.text())) page.troubles.push(it.text()); });
    page.on("pageerror", (it) => page.troubles.push(String(it)));
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    await page.waitForFunction(() => globalThis.ready === true);
    return page;
  };
  const close = async () => {
    await browser.close();
    server.closeAllConnections();
    server.close();
  };
  return { open, close };
}

/** Keeps a picture, where somebody wants them. */
export async function shot(page, name) {
  const folder = process.env.KITFOX_SHOTS;
  if (!folder) return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: path.join(folder, `${name}.png`), fullPage: true });
}

/** What axe finds wrong, one line each. */
export async function findings(page) {
  const axe = await readFile(path.join(web, "node_modules/axe-core/axe.min.js"), "utf8");
  // As a function of the debugger's: the page's policy allows no script of its own.
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  return violations.map((it) => `${it.id}: ${it.nodes.map((node) => `${node.target.join(" ")} ${node.any[0]?.message ?? ""}`).join("; ")}`);
}
