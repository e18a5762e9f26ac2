// Builds the element and the page, or with `--modules DIR` the modules that unit tests load one by one.
//
//   node build.mjs --out DIR      kitfox-chat.js, page.js, what they load later, index.html, favicon.svg; DIR is `dist` where it is not given
//
// KITFOX_WEB_OUT names the folder as well. Nothing is written anywhere else.
import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = import.meta.dirname;
const { values } = parseArgs({
  options: {
    out: { type: "string", default: process.env.KITFOX_WEB_OUT ?? path.join(here, "dist") },
    modules: { type: "string" },
    watch: { type: "boolean", default: false },
    quiet: { type: "boolean", default: false },
  },
});

const shared = {
  absWorkingDir: here,
  bundle: true,
  format: "esm",
  target: ["es2022"],
  charset: "utf8",
  legalComments: "none",
  logLevel: "warning",
};

if (values.modules) await buildModules(path.resolve(values.modules));
else await buildAll(path.resolve(values.out));

async function buildAll(out) {
  await mkdir(out, { recursive: true });
  const outcome = await build({
    ...shared,
    entryPoints: { "kitfox-chat": "src/index.ts", "kitfox-highlight": "src/highlight-engine.ts", "kitfox-locales": "src/locales/index.ts", "kitfox-inspector": "src/inspector/index.ts", "kitfox-kit": "kit/index.js", page: "src/page/index.ts" },
    outdir: out,
    minify: true,
    plugins: [minifyTemplates()],
  });
  if (outcome.errors.length > 0) process.exit(1);
  for (const name of ["index.html", "favicon.svg"]) await writeFile(path.join(out, name), await readFile(path.join(here, "src/page", name)));
  const { icons } = await import("lucide");
  await writeFile(path.join(out, "lucide.json"), JSON.stringify(icons));
  if (!values.quiet) await report(out);
}

/** Takes the indentation out of the style sheets and templates in source files; text in them has no line breaks. */
function minifyTemplates() {
  return {
    name: "templates",
    setup({ onLoad }) {
      onLoad({ filter: /[\\/](?:(?:css|view)[\\/]\w+|chat|look)\.ts$/ }, async ({ path: file }) => {
        const source = await readFile(file, "utf8");
        return { contents: source.replace(/^[ \t]+/gm, ""), loader: "ts" };
      });
    },
  };
}

async function report(out) {
  const sum = [0, 0, 0];
  const line = (name, sizes) => console.log(`${name.padEnd(16)}${sizes.map((it) => `${(it / 1024).toFixed(1)} KB`.padStart(10)).join("")}`);
  console.log(`${"".padEnd(16)}${["raw", "gzip", "brotli"].map((it) => it.padStart(10)).join("")}`);
  for (const name of (await readdir(out)).sort()) {
    if (!/\.(js|json|html|svg)$/.test(name)) continue;
    const bytes = await readFile(path.join(out, name));
    const sizes = [bytes.length, gzipSync(bytes, { level: 9 }).length, brotliCompressSync(bytes).length];
    sizes.forEach((it, index) => { sum[index] += it; });
    line(name, sizes);
  }
  line("in all", sum);
}

/** The modules without a document, each by itself, for node's test runner. */
async function buildModules(out) {
  const names = ["sse", "client", "limits", "login", "reducer", "blocks", "citations", "links", "strings", "locales/index", "theme", "tags", "uploads", "widgets/values", "widgets/forms", "widgets/chart-shapes", "inspector/project"].filter((it) => existsSync(path.join(here, `src/${it}.ts`)));
  await build({ ...shared, entryPoints: Object.fromEntries(names.map((it) => [it, `src/${it}.ts`])), outdir: out, platform: "neutral", mainFields: ["module", "main"] });
}
