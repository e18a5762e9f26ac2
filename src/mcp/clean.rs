use std::borrow::Cow;

/// A text of a server's without what a reader does not see and a terminal obeys: control, bidi, zero-width and
/// tag characters. Lines and tabs stay.
pub fn clean(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_seen) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().filter(|it| is_seen(*it)).collect())
}

/// The same on one line, and no longer than so many characters.
pub fn clean_line(text: &str, characters: usize) -> String {
    let cleaned = clean(text);
    let mut words = cleaned.split_whitespace();
    let mut line = words.next().unwrap_or_default().to_owned();
    for word in words {
        line.push(' ');
        line.push_str(word);
    }
    cut(line, characters)
}

/// The beginning of a text that has more characters.
pub fn cut(mut text: String, characters: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(characters) {
        text.truncate(end);
        text.push('…');
    }
    text
}

pub fn is_clean(text: &str) -> bool {
    text.chars().all(is_seen)
}

const fn is_seen(character: char) -> bool {
    !matches!(character,
        '\0'..='\u{8}' | '\u{b}'..='\u{1f}' | '\u{7f}'..='\u{9f}' // control, but for line feed and tab
        | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}' // tags, and what else is reserved for the unseen
    )
}

#[cfg(test)]
mod tests {
    use super::{clean, clean_line};

    #[test]
    fn what_is_not_seen_is_taken_out() {
        for (text, cleaned) in [
            ("a\tb\nc é 漢 👩‍🚀", "a\tb\nc é 漢 👩🚀"),
            ("\u{1b}[31mred\u{1b}[0m", "[31mred[0m"),
            ("a\r\nb", "a\nb"),
            ("ab\u{202e}cd\u{2066}", "abcd"),
            ("no\u{200b}te\u{feff}", "note"),
            ("x\u{e0041}\u{e0042}", "x"),
            ("x\u{9b}y", "xy"),
        ] {
            assert_eq!(clean(text), cleaned, "{text:?}");
        }
    }

    #[test]
    fn a_line_is_one_and_has_an_end() {
        assert_eq!(clean_line(" a \n b\u{2028}c ", 10), "a bc");
        assert_eq!(clean_line("éééé", 3), "ééé…");
    }
}
