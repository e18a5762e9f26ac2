//! Takes secrets out of text, however it writes them.

use std::{borrow::Cow, ops::Range};

use aho_corasick::{AhoCorasick, AhoCorasickKind, Match, MatchKind, packed};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use serde_json::{Map, Value};

use super::Secret;

/// Puts `[credential NAME]` in place of secrets and of what stands for them: plain, in JSON, percent-encoded,
/// in hex and in base64.
#[derive(Default)]
pub struct Scrubber {
    /// What is looked for as it is, and whose it is.
    written: Option<Finder>,
    /// The secrets themselves, for text that is decoded first.
    plain: Option<Finder>,
    /// The longest thing that is looked for, in bytes.
    longest: usize,
    /// Whether a byte begins one of them.
    begins: Vec<bool>,
    /// Whether a byte is in a secret: escapes of others need not be decoded.
    occurs: Vec<bool>,
}

struct Finder {
    search: Search,
    patterns: Vec<Pattern>,
}

/// Both find the longest of those that begin first.
enum Search {
    /// By vector instructions: it is made and runs several times as fast.
    Packed(packed::Searcher),
    /// Where the machine has none, or the texts are too many.
    Automaton(AhoCorasick),
}

struct Pattern {
    text: String,
    credential: String,
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Base64,
}

/// A part of a text that is to go, and whose secret it holds.
struct Hit<'a> {
    range: Range<usize>,
    credential: &'a str,
}

impl Scrubber {
    /// Of these secrets by their credentials' names, and these handles by theirs.
    pub fn new<'a>(
        secrets: impl IntoIterator<Item = (&'a str, &'a Secret)>,
        handles: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let mut written = Vec::new();
        let mut plain = Vec::new();
        for (credential, secret) in secrets.into_iter().filter(|(_, it)| !it.expose().is_empty()) {
            let pattern =
                |text: String, form| Pattern { text, credential: credential.to_owned(), form };
            plain.push(pattern(secret.expose().to_owned(), Form::Text));
            written
                .extend(forms(secret.expose()).into_iter().map(|(text, form)| pattern(text, form)));
        }
        for (credential, handle) in handles {
            let pattern = Pattern {
                text: handle.to_owned(),
                credential: credential.to_owned(),
                form: Form::Text,
            };
            written.push(pattern);
        }
        // Of a text so short that one of its forms is nothing, nothing is found in that form.
        written.retain(|it| !it.text.is_empty());
        let mut begins = vec![false; 256];
        for pattern in &written {
            begins[usize::from(pattern.text.as_bytes()[0])] = true;
        }
        let mut occurs = vec![false; 256];
        for byte in plain.iter().flat_map(|it| it.text.bytes()) {
            occurs[usize::from(byte)] = true;
        }
        let longest = written.iter().map(|it| it.text.len()).max().unwrap_or_default();
        Self { written: Finder::new(written), plain: Finder::new(plain), longest, begins, occurs }
    }

    pub const fn is_empty(&self) -> bool {
        self.written.is_none()
    }

    /// The text without secrets.
    pub fn scrub<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut hits = self.hits(text);
        if hits.is_empty() {
            return Cow::Borrowed(text);
        }
        hits.sort_by_key(|it| (it.range.start, usize::MAX - it.range.end));
        let mut out = String::with_capacity(text.len());
        let mut end = 0;
        for hit in hits {
            if hit.range.start >= end {
                out.push_str(&text[end..hit.range.start]);
                out.push_str(&shown(hit.credential));
            }
            end = end.max(hit.range.end);
        }
        out.push_str(&text[end..]);
        Cow::Owned(out)
    }

    /// As [`Self::scrub`], in every text and key of a value.
    pub fn scrub_value(&self, value: &mut Value) {
        if self.is_empty() {
            return;
        }
        match value {
            Value::String(text) => {
                if let Cow::Owned(scrubbed) = self.scrub(text) {
                    *text = scrubbed;
                }
            }
            Value::Array(values) => values.iter_mut().for_each(|it| self.scrub_value(it)),
            Value::Object(map) => self.scrub_map(map),
            Value::Null | Value::Bool(_) | Value::Number(_) => (),
        }
    }

    pub fn scrub_map(&self, map: &mut Map<String, Value>) {
        if self.is_empty() {
            return;
        }
        if map.keys().any(|key| matches!(self.scrub(key), Cow::Owned(_))) {
            let entries = std::mem::take(map).into_iter();
            map.extend(entries.map(|(key, value)| (self.scrub(&key).into_owned(), value)));
        }
        map.values_mut().for_each(|it| self.scrub_value(it));
    }

    /// Whether the text holds a secret or what stands for one.
    pub fn finds(&self, text: &str) -> bool {
        !self.hits(text).is_empty()
    }

    /// Up to where a text that goes on is decided, in bytes: what follows may be the beginning of something that
    /// is to go.
    pub fn decided(&self, text: &str) -> usize {
        let Some(finder) = &self.written else { return text.len() };
        let bytes = text.as_bytes();
        let found = self.hits(text).iter().map(|it| it.range.end).max().unwrap_or_default();
        let first = bytes.len().saturating_sub(self.longest.saturating_sub(1)).max(found);
        let may_begin = |at: &usize| {
            let rest = &bytes[*at..];
            self.begins[usize::from(rest[0])]
                && finder.patterns.iter().any(|it| it.text.as_bytes().starts_with(rest))
        };
        (first..bytes.len()).find(may_begin).unwrap_or(bytes.len())
    }

    fn hits(&self, text: &str) -> Vec<Hit<'_>> {
        let Some(written) = &self.written else { return Vec::new() };
        let mut hits = Vec::new();
        written.find(text.as_bytes(), |pattern, range| {
            let range = match pattern.form {
                Form::Text => range,
                Form::Base64 => with_neighbours(text, range),
            };
            hits.push(Hit { range, credential: &pattern.credential });
        });
        let Some(plain) = &self.plain else { return hits };
        for (mark, decode) in [(b'%', percent as Decode), (b'\\', json as Decode)] {
            if let Some(decoded) = Decoded::of(text, mark, decode, &self.occurs) {
                plain.find(&decoded.bytes, |pattern, range| {
                    let range = decoded.place_of(&range);
                    hits.push(Hit { range, credential: &pattern.credential });
                });
            }
        }
        hits
    }
}

