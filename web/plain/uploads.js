/** Files in the composer: they are uploaded as soon as they are chosen, and go with the next message. */
import { ENDPOINT, ConnectionLost, Refused, call } from "./api.js";
import { el, icon, iconButton } from "./dom.js";
import { ownAddress } from "./links.js";

/** Hooks: `changed()` when files came, went or finished, `failed(err)`. */
export class Uploads {
  #nodes;
  #hooks;
  #rules = { enabled: false };
  #files = new Map();
  #key;

  /** Nodes: the `button` that chooses files, its file `input`, the `list` of files. */
  constructor(nodes, hooks) {
    this.#nodes = nodes;
    this.#hooks = hooks;
    nodes.button.addEventListener("click", () => nodes.input.click());
    nodes.input.addEventListener("change", () => {
      this.add(nodes.input.files);
      nodes.input.value = "";
    });
  }

  /** What the server takes: `{ enabled, accept, max_size, max_count }`, all of it optional. */
  offer(rules) {
    this.#rules = rules?.enabled === true ? rules : { enabled: false };
    this.#nodes.button.hidden = !this.#rules.enabled;
    this.#nodes.input.accept = acceptOf(this.#rules).join(",");
    this.#nodes.input.multiple = this.#rules.max_count !== 1;
  }

  get offered() {
    return this.#rules.enabled;
  }

  /** Shows the files of a conversation. */
  show(key) {
    this.#key = key;
    this.#draw();
  }

  get #current() {
    return this.#files.get(this.#key) ?? [];
  }

  get count() {
    return this.#current.length;
  }

  /** Whether all files are there to be sent. */
  get ready() {
    return this.#current.every((it) => it.state === "ready");
  }

  add(files) {
    if (!this.offered) return;
    for (const file of files) {
      const objection = objectionTo(file, this.#rules, this.count);
      if (objection) this.#hooks.failed(new Refused(400, objection));
      else this.#upload(file);
    }
  }

  /** The attachments that go with a message; the composer is without them then. */
  take() {
    const taken = this.#current;
    this.#set(this.#key, []);
    return taken.map((it) => it.attachment);
  }

  /** Puts attachments back that were taken, when the message was refused. */
  putBack(key, attachments) {
    const files = attachments.map((attachment) => this.#file(key, { state: "ready", name: attachment.name, attachment }));
    this.#set(key, [...files, ...(this.#files.get(key) ?? [])]);
  }

  async #upload(file) {
    const key = this.#key;
    const stop = new AbortController();
    const name = file.name || "pasted file";
    const entry = this.#file(key, { state: "uploading", name, stop, progress: 0 });
    this.#set(key, [...(this.#files.get(key) ?? []), entry]);
    try {
      const mimeType = file.type || "application/octet-stream";
      entry.attachment = await call("attachments.create", { name, size: file.size, mime_type: mimeType }, { signal: stop.signal });
      stop.signal.throwIfAborted();
      const { upload_descriptor: descriptor } = entry.attachment;
      if (descriptor) await put(descriptor, file, name, mimeType, stop.signal, (progress) => { entry.bar.value = progress; });
      entry.state = "ready";
    } catch (err) {
      this.#drop(key, entry);
      if (err.name !== "AbortError") this.#hooks.failed(err);
    }
    this.#draw();
  }

  #file(key, fields) {
    const entry = { bar: el("progress", { max: "1", value: "0", "aria-label": `Upload of ${fields.name}` }), ...fields };
    entry.node = el("li", { class: "upload" }, icon("file"), el("span", { class: "upload-name", title: entry.name }, entry.name), entry.bar, iconButton("close", `Remove ${entry.name}`, () => this.#drop(key, entry)));
    return entry;
  }

  /** Takes a file away, here and on the server. */
  #drop(key, entry) {
    entry.stop?.abort();
    this.#set(key, (this.#files.get(key) ?? []).filter((it) => it !== entry));
    // One that is left over is swept by the server.
    if (entry.attachment) call("attachments.delete", { attachment_id: entry.attachment.id }).catch(() => {});
    entry.attachment = undefined;
  }

  #set(key, entries) {
    if (entries.length > 0) this.#files.set(key, entries);
    else this.#files.delete(key);
    this.#draw();
  }

  #draw() {
    const entries = this.#current;
    entries.forEach((it) => { it.bar.hidden = it.state !== "uploading"; });
    this.#nodes.list.replaceChildren(...entries.map((it) => it.node));
    this.#nodes.list.hidden = entries.length === 0;
    this.#hooks.changed();
  }
}

