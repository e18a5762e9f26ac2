import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { findings, shot, stage } from "./stage.mjs";

const SOURCE = `
import { css, html, render, unsafeCSS } from "lit";
import { renderWidget, widgetStyles } from "./widgets/index";
const look = css\`
  :host { display: grid; gap: 16px; max-width: 44rem; padding: 16px; background: var(--kf-surface); color: var(--kf-text); font-family: system-ui;
    --kf-text: light-dark(#23201c, #ece8e1); --kf-muted: light-dark(#655e54, #a8a094); --kf-line: light-dark(#e2dcd2, #3a352f); --kf-surface: light-dark(#fdfdfc, #1c1b1a);
    --kf-raised: light-dark(#fff, #262421); --kf-hover: light-dark(#f2efe9, #302c28); --kf-accent: light-dark(#a8450f, #f0935a); --kf-on-accent: light-dark(#fff, #23201c);
    --kf-good: light-dark(#1d6b3a, #77c795); --kf-good-soft: light-dark(#e6f4ea, #1d3325); --kf-danger: light-dark(#a8231b, #f2a19a); --kf-danger-soft: light-dark(#fdecea, #3b211e);
    --kf-warning: light-dark(#7a5200, #e5b567); --kf-warning-soft: light-dark(#fbf1dd, #36290f); --kf-info: light-dark(#1f5fa8, #8fbdf2); --kf-info-soft: light-dark(#e7f0fb, #1b2b3f);
    --kf-discovery: light-dark(#6b3fa8, #c3a5ee); --kf-discovery-soft: light-dark(#f1eafb, #2c2040); }
  svg { width: 1em; height: 1em; fill: none; stroke: currentColor; stroke-width: 2; }\`;
const stage = document.querySelector("#stage");
const root = stage.attachShadow({ mode: "open" });
root.adoptedStyleSheets = [look.styleSheet, widgetStyles.styleSheet];
document.documentElement.style.setProperty("color-scheme", "light dark");
document.body.style.margin = "0";
globalThis.actions = [];
globalThis.release = () => {};
const host = {
  action: (action, item) => { actions.push({ ...action, item: item.id }); return globalThis.hold ? new Promise((resolve) => { globalThis.release = resolve; }) : Promise.resolve(); },
  markdown: (text) => html\`<p>\${text}</p>\`,
  icon: (name) => html\`<svg viewBox="0 0 24 24" aria-hidden="true" data-icon=\${name}><circle cx="12" cy="12" r="8"></circle></svg>\`,
  imageAllowed: (src) => src.startsWith("data:image/png"),
  locale: "en",
  colorScheme: "light",
};
globalThis.show = (...widgets) => { render(html\`\${widgets.map((it, index) => renderWidget(it, host, { id: "item_" + index }))}\`, root); };
globalThis.ready = true;
`;

const PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const action = (type, more) => ({ type, ...more });

