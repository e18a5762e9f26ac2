import { kitfoxFetch, loadElement, pageContext } from "@kitfox/kit";
import { ChatKit, useChatKit } from "@openai/chatkit-react";
import { useEffect, useMemo, useState } from "react";

/** The address of your Kitfox server. */
const server = import.meta.env.VITE_KITFOX ?? "http://localhost:8000";

/** On the server there is no element: it is shown once the browser has it. It stays while the visitor goes from page to page. */
export function Chat() {
  const [state, setState] = useState("loading");
  useEffect(() => {
    loadElement({ src: `${server}/kitfox-chat.js?as=openai-chatkit`, tag: "openai-chatkit" }).then(
      () => setState("ready"),
      (error: Error) => setState(error.message),
    );
  }, []);
  if (state === "loading") return <p>Loading…</p>;
  return state === "ready" ? <Ready /> : <p role="alert">The chat is not available: {state}</p>;
}

function Ready() {
  const api = useMemo(() => ({
    url: `${server}/chatkit`,
    domainKey: "not-needed",
    fetch: kitfoxFetch({ url: server, session: true, context: () => ({ pageContext: pageContext() }) }),
  }), []);
  const { control } = useChatKit({ api });
  return <ChatKit control={control} className="chat" />;
}
