// The address of your Kitfox server: the only line to change.
const server = "http://localhost:8000";

const panel = document.querySelector("#panel");
const button = document.querySelector("#open");
let chat;

button.addEventListener("click", () => show(panel.hidden));

async function show(open) {
  panel.hidden = !open;
  button.setAttribute("aria-expanded", String(open));
  if (open) chat ??= load();
  return chat;
}

/** Loads everything at the first click; the page costs nothing before. */
async function load() {
  try {
    const { kitfoxFetch, loadElement, pageContext } = await import(`${server}/kitfox-kit.js`);
    await loadElement({ src: `${server}/kitfox-chat.js` });
    const element = document.createElement("kitfox-chat");
    element.setOptions({
      api: { url: `${server}/chatkit`, fetch: kitfoxFetch({ url: server, session: true, context: () => ({ pageContext: pageContext() }) }) },
    });
    panel.replaceChildren(element);
    return element;
  } catch (error) {
    const text = document.createElement("p");
    text.className = "failed";
    text.textContent = `The chat is not available: ${error.message}`;
    panel.replaceChildren(text);
    chat = undefined;
  }
}

// Selections are asked about from the start, where the server is there.
import(`${server}/kitfox-kit.js`).then(({ selectionAsk }) =>
  selectionAsk({
    async onAsk(text) {
      const element = await show(true);
      await element?.sendUserMessage({ text: "Explain this.", reply: text });
    },
  }),
).catch(() => undefined);
