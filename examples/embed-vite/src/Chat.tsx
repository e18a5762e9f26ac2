import { kitfoxFetch, loadElement, pageContext } from "@kitfox/kit";
import { ChatKit, useChatKit } from "@openai/chatkit-react";
import { useEffect, useMemo, useRef, useState } from "react";

/** The address of your Kitfox server. */
const server = import.meta.env.VITE_KITFOX ?? "http://localhost:8000";

/** The vendor's React wrapper around Kitfox's element, which goes by the name `openai-chatkit` too. */
export function Chat({ basket }: { basket: string[] }) {
  const [failure, setFailure] = useState<string>();
  const [ready, setReady] = useState(false);
  useEffect(() => {
    loadElement({ src: `${server}/kitfox-chat.js?as=openai-chatkit`, tag: "openai-chatkit" }).then(
      () => setReady(true),
      (error: Error) => setFailure(error.message),
    );
  }, []);
  if (failure) return <p role="alert">The chat is not available: {failure}</p>;
  return ready ? <Ready basket={basket} /> : <p>Loading…</p>;
}

function Ready({ basket }: { basket: string[] }) {
  // What changes is read when a message is sent; the options stay the same.
  const latest = useRef(basket);
  latest.current = basket;
  const api = useMemo(() => ({
    url: `${server}/chatkit`,
    domainKey: "not-needed",
    fetch: kitfoxFetch({
      url: server,
      session: true,
      context: () => ({ pageContext: { ...pageContext(), basket: latest.current } }),
    }),
  }), []);
  const { control } = useChatKit({
    api,
    startScreen: { greeting: "Which tea would you like?", prompts: [{ label: "What is in my basket?", prompt: "What is in my basket?" }] },
  });
  return <ChatKit control={control} className="chat" />;
}
