import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { stage } from "./stage.mjs";

const SOURCE = `
import { pageContext, selectionAsk } from "../kit/index.js";
const main = document.querySelector("#stage");
for (const [tag, text] of [["h2", "Foxes"], ["p", "They live nearly everywhere."], ["p", "They eat nearly everything."], ["kitfox-chat", "What the chat said."]]) {
  const node = document.createElement(tag);
  node.textContent = text;
  main.append(node);
}
const input = document.createElement("input");
input.value = "what is typed here";
input.setAttribute("aria-label", "field");
main.append(input);
globalThis.asked = [];
globalThis.stop = selectionAsk({ onAsk: (text) => { asked.push(text); input.focus(); } });
globalThis.pageContext = pageContext;
globalThis.ready = true;
`;

let scene;
before(async () => { scene = await stage(SOURCE); });
after(async () => { await scene?.close(); });

test("what is selected is asked about once, and not in chats or fields", async () => {
  const page = await scene.open();
  const ask = page.locator(".kitfox-ask");
  await page.getByText("They live").click({ clickCount: 3 });
  await ask.waitFor();
  const [box, words] = [await ask.boundingBox(), await page.getByText("They live").boundingBox()];
  assert.ok(box.y + box.height <= words.y || box.y >= words.y + words.height, "it covers what is selected");
  await ask.click();
  assert.deepEqual(await page.evaluate(() => globalThis.asked), ["They live nearly everywhere."]);
  await page.waitForTimeout(100);
  assert.equal(await ask.isVisible(), false);

  await page.getByText("They eat").click({ clickCount: 3 });
  await ask.waitFor();
  await page.keyboard.press("Escape");
  assert.equal(await ask.isVisible(), false);
  for (const elsewhere of [page.getByText("What the chat said"), page.getByLabel("field")]) {
    await elsewhere.click({ clickCount: 3 });
    await page.waitForTimeout(100);
    assert.equal(await ask.isVisible(), false);
  }
  await page.evaluate(() => globalThis.stop());
  assert.equal(await ask.count(), 0);
  assert.deepEqual(page.troubles, []);
  await page.context().close();
});

test("a page's context leaves the chat out", async () => {
  const page = await scene.open();
  const context = await page.evaluate(() => globalThis.pageContext());
  assert.deepEqual([context.title, context.path, context.headings], ["Stage", "/", ["Foxes"]]);
  await page.context().close();
});
