/** What outlives a reload: drafts as long as the tab, the chosen model for good. */

function storageOf(key: string): Storage {
  return key === "model" ? localStorage : sessionStorage;
}

export function remembered(key: string): string | undefined {
  try {
    return storageOf(key).getItem(`kitfox.${key}`) ?? undefined;
  } catch {
    return undefined;
  }
}

export function remember(key: string, value: string): void {
  try {
    if (value === "") storageOf(key).removeItem(`kitfox.${key}`);
    else storageOf(key).setItem(`kitfox.${key}`, value.slice(0, 100_000));
  } catch {
    // Without storage, what is typed lasts as long as the page.
  }
}
