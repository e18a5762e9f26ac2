/** Files on their way to the server: what is taken, and how it is sent. */
import { type Client, ConnectionLost, refusalOf } from "./client";
import { ownAddress } from "./links";
import type { AttachmentRules } from "./options";
import type { Attachment, UploadDescriptor } from "./protocol";
import type { Strings } from "./strings";

export const DEFAULT_MAX_SIZE = 100 * 1024 * 1024;
export const DEFAULT_MAX_COUNT = 10;

/** A file in the composer. */
export interface Upload {
  key: string;
  name: string;
  size?: number;
  state: "uploading" | "ready";
  progress: number;
  attachment?: Attachment;
  /** What an image looks like before the server has it: a data URL. */
  preview?: string;
  stop?: AbortController;
}

/** Why a file cannot be attached, as far as the browser can tell. */
export function objectionTo(file: { name: string; type: string; size: number }, rules: AttachmentRules, count: number, t: Strings): string | undefined {
  const maxCount = rules.maxCount ?? DEFAULT_MAX_COUNT;
  const maxSize = maxSizeOf(file, rules);
  const accept = acceptOf(rules);
  if (count >= maxCount) return t.tooMany(maxCount);
  if (file.size > maxSize) return t.tooLarge(plainName(file.name), bytes(file.size), bytes(maxSize));
  if (accept.length > 0 && !accept.some((it) => matches(file, it))) return t.wrongType(plainName(file.name), accept.join(", "));
  return undefined;
}

function maxSizeOf(file: { name: string; type: string }, { maxSize = DEFAULT_MAX_SIZE }: AttachmentRules): number {
  if (typeof maxSize === "number") return maxSize;
  const own = Object.entries(maxSize).find(([type]) => type !== "" && type !== "*" && matches(file, type));
  return own?.[1] ?? maxSize["*"] ?? maxSize[""] ?? DEFAULT_MAX_SIZE;
}

/** The types and endings that are taken; none are all. */
export function acceptOf({ accept }: AttachmentRules): string[] {
  return Object.entries(accept ?? {}).flatMap(([type, endings]) => [type, ...(Array.isArray(endings) ? endings : [])]);
}

/** Whether a file is of a type (`image/png`), of a kind (`image/*`), or has an ending (`.csv`). */
function matches(file: { name: string; type: string }, pattern: string): boolean {
  const type = (file.type || "application/octet-stream").toLowerCase();
  const wanted = pattern.trim().toLowerCase();
  if (wanted === "*" || wanted === "*/*") return true;
  if (wanted.startsWith(".")) return file.name.toLowerCase().endsWith(wanted);
  return wanted.endsWith("/*") ? type.startsWith(wanted.slice(0, -1)) : type === wanted;
}

/** A name as it is shown: without the signs that turn the direction of what follows, or break the line. */
export function plainName(name: string): string {
  // eslint-disable-next-line no-control-regex -- these are what is taken out
  return name.replace(/[\u0000-\u001f\u007f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "");
}

export function bytes(count: number): string {
  const units = ["B", "KB", "MB", "GB"];
  let size = count;
  let unit = 0;
  for (; size >= 1024 && unit < units.length - 1; unit += 1) size /= 1024;
  return `${Number(size.toFixed(1))} ${units[unit] ?? ""}`;
}

/** Registers a file with the server, then sends its bytes to where the server wants them. */
export async function uploadInTwo(client: Client, file: File, name: string, signal: AbortSignal, onProgress: (part: number) => void): Promise<Attachment> {
  const mimeType = file.type || "application/octet-stream";
  const attachment = await client.call("attachments.create", { name, size: file.size, mime_type: mimeType }, { signal });
  const { upload_descriptor: descriptor } = attachment;
  if (!descriptor) return attachment;
  try {
    await put({ ...descriptor, url: ownAddress(descriptor.url, client.url) }, file, name, mimeType, signal, onProgress);
  } catch (err) {
    client.call("attachments.delete", { attachment_id: attachment.id }).catch(() => undefined);
    throw err;
  }
  return attachment;
}

/** Sends a file as a form, and is told the attachment that it became. */
export async function uploadAtOnce(client: Client, url: string, file: File, name: string, signal: AbortSignal): Promise<Attachment> {
  const form = new FormData();
  form.append("file", file, name);
  let response: Response;
  try {
    response = await client.fetch(new URL(url, client.url).href, { method: "POST", body: form, signal });
  } catch (err) {
    throw err instanceof Error && err.name === "AbortError" ? err : new ConnectionLost("upload", err);
  }
  const answer = (await response.json().catch(() => undefined)) as Attachment | undefined;
  if (!response.ok || typeof answer?.id !== "string") throw refusalOf(response.status, answer, response.headers.get("retry-after"));
  return answer;
}

/** What an image looks like before the server has it; a data URL, as policies of pages allow no `blob:`. */
export function thumbnail(file: File): Promise<string | undefined> {
  if (!/^image\/(?:png|jpeg|gif|webp|avif)$/.test(file.type) || file.size > 1_500_000) return Promise.resolve(undefined);
  return new Promise((resolve) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(typeof reader.result === "string" ? reader.result : undefined));
    reader.addEventListener("error", () => resolve(undefined));
    reader.readAsDataURL(file);
  });
}

/** PUT the bytes, or POST a form. A fetch would tell no progress. */
function put({ url, method, headers }: UploadDescriptor, file: File, name: string, mimeType: string, signal: AbortSignal, onProgress: (part: number) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(new DOMException("the upload was stopped", "AbortError"));
      return;
    }
    const request = new XMLHttpRequest();
    const posts = method === "POST";
    request.open(posts ? "POST" : "PUT", url);
    const sent = Object.entries(headers ?? {});
    for (const [key, value] of sent) request.setRequestHeader(key, value);
    if (!posts && !sent.some(([key]) => key.toLowerCase() === "content-type")) request.setRequestHeader("content-type", mimeType);
    request.upload.addEventListener("progress", ({ loaded, total }) => onProgress(total > 0 ? loaded / total : 0));
    request.addEventListener("load", () => {
      if (request.status >= 200 && request.status < 300) resolve();
      else reject(refusalOf(request.status, parsed(request.responseText)));
    });
    request.addEventListener("error", () => reject(new ConnectionLost("upload")));
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

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