impl Finder {
    fn new(mut patterns: Vec<Pattern>) -> Option<Self> {
        patterns.sort_by(|a, b| a.text.cmp(&b.text));
        patterns.dedup_by(|a, b| a.text == b.text);
        if patterns.is_empty() {
            return None;
        }
        let texts = patterns.iter().map(|it| &it.text);
        let mut builder =
            packed::Config::new().match_kind(packed::MatchKind::LeftmostLongest).builder();
        let search = match builder.extend(texts.clone()).build() {
            Some(searcher) => Search::Packed(searcher),
            None => Search::Automaton(
                AhoCorasick::builder()
                    .match_kind(MatchKind::LeftmostLongest)
                    .kind(Some(AhoCorasickKind::NoncontiguousNFA))
                    .build(texts)
                    .expect("a few short texts fit into an automaton"),
            ),
        };
        Some(Self { search, patterns })
    }

    fn find<'a>(&'a self, text: &[u8], mut found: impl FnMut(&'a Pattern, Range<usize>)) {
        let mut tell = |it: Match| found(&self.patterns[it.pattern().as_usize()], it.range());
        match &self.search {
            Search::Packed(searcher) => searcher.find_iter(text).for_each(&mut tell),
            Search::Automaton(automaton) => automaton.find_iter(text).for_each(&mut tell),
        }
    }
}

/// What users see in place of a secret.
pub fn shown(credential: &str) -> String {
    format!("[credential {credential}]")
}

/// How a secret may be written. Percent-encoding and JSON's escapes of single characters are found by decoding.
fn forms(secret: &str) -> Vec<(String, Form)> {
    let bytes = secret.as_bytes();
    let mut forms = vec![(secret.to_owned(), Form::Text)];
    let hex = |digits: fn(u8) -> String| bytes.iter().map(|it| digits(*it)).collect::<String>();
    forms.push((hex(|it| format!("{it:02x}")), Form::Text));
    forms.push((hex(|it| format!("{it:02X}")), Form::Text));
    // Where the secret begins in the middle of three bytes, the characters on its edges hold bits of others.
    for offset in 0..3 {
        let padded = [&b"\0\0"[..offset], bytes].concat();
        let first = (offset * 8).div_ceil(6);
        let last = padded.len() * 8 / 6;
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            forms.push((engine.encode(&padded)[first..last].to_owned(), Form::Base64));
        }
    }
    forms
}

