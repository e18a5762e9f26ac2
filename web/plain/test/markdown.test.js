import assert from "node:assert/strict";
import { test } from "node:test";
import { safeImage, safeLink } from "../links.js";
import { citeMark, parse, parseInline } from "../markdown.js";

/** A tree in one line: `p(a strong(b))`. */
function show(nodes) {
  return nodes
    .map((node) => {
      if (node.type === "text") return JSON.stringify(node.text);
      if (node.type === "code") return `code[${node.language ?? ""}](${JSON.stringify(node.text)})`;
      if (node.type === "link") return `link[${node.href}](${show(node.children)})`;
      if (node.type === "cite") return `cite${node.index}`;
      if (node.type === "heading") return `h${node.level}(${show(node.children)})`;
      if (node.type === "quote") return `quote(${show(node.blocks)})`;
      if (node.type === "table") return `table[${node.align}](${[node.header, ...node.rows].map((row) => row.map(show).join(" | ")).join(" / ")})`;
      if (node.type === "list") {
        const kind = (node.ordered ? `ol${node.start}` : "ul") + (node.tight ? "" : " loose");
        return `${kind}(${node.items.map((it) => `${it.checked === undefined ? "" : it.checked ? "[x] " : "[ ] "}${show(it.blocks)}`).join("; ")})`;
      }
      if (node.children) return `${node.type === "paragraph" ? "p" : node.type}(${show(node.children)})`;
      return node.type;
    })
    .join(" ");
}

function check(cases, read) {
  for (const [text, expected] of cases) assert.equal(show(read(text)), expected, JSON.stringify(text));
}

test("inline markup becomes nodes", () => {
  check([
    ["a **b** *c* _d_ `e` ~~f~~", '"a " strong("b") " " em("c") " " em("d") " " code[]("e") " " strike("f")'],
    ["***x***", 'em(strong("x"))'],
    ["**a *b* c**", 'strong("a " em("b") " c")'],
    ["snake_case_name 2 * 3 * 4", '"snake_case_name 2 * 3 * 4"'],
    ["**日本語。**です", 'strong("日本語。") "です"'],
    ["**open and *more", '"**" "open and " "*" "more"'],
    ["`` a`b ``", 'code[]("a`b")'],
    ["`open", '"`open"'],
    ["\\*no\\* a  \nb\\\nc<br>d", '"*no* a  " break "b" break "c" break "d"'],
    ["see https://a.example/x_(y). Now", '"see " link[https://a.example/x_(y)]("https://a.example/x_(y)") ". Now"'],
    ["[a *b*](https://c.example/ \"t\")", 'link[https://c.example/]("a " em("b"))'],
    ["<mailto:a@b.example> ![alt](https://i.example/p.png)", 'link[mailto:a@b.example]("a@b.example") " " link[https://i.example/p.png]("alt")'],
    [`end${citeMark(0)}. \`x${citeMark(1)}\``, '"end" cite0 ". " code[]("x")'],
  ], (text) => parseInline(text));
});

test("blocks become nodes", () => {
  check([
    ["# A #\n\ntext\nmore\n***\n> q\n> - x", 'h1("A") p("text\\nmore") rule quote(p("q") ul(p("x")))'],
    ["- a\n- b\n  1. c\n  2. d\n\nend", 'ul(p("a"); p("b") ol1(p("c"); p("d"))) p("end")'],
    ["3. a\n\n   more\n\n4. b", 'ol3 loose(p("a") p("more"); p("b"))'],
    ["- [x] done\n- [ ] open", 'ul([x] p("done"); [ ] p("open"))'],
    ["1. a\n   ```rhai\n   x\n   ```\n2. b", 'ol1(p("a") code[rhai]("x"); p("b"))'],
    ["```js\nlet a = \"<b>\";\n\n// *", 'code[js]("let a = \\"<b>\\";\\n\\n// *")'],
    ["|a|b|\n|:-|-:|\n|1|**2**|\n|x \\| y|", 'table[left,right]("a" | "b" / "1" | strong("2") / "x | y" | )'],
    ["text:\n| a | b |\n|---|---|\n| 1 | 2 |\nafter |", 'p("text:") table[left,left]("a" | "b" / "1" | "2" / "after" | )'],
    ["1984. was a year\nnot | a table", 'ol1984(p("was a year\\nnot | a table"))'],
  ], parse);
});

test("tags stay text", () => {
  const text = '<script>alert(1)</script><img src=x onerror="alert(1)"> <a href="javascript:alert(1)">x</a>';
  assert.equal(show(parse(text)), `p(${JSON.stringify(text)})`);
});

test("links of other schemes, and relative ones, are text", () => {
  for (const address of ["javascript:alert(1)", "JaVaScRiPt:alert(1)", "java\tscript:alert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd", "/x", "//a.example", "x:y", "blob:x"]) {
    for (const text of [`[click](${address})`, `![click](${address})`, `[click](<${address}>)`, `<${address}>`]) {
      assert.ok(!show(parse(text)).includes("link["), text);
    }
    assert.equal(safeLink(address), undefined);
  }
});

test("images come from this origin, from data or from an allowed host", () => {
  const base = "http://localhost:8000/";
  assert.equal(safeImage("/files/1", base), "http://localhost:8000/files/1");
  assert.equal(safeImage("data:image/png;base64,AA==", base), "data:image/png;base64,AA==");
  assert.equal(safeImage("data:image/svg+xml;base64,AA==", base), undefined);
  assert.equal(safeImage("data:text/html;base64,AA==", base), undefined);
  assert.equal(safeImage("https://i.example/a.png", base), undefined);
  assert.equal(safeImage("https://i.example/a.png", base, ["i.example"]), "https://i.example/a.png");
  assert.equal(safeImage("http://i.example/a.png", base, ["i.example"]), undefined);
  assert.equal(safeImage("https://i.example.evil.example/a.png", base, ["i.example"]), undefined);
});

test("a text that grows keeps the source of its finished blocks", () => {
  const text = "# A\n\npara one\n\n- x\n- y\n\n```js\ncode\n```\n\nend";
  for (let length = 1; length < text.length; length += 1) {
    const before = parse(text.slice(0, length)).map((it) => it.raw);
    const after = parse(text).map((it) => it.raw);
    assert.deepEqual(before.slice(0, -1), after.slice(0, before.length - 1), `after ${length} characters`);
  }
});

test("hostile texts are read in time and without depth", () => {
  const size = 20_000;
  const texts = ["*", "**a ", "_a_", "[", "[a](", "![", "`", "``a`", "~~", "> ", "- ", "  - a\n", "<", "<https://", "https://", "|", "|a|\n|-|\n", "# ", "\\", "h", "((", "[a](((", "* _ ", "*_", "a**b*c ", "1. ", "    ", "```\n", "\uE000", "\uE0001\uE001", ")", "-*_ "];
  for (const unit of texts) {
    const text = unit.repeat(size);
    const began = performance.now();
    const tree = parse(text);
    assert.ok(performance.now() - began < 2000, `${JSON.stringify(unit)} took ${performance.now() - began} ms`);
    assert.ok(depthOf(tree) < 100, `${JSON.stringify(unit)} is ${depthOf(tree)} deep`);
  }
});

function depthOf(value) {
  if (typeof value !== "object" || value === null) return 0;
  return 1 + Object.values(value).reduce((deepest, it) => Math.max(deepest, depthOf(it)), 0);
}
