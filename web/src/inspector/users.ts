/** Users that a developer has made up, in this browser only. Each is a header of its own. */

const NAMES = "kitfox-users";
const CURRENT = "kitfox-user";
const SESSION = "kitfox-user-session-";

function read(key: string): string | undefined {
  try {
    return localStorage.getItem(key) ?? undefined;
  } catch {
    return undefined; // No storage here.
  }
}

function write(key: string, value: string | undefined): void {
  try {
    if (value === undefined) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    // No storage here: it lasts as long as the page.
  }
}

export function knownUsers(): string[] {
  try {
    const names: unknown = JSON.parse(read(NAMES) ?? "[]");
    return Array.isArray(names) ? names.filter((it): it is string => typeof it === "string") : [];
  } catch {
    return [];
  }
}

export function newUser(name: string): string {
  write(NAMES, JSON.stringify([...new Set([...knownUsers(), name])].slice(-20)));
  return name;
}

export function currentUser(): string | undefined {
  return read(CURRENT);
}

export function chooseUser(name: string | undefined): void {
  write(CURRENT, name);
}

/** What says that somebody is this user; nothing for whoever the browser is. */
export function headersOf(name: string | undefined, auth: { modes: string[]; header: string }): Record<string, string> {
  if (name === undefined) return {};
  // Percent-encoded where a header could not carry it.
  if (auth.modes.includes("header")) return { [auth.header]: /^[\x20-\x7e]+$/.test(name) ? name : encodeURIComponent(name) };
  let session = read(SESSION + name);
  if (session === undefined) {
    session = crypto.randomUUID();
    write(SESSION + name, session);
  }
  return { "X-Session-Id": session };
}