/// With the characters on the edges, which hold bits of the secret too.
fn with_neighbours(text: &str, range: Range<usize>) -> Range<usize> {
    let bytes = text.as_bytes();
    let is_base64 = |at: usize| {
        bytes.get(at).is_some_and(|it| it.is_ascii_alphanumeric() || b"+/-_=".contains(it))
    };
    let start =
        if range.start > 0 && is_base64(range.start - 1) { range.start - 1 } else { range.start };
    let mut end = range.end;
    while end < range.end + 3 && is_base64(end) {
        end += 1;
    }
    start..end
}

/// What an escape at the text's beginning stands for, and its length there.
type Decode = fn(&[u8]) -> Option<(Bytes, usize)>;

/// Those of one character.
struct Bytes {
    bytes: [u8; 4],
    length: usize,
}

/// A text without escapes, and where each of its parts came from.
struct Decoded {
    bytes: Vec<u8>,
    /// Where in `bytes` something was decoded, where it stood in the text, and how long it is in both.
    escapes: Vec<Escape>,
}

struct Escape {
    at: usize,
    length: usize,
    text_at: usize,
    text_length: usize,
}

impl Decoded {
    /// None where there is nothing to decode that a secret could hold.
    fn of(text: &str, mark: u8, decode: Decode, occurs: &[bool]) -> Option<Self> {
        let text = text.as_bytes();
        let mut bytes = Vec::new();
        let mut escapes = Vec::new();
        let mut copied = 0;
        let mut from = 0;
        while let Some(found) = memchr::memchr(mark, &text[from..]) {
            let at = from + found;
            let Some((decoded, text_length)) = decode(&text[at..]) else {
                from = at + 1;
                continue;
            };
            if !decoded.bytes[..decoded.length].iter().all(|it| occurs[usize::from(*it)]) {
                from = at + text_length;
                continue;
            }
            if escapes.is_empty() {
                bytes.reserve(text.len());
            }
            bytes.extend_from_slice(&text[copied..at]);
            let Bytes { bytes: decoded, length } = decoded;
            escapes.push(Escape { at: bytes.len(), length, text_at: at, text_length });
            bytes.extend_from_slice(&decoded[..length]);
            from = at + text_length;
            copied = from;
        }
        if escapes.is_empty() {
            return None;
        }
        bytes.extend_from_slice(&text[copied..]);
        Some(Self { bytes, escapes })
    }

    /// Where in the text this part of the decoded bytes stands.
    fn place_of(&self, range: &Range<usize>) -> Range<usize> {
        let start = match self.before(range.start) {
            Some(it) if range.start < it.at + it.length => it.text_at,
            Some(it) => it.text_at + it.text_length + (range.start - it.at - it.length),
            None => range.start,
        };
        let end = match self.before(range.end - 1) {
            Some(it) if range.end <= it.at + it.length => it.text_at + it.text_length,
            Some(it) => it.text_at + it.text_length + (range.end - it.at - it.length),
            None => range.end,
        };
        start..end
    }

    /// The last escape that begins at or before `at`.
    fn before(&self, at: usize) -> Option<&Escape> {
        self.escapes[..self.escapes.partition_point(|it| it.at <= at)].last()
    }
}

impl Bytes {
    const fn one(byte: u8) -> Self {
        Self { bytes: [byte, 0, 0, 0], length: 1 }
    }
}

fn percent(text: &[u8]) -> Option<(Bytes, usize)> {
    let digit = |at: usize| text.get(at).and_then(|it| char::from(*it).to_digit(16));
    let byte = digit(1)? * 16 + digit(2)?;
    Some((Bytes::one(u8::try_from(byte).ok()?), 3))
}

fn json(text: &[u8]) -> Option<(Bytes, usize)> {
    let short = match text.get(1)? {
        b'u' => return json_unicode(text),
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'b' => 8,
        b'f' => 12,
        other @ (b'"' | b'\\' | b'/' | b'\'') => *other,
        _ => return None,
    };
    Some((Bytes::one(short), 2))
}

