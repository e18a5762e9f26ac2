/** The ways in and out, where users log in by their browser. No DOM. */

export interface WayIn {
  href: string;
  target?: "_blank";
}

/** Where a link to sign in leads: back to this page, if that is the server's own, else beside it. */
export function wayIn(address: unknown, endpoint: string, page: string): WayIn | undefined {
  const url = webAddress(address, endpoint);
  if (!url) return undefined;
  const { origin, pathname, search, hash } = new URL(page);
  if (url.origin !== origin) return { href: url.href, target: "_blank" };
  url.searchParams.set("next", pathname + search + hash);
  return { href: url.href };
}

/** The address, if it is one that a browser may be sent to. */
export function webAddress(address: unknown, base: string): URL | undefined {
  if (typeof address !== "string" || !URL.canParse(address, base)) return undefined;
  const url = new URL(address, base);
  return /^https?:$/.test(url.protocol) ? url : undefined;
}