/** One of each, with most of what each can be told. */
const EVERYTHING = [
  {
    type: "Card", size: "lg", status: { text: "Flights", icon: "compass" }, asForm: true,
    confirm: { label: "Book", action: action("book") }, cancel: { label: "Not now", action: action("cancel") },
    children: [
      { type: "Row", justify: "between", children: [{ type: "Title", value: "Oslo → Bergen", size: "lg" }, { type: "Badge", label: "on time", color: "success" }] },
      { type: "Text", value: "One stop, with a view of the fjords.", color: "secondary" },
      { type: "Divider", flush: true },
      { type: "Row", wrap: "wrap", gap: 2, children: ["secondary", "success", "danger", "warning", "info", "discovery"].map((it) => ({ type: "Badge", label: it, color: it })) },
      { type: "Row", wrap: "wrap", gap: 2, children: ["primary", "secondary", "info", "success", "danger"].flatMap((color) => ["solid", "soft", "outline", "ghost"].map((variant) => ({ type: "Button", label: `${color} ${variant}`, color, variant, size: "xs" }))) },
      { type: "Row", children: [{ type: "Button", label: "Start", iconStart: "play", pill: true }, { type: "Button", iconStart: "star", uniform: true, variant: "outline" }, { type: "Spacer" }, { type: "Button", label: "Off", disabled: true }] },
      { type: "Label", value: "Name", fieldName: "name" },
      { type: "Input", name: "name", placeholder: "Ada", required: true },
      { type: "Label", value: "Wishes", fieldName: "wishes" },
      { type: "Textarea", name: "wishes", rows: 2, autoResize: true, variant: "soft" },
      { type: "Row", children: [
        { type: "Select", name: "class", placeholder: "Class", clearable: true, defaultValue: "eco", options: [{ value: "eco", label: "Economy" }, { value: "biz", label: "Business", description: "with lunch" }] },
        { type: "DatePicker", name: "day", defaultValue: "2026-06-01T00:00:00Z", min: "2026-01-01T00:00:00Z" },
      ] },
      { type: "Checkbox", name: "meal", label: "With a meal", defaultChecked: true },
      { type: "RadioGroup", name: "seat", ariaLabel: "Seat", direction: "row", defaultValue: "w", options: [{ value: "w", label: "Window" }, { value: "a", label: "Aisle" }, { value: "m", label: "Middle", disabled: true }] },
      { type: "Text", value: "A note to change", editable: { name: "note", placeholder: "Note" } },
    ],
  },
  {
    type: "ListView", limit: 2, status: { text: "Places", icon: "map-pin" },
    children: ["Lofoten", "Røros", "Ålesund"].map((it, index) => ({
      type: "ListViewItem", key: it, onClickAction: action("open", { payload: { index } }),
      children: [{ type: "Icon", name: "globe", size: "lg", color: "success" }, { type: "Col", children: [{ type: "Text", value: it, weight: "semibold" }, { type: "Caption", value: "Norway" }] }],
    })),
  },
  {
    type: "Card", theme: "dark", background: "surface-elevated",
    children: [
      { type: "Chart", height: 200, showYAxis: true, showLegend: true, xAxis: { dataKey: "m" }, data: ["Jan", "Feb", "Mar", "Apr"].map((m, i) => ({ m, a: 30 + i * 20, b: 60 - i * 9, c: 20 + 15 * (i % 2) })),
        series: [{ type: "bar", dataKey: "a", label: "Rain", stack: "s" }, { type: "bar", dataKey: "b", label: "Snow", stack: "s" }, { type: "line", dataKey: "c", label: "Wind", curveType: "monotone" }] },
      { type: "Chart", height: 120, xAxis: "m", data: [3, 5, 2, 8, 7].map((v, m) => ({ m: `W${m}`, v })), series: [{ type: "area", dataKey: "v", label: "Visits", color: "purple", curveType: "natural" }] },
    ],
  },
  {
    type: "Basic", gap: 3,
    children: [
      { type: "Row", children: [{ type: "Image", src: PIXEL, alt: "a red dot", size: 48, radius: "full", frame: true }, { type: "Image", src: "https://elsewhere.example/x.png", alt: "elsewhere", width: 160, height: 48 }, { type: "Markdown", value: "**bold**" }] },
      { type: "Box", direction: "row", padding: 3, radius: "lg", border: { size: 1, style: "dashed" }, background: { light: "blue-50", dark: "blue-900" }, children: [{ type: "Text", value: "A box", italic: true, lineThrough: true }] },
      { type: "Transition", children: { type: "Text", key: "a", value: "softly" } },
      { type: "Form", onSubmitAction: action("save"), direction: "row", gap: 2, children: [{ type: "Input", name: "q.text", placeholder: "Search" }, { type: "Button", submit: true, label: "Go" }] },
      { type: "Text", value: "A long text that is cut after two lines. ".repeat(12), maxLines: 2 },
      { type: "Text", value: "streaming", streaming: true },
      { type: "Table", children: [{ type: "Table.Row", header: true, children: [{ type: "Table.Cell", children: [{ type: "Text", value: "City" }] }, { type: "Table.Cell", align: "end", children: [{ type: "Text", value: "°C" }] }] }, { type: "Table.Row", children: [{ type: "Table.Cell", children: [{ type: "Text", value: "Oslo" }] }, { type: "Table.Cell", align: "end", children: [{ type: "Text", value: "21" }] }] }] },
    ],
  },
];

let scene;
before(async () => { scene = await stage(SOURCE); });
after(async () => { await scene?.close(); });

const show = (page, ...widgets) => page.evaluate((it) => globalThis.show(...it), widgets);
const actions = (page) => page.evaluate(() => globalThis.actions.splice(0));

test("every component is drawn under the strictest policy", async () => {
  for (const [name, options] of [["light", {}], ["dark", { colorScheme: "dark" }], ["mobile", { viewport: { width: 390, height: 844 }, hasTouch: true }]]) {
    const page = await scene.open(options);
    await show(page, ...EVERYTHING);
    await page.waitForSelector(".w-plot svg");
    await page.waitForTimeout(400);
    await shot(page, `widgets-${name}`);
    assert.deepEqual(page.troubles, [], name);
    assert.deepEqual(await findings(page), [], name);
    const wider = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
    assert.equal(wider, false, name);
    const [attributes, styled] = await page.evaluate(() => {
      const all = [...document.querySelector("#stage").shadowRoot.querySelectorAll("*")];
      return [all.length, all.filter((it) => it.tagName === "STYLE").length];
    });
    assert.ok(attributes > 150 && styled === 0, `${attributes} ${styled}`);
    await page.context().close();
  }
});

