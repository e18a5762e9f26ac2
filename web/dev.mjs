// Serves the element as it was built last, over a server of Kitfox that runs somewhere: node dev.mjs PORT http://127.0.0.1:8000
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import http from "node:http";
import path from "node:path";

const [port = "8100", target = "http://127.0.0.1:8000"] = process.argv.slice(2);
const dist = path.resolve(process.env.KITFOX_WEB_OUT ?? path.join(import.meta.dirname, "dist"));
const TYPES = { ".js": "text/javascript", ".html": "text/html; charset=utf-8", ".svg": "image/svg+xml", ".json": "application/json" };
const POLICY = "default-src 'self'; img-src 'self' data: https:; connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

http.createServer(async (request, response) => {
  const { pathname } = new URL(request.url, "http://localhost");
  const file = path.join(dist, pathname === "/" ? "index.html" : pathname);
  if (request.method === "GET" && path.dirname(file) === dist && existsSync(file)) {
    response.writeHead(200, { "content-type": TYPES[path.extname(file)], "content-security-policy": POLICY, "cache-control": "no-store" });
    response.end(await readFile(file));
    return;
  }
  const headers = { ...request.headers, host: new URL(target).host };
  if (headers.origin) headers.origin = target;
  const passed = http.request(new URL(request.url, target), { method: request.method, headers }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  passed.on("error", () => response.destroy());
  response.on("close", () => passed.destroy());
  request.pipe(passed);
}).listen(Number(port), "127.0.0.1", () => console.log(`http://127.0.0.1:${port} over ${target}`));
