/** What is being written in a conversation. No DOM. */
import type { ToolOption } from "./options";
import type { StructuredInputSubmission } from "./protocol";
import type { Tag } from "./tags";
import type { Upload } from "./uploads";

export class Draft {
  text = "";
  tags: Tag[] = [];
  uploads: Upload[] = [];
  quote?: string;
  tool?: ToolOption;

  get isEmpty(): boolean {
    return this.text.trim() === "" && this.uploads.length === 0;
  }

  /** Whether all files are there to be sent. */
  get isReady(): boolean {
    return this.uploads.every((it) => it.state === "ready");
  }
}

/** Answers that are being given, by the id of their question. */
export type Answers = Record<string, { choices: string[]; other: string; otherChosen: boolean }>;

/** What is sent for the answers; where no question has one, all are skipped. */
export function submissionOf(ids: readonly string[], answers: Answers): StructuredInputSubmission {
  const values = ids.map((id) => [id, valuesOf(answers[id])] as const);
  if (values.every(([, it]) => it.length === 0)) return { status: "skipped", answers: {} };
  return { status: "answered", answers: Object.fromEntries(values.map(([id, it]) => [id, it.length > 0 ? { values: it } : { values: [], skipped: true }])) };
}

export function valuesOf(answer: Answers[string] | undefined): string[] {
  if (!answer) return [];
  const other = answer.otherChosen ? answer.other.trim() : "";
  return [...answer.choices, ...(other === "" ? [] : [other])];
}
