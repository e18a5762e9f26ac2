import type { MarkdownContext } from "../markdown";
import type { Attachment, ClientToolCallItem, EntitySource, FeedbackKind, Item, StructuredInputItem, UserMessageItem } from "../protocol";
import type { Strings } from "../strings";
import type { WidgetHost } from "../widgets/host";

/** What items of the transcript need of the chat around them. A new one means that all is to be drawn again. */
export interface ItemHost {
  t: Strings;
  locale: string;
  markdown: MarkdownContext;
  widgets: WidgetHost;
  feedback: boolean;
  retry: boolean;
  /** Whether the page runs client tools. */
  hasTools: boolean;
  image(src: unknown): string | undefined;
  preview(attachment: Attachment): string | undefined;
  again(key: string): void;
  reload(): void;
  dismiss(key: string): void;
  rate(item: Item, kind: FeedbackKind): Promise<boolean>;
  runCall(item: ClientToolCallItem): Promise<void>;
  answerCall(item: ClientToolCallItem, output: unknown): Promise<void>;
  ask(item: StructuredInputItem): void;
  entity(source: EntitySource | (UserMessageItem["content"][number] & { type: "input_tag" }), how: "click" | "enter" | "leave", anchor: HTMLElement): void;
}
