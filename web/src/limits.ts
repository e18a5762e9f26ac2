/** What a 429 says to its user. No DOM. */
import type { Refused } from "./client";
import { sentence } from "./files";
import type { Strings } from "./strings";
import { bytes } from "./uploads";

/** From this many seconds on, a time of day says more. */
const LONG = 90;

/** Which limit is reached and when there is more, in the reader's language and time; without such things, the server's words. */
export function limitText({ message, status, retryAfter, more }: Refused, t: Strings, locale: string, now = Date.now()): string {
  const { of = "user", limit = "", most = 0, available_at: at } = more;
  const count = limit === "upload_bytes_per_day" ? bytes(most) : most.toLocaleString(locale);
  const what = t.limited(of, limit, count) ?? (message ? sentence(message) : t.status(status));
  const time = at === undefined ? Number.NaN : Date.parse(at);
  const wait = Number.isNaN(time) ? retryAfter : Math.max(1, Math.ceil((time - now) / 1000));
  if (wait === undefined) return what;
  return `${what} ${wait < LONG || Number.isNaN(time) ? t.tryIn(wait) : t.moreAt(whenOf(new Date(time), new Date(now), locale))}`;
}

function whenOf(time: Date, now: Date, locale: string): string {
  const isToday = time.toDateString() === now.toDateString();
  return new Intl.DateTimeFormat(locale, { ...(!isToday && { weekday: "long" }), hour: "numeric", minute: "2-digit" }).format(time);
}
