/** A recording from the microphone. */
export class Recording {
  #recorder: MediaRecorder;
  #pieces: Blob[] = [];

  private constructor(stream: MediaStream) {
    this.#recorder = new MediaRecorder(stream);
    this.#recorder.addEventListener("dataavailable", ({ data }) => this.#pieces.push(data));
    this.#recorder.start();
  }

  static get possible(): boolean {
    return typeof MediaRecorder === "function" && typeof navigator.mediaDevices?.getUserMedia === "function";
  }

  /** Asks for the microphone; fails where the user or the page's policy does not give it. */
  static async start(): Promise<Recording> {
    return new Recording(await navigator.mediaDevices.getUserMedia({ audio: true }));
  }

  /** Ends the recording, and gives it as the server takes it. */
  async stop(): Promise<{ audio_base64: string; mime_type: string }> {
    const stopped = new Promise((resolve) => { this.#recorder.addEventListener("stop", resolve, { once: true }); });
    this.#recorder.stop();
    await stopped;
    this.#release();
    const blob = new Blob(this.#pieces, { type: this.#recorder.mimeType });
    const buffer = new Uint8Array(await blob.arrayBuffer());
    let binary = "";
    for (let at = 0; at < buffer.length; at += 0x8000) binary += String.fromCharCode(...buffer.subarray(at, at + 0x8000));
    return { audio_base64: btoa(binary), mime_type: this.#recorder.mimeType };
  }

  cancel(): void {
    if (this.#recorder.state !== "inactive") this.#recorder.stop();
    this.#release();
  }

  #release(): void {
    for (const track of this.#recorder.stream.getTracks()) track.stop();
  }
}
