import { kitfoxFetch, loadElement, pageContext, selectionAsk } from "@kitfox/kit";
import React, { useCallback, useEffect, useRef, useState } from "react";

export function Chat({ server }) {
  const [open, setOpen] = useState(false);
  const [failure, setFailure] = useState();
  const panel = useRef(null);
  const chat = useRef(undefined);

  const show = useCallback(() => {
    setOpen(true);
    chat.current ??= load(server).then(
      (element) => {
        panel.current?.replaceChildren(element);
        return element;
      },
      (error) => {
        setFailure(error.message);
        chat.current = undefined;
      },
    );
    return chat.current;
  }, [server]);

  useEffect(() => selectionAsk({ onAsk: async (text) => (await show())?.sendUserMessage({ text: "Explain this.", reply: text }) }), [show]);

  return (
    <>
      <button type="button" className="chat-button" aria-expanded={open} onClick={() => (open ? setOpen(false) : show())}>Chat</button>
      <aside className="chat-panel" aria-label="Chat" hidden={!open}>
        {failure ? <p role="alert">The chat is not available: {failure}</p> : null}
        <div ref={panel} />
      </aside>
    </>
  );
}

async function load(server) {
  await loadElement({ src: `${server}/kitfox-chat.js` });
  const element = document.createElement("kitfox-chat");
  element.setOptions({ api: { url: `${server}/chatkit`, fetch: kitfoxFetch({ url: server, session: true, context: () => ({ pageContext: pageContext({ root: document.querySelector("article") ?? undefined }) }) }) } });
  return element;
}