fn json_unicode(text: &[u8]) -> Option<(Bytes, usize)> {
    let unit = |at: usize| {
        if text.get(at..at + 2)? != b"\\u" {
            return None;
        }
        let digits = str::from_utf8(text.get(at + 2..at + 6)?).ok()?;
        u16::from_str_radix(digits, 16).ok()
    };
    let first = unit(0)?;
    let second = unit(6).filter(|_| (0xd800..0xdc00).contains(&first));
    let length = if second.is_some() { 12 } else { 6 };
    let char = char::decode_utf16(std::iter::once(first).chain(second)).next()?.ok()?;
    let mut bytes = [0; 4];
    let encoded = char.encode_utf8(&mut bytes).len();
    Some((Bytes { bytes, length: encoded }, length))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use base64::{
        Engine,
        engine::general_purpose::{STANDARD, URL_SAFE},
    };
    use serde_json::json;

    use super::{Scrubber, Secret};

    const SECRET: &str = "tok-a\"é/SECRET+1?>";

    fn scrubber() -> Scrubber {
        let secret = Secret::from(SECRET.to_owned());
        Scrubber::new([("notes", &secret)], [("notes", "kfh_0123456789abcdef")])
    }

    #[test]
    fn a_secret_is_found_however_it_is_written() {
        let hex = |upper: bool| {
            SECRET.bytes().fold(String::new(), |mut out, it| {
                let _ = if upper { write!(out, "{it:02X}") } else { write!(out, "{it:02x}") };
                out
            })
        };
        let percent = |keep: &dyn Fn(u8) -> bool| {
            SECRET.bytes().fold(String::new(), |mut out, it| {
                let _ = if keep(it) {
                    write!(out, "{}", char::from(it))
                } else {
                    write!(out, "%{it:02X}")
                };
                out
            })
        };
        let mut written = vec![
            SECRET.to_owned(),
            json!(SECRET).to_string(),
            json!(SECRET).to_string().replace('/', "\\/").replace('é', "\\u00e9"),
            SECRET
                .chars()
                .map(|it| format!("\\u{:04x}", u32::from(it)))
                .collect::<Vec<_>>()
                .concat(),
            percent(&|it| it.is_ascii_alphanumeric()),
            percent(&|it| it.is_ascii() && it != b'-'),
            percent(&|_| false).to_lowercase(),
            hex(false),
            hex(true),
            "kfh_0123456789abcdef".to_owned(),
        ];
        for before in ["", "u", "us", "use:", "user:"] {
            for after in ["", "x", "yz"] {
                let text = format!("{before}{SECRET}{after}");
                written.push(STANDARD.encode(&text));
                written.push(URL_SAFE.encode(&text));
            }
        }
        for form in written {
            let text = format!("é before {form} after é");
            let scrubbed = scrubber().scrub(&text).into_owned();
            assert!(scrubbed.contains("[credential notes]"), "{form}: {scrubbed}");
            assert!(
                scrubbed.starts_with("é before ") && scrubbed.ends_with(" after é"),
                "{scrubbed}"
            );
            assert!(scrubbed.len() < text.len().max(50), "{form}: {scrubbed}");
        }
    }

    #[test]
    fn other_text_stays_as_it_is() {
        let text = "100% of \\n it, tok-a is no secret: dG9r, 746f6b, kfh_0123";
        assert!(matches!(scrubber().scrub(text), std::borrow::Cow::Borrowed(_)));
    }

    #[test]
    fn texts_and_keys_deep_in_a_value_are_scrubbed() {
        let mut value = json!({ "a": [{ "b": SECRET }, 1, null], SECRET: true });
        scrubber().scrub_value(&mut value);
        let expected =
            json!({ "a": [{ "b": "[credential notes]" }, 1, null], "[credential notes]": true });
        assert_eq!(value, expected);
    }

    #[test]
    fn the_beginning_of_a_secret_is_held_back() {
        for (text, expected) in [
            ("hello", "hello"),
            ("is kf", "is "),
            ("is kfh_0123", "is "),
            ("kfh_x", "kfh_x"),
            ("is tok-a", "is "),
            ("", ""),
            ("kkf", "k"),
            ("kfh_0123456789abcdef", "kfh_0123456789abcdef"),
            ("kfh_0123456789abcdefkf", "kfh_0123456789abcdef"),
        ] {
            assert_eq!(&text[..scrubber().decided(text)], expected, "{text}");
        }
    }

    #[test]
    fn the_shortest_secret_breaks_nothing() {
        for text in ["", "a", "ab"] {
            let secret = Secret::from(text.to_owned());
            let scrubber = Scrubber::new([("notes", &secret)], []);
            assert_eq!(scrubber.scrub("xyz"), "xyz", "{text}");
        }
    }
}
