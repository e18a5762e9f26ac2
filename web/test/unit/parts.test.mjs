import assert from "node:assert/strict";
import { test } from "node:test";
import { ownAddress, safeImage, safeLink } from "../../.build/links.js";
import * as locales from "../../.build/locales/index.js";
import { directionOf, languageOf, learn, stringsFor } from "../../.build/strings.js";
import { contentOf, queryAt, shifted } from "../../.build/tags.js";
import { luminance, themeRules } from "../../.build/theme.js";
import { bytes, objectionTo, plainName } from "../../.build/uploads.js";

const ada = { id: "1", title: "Ada" };
const tag = (start, end) => ({ start, end, entity: ada });

test("only absolute web and mail addresses are links", () => {
  assert.equal(safeLink("https://a.example/x"), "https://a.example/x");
  assert.equal(safeLink("mailto:a@b.example"), "mailto:a@b.example");
  for (const it of ["javascript:alert(1)", " java\nscript:alert(1)", "data:text/html,x", "/x", "x", "//x", "vbscript:x", "file:///etc", undefined, 7]) assert.equal(safeLink(it), undefined);
});

test("images come from our own origins, data of bitmaps, or hosts that the thread allows", () => {
  const own = ["https://chat.example/chatkit", "https://page.example/"];
  assert.equal(safeImage("/a.png", own), "https://chat.example/a.png");
  assert.equal(safeImage("https://page.example/b.png", own), "https://page.example/b.png");
  assert.equal(safeImage("data:image/png;base64,AAAA", own), "data:image/png;base64,AAAA");
  assert.equal(safeImage("https://img.example/c.png", own, ["img.example"]), "https://img.example/c.png");
  for (const it of ["https://img.example/c.png", "data:image/svg+xml;base64,AAAA", "data:text/html,x", "javascript:x", "blob:https://chat.example/1"]) assert.equal(safeImage(it, own), undefined, it);
  assert.equal(safeImage("http://img.example/c.png", own, ["img.example"]), undefined);
});

test("our own addresses are at the endpoint's origin, whatever the server calls itself", () => {
  assert.equal(ownAddress("http://inner:8000/chatkit/attachments/a?x=1", "https://o.example/chatkit"), "https://o.example/chatkit/attachments/a?x=1");
  assert.equal(ownAddress("https://s3.example/a", "https://o.example/chatkit"), "https://s3.example/a");
});

test("tags stay where they are while the text around them changes", () => {
  assert.deepEqual(shifted("hi @Ada!", "oh hi @Ada!", [tag(3, 7)]), [tag(6, 10)]);
  assert.deepEqual(shifted("hi @Ada!", "hi @Ada!!", [tag(3, 7)]), [tag(3, 7)]);
  assert.deepEqual(shifted("hi @Ada!", "hi @Aa!", [tag(3, 7)]), []);
  assert.deepEqual(shifted("hi @Ada!", "", [tag(3, 7)]), []);
  assert.deepEqual(shifted("@Ada @Ada", "@Ada", [tag(0, 4), tag(5, 9)]), [tag(0, 4)]);
});

test("a message is sent as text and tags in their order", () => {
  assert.deepEqual(contentOf("  hi @Ada and all  ", [tag(5, 9)]), [
    { type: "input_text", text: "hi " },
    { type: "input_tag", id: "1", text: "Ada", data: {}, interactive: false },
    { type: "input_text", text: " and all" },
  ]);
  assert.deepEqual(contentOf("   ", []), []);
});

test("what is asked for at the caret is found, and an address of mail is not", () => {
  assert.deepEqual(queryAt("hi @ad", 6, []), { sign: "@", start: 3, text: "ad" });
  assert.deepEqual(queryAt("@", 1, []), { sign: "@", start: 0, text: "" });
  assert.deepEqual(queryAt("/ne", 3, []), { sign: "/", start: 0, text: "ne" });
  assert.equal(queryAt("a@b", 3, []), undefined);
  assert.equal(queryAt("x /ne", 5, []), undefined);
  assert.equal(queryAt("@one two three four", 19, []), undefined);
  assert.equal(queryAt("@Ada", 4, [tag(0, 4)]), undefined);
});

test("files are refused by size, type and number, with words", () => {
  const t = stringsFor("en");
  const file = { name: "a.csv", type: "text/csv", size: 2000 };
  assert.equal(objectionTo(file, { enabled: true }, 0, t), undefined);
  assert.match(objectionTo(file, { enabled: true, maxSize: 1000 }, 0, t), /too large: 2 KB of at most 1000 B/);
  assert.match(objectionTo(file, { enabled: true, maxCount: 1 }, 1, t), /No more than 1/);
  assert.match(objectionTo(file, { enabled: true, accept: { "image/*": [] } }, 0, t), /not taken here/);
  assert.equal(objectionTo(file, { enabled: true, accept: { "application/x": [".csv"] } }, 0, t), undefined);
  assert.equal(bytes(1536), "1.5 KB");
});

test("names of files lose the signs that turn and break lines", () => {
  assert.equal(plainName("evil\u202Egnp.exe\n"), "evilgnp.exe");
  assert.equal(plainName("größe 漢字.txt"), "größe 漢字.txt");
});

test("a theme sets what it says, and no value gets out of its rule", () => {
  const rules = themeRules({ radius: "sharp", density: "compact", color: { accent: { primary: "#0f172a", level: 1 }, grayscale: { hue: 220, tint: 6, shade: -1 } }, typography: { baseSize: 14 } });
  assert.match(rules, /--kf-control-radius:0px/);
  assert.match(rules, /--kf-unit:3\.25px/);
  assert.match(rules, /--kf-accent:#0f172a;--kf-on-accent:#fff/);
  assert.match(rules, /--kf-hue:220;--kf-tint:18%;--kf-shade:1%/);
  assert.match(rules, /--kf-size:14px/);
  assert.equal(themeRules({}), ":host{}");
  for (const evil of ["red;}*{display:none", "url(x)}", "x{"]) {
    assert.doesNotMatch(themeRules({ color: { accent: { primary: evil, level: 0 }, surface: { background: evil, foreground: evil } }, typography: { fontFamily: evil } }), /display|url\(x\)\}|x\{/);
  }
});

test("a surface's foreground is text where it can be read, else the colour of what is raised", () => {
  assert.match(themeRules({ color: { surface: { background: "#0f172a", foreground: "#f1f5f9" } } }), /--kf-text:#f1f5f9/);
  assert.match(themeRules({ color: { surface: { background: "#f8fafc", foreground: "#f1f5f9" } } }), /--kf-raised:#f1f5f9/);
  assert.equal(luminance("hsl(1 2% 3%)"), undefined);
});

test("four languages have all words, others are spoken to in English", () => {
  const english = stringsFor("en");
  learn(locales);
  for (const locale of ["de-CH", "ja_JP", "ar"]) {
    const strings = stringsFor(locale);
    assert.notEqual(strings, english);
    assert.deepEqual(Object.keys(strings).sort(), Object.keys(english).sort());
    for (const [key, value] of Object.entries(strings)) assert.equal(typeof value, typeof english[key], key);
  }
  assert.equal(stringsFor("fi"), english);
  assert.equal(languageOf("fi"), "en");
  assert.deepEqual([directionOf("ar-EG"), directionOf("de")], ["rtl", "ltr"]);
});
