/** The page: which conversation is open, the composer, the start screen, and how the parts meet. */
import { ConnectionLost, ENDPOINT, Refused, call, find, signOut, webAddress } from "./api.js";
import { Conversation, sentence } from "./conversation.js";
import { el, icon, iconButton, memory } from "./dom.js";
import { Inspector } from "./inspector.js";
import { ThreadList, titleOf } from "./threads.js";
import { Uploads } from "./uploads.js";

const at = (id) => document.getElementById(id);
const page = {
  app: at("app"), scroll: at("scroll"), transcript: at("transcript"), title: at("title"), start: at("start"),
  prompts: at("prompts"), message: at("message"), send: at("send"), composer: at("composer"), alerts: at("alerts"),
  model: at("model"), toast: at("toast"), announcer: at("announcer"), latest: at("latest"),
};
const narrow = window.matchMedia("(max-width: 60rem)");
const DEFAULT_GREETING = "What can I help with?";

/** Conversations with a running turn stay alive while another one is open. */
const running = new Map();
let open;
let options = {};
let generation;
/** Counts the conversations that were opened, so that a slow load does not overtake a later click. */
let opened = 0;

// Conversations

const hooks = {
  thread(conversation, thread) {
    threads.put(thread);
    if (conversation.running) running.set(thread.id, conversation);
    if (conversation !== open) return;
    if (location.hash.slice(1) !== thread.id) {
      history.replaceState(null, "", `#${thread.id}`);
      memory.set("draft.new", null, "sessionStorage");
      keepDraft();
      uploads.show(thread.id);
    }
    threads.select(thread.id);
    inspector.follow(thread.id);
    showHead();
  },
  changed(conversation) {
    if (!conversation.running) running.delete(conversation.id);
    else if (conversation.id) running.set(conversation.id, conversation);
    if (conversation === open) showHead();
  },
  grew(conversation, always) {
    if (conversation === open) scrollToEnd(always);
  },
  announce(text) {
    page.announcer.append(el("p", {}, text));
    while (page.announcer.childElementCount > 5) page.announcer.firstChild.remove();
  },
  failed(err, conversation) {
    if (conversation === undefined || conversation === open) alertOf(err);
  },
};

const uploads = new Uploads({ button: at("attach"), input: at("files"), list: at("uploads") }, {
  changed: () => open && showHead(),
  failed: (err) => alertOf(err),
});

const threads = new ThreadList(at("threads"), {
  open: (id) => go(id),
  renamed(thread) {
    if (open.id !== thread.id) return;
    open.thread = thread;
    showHead();
  },
  remove,
  failed: (err) => alertOf(err),
});

/** Opens a thread, or a new chat without an id, and has the address say so. */
function go(id) {
  if (location.hash.slice(1) !== (id ?? "")) history.pushState(null, "", id ? `#${id}` : location.pathname + location.search);
  toggleSidebar(false, { onlyNarrow: true });
  return show(id);
}

async function show(id) {
  if (open && open.id === id && (id || open.isEmpty)) return;
  opened += 1;
  const ticket = opened;
  keepDraft();
  clearAlerts();
  const alive = running.get(id);
  set(alive ?? new Conversation(id && (threads.find(id) ?? { id }), hooks));
  if (!narrow.matches) page.message.focus();
  if (!id || alive) return;

  page.transcript.setAttribute("aria-busy", "true");
  try {
    await open.load();
    if (ticket === opened) scrollToEnd(true);
  } catch (err) {
    if (ticket !== opened) return;
    if (err instanceof Refused && err.status === 404) {
      threads.drop(id);
      go(undefined);
      alertText("warning", "That conversation is not there (any more).");
    } else {
      alertOf(err, () => open.reload());
    }
  } finally {
    if (ticket === opened) page.transcript.removeAttribute("aria-busy");
  }
}

function set(conversation) {
  open = conversation;
  page.transcript.replaceChildren(conversation.node);
  page.message.value = memory.get(`draft.${draftOf(conversation)}`, "sessionStorage") ?? "";
  fitComposer();
  uploads.show(draftOf(conversation));
  threads.select(conversation.id);
  inspector.follow(conversation.id);
  showHead();
  scrollToEnd(true);
}

/** What the drafts of a conversation are kept under. */
function draftOf(conversation) {
  return conversation.id ?? "new";
}

