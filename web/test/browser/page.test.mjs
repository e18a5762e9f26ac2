// The page at /, as a scripted server has it.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Scripted, findings, launch, open, shot } from "./lib.mjs";

let browser, server;
before(async () => {
  browser = await launch();
  server = await new Scripted().start();
});
after(async () => {
  await browser.close();
  server.stop();
});

test("whoever may not look into the project loads no inspector, and may sign in", async () => {
  const refusal = { message: "you are not signed in", login: "missing", methods: ["oidc"], sign_in: `${server.origin}/auth/login` };
  server.handlers["threads.list"] = (params, reply) => reply.json(refusal, 401);
  const asked = [];
  const page = await open(browser, "about:blank", { width: 1200 });
  page.on("request", (it) => { asked.push(new URL(it.url()).pathname); });
  await page.goto(`${server.origin}/index.html`);
  await page.locator(".account").getByText("Not signed in").waitFor();
  assert.ok(asked.includes("/api/generation"));
  assert.ok(!asked.includes("/kitfox-inspector.js"), asked.join(" "));
  assert.equal(await page.locator("kitfox-inspector").isVisible(), false);
  await page.locator(".alert").waitFor();
  assert.deepEqual(await findings(page), []);
  await shot(page, "page-sign-in");
  const link = await page.locator(".account").getByRole("link", { name: "Sign in" }).getAttribute("href");
  assert.equal(new URL(link).searchParams.get("next"), "/index.html");
  assert.deepEqual(page.wrong, []);
  await page.finish();
});