/** The types that are taken, as a list; a map of types to endings is understood as well. */
function acceptOf({ accept }) {
  if (Array.isArray(accept)) return accept.filter((it) => typeof it === "string");
  return typeof accept === "object" && accept !== null ? Object.keys(accept) : [];
}

/** Why a file cannot be attached, as far as this page can tell, or `undefined`. */
export function objectionTo(file, rules, count) {
  const accept = acceptOf(rules);
  if (rules.max_count && count >= rules.max_count) return `no more than ${rules.max_count} files can go with a message`;
  if (rules.max_size && file.size > rules.max_size) return `\`${file.name}\` is too large: ${bytes(file.size)} of at most ${bytes(rules.max_size)}`;
  if (accept.length > 0 && !accept.some((it) => matches(file, it))) return `\`${file.name}\` is of a type that is not taken here (${accept.join(", ")})`;
  return undefined;
}

/** Whether a file is of a type (`image/png`), of a kind (`image/*`), or has an ending (`.csv`). */
function matches(file, pattern) {
  const type = (file.type || "application/octet-stream").toLowerCase();
  const wanted = pattern.trim().toLowerCase();
  if (wanted === "*" || wanted === "*/*") return true;
  if (wanted.startsWith(".")) return file.name.toLowerCase().endsWith(wanted);
  return wanted.endsWith("/*") ? type.startsWith(wanted.slice(0, -1)) : type === wanted;
}

function bytes(count) {
  const units = ["bytes", "KB", "MB", "GB"];
  let size = count;
  let unit = 0;
  for (; size >= 1024 && unit < units.length - 1; unit += 1) size /= 1024;
  return `${Number(size.toFixed(1))} ${units[unit]}`;
}

/** Sends a file to where the server wants it: PUT the bytes, or POST a form. A fetch would tell no progress. */
function put({ url, method, headers }, file, name, mimeType, signal, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const posts = method === "POST";
    request.open(posts ? "POST" : "PUT", ownAddress(url, new URL(ENDPOINT, document.baseURI)));
    const sent = Object.entries(headers ?? {});
    for (const [key, value] of sent) request.setRequestHeader(key, value);
    if (!posts && !sent.some(([key]) => key.toLowerCase() === "content-type")) request.setRequestHeader("content-type", mimeType);
    request.upload.addEventListener("progress", ({ loaded, total }) => onProgress(total > 0 ? loaded / total : 0));
    request.addEventListener("load", () => {
      if (request.status >= 200 && request.status < 300) resolve();
      else reject(new Refused(request.status, messageOf(request) ?? `\`${name}\` could not be uploaded (status ${request.status})`));
    });
    request.addEventListener("error", () => reject(new ConnectionLost(`\`${name}\` could not be uploaded: the connection broke off`)));
    request.addEventListener("abort", () => reject(new DOMException("the upload was stopped", "AbortError")));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    if (posts) {
      const form = new FormData();
      form.append("file", file, name);
      request.send(form);
    } else {
      request.send(file);
    }
  });
}

function messageOf({ responseText }) {
  try {
    const { message } = JSON.parse(responseText);
    return typeof message === "string" && message !== "" ? message : undefined;
  } catch {
    return undefined;
  }
}