async function remove(thread) {
  at("confirm-text").textContent = `“${titleOf(thread)}” and its messages will be gone for good.`;
  const dialog = at("confirm");
  dialog.returnValue = "no";
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  if (dialog.returnValue !== "yes") return;
  try {
    await call("threads.delete", { thread_id: thread.id });
  } catch (err) {
    if (!(err instanceof Refused && err.status === 404)) {
      alertOf(err);
      return;
    }
  }
  running.get(thread.id)?.stop();
  threads.drop(thread.id);
  if (open.id === thread.id) go(undefined);
}

/** All around the transcript that depends on the open conversation. */
function showHead() {
  const title = open.id ? titleOf(open.thread) : "New chat";
  page.title.textContent = title;
  document.title = open.id ? `${title} · Kitfox` : "Kitfox";
  page.start.hidden = Boolean(open.id) || !open.isEmpty;
  page.app.classList.toggle("starting", !page.start.hidden);

  const barrier = open.barrier;
  page.message.disabled = barrier !== undefined;
  page.message.placeholder = barrier ?? "Write a message…";
  page.app.classList.toggle("barred", barrier !== undefined && !open.running);
  const stops = open.running;
  page.send.classList.toggle("stops", stops);
  page.send.querySelector("use").setAttribute("href", stops ? "#icon-stop" : "#icon-send");
  for (const name of ["aria-label", "title"]) page.send.setAttribute(name, stops ? "Stop (Escape)" : "Send");
  const empty = page.message.value.trim() === "" && uploads.count === 0;
  page.send.disabled = stops ? !open.allowCancel : barrier !== undefined || empty || !uploads.ready;
}

// Composer

async function send(text) {
  const conversation = open;
  if ((text.trim() === "" && uploads.count === 0) || !uploads.ready || conversation.running || conversation.barrier) return;
  clearAlerts();
  write("");
  const attachments = uploads.take();
  const taken = conversation.send(text.trim(), page.model.value, attachments);
  showHead();
  if (await taken) return;
  uploads.putBack(draftOf(conversation), attachments);
  // The text goes back to where it was typed, before what was typed since.
  if (conversation === open) write([text, page.message.value].filter((it) => it !== "").join("\n"));
  else memory.set(`draft.${draftOf(conversation)}`, text, "sessionStorage");
  showHead();
}

function write(text) {
  page.message.value = text;
  keepDraft();
  fitComposer();
  showHead();
}

function keepDraft() {
  if (open) memory.set(`draft.${draftOf(open)}`, page.message.value, "sessionStorage");
}

/** Where the browser does not grow text fields by itself. */
function fitComposer() {
  if (CSS.supports("field-sizing", "content")) return;
  page.message.style.height = "auto";
  page.message.style.height = `${page.message.scrollHeight}px`;
}

page.composer.addEventListener("submit", (event) => {
  event.preventDefault();
  if (open.running) open.stop();
  else send(page.message.value);
});

page.message.addEventListener("input", () => {
  keepDraft();
  fitComposer();
  showHead();
});

page.message.addEventListener("keydown", (event) => {
  // 229: the Enter that ends a composition in Safari.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  send(page.message.value);
});

page.message.addEventListener("paste", (event) => {
  if (!uploads.offered || event.clipboardData.files.length === 0 || event.clipboardData.types.includes("text/plain")) return;
  event.preventDefault();
  uploads.add(event.clipboardData.files);
});

for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    const brings = uploads.offered && open.barrier === undefined && event.dataTransfer?.types.includes("Files");
    page.composer.classList.toggle("dropping", brings && name === "dragover");
    if (!brings || name === "dragleave") return;
    event.preventDefault();
    if (name === "drop") uploads.add(event.dataTransfer.files);
  });
}

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.defaultPrevented || document.querySelector("dialog[open]")) return;
  if (narrow.matches && page.app.classList.contains("sidebar-open")) toggleSidebar(false);
  else if (page.app.classList.contains("inspector-open") && isOverlay(at("inspector"))) toggleInspector(false);
  else open.stop();
});

// Start screen and models

function showStart() {
  at("greeting").textContent = options.greeting || DEFAULT_GREETING;
  at("start-hint").hidden = generation === undefined;
  const prompts = options.prompts?.length > 0 ? options.prompts : examples();
  page.prompts.replaceChildren(
    ...prompts.slice(0, 12).map(({ label, prompt }) => el("button", { type: "button", onclick: () => usePrompt(prompt) }, label || prompt)),
  );
}

/** Up to four sentences that tools can answer, one of a tool. */
function examples() {
  const first = (generation?.tools ?? []).map((it) => it.examples?.[0]).filter((it) => typeof it === "string");
  return first.slice(0, 4).map((it) => ({ label: it.replace(/\{(\w+)\}/g, (_, name) => `‹${name.replaceAll("_", " ")}›`), prompt: it }));
}

