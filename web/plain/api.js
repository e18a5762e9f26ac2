/** Calls to the server: ChatKit operations, and the few JSON documents beside them. */
import { readEvents } from "./sse.js";

/** Relative to the page, so that a proxy may serve it all below a path of its own. */
export const ENDPOINT = document.querySelector('meta[name="chatkit-endpoint"]')?.content || "chatkit";

/** How often a request is repeated that the server could not take (5xx), as the official client does. */
const REPEATS = 5;
const LONGEST_WAIT = 15_000;

/** The server refused a request, with a status and its own words; `signIn` is where its users log in, if they do. */
export class Refused extends Error {
  constructor(status, message, signIn) {
    super(message);
    this.name = "Refused";
    this.status = status;
    this.signIn = signIn;
  }
}

/** No answer came, or it broke off. */
export class ConnectionLost extends Error {
  constructor(message, cause) {
    super(message, { cause });
    this.name = "ConnectionLost";
  }
}

/** Runs an operation that answers with JSON. */
export async function call(type, params, options = {}) {
  const response = await post({ type, params }, "application/json", options);
  try {
    return await response.json();
  } catch (err) {
    throw lost(err, "the answer of the server broke off");
  }
}

/** Runs an operation that answers with events. `onWait(attempt, repeats)` hears of each repetition. */
export async function* stream(type, params, options = {}) {
  const response = await post({ type, params }, "text/event-stream", options);
  try {
    for await (const { data } of readEvents(response.body)) yield JSON.parse(data);
  } catch (err) {
    throw lost(err, "the connection broke off in the middle of the answer");
  }
}

/** A JSON document, or `undefined` where the server has none (404) or does not show it (401, 403). */
export async function find(path) {
  let response;
  try {
    response = await fetch(path, { headers: { accept: "application/json" } });
  } catch (err) {
    throw lost(err, "the server cannot be reached");
  }
  if ([401, 403, 404].includes(response.status)) return undefined;
  if (!response.ok) throw await refused(response);
  if (!isType(response, "application/json")) return undefined;
  return response.json();
}

async function post(request, accept, { signal, onWait } = {}) {
  const body = JSON.stringify(request);
  for (let attempt = 1; ; attempt += 1) {
    let response;
    try {
      const headers = { "content-type": "application/json", accept };
      response = await fetch(ENDPOINT, { method: "POST", headers, body, signal });
    } catch (err) {
      throw lost(err, "the server cannot be reached");
    }
    if (response.redirected) throw new Refused(401, "sign in to go on");
    if (response.ok && isType(response, accept)) return response;
    if ((response.status >= 400 && response.status < 500) || attempt > REPEATS) throw await refused(response);
    await response.body?.cancel();
    onWait?.(attempt, REPEATS);
    await pause(waitFor(response, attempt), signal);
  }
}

function isType(response, type) {
  return (response.headers.get("content-type") ?? "").toLowerCase().startsWith(type);
}

/** Ends the login of this browser, and gives the address where it goes on. */
export async function signOut(path) {
  let response;
  try {
    response = await fetch(path, { method: "POST", headers: { accept: "application/json" } });
  } catch (err) {
    throw lost(err, "the server cannot be reached");
  }
  if (!response.ok) throw await refused(response);
  return webAddress((await response.json()).location);
}

/** The address, if it is one that a browser may be sent to. */
export function webAddress(text) {
  const url = typeof text === "string" ? parse(text) : undefined;
  return url && /^https?:$/.test(url.protocol) ? url.href : undefined;
}

function parse(text) {
  try {
    return new URL(text, location.href);
  } catch {
    return undefined;
  }
}

async function refused(response) {
  const body = await response.json().catch(() => undefined);
  const words = body?.message;
  const wait = Number(response.headers.get("retry-after"));
  let message = typeof words === "string" && words !== "" ? words : standardWords(response.status);
  if (response.status === 429 && wait > 0) message += ` (try again in ${wait} s)`;
  return new Refused(response.status, message, webAddress(body?.sign_in));
}

function standardWords(status) {
  if (status === 200) return "the server answered with something other than a chat: is a proxy in the way?";
  if (status === 401) return "sign in to go on";
  if (status === 403) return "this is not allowed";
  if (status === 404) return "this is not there (any more)";
  if (status === 409) return "an answer is still being written in this conversation";
  if (status === 413) return "the message is too long";
  if (status === 429) return "too many messages in a short time";
  return `the server cannot answer now (status ${status})`;
}

/** What a failed fetch or read means; an abort stays an abort. */
function lost(err, message) {
  return err.name === "AbortError" || err instanceof Refused ? err : new ConnectionLost(message, err);
}

function waitFor(response, attempt) {
  const asked = Number(response.headers.get("retry-after")) * 1000;
  const grown = 400 * 2 ** (attempt - 1) * (0.75 + Math.random() / 2);
  return Math.min(asked > 0 ? asked : grown, LONGEST_WAIT);
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, milliseconds);
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort, { once: true });
  });
}
