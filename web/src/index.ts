/**
 * The element's script: `<script type="module" src="https://HOST/kitfox-chat.js">` defines `<kitfox-chat>`;
 * `?as=openai-chatkit` defines `<openai-chatkit>` as well, for pages that were written for it.
 */
import { KitfoxChat } from "./chat";
import { OpenAIChatKit } from "./stand-in";
import { ChatComposer } from "./view/composer";
import { ChatHistory } from "./view/history";
import { ChatItem } from "./view/item";

export { KitfoxChat, OpenAIChatKit };
export type * from "./options";
export type * from "./protocol";

function define(name: string, element: CustomElementConstructor): void {
  // A page may bring the script twice.
  if (!customElements.get(name)) customElements.define(name, element);
}

define("kitfox-chat-item", ChatItem);
define("kitfox-chat-composer", ChatComposer);
define("kitfox-chat-history", ChatHistory);
define("kitfox-chat", KitfoxChat);
if (new URL(import.meta.url).searchParams.get("as") === "openai-chatkit") define("openai-chatkit", OpenAIChatKit);
