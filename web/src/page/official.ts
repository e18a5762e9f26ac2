/** The vendor's own element, where the operator wants it in place of ours. */

const SCRIPT = "https://cdn.platform.openai.com/deployments/chatkit/chatkit.js";
const PATIENCE = 4000;

interface Official extends HTMLElement {
  setOptions(options: unknown): void;
}

interface Settings {
  endpoint: string;
  fetch: typeof fetch;
  domainKey: string;
  /** Nothing takes its place where it cannot be had. */
  only: boolean;
}

/** Whether the vendor's element shows the chat now. */
export async function loadOfficial(place: HTMLElement, { endpoint, fetch, domainKey, only }: Settings): Promise<boolean> {
  try {
    await load();
  } catch (err) {
    if (!only) return false;
    place.textContent = `The vendor's chat element could not be loaded (${err instanceof Error ? err.message : "it failed"}). With element = "auto" in kitfox.toml, Kitfox's own takes its place.`;
    return true;
  }
  const chat = document.createElement("openai-chatkit") as Official;
  chat.setOptions({ api: { url: endpoint, domainKey, fetch }, theme: matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light" });
  place.append(chat);
  return true;
}

/** `whenDefined` never fails: a script that cannot be had is noticed by its error, or by a clock. */
function load(): Promise<void> {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = SCRIPT;
    script.async = true;
    const timer = setTimeout(() => reject(new Error("it took too long")), PATIENCE);
    script.addEventListener("error", () => reject(new Error("the script was refused or cannot be reached")));
    void customElements.whenDefined("openai-chatkit").then(() => {
      clearTimeout(timer);
      resolve();
    });
    document.head.append(script);
  });
}
