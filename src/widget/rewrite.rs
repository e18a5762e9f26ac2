//! Puts measures into a template: each value passes one where it gets a name (see [`super::budget`]), and
//! each list that is written out becomes one that can grow.

use crate::load_error::LoadError;

/// Operators that make texts and lists longer, in one tag.
const OPERATORS: usize = 100;
/// Text that a template may make without printing it, by its steps.
const RAW_BYTES: u64 = 256 << 20;
/// Steps of one rendering: a list of a thousand rich entries takes fewer.
const FUEL: u64 = 250_000;

/// The functions of the measures: names that nobody else has.
pub const VALUE: &str = "__value";
pub const STORED: &str = "__stored";
pub const NUMBER: &str = "__number";
pub const LIST: &str = "__list";

/// A template with its measures.
#[derive(Debug)]
pub struct Rewritten {
    pub text: String,
    /// The filters and tests that it names, with their places in bytes.
    pub used: Vec<(usize, Kind, String)>,
    /// What was put in, in order: the place in what was written, and the length.
    insertions: Vec<(usize, usize)>,
    /// The longest text between two tags that is repeated.
    longest: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Filter,
    Test,
}

impl Kind {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Test => "test",
        }
    }
}

/// Why a template is none for a widget.
#[derive(Debug)]
pub struct Wrong {
    offset: usize,
    message: String,
    remedy: &'static str,
}

impl Wrong {
    pub fn into_error(self, at: impl Fn(usize, String) -> LoadError) -> LoadError {
        at(self.offset, self.message).remedy(self.remedy)
    }
}

impl Rewritten {
    pub fn parse(template: &str) -> Result<Self, Wrong> {
        let mut rewriter = Rewriter { template, ..Rewriter::default() };
        rewriter.run()?;
        let Rewriter { mut insertions, used, longest, .. } = rewriter;
        // Of those at one place, what closes comes before what opens.
        insertions.sort_by_key(|it| it.0);
        let mut text = String::with_capacity(template.len() + 1024);
        let mut at = 0;
        for (offset, inserted) in &insertions {
            text.push_str(&template[at..*offset]);
            text.push_str(inserted);
            at = *offset;
        }
        text.push_str(&template[at..]);
        let insertions = insertions.into_iter().map(|(offset, it)| (offset, it.len())).collect();
        Ok(Self { text, used, insertions, longest })
    }

    /// The place in what was written of a place in the text.
    pub fn original(&self, offset: usize) -> usize {
        let mut shift = 0;
        for (place, length) in &self.insertions {
            if offset < place + shift {
                break;
            }
            if offset < place + shift + length {
                return *place;
            }
            shift += length;
        }
        offset - shift
    }

    /// The steps that a rendering may take.
    pub fn fuel(&self) -> u64 {
        // A text in a loop costs four steps each time, however long it is.
        FUEL.min(4 * RAW_BYTES / self.longest.max(1) as u64)
    }
}

#[derive(Default)]
struct Rewriter<'a> {
    template: &'a str,
    insertions: Vec<(usize, String)>,
    used: Vec<(usize, Kind, String)>,
    longest: usize,
    loops: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TokenKind {
    Word,
    Literal,
    Mark,
}

#[derive(Debug, Clone, Copy)]
struct Token<'a> {
    offset: usize,
    text: &'a str,
    kind: TokenKind,
    /// Brackets that are open around it.
    depth: usize,
}

impl Token<'_> {
    fn end(&self) -> usize {
        self.offset + self.text.len()
    }

    /// Whether an operand ends with it, so that a bracket after it belongs to it.
    fn ends_operand(&self) -> bool {
        const WORDS: &[&str] =
            &["in", "and", "or", "not", "if", "elif", "else", "is", "for", "set", "recursive"];
        match self.kind {
            TokenKind::Word => !WORDS.contains(&self.text),
            TokenKind::Literal => true,
            TokenKind::Mark => matches!(self.text, ")" | "]" | "}"),
        }
    }
}

impl<'a> Rewriter<'a> {
    fn run(&mut self) -> Result<(), Wrong> {
        let text = self.template;
        let mut at = 0;
        while at < text.len() {
            let open = text[at..].find('{').map_or(text.len(), |it| at + it);
            let mark = text.get(open..open + 2).unwrap_or_default();
            if !matches!(mark, "{{" | "{%" | "{#") {
                let end = (open + 1).min(text.len());
                self.raw(at, end);
                at = end;
                continue;
            }
            self.raw(at, open);
            let inner = open + 2;
            at = match mark {
                "{#" => text[inner..].find("#}").map_or(text.len(), |it| inner + it + 2),
                "{{" => {
                    let (tokens, end) = self.tokens(inner, "}}");
                    self.expression(&tokens)?;
                    end
                }
                _ => {
                    let (tokens, end) = self.tokens(inner, "%}");
                    self.tag(&tokens, inner)?;
                    if tokens.first().is_some_and(|it| it.text == "raw") {
                        let after = text[end..].find("endraw").map_or(text.len(), |it| end + it);
                        self.raw(end, after);
                        text[after..].find("%}").map_or(text.len(), |it| after + it + 2)
                    } else {
                        end
                    }
                }
            };
        }
        Ok(())
    }

