use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::{config::document::Place, load_error::LoadError};

/// The one version of the format.
const VERSION: &str = "1.0";

/// What a `.widget` file says.
#[derive(Debug)]
pub struct WidgetFile {
    /// In the project, with `/`.
    pub path: String,
    pub template: String,
    pub schema: Option<Value>,
    text: String,
    /// Where the template's first character stands in the text, in bytes.
    start: usize,
}

#[derive(Deserialize)]
struct RawFile<'a> {
    version: Option<Value>,
    name: Option<Value>,
    #[serde(borrow)]
    template: Option<&'a RawValue>,
    #[serde(rename = "jsonSchema")]
    schema: Option<Value>,
}

impl WidgetFile {
    pub fn parse(path: &str, text: &str) -> Result<Self, LoadError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.trim_start().starts_with('[') {
            let error = LoadError::new(path, "this is no widget: it is a list");
            return Err(
                error.remedy("a .widget file is JSON with `name`, `template` and `jsonSchema`")
            );
        }
        let raw: RawFile<'_> = serde_json::from_str(text).map_err(|err| {
            let message = err.to_string();
            let message = message.split(" at line ").next().unwrap_or_default();
            LoadError::new(path, format!("this is no widget: {message}"))
                .at(err.line().max(1), Some(err.column().max(1)))
                .remedy("a .widget file is JSON with `name`, `template` and `jsonSchema`")
        })?;
        let error = |message: &str| LoadError::new(path, message);
        match raw.version {
            None => (),
            Some(Value::String(version)) if version == VERSION => (),
            Some(version) => {
                return Err(error(&format!("widgets of version {version} are not known"))
                    .remedy(format!("this Kitfox knows `\"version\": \"{VERSION}\"`")));
            }
        }
        if raw.name.is_some_and(|name| !name.is_string()) {
            return Err(error("`name` must be a string"));
        }
        let Some(template) = raw.template else {
            return Err(error("`template` is missing")
                .at(1, None)
                .remedy("add the widget's template, as ChatKit Studio exports it"));
        };
        let quoted = template.get();
        // Both are slices of the same text.
        let start = quoted.as_ptr().addr() - text.as_ptr().addr();
        let template: String = serde_json::from_str(quoted).map_err(|_| {
            let place = Place::of_offset(text, start);
            at(error("`template` must be a string"), &place)
        })?;
        let (path, text) = (path.to_owned(), text.to_owned());
        Ok(Self { path, template, schema: raw.schema, text, start: start + 1 })
    }

    pub fn error(&self, message: impl Into<String>) -> LoadError {
        LoadError::new(&self.path, message)
    }

    /// An error at this byte of the template.
    pub fn error_at(&self, offset: usize, message: impl Into<String>) -> LoadError {
        let offset = self.start + raw_length(&self.text[self.start..], offset);
        at(self.error(message), &Place::of_offset(&self.text, offset))
    }
}

fn at(error: LoadError, place: &Place) -> LoadError {
    match place {
        Place::File { line, column } => error.at(*line, Some(*column)),
        Place::Variable(_) | Place::Unknown => error,
    }
}

/// How many bytes of a JSON string stand for its first `length` bytes.
fn raw_length(raw: &str, length: usize) -> usize {
    let mut meant = 0;
    let mut at = 0;
    while meant < length {
        let Some(next) = raw[at..].chars().next() else { break };
        if next != '\\' {
            meant += next.len_utf8();
            at += next.len_utf8();
            continue;
        }
        let escaped = raw[at + 1..].chars().next();
        if escaped != Some('u') {
            meant += 1;
            at += 2;
            continue;
        }
        let unit = raw.get(at + 2..at + 6).and_then(|it| u32::from_str_radix(it, 16).ok());
        match unit {
            // The first half of a character that has two.
            Some(0xd800..0xdc00) => {
                meant += 4;
                at += 12;
            }
            unit => {
                meant += unit.and_then(char::from_u32).map_or(3, char::len_utf8);
                at += 6;
            }
        }
    }
    at.min(raw.len())
}

#[cfg(test)]
mod tests {
    use super::{WidgetFile, raw_length};

    fn error(text: &str) -> String {
        WidgetFile::parse("plugins/a.widget", text).unwrap_err().to_string()
    }

    #[test]
    fn a_file_that_is_no_widget_is_told_with_its_place() {
        assert_eq!(
            error("{\n  \"name\": \"a\",\n}"),
            "plugins/a.widget:3:1: this is no widget: trailing comma (a .widget file is JSON with `name`, `template` and `jsonSchema`)"
        );
        assert_eq!(
            error("{\n  \"template\": 3 }"),
            "plugins/a.widget:2:15: `template` must be a string"
        );
        assert_eq!(
            error("{}"),
            "plugins/a.widget:1: `template` is missing (add the widget's template, as ChatKit Studio exports it)"
        );
        assert_eq!(
            error(r#"{ "version": "2.0", "template": "" }"#),
            "plugins/a.widget: widgets of version \"2.0\" are not known (this Kitfox knows `\"version\": \"1.0\"`)"
        );
        assert!(error("[1]").contains("this is no widget"), "{}", error("[1]"));
    }

    #[test]
    fn places_in_the_template_are_places_in_the_file() {
        let text = r#"{ "template": "a\n\"é\u00e9\ud83d\ude00x" }"#;
        let file = WidgetFile::parse("a.widget", text).unwrap();
        let offset = file.template.find('x').unwrap();
        let place = file.error_at(offset, "m");
        assert_eq!(
            (place.line, place.column),
            (Some(1), Some(text.chars().position(|it| it == 'x').unwrap() + 1))
        );
        assert_eq!(raw_length("ab", 9), 2);
    }
}
