import { cookies } from "next/headers";
import type { NextRequest } from "next/server";

const server = process.env.KITFOX_URL ?? "http://localhost:8000";

/** Of the browser's headers, those that Kitfox is to see. The cookie stays here. */
const PASSED = ["accept", "accept-language", "content-type", "if-none-match", "chatkit-frame-instance-id", "x-page-url", "x-selected-text"];
/** Of the answer's. */
const RETURNED = ["content-type", "cache-control", "etag", "x-accel-buffering", "x-request-id", "retry-after", "content-disposition", "content-security-policy", "x-content-type-options"];
/** What of the server this site shows to its visitors. */
const OPEN = /^(?:chatkit(?:\/.*)?|kitfox-[\w-]+\.(?:js|json)|lucide\.json)$/;

export const dynamic = "force-dynamic";

async function pass(request: NextRequest, { params }: { params: Promise<{ path: string[] }> }) {
  const path = (await params).path.map(encodeURIComponent).join("/");
  if (!OPEN.test(path)) return Response.json({ message: "there is nothing at this path" }, { status: 404 });
  // A foreign page must not post with this site's cookie.
  const site = request.headers.get("sec-fetch-site");
  if (request.method !== "GET" && site !== null && site !== "same-origin") return Response.json({ message: "another site may not do that" }, { status: 403 });

  const headers = new Headers();
  for (const name of PASSED) {
    const value = request.headers.get(name);
    if (value !== null) headers.set(name, value);
  }
  const token = (await cookies()).get("token")?.value;
  if (token) headers.set("authorization", `Bearer ${token}`);

  const answer = await fetch(`${server}/${path}${request.nextUrl.search}`, {
    method: request.method,
    headers,
    body: request.body,
    // The body is passed on as it comes.
    duplex: "half",
    // When the visitor stops or leaves, the turn is to end too.
    signal: request.signal,
    redirect: "manual",
    cache: "no-store",
  } as RequestInit);

  const returned = new Headers();
  for (const name of RETURNED) {
    const value = answer.headers.get(name);
    if (value !== null) returned.set(name, value);
  }
  return new Response(answer.body, { status: answer.status, headers: returned });
}

export { pass as GET, pass as POST, pass as PUT };
