/** Something, or what gives it each time it is needed. */
export type Given<T> = T | (() => T | Promise<T>);

export interface KitfoxUser {
  id: string;
  name?: string;
  email?: string;
}

/** What goes along with each message. Prompts and plugins see `pageContext` as `page` and `selectedText` as `selected_text`. */
export interface KitfoxContext {
  pageContext?: PageContext | Record<string, unknown>;
  selectedText?: string;
  [name: string]: unknown;
}

export interface KitfoxFetchOptions {
  /** Who asks. The id counts only where the server's `[auth] mode` is `header`; name and e-mail are told anyway. */
  user?: Given<string | KitfoxUser | null | undefined>;
  /** Sent as `Authorization: Bearer …`. */
  token?: Given<string | null | undefined>;
  /** Sent as `X-Session-Id`; `true` is `sessionId()`. */
  session?: boolean | Given<string | null | undefined>;
  /** Put into the `metadata` of JSON requests. What the request has there already stays. */
  context?: Given<KitfoxContext | null | undefined>;
  /** Further headers. Those of the request win. */
  headers?: Given<HeadersInit | null | undefined>;
  /** Called on a 401, once for all requests that wait; the request is sent once more when it gives `true`. */
  login?: Login;
  /** The server's address. Requests to other origins pass as they are. */
  url?: string;
  /** What sends the requests; default: the page's `fetch`. */
  fetch?: typeof fetch;
}

/** A `fetch` that says who asks and from which page. Headers of any kind stay, uploads are left alone. */
export function kitfoxFetch(options?: KitfoxFetchOptions): typeof fetch;

export type LoginReason = "missing" | "expired" | "invalid";

/** Has the user log in; `true` when they did. */
export type Login = (reason: LoginReason, response: Response) => boolean | Promise<boolean>;

/** A `fetch` that has the user log in when the server asks for it, and then sends the request again. */
export function loginGate(login: Login, send?: typeof fetch): typeof fetch;

export interface PageContext {
  url: string;
  title: string;
  path: string;
  description: string;
  headings: string[];
  timestamp: string;
}

/** What the page is about. On a server, where there is no page, an empty one. */
export function pageContext(options?: {
  /** What to look for headings in; default: `main`, else the whole page. */
  root?: ParentNode;
  /** Default 30. */
  mostHeadings?: number;
}): PageContext;

export interface SelectionAskOptions {
  /** What to do with the text that is selected. */
  onAsk(text: string): void;
  /** On the button; default “Ask”. */
  label?: string;
  /** Where selections count; default: the whole page. Never in a chat, nor in fields. */
  root?: Element;
  /** In characters; default 3. */
  least?: number;
  /** In characters, what is longer is cut; default 4000. */
  most?: number;
  /** Of the button, for the page's style sheet: default `kitfox-ask`. */
  className?: string;
}

/** A button at what the user selects. Gives what takes it away again. */
export function selectionAsk(options: SelectionAskOptions): () => void;

export interface LoadElementOptions {
  /** `https://HOST/kitfox-chat.js` */
  src: string;
  /** The element that the script defines; default `kitfox-chat`. */
  tag?: string;
  /** In milliseconds; default 10000. */
  timeout?: number;
  /** Another script that defines it, where the first cannot be had. */
  fallback?: string;
  /** `module`, the default, or `classic`, as the vendor's script is. */
  type?: "module" | "classic";
  nonce?: string;
}

/** Loads an element, once however often it is called. Gives the script that defined it, and rejects where none did. */
export function loadElement(options: LoadElementOptions): Promise<string>;

/** What this browser is known by, kept in its storage. It is a password: show it to nobody. */
export function sessionId(key?: string): string;