test("a form's values go with its action, and what is required holds it back", async () => {
  const page = await scene.open();
  await show(page, EVERYTHING[0]);
  await page.getByRole("button", { name: "Book" }).click();
  assert.deepEqual(await actions(page), []);
  await page.getByLabel("Name").fill("Ada");
  await page.getByLabel("Aisle").check();
  await page.getByRole("button", { name: "Clear" }).click();
  await page.getByRole("button", { name: "Book" }).click();
  const [booked] = await actions(page);
  assert.deepEqual(booked, { type: "book", item: "item_0", payload: { name: "Ada", wishes: "", class: "", day: "2026-06-01", meal: true, seat: "a", note: "A note to change" } });
  await page.context().close();
});

test("what was typed outlives updates, and a widget that comes back", async () => {
  const page = await scene.open();
  const widget = (value, more = []) => ({ type: "Card", asForm: true, confirm: { label: "Send", action: action("send") }, children: [...more, { type: "Input", name: "x", defaultValue: value }, { type: "Checkbox", name: "c", label: "Yes" }] });
  await show(page, widget("one"));
  const field = page.getByLabel("x");
  await show(page, widget("two"));
  assert.equal(await field.inputValue(), "two");
  await field.fill("mine");
  await page.getByLabel("Yes").check();
  await show(page, widget("three", [{ type: "Text", key: "t", value: "above" }]));
  assert.equal(await field.inputValue(), "mine");
  await show(page);
  await show(page, widget("four"));
  assert.equal(await field.inputValue(), "mine");
  assert.equal(await page.getByLabel("Yes").isChecked(), true);
  await page.context().close();
});

test("what waits for its action says so, and acts once", async () => {
  const page = await scene.open();
  await show(page, { type: "Card", children: [{ type: "Button", label: "Self", onClickAction: action("self") }, { type: "Button", label: "Whole", onClickAction: action("whole", { loadingBehavior: "container" }) }, { type: "Button", label: "None", onClickAction: action("none", { loadingBehavior: "none" }) }] });
  await page.evaluate(() => { globalThis.hold = true; });
  const self = page.getByRole("button", { name: "Self" });
  await self.click();
  await self.click();
  assert.equal(await self.getAttribute("aria-busy"), "true");
  assert.deepEqual((await actions(page)).map((it) => it.type), ["self"]);
  await page.evaluate(() => globalThis.release());
  await page.waitForFunction(() => document.querySelector("#stage").shadowRoot.querySelector("button").ariaBusy === "false");
  await page.getByRole("button", { name: "Whole" }).click();
  assert.equal(await page.evaluate(() => document.querySelector("#stage").shadowRoot.querySelector(".w-box").inert), true);
  await page.evaluate(() => globalThis.release());
  await page.waitForFunction(() => !document.querySelector("#stage").shadowRoot.querySelector(".w-box").inert);
  await page.context().close();
});

test("a list shows more, and its items act by keyboard too", async () => {
  const page = await scene.open();
  await show(page, EVERYTHING[1]);
  assert.equal(await page.getByText("Ålesund").count(), 0);
  await page.getByRole("button", { name: "Show 1 more" }).click();
  assert.equal(await page.getByText("Ålesund").count(), 1);
  await page.getByRole("button", { name: /Røros/ }).focus();
  await page.keyboard.press("Enter");
  assert.deepEqual(await actions(page), [{ type: "open", payload: { index: 1 }, item: "item_0" }]);
  await page.context().close();
});

