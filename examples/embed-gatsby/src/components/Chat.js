import { kitfoxFetch, loadElement, pageContext } from "@kitfox/kit";
import * as React from "react";

export function Chat({ server }) {
  // The first picture is that of the static page, which has no chat.
  const [mounted, setMounted] = React.useState(false);
  const [failure, setFailure] = React.useState();
  const panel = React.useRef(null);
  React.useEffect(() => setMounted(true), []);
  React.useEffect(() => {
    if (!mounted) return;
    loadElement({ src: `${server}/kitfox-chat.js` }).then(
      () => {
        const element = document.createElement("kitfox-chat");
        element.setOptions({ api: { url: `${server}/chatkit`, fetch: kitfoxFetch({ url: server, session: true, context: () => ({ pageContext: pageContext() }) }) } });
        panel.current?.replaceChildren(element);
      },
      (error) => setFailure(error.message),
    );
  }, [mounted, server]);
  if (!mounted) return null;
  return <aside aria-label="Chat">{failure ? <p role="alert">The chat is not available: {failure}</p> : <div ref={panel} />}</aside>;
}
