/** `<openai-chatkit>`: the options, events and methods of `@openai/chatkit`, over a server of one's own. */
import { KitfoxChat } from "./chat";
import type { Defaults } from "./options";

export class OpenAIChatKit extends KitfoxChat {
  protected override readonly defaults: Defaults = { feedback: false, retry: false, asks: false, scheme: "light", commands: false, follows: false };

  /** It waits for `setOptions`, as the page says only there which server it talks to. */
  protected override readonly startsByItself = false;
}
