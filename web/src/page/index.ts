/** The page at `/`: the chat, and beside it what it is made of. */
import type { KitfoxChat } from "../chat";
import type { KitfoxInspector } from "../inspector/index";
import { currentUser } from "../inspector/users";
import { directionOf } from "../strings";
import { look } from "./look";
import { loadOfficial } from "./official";

const wide = matchMedia("(min-width: 72rem)");
const said = (name: string): string | undefined => document.querySelector<HTMLMetaElement>(`meta[name="${name}"]`)?.content;
/** Relative to the page, so that a proxy may serve it all below a path of its own. */
const endpoint = new URL(said("chatkit-endpoint") || "chatkit", document.baseURI).href;

document.adoptedStyleSheets = [look];

const main = document.createElement("main");
/** Nothing but its name, until the server lets somebody look. */
const inspector = document.createElement("kitfox-inspector") as KitfoxInspector;
inspector.hidden = true;
const toast = document.createElement("div");
toast.className = "toast";
toast.setAttribute("role", "status");
const backdrop = document.createElement("div");
backdrop.className = "backdrop";
inspector.dir = "ltr";
main.append(toast);
document.body.replaceChildren(main, backdrop, inspector);

/** What those who may look into the project are told at the start. */
const NOTES: Record<string, string | undefined> = {
  en: "This agent is made of files. Edit `prompts/*.md` or drop a script into `plugins/`: your next message uses it.",
  de: "Dieser Agent besteht aus Dateien. Ändere `prompts/*.md` oder lege ein Skript in `plugins/`: schon deine nächste Nachricht nutzt es.",
  ja: "このエージェントはファイルでできています。`prompts/*.md` を編集するか、`plugins/` にスクリプトを置くと、次のメッセージから使われます。",
  ar: "هذا الوكيل مصنوع من ملفات. عدّل `prompts/*.md` أو ضع نصًا برمجيًا في `plugins/`: تستخدمه رسالتك التالية.",
};

/** What says who asks: a developer may go on as another user. */
let identity: Record<string, string> = {};
const send: typeof fetch = (input, init) => {
  const headers = new Headers(init?.headers ?? (input instanceof Request ? input.headers : undefined));
  for (const [name, value] of Object.entries(identity)) headers.set(name, value);
  return fetch(input, { ...init, headers });
};
inspector.request = send;

void begin();
void bringInspector();

async function begin(): Promise<void> {
  const element = said("kitfox-element") ?? "builtin";
  if (element !== "builtin" && (await loadOfficial(main, { endpoint, fetch: send, domainKey: said("chatkit-domain-key") ?? "local", only: element === "official" }))) {
    beside(undefined);
    return;
  }
  const script = document.querySelector<HTMLLinkElement>('link[rel="modulepreload"]')?.href ?? new URL("kitfox-chat.js", document.baseURI).href;
  await import(script);
  // Where nobody may look into the project, the chat does not wait for it; a chosen user is known only by it.
  if (currentUser() !== undefined) await Promise.race([new Promise((resolve) => { inspector.addEventListener("kitfox-user", resolve, { once: true }); }), new Promise((resolve) => { setTimeout(resolve, 800); })]);
  const chat = document.createElement("kitfox-chat") as KitfoxChat;
  chat.sidebar = true;
  chat.locale = navigator.language;
  document.body.dir = directionOf(navigator.language);
  const logo = document.createElement("img");
  logo.src = document.querySelector<HTMLLinkElement>('link[rel="icon"]')?.href ?? "favicon.svg";
  logo.alt = "";
  logo.width = 56;
  logo.height = 56;
  logo.slot = "logo";
  chat.append(logo);
  beside(chat);
  main.append(chat);
}

/** Brings what the inspector is made of, but not to those who may not look. */
async function bringInspector(): Promise<void> {
  const refused = await send("api/generation", { method: "HEAD" }).then(({ status }) => status === 401 || status === 403 || status === 404, () => false);
  if (!refused) await import(new URL("kitfox-inspector.js", import.meta.url).href);
}

