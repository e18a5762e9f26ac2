/** Which addresses that came with a message may be opened or shown. */

const LINK_SCHEMES = new Set(["http:", "https:", "mailto:"]);

/** The address if it is absolute and of a harmless scheme. */
export function safeLink(address: unknown): string | undefined {
  if (typeof address !== "string") return undefined;
  try {
    const url = new URL(address);
    return LINK_SCHEMES.has(url.protocol) ? url.href : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The address of an image if it is a bitmap in a data URL, of one of `own` origins, or of a host that the thread allows.
 */
export function safeImage(address: unknown, own: string[], allowedHosts: string[] = []): string | undefined {
  if (typeof address !== "string") return undefined;
  if (/^data:image\/(?:png|jpeg|gif|webp|avif);base64,/i.test(address)) return address;
  try {
    const url = new URL(address, own[0]);
    if (url.protocol !== "https:" && url.protocol !== "http:") return undefined;
    if (own.some((it) => new URL(it).origin === url.origin)) return url.href;
    return url.protocol === "https:" && allowedHosts.some((it) => it === url.hostname) ? url.href : undefined;
  } catch {
    return undefined;
  }
}

/** An address of our own server at the origin of its endpoint, where the server knows itself by another name. */
export function ownAddress(address: string, endpoint: string): string {
  try {
    const url = new URL(address, endpoint);
    const own = new URL(endpoint);
    const renamed = url.origin !== own.origin && url.pathname.startsWith(`${own.pathname}/`);
    return renamed ? `${own.origin}${url.pathname}${url.search}` : url.href;
  } catch {
    return address;
  }
}
