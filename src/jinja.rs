//! What the templates of prompts and of widgets are held to before anything parses them.

/// Of the words, literals and marks of a tag between two commas. The engine goes a step down for each, and where its
/// stack ends, the process does: a debug build's after some 1,300.
const TOKENS: usize = 400;
/// Of the `elif`s of one `if`, for the same reason.
const ELIFS: usize = 100;

/// A part of a template that is longer than it may be.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLong {
    /// In bytes.
    pub offset: usize,
    pub message: String,
}

impl TooLong {
    pub const REMEDY: &str = "divide it: give its parts names with `{% set %}`";
}

/// Fails at the first tag that is too long to be parsed. It need not be a valid template.
pub fn check_lengths(template: &str) -> Result<(), TooLong> {
    let mut scan = Scan { template, at: 0, elifs: Vec::new() };
    while let Some(begin) = scan.find_tag() {
        match &template.as_bytes()[begin + 1] {
            b'#' => scan.skip_behind("#}"),
            b'%' => scan.block(begin)?,
            _ => {
                scan.tag(begin, "}}")?;
            }
        }
    }
    Ok(())
}

struct Scan<'a> {
    template: &'a str,
    at: usize,
    /// Of each `if` that is open.
    elifs: Vec<usize>,
}

impl<'a> Scan<'a> {
    /// Goes behind the next `{{`, `{%` or `{#`, and returns its place.
    fn find_tag(&mut self) -> Option<usize> {
        loop {
            let begin = self.at + self.template[self.at..].find('{')?;
            self.at = begin + 1;
            if matches!(self.template.as_bytes().get(self.at), Some(b'{' | b'%' | b'#')) {
                self.at += 1;
                return Some(begin);
            }
        }
    }

    fn skip_behind(&mut self, end: &str) {
        let rest = &self.template[self.at..];
        self.at += rest.find(end).map_or(rest.len(), |it| it + end.len());
    }

    fn block(&mut self, begin: usize) -> Result<(), TooLong> {
        match self.tag(begin, "%}")? {
            "raw" => self.skip_behind("endraw"),
            "if" => self.elifs.push(0),
            "endif" => {
                self.elifs.pop();
            }
            "elif" => {
                if let Some(count) = self.elifs.last_mut() {
                    *count += 1;
                    if *count > ELIFS {
                        let message = format!("an `if` has more than {ELIFS} `elif`s");
                        return Err(TooLong { offset: begin, message });
                    }
                }
            }
            _ => (),
        }
        Ok(())
    }

    /// Goes behind the end of a tag, and returns its first word.
    fn tag(&mut self, begin: usize, end: &str) -> Result<&'a str, TooLong> {
        let mut first = "";
        // Since the last comma, for each bracket that is open.
        let mut tokens = vec![0];
        while let Some(next) = self.template[self.at..].chars().next() {
            if tokens.len() == 1 && self.template[self.at..].starts_with(end) {
                self.at += end.len();
                break;
            }
            if next.is_whitespace() {
                self.at += next.len_utf8();
                continue;
            }
            let token = self.token(next);
            if first.is_empty() && next.is_alphabetic() {
                first = token;
            }
            let count = tokens.last_mut().expect("the tag itself is never closed");
            *count = if next == ',' { 0 } else { *count + 1 };
            if *count > TOKENS {
                let message = format!("a tag holds more than {TOKENS} words and marks in a row");
                return Err(TooLong { offset: begin, message });
            }
            match next {
                '(' | '[' | '{' => tokens.push(0),
                ')' | ']' | '}' if tokens.len() > 1 => {
                    tokens.pop();
                }
                _ => (),
            }
        }
        Ok(first)
    }

    /// Goes behind the token that begins with this character.
    fn token(&mut self, first: char) -> &'a str {
        let rest = &self.template[self.at..];
        let length = match first {
            '"' | '\'' => {
                let mut is_escaped = false;
                let end = rest.char_indices().skip(1).find(|(_, it)| {
                    let is_end = *it == first && !is_escaped;
                    is_escaped = *it == '\\' && !is_escaped;
                    is_end
                });
                end.map_or(rest.len(), |(at, it)| at + it.len_utf8())
            }
            _ if is_of_word(first) => rest.find(|it| !is_of_word(it)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        self.at += length;
        &rest[..length]
    }
}

fn is_of_word(it: char) -> bool {
    it.is_alphanumeric() || it == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(template: &str, expected: Option<usize>) {
        let offset = check_lengths(template).err().map(|it| it.offset);
        assert_eq!(offset, expected, "{}", &template[..template.len().min(60)]);
    }

    #[test]
    fn chains_are_bounded_whatever_they_are_made_of() {
        for link in
            ["|string", ".a", "[0]", "()", " + 1", " - 1", " and 1", " is none", " if 1 else 1"]
        {
            check(&format!("{{{{ a{} }}}}", link.repeat(50)), None);
            check(&format!("text {{{{ a{} }}}}", link.repeat(500)), Some(5));
            check(&format!("{{% if a{} %}}{{% endif %}}", link.repeat(500)), Some(0));
        }
        for prefix in ["-", "not "] {
            check(&format!("{{{{ {}a }}}}", prefix.repeat(500)), Some(0));
        }
        // Commas within its links do not hide a chain.
        check(&format!("{{{{ a{} }}}}", "|f(1, 2)".repeat(500)), Some(0));
        let elifs = "{% elif a %}".repeat(150);
        check(&format!("{{% if a %}}{elifs}{{% endif %}}"), Some(10 + 12 * 100));
    }

    #[test]
    fn what_is_long_and_flat_is_taken() {
        check(&format!("{{{{ [{}] }}}}", "1, ".repeat(5000)), None);
        check(&format!("{{{{ {{{}}} }}}}", "\"a\": [1, 2], ".repeat(5000)), None);
        check(&"{{ a }} {% if b %}c{% elif d %}{% endif %}".repeat(5000), None);
        check(&format!("{{{{ \"{}\" }}}}", "| ".repeat(5000)), None);
        check(
            &format!(
                "{{# {} #}}{{% raw %}}{{{{ {} }}}}{{% endraw %}}",
                "|a".repeat(500),
                "|a".repeat(500)
            ),
            None,
        );
        check(&"|a".repeat(5000), None);
    }

    #[test]
    fn what_is_no_template_is_left_to_the_parser() {
        for text in
            ["", "{", "{{", "{%", "{#", "{{ 'a", "{{ (", "{% raw", "é{{é", "{{ } }", "{{ \"\\\" }}"]
        {
            check(text, None);
        }
    }
}
