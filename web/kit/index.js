// @ts-check
/** What a page needs around a Kitfox chat. One file without dependencies; its types are in index.d.ts. */

const CHATS = "kitfox-chat, openai-chatkit";
const MOST_HEADINGS = 30;
const LONGEST_HEADING = 200;

// Requests

/** @type {typeof import("./index.js").kitfoxFetch} */
export function kitfoxFetch(options = {}) {
  const { login, url } = options;
  const home = url === undefined ? undefined : new URL(url, globalThis.location?.href).origin;
  const send = options.fetch ?? ((input, init) => fetch(input, init));

  /** @type {typeof fetch} */
  const dressed = async (input, init) => {
    const address = new URL(input instanceof Request ? input.url : input, globalThis.location?.href ?? "http://localhost");
    if (home !== undefined && address.origin !== home) return send(input, init);

    // A `Headers`, a list and a record alike; the request's own are in the `Request`.
    const headers = new Headers(init?.headers ?? (input instanceof Request ? input.headers : undefined));
    const add = (/** @type {string} */ name, /** @type {unknown} */ value) => {
      if (value !== undefined && value !== null && value !== "" && !headers.has(name)) headers.set(name, headerValue(String(value)));
    };
    new Headers((await given(options.headers)) ?? undefined).forEach((value, name) => add(name, value));
    const user = await given(options.user);
    const person = typeof user === "string" ? { id: user } : user ?? undefined;
    add("X-User-ID", person?.id);
    const token = await given(options.token);
    if (token) add("Authorization", `Bearer ${token}`);
    const { session } = options;
    if (session) add("X-Session-Id", session === true ? sessionId() : await given(session));

    const { name, email } = /** @type {import("./index.js").KitfoxUser} */ (person ?? {});
    const metadata = { ...(name || email ? { userInfo: clean({ name, email }) } : {}), ...((await given(options.context)) ?? {}) };
    const body = Object.keys(metadata).length > 0 ? await withMetadata(input, init, headers, metadata) : undefined;
    return send(input, { ...init, headers, ...(body === undefined ? {} : { body }) });
  };
  return login ? loginGate(login, dressed) : dressed;
}

/** @template T @param {import("./index.js").Given<T>} value @returns {Promise<T>} */
async function given(value) {
  return typeof value === "function" ? /** @type {() => T | Promise<T>} */ (value)() : value;
}

/** Headers hold ASCII; the server decodes what is percent-encoded. @param {string} value */
function headerValue(value) {
  const line = value.replace(/[\r\n\0]+/g, " ").trim();
  return /^[\x20-\x7e]*$/.test(line) ? line : encodeURIComponent(line);
}

/** @param {Record<string, unknown>} record */
function clean(record) {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined && value !== null));
}

/**
 * The body with this metadata in it, or nothing where it is no JSON object: a form or a file passes as it is, and no type is forced on it.
 * @param {RequestInfo | URL} input @param {RequestInit | undefined} init @param {Headers} headers @param {Record<string, unknown>} metadata
 */
async function withMetadata(input, init, headers, metadata) {
  const own = init?.body;
  let text = typeof own === "string" ? own : undefined;
  if (own === undefined && input instanceof Request && input.body && /\bjson\b/i.test(headers.get("content-type") ?? "")) text = await input.clone().text();
  if (text === undefined || !text.trimStart().startsWith("{")) return undefined;
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    return undefined;
  }
  return JSON.stringify({ ...body, metadata: { ...metadata, ...(body.metadata ?? {}) } });
}

/** @type {typeof import("./index.js").loginGate} */
export function loginGate(login, send = (input, init) => fetch(input, init)) {
  /** @type {Promise<boolean> | undefined} */
  let asking;
  return async (input, init) => {
    // A request can be read once: the second try needs one of its own.
    const second = input instanceof Request ? input.clone() : input;
    const response = await send(input, init);
    if (response.status !== 401 || init?.body instanceof ReadableStream) return response;
    asking ??= reasonOf(response)
      .then((reason) => login(reason, response))
      .finally(() => {
        asking = undefined;
      });
    return (await asking) ? send(second, init) : response;
  };
}

/** @param {Response} response @returns {Promise<import("./index.js").LoginReason>} */
async function reasonOf(response) {
  try {
    const { login } = await response.clone().json();
    return login === "expired" || login === "invalid" ? login : "missing";
  } catch {
    return "missing";
  }
}

// The page

/** @type {typeof import("./index.js").pageContext} */
export function pageContext({ root, mostHeadings = MOST_HEADINGS } = {}) {
  const timestamp = new Date().toISOString();
  if (typeof document === "undefined") return { url: "", title: "", path: "", description: "", headings: [], timestamp };
  const place = root ?? document.querySelector("main") ?? document.body;
  const headings = [...place.querySelectorAll("h1, h2, h3")]
    .filter((it) => !it.closest(CHATS))
    .map((it) => (it.textContent ?? "").replace(/\s+/g, " ").trim().slice(0, LONGEST_HEADING))
    .filter((it) => it !== "")
    .slice(0, mostHeadings);
  const description = document.querySelector('meta[name="description"]')?.getAttribute("content")?.trim() ?? "";
  return { url: location.href, title: document.title, path: location.pathname, description, headings, timestamp };
}

