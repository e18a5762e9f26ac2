/** The few words that widgets say by themselves. */
interface Words {
  more: (count: number) => string;
  clear: string;
}

const WORDS: Record<string, Words> = {
  en: { more: (count) => `Show ${count} more`, clear: "Clear" },
  de: { more: (count) => `${count} weitere zeigen`, clear: "Leeren" },
  ja: { more: (count) => `さらに${count}件を表示`, clear: "クリア" },
  ar: { more: (count) => `عرض ${count} أخرى`, clear: "مسح" },
};

export function wordsIn(locale: string): Words {
  return WORDS[locale.slice(0, 2).toLowerCase()] ?? (WORDS.en as Words);
}
