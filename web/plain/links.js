/** Which addresses that came with a message may be opened or shown. */

const LINK_SCHEMES = new Set(["http:", "https:", "mailto:"]);

/** The address if it is absolute and of a harmless scheme, else `undefined`. */
export function safeLink(address) {
  try {
    const url = new URL(address);
    return LINK_SCHEMES.has(url.protocol) ? url.href : undefined;
  } catch {
    return undefined;
  }
}

/** The address of an image if it is a bitmap in a data URL, of this origin, or of a host that the thread allows. */
export function safeImage(address, base, allowedHosts = []) {
  if (/^data:image\/(?:png|jpeg|gif|webp|avif);base64,/i.test(address)) return address;
  try {
    const url = new URL(address, base);
    if (url.origin === new URL(base).origin) return url.href;
    return url.protocol === "https:" && allowedHosts.includes(url.hostname) ? url.href : undefined;
  } catch {
    return undefined;
  }
}

/** An address of our own server at the origin of this page, where the server knows itself by another name. */
export function ownAddress(address, endpoint) {
  try {
    const url = new URL(address, endpoint);
    const own = new URL(endpoint);
    const renamed = url.origin !== own.origin && url.pathname.startsWith(`${own.pathname}/`);
    return renamed ? `${own.origin}${url.pathname}${url.search}` : url.href;
  } catch {
    return address;
  }
}
