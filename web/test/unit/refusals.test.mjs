import assert from "node:assert/strict";
import { test } from "node:test";
import { refusalOf } from "../../.build/client.js";
import { limitText } from "../../.build/limits.js";
import { wayIn } from "../../.build/login.js";
import { ar, de, ja } from "../../.build/locales/index.js";
import { learn, stringsFor } from "../../.build/strings.js";

learn({ ar, de, ja });
const now = new Date(2026, 10, 21, 14, 0).getTime();
const textOf = (body, locale = "en", retryAfter = undefined) => limitText(refusalOf(429, body, retryAfter), stringsFor(locale), locale, now).replaceAll("\u202f", " ");
const later = (seconds) => new Date(now + seconds * 1000).toISOString();

test("a limit is named, with the time of day when there is more", () => {
  const body = { message: "you have reached your limit", limit: "turns_per_day", of: "user", most: 2000, retry_after: 3600 };
  assert.equal(textOf({ ...body, available_at: later(3600) }), "You have reached your limit (2,000 messages a day). You can go on at 3:00 PM.");
  assert.match(textOf({ ...body, available_at: later(24 * 3600) }, "de"), /^Dein Limit ist erreicht \(2\.000 Nachrichten am Tag\)\. Weiter geht es: Sonntag\D*14:00\.$/);
  assert.equal(textOf({ ...body, of: "org", available_at: later(20) }), "Your organisation has reached its limit (2,000 messages a day). Try again in 20 s.");
});

test("bytes are shown as sizes, and what runs at one time has no time of day", () => {
  assert.match(textOf({ limit: "upload_bytes_per_day", of: "address", most: 100 * 1024 * 1024, retry_after: 9 }), /^Your network has reached its limit \(100 MB of uploads a day\)\. Try again in 9 s\.$/);
  assert.equal(textOf({ limit: "streams", of: "user", most: 3, retry_after: 5 }), "You have reached your limit (3 answers at one time). Try again in 5 s.");
});

test("a limit of a later version, or of a proxy, has the server's words or ours", () => {
  assert.equal(textOf({ message: "no more foxes", limit: "foxes", of: "user", most: 3 }), "No more foxes.");
  assert.equal(textOf(undefined, "en", "7"), "Too many messages in a short time. Try again in 7 s.");
  assert.equal(textOf({ message: "no more today" }, "en", "60"), "No more today. Try again in 60 s.");
});

test("each language names each limit", () => {
  for (const locale of ["en", "de", "ja", "ar"]) {
    for (const limit of ["requests_per_minute", "turns_per_minute", "turns_per_day", "tokens_per_day", "upload_bytes_per_day", "streams"]) {
      assert.match(textOf({ message: "the server's words", limit, of: "user", most: 3, retry_after: 5 }, locale), /^(?!.*(?:undefined|server's)).*3/, `${locale} ${limit}`);
    }
  }
});

test("a login comes back to the page on the server's own, and opens beside others", () => {
  const endpoint = "https://chat.example/chatkit";
  assert.deepEqual(wayIn("https://chat.example/auth/login", endpoint, "https://chat.example/?a=b#thr_1"), { href: "https://chat.example/auth/login?next=%2F%3Fa%3Db%23thr_1" });
  assert.deepEqual(wayIn("https://chat.example/auth/login", endpoint, "https://shop.example/"), { href: "https://chat.example/auth/login", target: "_blank" });
  for (const address of [undefined, 7, "javascript:alert(1)", "data:text/html,x"]) assert.equal(wayIn(address, endpoint, "https://chat.example/"), undefined);
});