/** Sends a prompt, or has its first `{placeholder}` filled in before. */
function usePrompt(prompt) {
  const gap = /\{\w+\}/.exec(prompt);
  if (!gap) {
    send(prompt);
    return;
  }
  write(prompt);
  page.message.focus();
  page.message.setSelectionRange(gap.index, gap.index + gap[0].length);
}

function showModels() {
  const models = options.models ?? [];
  at("model-label").hidden = models.length < 2;
  page.model.replaceChildren(...models.map(({ id, label }) => el("option", { value: id }, label || id)));
  const kept = memory.get("model");
  const chosen = models.find((it) => it.id === kept) ?? models.find((it) => it.default) ?? models[0];
  // A single model, or none: the server chooses.
  if (models.length < 2) page.model.replaceChildren();
  else page.model.value = chosen.id;
}

page.model.addEventListener("change", () => memory.set("model", page.model.value));

async function loadOptions() {
  try {
    options = (await find(`${ENDPOINT}/options`)) ?? {};
  } catch {
    return; // What else is wrong, the list of conversations says.
  }
  showStart();
  showModels();
  showLogin();
  uploads.offer(options.attachments);
}

// Scrolling

let atEnd = true;

function scrollToEnd(always = false) {
  if (always) atEnd = true;
  if (atEnd) page.scroll.scrollTop = page.scroll.scrollHeight;
  page.latest.hidden = atEnd;
}

page.scroll.addEventListener("scroll", () => {
  atEnd = page.scroll.scrollHeight - page.scroll.scrollTop - page.scroll.clientHeight < 80;
  page.latest.hidden = atEnd;
}, { passive: true });
page.latest.addEventListener("click", () => {
  scrollToEnd(true);
  page.message.focus();
});
new ResizeObserver(() => scrollToEnd()).observe(page.scroll);

// What went wrong, told above the composer

function alertText(level, text, action) {
  const alert = el(
    "div",
    { class: `alert ${level}` },
    icon(level === "info" ? "info" : "alert"),
    el("span", {}, text),
    action,
    iconButton("close", "Dismiss", () => alert.remove()),
  );
  page.alerts.replaceChildren(alert);
}

function alertOf(err, again) {
  const reload = el("button", { type: "button", onclick: () => location.reload() }, "Reload the page");
  if (err.name === "AbortError") return;
  if (err instanceof Refused && err.status === 401 && err.signIn) {
    const signIn = el("button", { type: "button", onclick: () => leaveToSignIn(err.signIn) }, "Sign in");
    alertText("info", `${sentence(err.message)} What you typed stays here.`, signIn);
  } else if (err instanceof Refused && err.status === 401) {
    alertText("info", `You are not signed in: ${err.message.replace(/\.$/, "")}. Sign in, then reload this page; what you typed stays here.`, reload);
  } else if (err instanceof ConnectionLost) {
    alertText("danger", `${sentence(err.message)} Is it running, and are you online? What you typed stays here.`, again && el("button", { type: "button", onclick: again }, "Try again"));
  } else if (err instanceof Refused) {
    alertText(err.status < 500 ? "warning" : "danger", sentence(err.message));
  } else {
    console.error(err);
    alertText("danger", "Something went wrong in this page. Reloading it may help.", reload);
  }
}

/** Goes to where users log in, and comes back to where the page is now. */
function leaveToSignIn(signIn) {
  keepDraft();
  const url = new URL(signIn);
  if (url.origin === location.origin) url.searchParams.set("next", location.pathname + location.search + location.hash);
  location.assign(url);
}

/** Who is signed in, or the way in, where users log in by this page. */
function showLogin() {
  const { login } = options;
  const account = at("account");
  account.hidden = login === undefined;
  if (login === undefined) return;
  const leave = async () => {
    try {
      location.assign((await signOut(webAddress(login.sign_out))) ?? location.pathname);
    } catch (err) {
      alertOf(err);
    }
  };
  const signIn = webAddress(login.sign_in);
  const name = signIn ? "Not signed in" : login.name || login.email || "Signed in";
  account.replaceChildren(
    el("span", { class: "account-name", title: login.email }, name),
    signIn
      ? el("button", { type: "button", class: "quiet", onclick: () => leaveToSignIn(signIn) }, "Sign in")
      : el("button", { type: "button", class: "quiet", onclick: leave }, "Sign out"),
  );
}

function clearAlerts() {
  page.alerts.replaceChildren();
}