test("a choice among many is searched, by keyboard and pointer", async () => {
  const page = await scene.open();
  const options = ["Norway", "Sweden", "Denmark", ...Array.from({ length: 20 }, (_, index) => `Land ${index}`)].map((label) => ({ value: label.toLowerCase(), label, description: label === "Sweden" ? "in the east" : undefined, disabled: label === "Denmark" }));
  const widget = { type: "Card", asForm: true, confirm: { label: "Send", action: action("send") }, children: [{ type: "Label", value: "Country", fieldName: "country" }, { type: "Select", name: "country", placeholder: "Choose", clearable: true, options, onChangeAction: action("changed") }] };
  await show(page, widget);
  const combo = page.getByRole("combobox", { name: "Country" });
  await combo.click();
  assert.equal(await page.getByRole("option").count(), 23);
  await shot(page, "widgets-choice");
  assert.deepEqual(await findings(page), []);
  await combo.fill("east");
  await page.keyboard.press("Enter");
  assert.equal(await combo.inputValue(), "Sweden");
  assert.deepEqual(await actions(page), [{ type: "changed", payload: { country: "sweden" }, item: "item_0" }]);
  await combo.click();
  await page.getByRole("option", { name: "Denmark" }).click({ force: true });
  await page.keyboard.press("Escape");
  assert.equal(await combo.inputValue(), "Sweden");
  await page.getByRole("button", { name: "Send" }).click();
  assert.deepEqual((await actions(page))[0].payload, { country: "sweden" });
  await page.getByRole("button", { name: "Clear" }).click();
  assert.equal(await combo.inputValue(), "");
  await show(page);
  await show(page, widget);
  assert.deepEqual(page.troubles, []);
  await page.context().close();
});

test("hostile widgets run nothing, load nothing, and stay in their box", async () => {
  const page = await scene.open();
  const requests = [];
  page.on("request", (it) => requests.push(it.url()));
  const deep = await page.evaluate(() => {
    let node = { type: "Col", children: [] };
    for (let i = 0; i < 3000; i += 1) node = { type: "Col", children: [node] };
    globalThis.show({ type: "Card", children: [node, ...Array.from({ length: 50_000 }, (_, i) => ({ type: "Text", value: `row ${i}` }))] });
    return document.querySelector("#stage").shadowRoot.querySelectorAll("*").length;
  });
  assert.ok(deep < 3000, String(deep));
  const evil = "javascript:globalThis.pwned=1";
  await show(page,
    { type: "Card", background: "url(https://evil.example/a)", padding: 1e9, children: [
      { type: "Image", src: evil, alt: evil, width: 1e12, height: "99999px" }, { type: "Image", src: "data:image/svg+xml,<svg onload=globalThis.pwned=1>" },
      { type: "Text", value: "<img src=x onerror=globalThis.pwned=1>", color: "red;background:url(//evil.example)" },
      { type: "Box", margin: -5000, minWidth: "100000px", background: "image-set('https://evil.example/b')", children: [{ type: "Text", value: "\u202Egnirts" }] },
      { type: "constructor", children: [{ type: "__proto__", children: "x" }] }, { type: "Select", name: "__proto__", options: "none" }, { type: "Chart", data: 5, series: {}, xAxis: null },
      { type: "Chart", data: [{ x: "a", y: Number.MAX_VALUE }, { x: "b", y: "NaN" }, { x: "c", y: { toString: 1 } }], series: [{ type: "line", dataKey: "y" }, { type: "bar", dataKey: "__proto__" }], xAxis: { dataKey: "x" } },
      { type: "Input", name: 5, pattern: "(a+)+$", inputType: "file" }, { type: "Button", label: { a: 1 }, onClickAction: "x", iconStart: [] }, { type: "RadioGroup", options: [null, 5, {}] }, null, 7, "text", [],
    ] },
    { type: "ListView", children: { type: "ListViewItem" }, limit: -3, status: [] }, "nothing", null, { type: 7 }, {},
  );
  await page.waitForTimeout(300);
  assert.deepEqual(page.troubles, []);
  assert.equal(await page.evaluate(() => globalThis.pwned), undefined);
  assert.deepEqual(requests.filter((it) => !it.startsWith("data:")), []);
  const [links, wide] = await page.evaluate(() => {
    const root = document.querySelector("#stage").shadowRoot;
    return [[...root.querySelectorAll("a")].map((it) => it.href), document.documentElement.scrollWidth <= innerWidth];
  });
  assert.deepEqual(links, []);
  assert.equal(wide, true);
  await shot(page, "widgets-hostile");
  await page.context().close();
});

test("a chart tells its numbers under the pointer and to readers", async () => {
  const page = await scene.open();
  await show(page, EVERYTHING[2]);
  const plot = page.locator(".w-plot").first();
  await page.waitForFunction(() => document.querySelector("#stage").shadowRoot.querySelectorAll(".w-plot svg").length === 2);
  const box = await plot.boundingBox();
  await page.mouse.move(box.x + box.width * 0.4, box.y + 50);
  await page.waitForSelector(".w-tooltip");
  assert.match(await page.locator(".w-tooltip").innerText(), /Feb[\s\S]*Rain[\s\S]*50[\s\S]*Snow[\s\S]*51/);
  assert.equal(await page.locator("table.w-unseen").first().locator("tbody tr").count(), 4);
  await shot(page, "widgets-chart");
  await page.context().close();
});