/** @type {typeof import("./index.js").selectionAsk} */
export function selectionAsk({ onAsk, label = "Ask", root, least = 3, most = 4000, className = "kitfox-ask" }) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = className;
  button.textContent = label;
  button.hidden = true;
  // Through the CSSOM, which a Content-Security-Policy allows.
  Object.assign(button.style, { position: "absolute", zIndex: "2147483000" });
  document.body.append(button);
  let text = "";
  let pressed = false;
  /** What was asked about is not offered again until the user selects anew. */
  let asked = "";

  const hide = () => {
    button.hidden = true;
  };
  const show = () => {
    const found = selected(root);
    const words = found?.toString().trim() ?? "";
    if (!found || words.length < least || words === asked) return hide();
    text = words.slice(0, most);
    const box = found.getRangeAt(0).getBoundingClientRect();
    button.hidden = false;
    const room = document.documentElement.clientWidth - button.offsetWidth - 8;
    const above = box.top - button.offsetHeight - 8;
    button.style.left = `${Math.max(8, Math.min(box.left + box.width / 2 - button.offsetWidth / 2, room)) + scrollX}px`;
    button.style.top = `${(above > 0 ? above : box.bottom + 8) + scrollY}px`;
  };
  const down = (/** @type {Event} */ event) => {
    if (event.target === button) return;
    pressed = true;
    asked = "";
    hide();
  };
  const up = (/** @type {Event} */ event) => {
    if (event.target === button) return;
    pressed = false;
    // The selection is settled a moment later.
    setTimeout(show);
  };
  const changed = () => {
    if (!pressed && document.activeElement !== button) show();
  };
  const key = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Escape") hide();
  };
  // The selection would be gone with the focus.
  const keep = (/** @type {Event} */ event) => event.preventDefault();
  const ask = () => {
    asked = getSelection()?.toString().trim() ?? "";
    hide();
    onAsk(text);
  };
  button.addEventListener("pointerdown", keep);
  button.addEventListener("mousedown", keep);
  button.addEventListener("click", ask);
  document.addEventListener("pointerdown", down);
  document.addEventListener("pointerup", up);
  document.addEventListener("selectionchange", changed);
  document.addEventListener("keydown", key);
  return () => {
    document.removeEventListener("pointerdown", down);
    document.removeEventListener("pointerup", up);
    document.removeEventListener("selectionchange", changed);
    document.removeEventListener("keydown", key);
    button.remove();
  };
}

/** What is selected outside of chats and fields. @param {Element | undefined} root */
function selected(root) {
  const selection = getSelection();
  if (!selection || selection.isCollapsed || selection.rangeCount === 0) return undefined;
  const { startContainer, endContainer, endOffset } = selection.getRangeAt(0);
  // A paragraph that is selected whole ends at the beginning of what follows.
  for (const node of endOffset === 0 ? [startContainer] : [startContainer, endContainer]) {
    const element = node instanceof Element ? node : node.parentElement;
    if (!element || element.closest(`${CHATS}, input, textarea, [contenteditable]`)) return undefined;
    if (root && !root.contains(element)) return undefined;
  }
  return selection;
}

// The element

/** @type {Map<string, Promise<string>>} */
const loading = new Map();

/** @type {typeof import("./index.js").loadElement} */
export function loadElement({ src, tag = "kitfox-chat", timeout = 10_000, fallback, type = "module", nonce }) {
  if (customElements.get(tag)) return Promise.resolve(src);
  const known = loading.get(`${tag} ${src}`);
  if (known) return known;
  const first = loadScript(src, tag, timeout, type, nonce);
  const promise = fallback === undefined ? first : first.catch(() => loadScript(fallback, tag, timeout, "module", nonce));
  loading.set(`${tag} ${src}`, promise);
  // What failed may be tried again.
  promise.catch(() => loading.delete(`${tag} ${src}`));
  return promise;
}

/**
 * `customElements.whenDefined` never rejects: the script's error and the clock do.
 * @param {string} src @param {string} tag @param {number} timeout @param {string} type @param {string | undefined} nonce @returns {Promise<string>}
 */
function loadScript(src, tag, timeout, type, nonce) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    if (type === "module") script.type = "module";
    if (nonce) script.nonce = nonce;
    script.async = true;
    script.src = src;
    const fail = (/** @type {string} */ why) => {
      clearTimeout(timer);
      // One that comes too late would define the element beside its fallback.
      script.remove();
      reject(new Error(`<${tag}> cannot be loaded from ${src}: ${why}`));
    };
    const timer = setTimeout(() => fail(`it took more than ${timeout} ms`), timeout);
    script.addEventListener("error", () => fail("it is blocked, or not there (see the browser's console)"));
    customElements.whenDefined(tag).then(() => {
      clearTimeout(timer);
      resolve(src);
    });
    document.head.append(script);
  });
}

// Who it is

/** @type {Map<string, string>} */
const kept = new Map();

/** @type {typeof import("./index.js").sessionId} */
export function sessionId(key = "kitfox-session") {
  try {
    const stored = globalThis.localStorage?.getItem(key);
    if (stored && stored.length >= 16) return stored;
  } catch {
    // No storage here: it lasts as long as the page.
  }
  const id = kept.get(key) ?? random();
  kept.set(key, id);
  try {
    globalThis.localStorage?.setItem(key, id);
  } catch {
    // As above.
  }
  return id;
}

/** 128 random bits; `crypto.randomUUID` is there in secure contexts only. */
function random() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((it) => it.toString(16).padStart(2, "0")).join("");
}
