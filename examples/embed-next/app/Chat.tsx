"use client";

import { kitfoxFetch, loadElement, pageContext } from "@kitfox/kit";
import { ChatKit, useChatKit } from "@openai/chatkit-react";
import { useRouter } from "next/navigation";
import { useEffect, useMemo, useState } from "react";

/** The route of this site that passes requests on. */
const proxy = "/api/kitfox";

export function Chat() {
  const [state, setState] = useState<"loading" | "ready" | string>("loading");
  useEffect(() => {
    loadElement({ src: `${proxy}/kitfox-chat.js?as=openai-chatkit`, tag: "openai-chatkit" }).then(
      () => setState("ready"),
      (error: Error) => setState(error.message),
    );
  }, []);
  if (state === "loading") return <p>Loading…</p>;
  return state === "ready" ? <Ready /> : <p role="alert">The chat is not available: {state}</p>;
}

function Ready() {
  const router = useRouter();
  const api = useMemo(() => ({
    url: `${proxy}/chatkit`,
    domainKey: "not-needed",
    fetch: kitfoxFetch({
      context: () => ({ pageContext: pageContext() }),
      // The login has ended: the page asks for a new one.
      login: () => {
        router.refresh();
        return false;
      },
    }),
  }), [router]);
  const { control } = useChatKit({ api });
  return <ChatKit control={control} className="chat" />;
}