window.addEventListener("offline", () => alertText("warning", "You are offline. What you type stays here."));
window.addEventListener("online", () => {
  clearAlerts();
  threads.load();
});

// Panels

function toggleSidebar(shown, { onlyNarrow = false } = {}) {
  if (onlyNarrow && !narrow.matches) return;
  const name = narrow.matches ? "sidebar-open" : "sidebar-closed";
  const on = narrow.matches ? shown : !shown;
  page.app.classList.toggle(name, on);
  if (!narrow.matches) memory.set("sidebar", shown ? null : "closed");
  showPanels();
  if (narrow.matches) (shown ? at("close-sidebar") : at("open-sidebar")).focus();
}

function toggleInspector(shown, { remember = true } = {}) {
  page.app.classList.toggle("inspector-open", shown);
  if (remember && !isOverlay(at("inspector"))) memory.set("inspector", shown ? null : "closed");
  showPanels();
  if (remember) (shown ? at("inspector").querySelector("button") : at("open-inspector"))?.focus();
}

/** Panels that lie over the chat take the keyboard with them; hidden ones cannot be reached. */
function showPanels() {
  const { classList } = page.app;
  const sidebar = narrow.matches ? classList.contains("sidebar-open") : !classList.contains("sidebar-closed");
  const inspector = generation !== undefined && classList.contains("inspector-open");
  at("inspector").hidden = !inspector;
  at("sidebar").inert = !sidebar;
  at("open-sidebar").setAttribute("aria-expanded", String(sidebar));
  at("open-inspector").setAttribute("aria-expanded", String(inspector));
  const covered = (narrow.matches && sidebar) || (inspector && isOverlay(at("inspector")));
  document.querySelector("main").inert = covered;
  at("backdrop").classList.toggle("on", covered);
}

function isOverlay(panel) {
  return getComputedStyle(panel).position === "fixed";
}

at("open-sidebar").addEventListener("click", () => toggleSidebar(at("sidebar").inert));
at("close-sidebar").addEventListener("click", () => toggleSidebar(false));
at("open-inspector").addEventListener("click", () => toggleInspector(at("inspector").hidden));
at("backdrop").addEventListener("click", () => {
  page.app.classList.remove("sidebar-open");
  if (isOverlay(at("inspector"))) page.app.classList.remove("inspector-open");
  showPanels();
});
at("new-chat").addEventListener("click", () => {
  go(undefined);
  page.message.focus();
});
narrow.addEventListener("change", showPanels);
window.addEventListener("resize", showPanels);

// The project

const inspector = new Inspector(at("inspector"), {
  available(first) {
    generation = first;
    at("open-inspector").hidden = false;
    const wide = !isOverlay(at("inspector"));
    toggleInspector(wide && memory.get("inspector") !== "closed", { remember: false });
    showStart();
  },
  reloaded(words, now) {
    generation = now;
    loadOptions();
    toast(`Reloaded: ${words}`);
  },
  errors(list) {
    showLoadErrors(list);
  },
  close: () => toggleInspector(false),
});

function showLoadErrors(list) {
  const count = at("error-count");
  count.hidden = list.length === 0;
  count.dataset.count = String(list.length);
  at("open-inspector").setAttribute("aria-label", `Show or hide the project panel${list.length > 0 ? ` (not loaded: ${list.length})` : ""}`);
  const strip = at("load-errors");
  strip.hidden = list.length === 0;
  if (list.length === 0) return;
  const files = [...new Set(list.map((it) => it.file))];
  strip.replaceChildren(
    icon("alert"),
    el("span", {}, el("code", {}, files[0]), files.length > 1 && ` and ${files.length - 1} more`, " could not be loaded", el("span", { class: "wide" }, "; all else goes on")),
    el("button", { type: "button", onclick: () => showErrors() }, "Show"),
  );
}

function showErrors() {
  toggleInspector(true);
  at("inspector").querySelector(".inspector-body").scrollTop = 0;
}

let toastTimer;

function toast(text) {
  clearTimeout(toastTimer);
  page.toast.replaceChildren(el("span", {}, text));
  toastTimer = setTimeout(() => page.toast.replaceChildren(), 6000);
}

// Begin

if (memory.get("sidebar") === "closed") page.app.classList.add("sidebar-closed");
window.addEventListener("popstate", () => show(location.hash.slice(1) || undefined));
showStart();
showPanels();
show(location.hash.slice(1) || undefined);
// One request goes ahead: a browser without a session gets its cookie by it, and the others bring that along.
await Promise.race([threads.load(), new Promise((resolve) => { setTimeout(resolve, 1500); })]);
loadOptions();
inspector.start();