/** Ties the inspector to the chat, and both to the address. */
function beside(chat: KitfoxChat | undefined): void {
  let errors = 0;
  let open = false;
  let available = customElements.get("kitfox-inspector") !== undefined && inspector.available;
  let title: string | undefined;

  const show = (wanted: boolean): void => {
    open = wanted && available;
    inspector.hidden = !open;
    const over = open && !wide.matches;
    main.inert = over;
    backdrop.classList.toggle("on", over);
    document.body.classList.toggle("with-inspector", open);
    dress();
  };
  const dress = (): void => {
    if (!chat) return;
    const label = errors > 0 ? `Project (${errors} not loaded)` : "Project";
    chat.setOptions({
      api: { url: endpoint, fetch: send },
      initialThread: location.hash.slice(1) || null,
      startScreen: available ? { note: NOTES[navigator.language.slice(0, 2)] ?? NOTES.en } : {},
      ...(available && { header: { rightAction: { icon: open ? "sidebar-collapse-right" : "sidebar-open-right", label, badge: errors, onClick: () => toggle(!open) } } }),
    });
  };
  const toggle = (wanted: boolean): void => {
    if (wide.matches) remember(wanted ? undefined : "closed");
    show(wanted);
    if (wanted && !wide.matches) inspector.shadowRoot?.querySelector("button")?.focus();
  };

  inspector.addEventListener("kitfox-available", () => {
    available = true;
    show(wide.matches && remembered() !== "closed");
  });
  inspector.addEventListener("kitfox-errors", (event) => {
    errors = detailOf<{ errors: unknown[] }>(event).errors.length;
    dress();
  });
  inspector.addEventListener("kitfox-reloaded", (event) => {
    // The inspector says so itself where it is in sight.
    if (!open) tell(`Reloaded: ${detailOf<{ sentence: string }>(event).sentence}`);
    void chat?.refreshOptions();
  });
  inspector.addEventListener("kitfox-try", (event) => {
    if (!wide.matches) show(false);
    void chat?.setComposerValue({ text: detailOf<{ text: string }>(event).text }).then(() => chat.focusComposer());
  });
  inspector.addEventListener("kitfox-user", (event) => {
    const { headers } = detailOf<{ headers: Record<string, string> }>(event);
    if (JSON.stringify(headers) === JSON.stringify(identity)) return;
    identity = headers;
    // A new function: the inspector asks again, as the new user.
    inspector.request = (...request) => send(...request);
    if (!chat?.isConnected) return;
    history.replaceState(null, "", location.pathname + location.search);
    dress();
    void chat.restart();
  });
  inspector.addEventListener("kitfox-close", () => toggle(false));
  backdrop.addEventListener("click", () => toggle(false));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && open && !wide.matches && !event.defaultPrevented) toggle(false);
  });
  wide.addEventListener("change", () => show(wide.matches && remembered() !== "closed"));

  chat?.addEventListener("chatkit.thread.change", (event) => {
    const { threadId } = detailOf<{ threadId: string | null }>(event);
    inspector.thread = threadId ?? undefined;
    const now = location.hash.slice(1);
    if (now !== (threadId ?? "")) {
      const address = threadId === null ? location.pathname + location.search : `#${threadId}`;
      // A thread that was just created takes the place of the new chat that it was.
      if (now === "" && threadId !== null && chat.threadId === threadId) history.replaceState(null, "", address);
      else history.pushState(null, "", address);
    }
    if (threadId === null) document.title = "Kitfox";
  });
  chat?.addEventListener("kitfox.thread", (event) => {
    title = detailOf<{ thread: { title?: string } }>(event).thread.title;
    document.title = title ? `${title} · Kitfox` : "Kitfox";
  });
  chat?.addEventListener("chatkit.effect", (event) => {
    const { name } = detailOf<{ name: string }>(event);
    chat.toggleAttribute("data-effect", true);
    setTimeout(() => chat.toggleAttribute("data-effect", false), 900);
    console.info(`the page was asked for the effect \`${name}\``);
  });
  window.addEventListener("popstate", () => void chat?.setThreadId(location.hash.slice(1) || null));

  inspector.thread = location.hash.slice(1) || undefined;
  if (available) show(wide.matches && remembered() !== "closed");
  else dress();
}

function detailOf<T>(event: Event): T {
  return (event as CustomEvent<T>).detail;
}

let toastTimer: ReturnType<typeof setTimeout> | undefined;

function tell(text: string): void {
  clearTimeout(toastTimer);
  const line = document.createElement("span");
  line.textContent = text;
  toast.replaceChildren(line);
  toastTimer = setTimeout(() => toast.replaceChildren(), 6000);
}

function remembered(): string | undefined {
  try {
    return localStorage.getItem("kitfox.inspector") ?? undefined;
  } catch {
    return undefined;
  }
}

function remember(value: string | undefined): void {
  try {
    if (value === undefined) localStorage.removeItem("kitfox.inspector");
    else localStorage.setItem("kitfox.inspector", value);
  } catch {
    // It lasts as long as the page.
  }
}