    fn raw(&mut self, from: usize, to: usize) {
        if self.loops > 0 {
            self.longest = self.longest.max(to - from);
        }
    }

    /// The tokens up to `close`, and the byte after it.
    fn tokens(&self, from: usize, close: &str) -> (Vec<Token<'a>>, usize) {
        let text = self.template;
        let mut tokens = Vec::new();
        let mut at = from;
        // What takes away the blanks before the tag is no operator.
        if text[at..].starts_with(['-', '+']) {
            at += 1;
        }
        let mut depth = 0_usize;
        while let Some(next) = text[at..].chars().next() {
            let rest = &text[at..];
            if depth == 0 {
                let trimmed = rest.strip_prefix(['-', '+']).unwrap_or(rest);
                if rest.starts_with(close) || trimmed.starts_with(close) {
                    return (tokens, at + rest.len() - trimmed.len().min(rest.len()) + close.len());
                }
            }
            if next.is_whitespace() {
                at += next.len_utf8();
                continue;
            }
            let is_in_word = |it: char| it.is_alphanumeric() || it == '_';
            let (length, kind) = match next {
                '"' | '\'' => (quoted(rest), TokenKind::Literal),
                _ if next.is_ascii_digit() => {
                    (rest.find(|it| !is_in_word(it)).unwrap_or(rest.len()), TokenKind::Literal)
                }
                _ if is_in_word(next) => {
                    (rest.find(|it| !is_in_word(it)).unwrap_or(rest.len()), TokenKind::Word)
                }
                _ => {
                    let double = ["**", "//", "==", "!=", "<=", ">="];
                    let is_double = double.iter().any(|it| rest.starts_with(it));
                    (if is_double { 2 } else { next.len_utf8() }, TokenKind::Mark)
                }
            };
            let text = &rest[..length];
            if kind == TokenKind::Mark && matches!(text, ")" | "]" | "}") {
                depth = depth.saturating_sub(1);
            }
            tokens.push(Token { offset: at, text, kind, depth });
            if kind == TokenKind::Mark && matches!(text, "(" | "[" | "{") {
                depth += 1;
            }
            at += length;
        }
        (tokens, text.len())
    }

    fn tag(&mut self, tokens: &[Token<'a>], offset: usize) -> Result<(), Wrong> {
        let Some(first) = tokens.first() else { return Ok(()) };
        let rest = &tokens[1..];
        match first.text {
            "if" | "elif" => self.measure(rest, VALUE),
            "for" => {
                self.loops += 1;
                let is_at_top = |it: &Token<'_>, word: &str| {
                    it.depth == 0 && it.kind == TokenKind::Word && it.text == word
                };
                if let Some(recursive) = rest.last().filter(|it| is_at_top(it, "recursive")) {
                    return Err(Wrong {
                        offset: recursive.offset,
                        message: "`recursive` is not available in a widget's template".to_owned(),
                        remedy: "write a loop for each level",
                    });
                }
                if let Some(begin) = rest.iter().position(|it| is_at_top(it, "in")) {
                    let values = &rest[begin + 1..];
                    let end = values.iter().position(|it| is_at_top(it, "if"));
                    self.measure(&values[..end.unwrap_or(values.len())], VALUE);
                }
            }
            "set" => {
                let is_assignment = |it: &Token<'_>| it.depth == 0 && it.text == "=";
                if let Some(begin) = rest.iter().position(is_assignment) {
                    let is_attribute = rest[..begin].iter().any(|it| it.text == ".");
                    self.measure(&rest[begin + 1..], if is_attribute { STORED } else { VALUE });
                }
            }
            "endfor" => self.loops = self.loops.saturating_sub(1),
            "else" | "endif" | "endset" | "raw" | "endraw" => (),
            other => {
                return Err(Wrong {
                    offset: first.offset.max(offset),
                    message: format!("`{other}` is not available in a widget's template"),
                    remedy: "write it with `for`, `if` and `set`",
                });
            }
        }
        self.expression(rest)
    }

