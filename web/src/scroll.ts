/** Where the transcript is read: at its end, unless the reader went up. */

const AT_END = 80;
/** So near the top, earlier messages are asked for. */
const AT_TOP = 400;

export interface ScrollHooks {
  /** Reached or left the end. */
  changed(): void;
  /** Whether there is something before the first message. */
  hasEarlier(): boolean;
  loadEarlier(): Promise<void>;
}

export class Scroll {
  #atEnd = true;
  #top = 0;
  #kept?: number;
  #loading = false;
  #watched?: Element;
  /** What grows after it was drawn, an image or a chart, pushes the end away. */
  #resize = new ResizeObserver(() => this.follow());

  constructor(
    private readonly root: () => ParentNode,
    private readonly hooks: ScrollHooks,
  ) {}

  get atEnd(): boolean {
    return this.#atEnd;
  }

  get #box(): HTMLElement | null {
    return this.root().querySelector(".scroll");
  }

  /** From now on the end stays in sight. */
  stick(): void {
    this.#atEnd = true;
  }

  /** From now on it stays where it is. */
  leave(): void {
    this.#atEnd = false;
  }

  /** To the end, if that is to be in sight. */
  follow(): void {
    const box = this.#box;
    if (!this.#atEnd || !box) return;
    box.scrollTop = box.scrollHeight;
    this.#top = box.scrollTop;
  }

  /** After each drawing. */
  drawn(): void {
    const transcript = this.root().querySelector(".transcript") ?? undefined;
    if (transcript !== this.#watched) {
      this.#resize.disconnect();
      this.#watched = transcript;
      if (transcript) this.#resize.observe(transcript);
    }
    const kept = this.#kept;
    if (kept !== undefined && !this.#loading) {
      this.#kept = undefined;
      // Items draw themselves after the chat.
      void Promise.resolve().then(() => {
        const box = this.#box;
        if (box) box.scrollTop = box.scrollHeight - kept;
      });
      return;
    }
    this.follow();
    void Promise.resolve().then(() => this.follow());
    requestAnimationFrame(() => this.follow());
  }

  readonly scrolled = (): void => {
    const box = this.#box;
    if (!box) return;
    const near = box.scrollHeight - box.scrollTop - box.clientHeight < AT_END;
    // Only who scrolls up leaves the end.
    const atEnd = near || (this.#atEnd && box.scrollTop >= this.#top - 1);
    this.#top = box.scrollTop;
    if (atEnd !== this.#atEnd) {
      this.#atEnd = atEnd;
      this.hooks.changed();
    }
    if (box.scrollTop < AT_TOP && !atEnd && this.hooks.hasEarlier()) void this.earlier();
  };

  /** Brings the page before, and keeps what is read in its place. */
  readonly earlier = async (): Promise<void> => {
    const box = this.#box;
    if (!box || this.#loading) return;
    this.#loading = true;
    await this.hooks.loadEarlier();
    this.#kept = box.scrollHeight - box.scrollTop;
    this.#loading = false;
    this.hooks.changed();
  };
}
