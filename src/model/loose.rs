//! Fields that compatible servers fill in several ways: read late, and never an error.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::failure::Complaint;

/// A field as it was sent.
pub type Loose<'a> = Option<&'a RawValue>;

/// The data of an event; None for what is no object, which some servers send as a sign of life.
pub fn event<'a, T: Deserialize<'a>>(data: &'a [u8]) -> Result<Option<T>, Complaint> {
    let no_json =
        |err: serde_json::Error| Complaint::new(format!("an event that is no JSON: {err}"));
    match data.first() {
        Some(b'{') => match serde_json::from_slice(data) {
            Ok(event) => Ok(Some(event)),
            Err(err) if err.is_data() => Ok(None),
            Err(err) => Err(no_json(err)),
        },
        // Only errors come in lists.
        Some(b'[') => match serde_json::from_slice(data) {
            Ok(error) => Err(Complaint::read(&error)),
            Err(err) => Err(no_json(err)),
        },
        _ => Ok(None),
    }
}

/// A field's text: a string, or the parts of a list put together; empty for all else.
pub fn text(field: Loose<'_>) -> String {
    let Some(raw) = field else { return String::new() };
    let json = raw.get();
    if !json.starts_with('"') {
        return value(field).map_or_else(String::new, |value| text_of(&value));
    }
    serde_json::from_str(json).unwrap_or_else(|_| unpaired(json))
}

/// A text that stands for JSON, which some servers send as JSON.
pub fn json_text(field: Loose<'_>) -> String {
    match field {
        Some(raw) if !raw.get().starts_with('"') => raw.get().to_owned(),
        _ => text(field),
    }
}

pub fn number(field: Loose<'_>) -> Option<u64> {
    let json = field?.get();
    json.trim_matches('"').parse().ok().or_else(|| {
        let number = json.parse::<f64>().ok().filter(|number| *number >= 0.0)?;
        format!("{number:.0}").parse().ok()
    })
}

pub fn index(field: Loose<'_>) -> usize {
    number(field).and_then(|number| usize::try_from(number).ok()).unwrap_or_default()
}

pub fn value(field: Loose<'_>) -> Option<Value> {
    serde_json::from_str(field?.get()).ok()
}

pub fn list<'a, T: Deserialize<'a>>(field: Loose<'a>) -> Vec<T> {
    field.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

pub fn object<'a, T: Deserialize<'a>>(field: Loose<'a>) -> Option<T> {
    serde_json::from_str(field?.get()).ok()
}

/// As [`text()`], of a value.
pub fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(text_of).collect(),
        Value::Object(part) => {
            let text = part.get("text").or_else(|| part.get("refusal"));
            text.map(text_of).unwrap_or_default()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => String::new(),
    }
}

/// A string that holds half a surrogate pair: servers that cut text between UTF-16 units send those.
fn unpaired(json: &str) -> String {
    let mut mended = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(begin) = rest.find('\\') {
        mended.push_str(&rest[..begin]);
        let escape = &rest[begin..];
        let unit = escape.get(2..6).and_then(|hex| u16::from_str_radix(hex, 16).ok());
        let second = escape.get(8..12).and_then(|hex| u16::from_str_radix(hex, 16).ok());
        let length = match (escape.as_bytes().get(1), unit, escape.get(6..8), second) {
            (Some(b'u'), Some(0xD800..0xDC00), Some("\\u"), Some(0xDC00..0xE000)) => 12,
            (Some(b'u'), Some(0xD800..0xE000), _, _) => {
                mended.push('\u{FFFD}');
                rest = &escape[6..];
                continue;
            }
            (Some(b'u'), Some(_), _, _) => 6,
            _ => 2.min(escape.len()),
        };
        let (escape, after) = escape.split_at(length);
        mended.push_str(escape);
        rest = after;
    }
    mended.push_str(rest);
    serde_json::from_str(&mended).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    #[test]
    fn texts_are_read_in_every_form() {
        for (json, expected) in [
            (r#""a\n\"b\"""#, "a\n\"b\""),
            ("null", ""),
            ("5", ""),
            (r#"["a", {"type": "text", "text": "b"}]"#, "ab"),
            (r#"{"text": "c"}"#, "c"),
            (r#""a\ud83d""#, "a\u{FFFD}"),
            (r#""\ude00 \ud83c\udf89 \\ud83d \u00e9""#, "\u{FFFD} 🎉 \\ud83d é"),
        ] {
            assert_eq!(text(Some(&raw(json))), expected, "{json}");
        }
    }

    #[test]
    fn arguments_may_be_an_object() {
        assert_eq!(json_text(Some(&raw(r#"{"a": 1}"#))), r#"{"a": 1}"#);
        assert_eq!(json_text(Some(&raw(r#""{\"a\": 1}""#))), r#"{"a": 1}"#);
    }

    #[test]
    fn numbers_may_be_strings_or_floats() {
        for json in ["7", "7.0", "\"7\""] {
            assert_eq!(number(Some(&raw(json))), Some(7), "{json}");
        }
        assert_eq!(number(Some(&raw("-1"))), None);
    }
}