    /// Lets the value of these tokens pass the filter `measure`.
    fn measure(&mut self, tokens: &[Token<'_>], measure: &str) {
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else { return };
        self.insertions.push((first.offset, "(".to_owned()));
        // Below, so that it comes after what closes at the same place.
        self.insertions.push((last.end(), format!(")|{measure}")));
    }

    fn expression(&mut self, tokens: &[Token<'a>]) -> Result<(), Wrong> {
        let mut operators = 0;
        for (index, token) in tokens.iter().enumerate() {
            let before = index.checked_sub(1).map(|it| &tokens[it]);
            let follows_operand = before.is_some_and(Token::ends_operand);
            match (token.kind, token.text) {
                (TokenKind::Mark, "[") if !follows_operand => {
                    let close = tokens[index + 1..].iter().find(|it| it.depth == token.depth);
                    if let Some(close) = close.filter(|it| it.text == "]") {
                        self.insertions.push((token.offset, format!("{LIST}(")));
                        self.insert_inside(close.end(), ")");
                    }
                }
                (TokenKind::Mark, "*") if follows_operand => {
                    // Only numbers are multiplied: a text or a list would be repeated.
                    if let Some(before) = before {
                        self.insert_inside(before.end(), &format!("|{NUMBER}"));
                    }
                    self.insertions.push((token.end(), "- -".to_owned()));
                }
                (TokenKind::Mark, "~" | "+") => operators += 1,
                (TokenKind::Word, name) => {
                    let kind = match before.map(|it| (it.kind, it.text)) {
                        Some((TokenKind::Mark, "|")) => Kind::Filter,
                        Some((TokenKind::Word, "is")) if name != "not" => Kind::Test,
                        Some((TokenKind::Word, "not"))
                            if index > 1 && tokens[index - 2].text == "is" =>
                        {
                            Kind::Test
                        }
                        Some(_) | None => continue,
                    };
                    self.used.push((token.offset, kind, name.to_owned()));
                }
                (TokenKind::Mark | TokenKind::Literal, _) => (),
            }
        }
        if operators > OPERATORS {
            return Err(Wrong {
                offset: tokens.first().map_or(0, |it| it.offset),
                message: format!("the tag has more than {OPERATORS} of `~` and `+`"),
                remedy: "make it several, with `set`",
            });
        }
        Ok(())
    }

    /// Inserts before what ends at the same place, because it is inside of that.
    fn insert_inside(&mut self, offset: usize, text: &str) {
        let first = self.insertions.iter().position(|it| it.0 == offset && it.1.starts_with(")|"));
        let place = first.unwrap_or(self.insertions.len());
        self.insertions.insert(place, (offset, text.to_owned()));
    }
}

/// The length of the text in quotes that begins here.
fn quoted(text: &str) -> usize {
    let mut characters = text.char_indices();
    let quote = characters.next().map(|(_, it)| it);
    while let Some((index, it)) = characters.next() {
        if it == '\\' {
            characters.next();
        } else if Some(it) == quote {
            return index + 1;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::Rewritten;

    #[test]
    fn values_pass_a_measure_where_they_get_a_name() {
        let rewritten = |text| Rewritten::parse(text).unwrap().text;
        for (written, expected) in [
            ("a { b", "a { b"),
            ("{%- set a = b ~ c -%}", "{%- set a = (b ~ c)|__value -%}"),
            ("{% set ns.a = [1, [2]] %}", "{% set ns.a = (__list([1, __list([2])]))|__stored %}"),
            ("{% set a %}{{ b[0] }}{% endset %}", "{% set a %}{{ b[0] }}{% endset %}"),
            (
                "{%for a, b in c|d([1]) if a in [1] -%}{%endfor%}",
                "{%for a, b in (c|d(__list([1])))|__value if a in __list([1]) -%}{%endfor%}",
            ),
            ("{% if a == '%}' %}{% endif %}", "{% if (a == '%}')|__value %}{% endif %}"),
            (
                "{{ {\"a\": {\"b\": a.b * 2}} | tojson }}",
                "{{ {\"a\": {\"b\": a.b|__number *- - 2}} | tojson }}",
            ),
            ("{{ [1] * 2 }}", "{{ __list([1])|__number *- - 2 }}"),
            ("{{ a[1:] if a[0] == ',' else a }}", "{{ a[1:] if a[0] == ',' else a }}"),
            ("{{ f(*a) ~ 2 ** 3 }}", "{{ f(*a) ~ 2 ** 3 }}"),
            (
                "{# {% macro %} #}{% raw %}{% macro %}{% endraw %}",
                "{# {% macro %} #}{% raw %}{% macro %}{% endraw %}",
            ),
        ] {
            assert_eq!(rewritten(written), expected);
        }
    }

    #[test]
    fn a_place_in_the_text_is_a_place_in_what_was_written() {
        let written = "{% set a = [b] %}{{ c }}";
        let rewritten = Rewritten::parse(written).unwrap();
        for name in ["a", "b", "c"] {
            let name = format!("{name} ");
            let (Some(place), Some(original)) = (rewritten.text.find(&name), written.find(&name))
            else {
                continue;
            };
            assert_eq!(rewritten.original(place), original, "{name}");
        }
        assert_eq!(rewritten.original(rewritten.text.len()), written.len());
    }

    #[test]
    fn what_could_grow_without_end_is_no_part_of_a_template() {
        let error = |text: &str| Rewritten::parse(text).unwrap_err().message;
        assert_eq!(error("{% macro a() %}"), "`macro` is not available in a widget's template");
        assert_eq!(
            error("{%- include 'a' %}"),
            "`include` is not available in a widget's template"
        );
        assert_eq!(
            error("{% for a in b recursive %}"),
            "`recursive` is not available in a widget's template"
        );
        assert_eq!(
            error(&format!("{{{{ {} }}}}", vec!["a"; 102].join("~"))),
            "the tag has more than 100 of `~` and `+`"
        );
    }
}
