/** Files between the composer and the server. */
import { type Client, Refused, isAbort } from "./client";
import type { Draft } from "./draft";
import type { AttachmentRules, ChatOptions } from "./options";
import type { Strings } from "./strings";
import { type Upload, objectionTo, thumbnail, uploadAtOnce, uploadInTwo } from "./uploads";

export interface FilesHost {
  client(): Client;
  rules(): AttachmentRules;
  strategy(): NonNullable<ChatOptions["api"]>["uploadStrategy"];
  t(): Strings;
  changed(): void;
  complain(text: string, err?: unknown): void;
}

export class Files {
  #count = 0;

  constructor(private readonly host: FilesHost) {}

  /** Sends files at once; they go with the next message. */
  add(draft: Draft, files: Iterable<File>): void {
    for (const file of files) {
      const objection = objectionTo(file, this.host.rules(), draft.uploads.length, this.host.t());
      if (objection) this.host.complain(objection);
      else void this.#upload(draft, file);
    }
    this.host.changed();
  }

  /** Takes a file away, here and on the server. */
  remove(draft: Draft, upload: Upload): void {
    upload.stop?.abort();
    draft.uploads = draft.uploads.filter((it) => it !== upload);
    // One that is left over is swept by the server.
    if (upload.attachment) this.host.client().call("attachments.delete", { attachment_id: upload.attachment.id }).catch(() => undefined);
    this.host.changed();
  }

  async #upload(draft: Draft, file: File): Promise<void> {
    const client = this.host.client();
    const strategy = this.host.strategy();
    const t = this.host.t();
    const stop = new AbortController();
    const name = file.name || t.pastedFile;
    const upload: Upload = { key: `${name}-${(this.#count += 1)}`, name, size: file.size, state: "uploading", progress: 0, stop };
    draft.uploads = [...draft.uploads, upload];
    void thumbnail(file).then((it) => {
      upload.preview = it;
      this.host.changed();
    });
    const progress = (part: number): void => {
      upload.progress = part;
      this.host.changed();
    };
    try {
      upload.attachment = strategy?.type === "direct" ? await uploadAtOnce(client, strategy.uploadUrl, file, name, stop.signal) : await uploadInTwo(client, file, name, stop.signal, progress);
      upload.state = "ready";
    } catch (err) {
      draft.uploads = draft.uploads.filter((it) => it !== upload);
      if (!isAbort(err)) this.host.complain(err instanceof Refused && err.message ? sentence(err.message) : t.uploadFailed(name), err);
    }
    this.host.changed();
  }
}

/** The words of an error as a sentence. */
export function sentence(message: string): string {
  const text = message.charAt(0).toUpperCase() + message.slice(1);
  return /[.!?)]$/.test(text) ? text : `${text}.`;
}
