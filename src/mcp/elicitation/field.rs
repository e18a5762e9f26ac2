use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Refusal, secrets};
use crate::{
    chatkit::{StructuredInput, StructuredInputOption},
    mcp::clean::{clean_line, is_clean},
};

const MAX_NAME: usize = 100;
/// In characters.
const MAX_TITLE: usize = 200;
const MAX_DESCRIPTION: usize = 500;
const MAX_CHOICES: usize = 100;
const MAX_CHOICE: usize = 200;
/// Of an answer, in characters.
const MAX_TEXT: usize = 10_000;

const YES: &str = "Yes";
const NO: &str = "No";

/// One value that a form asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Field {
    pub name: String,
    pub title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    pub required: bool,
    /// What it is where the user says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Kind {
    Text { min: Option<u64>, max: Option<u64>, format: Option<Format> },
    Number { min: Option<f64>, max: Option<f64> },
    Integer { min: Option<f64>, max: Option<f64> },
    Boolean,
    One { choices: Vec<Choice> },
    Many { choices: Vec<Choice>, min: Option<u64>, max: Option<u64> },
}

/// A value, and what the user is shown for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Choice {
    value: String,
    title: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Format {
    Email,
    Uri,
    Date,
    DateTime,
}

impl Field {
    /// Reads a property of a form's schema.
    pub fn read(name: &str, schema: &Value, required: bool) -> Result<Self, Refusal> {
        let wrong = |what: &str| {
            let shown = clean_line(name, MAX_NAME);
            Refusal::Unreadable(format!("the field `{shown}` {what}"))
        };
        if name.is_empty() || name.chars().count() > MAX_NAME || !is_clean(name) {
            return Err(wrong("has a name that is empty, too long, or not seen"));
        }
        let text = |key: &str, most: usize| {
            let text = schema[key].as_str().map(|it| clean_line(it, most));
            text.filter(|it| !it.is_empty())
        };
        let title = text("title", MAX_TITLE);
        let description = text("description", MAX_DESCRIPTION);
        let kind = Kind::read(schema).map_err(wrong)?;
        let asks_for_secret = schema["format"] == "password"
            || (kind.is_written()
                && (secrets::names_a_secret(name)
                    || title.as_deref().is_some_and(secrets::names_a_secret)
                    || description.as_deref().is_some_and(secrets::speaks_of_a_secret)));
        if asks_for_secret {
            let shown = clean_line(name, MAX_NAME);
            return Err(Refusal::Forbidden(format!(
                "the field `{shown}` asks for what looks like a secret, which no form may: MCP has URLs for that"
            )));
        }
        let default = schema.get("default").filter(|it| !it.is_null());
        let default = default.filter(|it| kind.admits(it).is_ok()).cloned();
        let title = title.unwrap_or_else(|| name.to_owned());
        Ok(Self { name: name.to_owned(), title, description, required, default, kind })
    }

    /// As the user is asked for it, after these words.
    pub fn question(&self, before: &str) -> StructuredInput {
        let optional = if self.required || self.default.is_some() { "" } else { " (optional)" };
        let id = self.name.clone();
        let hints = self.hints();
        match self.kind.options() {
            None => StructuredInput::Freeform {
                id,
                question: format!("{before}{}{optional}", self.title),
                answer: None,
                description: Some(hints).filter(|it| !it.is_empty()),
            },
            Some(options) => {
                // These have no description of their own.
                let hints = if hints.is_empty() {
                    hints
                } else {
                    format!(": {}", hints.trim_end_matches('.'))
                };
                StructuredInput::MultipleChoice {
                    id,
                    question: format!("{before}{}{optional}{hints}", self.title),
                    answer: None,
                    options: options
                        .into_iter()
                        .map(|value| StructuredInputOption { value })
                        .collect(),
                    multiple: matches!(self.kind, Kind::Many { .. }),
                }
            }
        }
    }

    fn hints(&self) -> String {
        let mut hints: Vec<String> = self.description.iter().cloned().collect();
        hints.extend(self.kind.hint());
        if let Some(default) = &self.default {
            hints.push(format!("Skip it for: {}", self.kind.show(default)));
        }
        let ended = hints
            .into_iter()
            .map(|it| if it.ends_with(['.', '!', '?', ':', '…']) { it } else { format!("{it}.") });
        ended.collect::<Vec<_>>().join(" ")
    }

    /// The value that the user's answer means. The error says what is wrong with it, after what was said.
    pub fn parse(&self, answer: &[String]) -> Result<Value, String> {
        let value = self.kind.parse(answer)?;
        self.kind.admits(&value)?;
        Ok(value)
    }
}

impl Kind {
    fn read(schema: &Value) -> Result<Self, &'static str> {
        let count = |key: &str| schema[key].as_u64();
        let number = |key: &str| schema[key].as_f64();
        match schema["type"].as_str() {
            Some("string") if schema.get("enum").is_some() || schema.get("oneOf").is_some() => {
                Ok(Self::One { choices: read_choices(schema, "oneOf")? })
            }
            Some("string") => Ok(Self::Text {
                min: count("minLength"),
                max: count("maxLength"),
                format: serde_json::from_value(schema["format"].clone()).ok(),
            }),
            Some("number") => Ok(Self::Number { min: number("minimum"), max: number("maximum") }),
            Some("integer") => Ok(Self::Integer { min: number("minimum"), max: number("maximum") }),
            Some("boolean") => Ok(Self::Boolean),
            Some("array") => Ok(Self::Many {
                choices: read_choices(&schema["items"], "anyOf")?,
                min: count("minItems"),
                max: count("maxItems"),
            }),
            _ => Err("is neither text, number, yes or no, nor a choice: a form has no others"),
        }
    }

    /// Whether the user writes it, so that anything could be written there.
    const fn is_written(&self) -> bool {
        match self {
            Self::Text { .. } | Self::Number { .. } | Self::Integer { .. } => true,
            Self::Boolean | Self::One { .. } | Self::Many { .. } => false,
        }
    }

    fn options(&self) -> Option<Vec<String>> {
        match self {
            Self::Text { .. } | Self::Number { .. } | Self::Integer { .. } => None,
            Self::Boolean => Some(vec![YES.to_owned(), NO.to_owned()]),
            Self::One { choices } | Self::Many { choices, .. } => {
                Some(choices.iter().map(|it| it.title.clone()).collect())
            }
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Text { min, max, format } => match format {
                Some(Format::Email) => Some("An e-mail address".to_owned()),
                Some(Format::Uri) => Some("An address, as https://example.com".to_owned()),
                Some(Format::Date) => Some("A date, as 2026-01-31".to_owned()),
                Some(Format::DateTime) => {
                    Some("A date and time, as 2026-01-31T09:30:00Z".to_owned())
                }
                None => range(*min, *max).map(|it| format!("{it} characters")),
            },
            Self::Number { min, max } => Some(match range(*min, *max) {
                Some(range) => format!("A number, {range}"),
                None => "A number".to_owned(),
            }),
            Self::Integer { min, max } => Some(match range(*min, *max) {
                Some(range) => format!("A whole number, {range}"),
                None => "A whole number".to_owned(),
            }),
            Self::Boolean | Self::One { .. } => None,
            Self::Many { min, max, .. } => range(*min, *max).map(|it| format!("Choose {it}")),
        }
    }

    /// A value as the user knows it.
    fn show(&self, value: &Value) -> String {
        match (self, value) {
            (Self::Boolean, Value::Bool(true)) => YES.to_owned(),
            (Self::Boolean, Value::Bool(false)) => NO.to_owned(),
            (Self::One { choices } | Self::Many { choices, .. }, Value::String(value)) => {
                let choice = choices.iter().find(|it| it.value == *value);
                choice.map_or_else(|| value.clone(), |it| it.title.clone())
            }
            (Self::Many { .. }, Value::Array(values)) if values.is_empty() => "none".to_owned(),
            (Self::Many { .. }, Value::Array(values)) => {
                values.iter().map(|it| self.show(it)).collect::<Vec<_>>().join(", ")
            }
            (_, Value::String(text)) => clean_line(text, MAX_CHOICE),
            (_, other) => other.to_string(),
        }
    }

    fn parse(&self, answer: &[String]) -> Result<Value, String> {
        let first = answer.first().map(|it| it.trim()).unwrap_or_default();
        match self {
            Self::Text { format: None, .. } => Ok(json!(answer.first())),
            Self::Text { .. } => Ok(json!(first)),
            Self::Number { .. } => {
                let number = first.parse::<f64>().ok().filter(|it| it.is_finite());
                number.map(|it| json!(it)).ok_or_else(|| "is no number".to_owned())
            }
            Self::Integer { .. } => first
                .parse::<i64>()
                .map(|it| json!(it))
                .map_err(|_| "is no whole number".to_owned()),
            Self::Boolean => match first.to_lowercase().as_str() {
                "yes" | "true" | "y" => Ok(json!(true)),
                "no" | "false" | "n" => Ok(json!(false)),
                _ => Err("is neither yes nor no".to_owned()),
            },
            Self::One { choices } => choose(choices, first).map(|it| json!(it)),
            Self::Many { choices, .. } => {
                let mut chosen = Vec::with_capacity(answer.len());
                for one in answer {
                    let value = choose(choices, one.trim())?;
                    if !chosen.contains(&value) {
                        chosen.push(value);
                    }
                }
                Ok(json!(chosen))
            }
        }
    }

    /// Fails with what is wrong with a value.
    fn admits(&self, value: &Value) -> Result<(), String> {
        match (self, value) {
            (Self::Text { min, max, format }, Value::String(text)) => {
                let length = text.chars().count();
                if length > MAX_TEXT {
                    return Err(format!("has more than {MAX_TEXT} characters"));
                }
                let length = length as u64;
                if min.is_some_and(|it| length < it) || max.is_some_and(|it| length > it) {
                    let range = range(*min, *max).unwrap_or_default();
                    return Err(format!("has {length} characters, and is to have {range}"));
                }
                match format {
                    Some(format) if !format.admits(text) => Err(format!("is no {}", format.name())),
                    Some(_) | None => Ok(()),
                }
            }
            (Self::Integer { .. }, Value::Number(number)) if number.as_i64().is_none() => {
                Err("is no whole number".to_owned())
            }
            (Self::Number { min, max } | Self::Integer { min, max }, Value::Number(number)) => {
                let value = number.as_f64().unwrap_or(f64::NAN);
                if min.is_some_and(|it| value < it) || max.is_some_and(|it| value > it) {
                    let range = range(*min, *max).unwrap_or_default();
                    return Err(format!("is not {range}"));
                }
                Ok(())
            }
            (Self::Boolean, Value::Bool(_)) => Ok(()),
            (Self::One { choices }, Value::String(value)) => choose(choices, value).map(|_| ()),
            (Self::Many { choices, min, max }, Value::Array(values)) => {
                let count = values.len() as u64;
                if min.is_some_and(|it| count < it) || max.is_some_and(|it| count > it) {
                    let range = range(*min, *max).unwrap_or_default();
                    return Err(format!("are {count}: choose {range}"));
                }
                values
                    .iter()
                    .try_for_each(|it| choose(choices, it.as_str().unwrap_or_default()).map(|_| ()))
            }
            _ => Err("is not of the type".to_owned()),
        }
    }
}

impl Format {
    const fn name(self) -> &'static str {
        match self {
            Self::Email => "e-mail address",
            Self::Uri => "address, as https://example.com",
            Self::Date => "date, as 2026-01-31",
            Self::DateTime => "date and time, as 2026-01-31T09:30:00Z",
        }
    }

    fn admits(self, text: &str) -> bool {
        let schema = json!({ "type": "string", "format": self });
        let validator = jsonschema::options().should_validate_formats(true).build(&schema);
        validator.is_ok_and(|it| it.is_valid(&json!(text)))
    }
}

/// The values of `enum` with the titles of `enumNames`, or those of a list of `const` and `title`.
fn read_choices(schema: &Value, list: &str) -> Result<Vec<Choice>, &'static str> {
    const WRONG: &str = "has choices that are no texts, or not seen";
    let pairs: Vec<(&Value, Option<&Value>)> = if let Some(values) = schema["enum"].as_array() {
        let titles = schema["enumNames"].as_array();
        let title = |index: usize| titles.and_then(|it| it.get(index));
        values.iter().enumerate().map(|(index, value)| (value, title(index))).collect()
    } else if let Some(values) = schema[list].as_array().or_else(|| schema["oneOf"].as_array()) {
        values.iter().map(|it| (&it["const"], it.get("title"))).collect()
    } else {
        return Err("has no choices");
    };
    if pairs.is_empty() || pairs.len() > MAX_CHOICES {
        return Err("has no choices, or more than 100");
    }
    let mut choices: Vec<Choice> = Vec::with_capacity(pairs.len());
    for (value, title) in pairs {
        let value = value.as_str().filter(|it| is_clean(it)).ok_or(WRONG)?;
        let title = title.and_then(Value::as_str).map(|it| clean_line(it, MAX_CHOICE));
        let title = title.filter(|it| !it.is_empty());
        let mut title = title.unwrap_or_else(|| clean_line(value, MAX_CHOICE));
        if title.is_empty() {
            "(empty)".clone_into(&mut title);
        }
        if choices.iter().any(|it| it.value == value) {
            continue;
        }
        // Each is known by what is shown.
        if choices.iter().any(|it| it.title == title) {
            title = format!("{title} ({})", clean_line(value, MAX_CHOICE));
        }
        if choices.iter().any(|it| it.title == title) {
            return Err("has choices that look the same");
        }
        choices.push(Choice { value: value.to_owned(), title });
    }
    Ok(choices)
}

/// By what is shown, or else by the value itself.
fn choose(choices: &[Choice], answer: &str) -> Result<String, String> {
    let choice = choices.iter().find(|it| it.title == answer);
    let choice = choice.or_else(|| choices.iter().find(|it| it.value == answer));
    choice.map(|it| it.value.clone()).ok_or_else(|| "is none of the choices".to_owned())
}

fn range<T: std::fmt::Display>(min: Option<T>, max: Option<T>) -> Option<String> {
    match (min, max) {
        (Some(min), Some(max)) => Some(format!("{min} to {max}")),
        (Some(min), None) => Some(format!("{min} or more")),
        (None, Some(max)) => Some(format!("{max} at most")),
        (None, None) => None,
    }
}

/// The fields of a form's properties.
pub fn read_all(properties: &Map<String, Value>, required: &[&str]) -> Result<Vec<Field>, Refusal> {
    let read = |(name, schema): (&String, &Value)| {
        Field::read(name, schema, required.contains(&name.as_str()))
    };
    properties.iter().map(read).collect()
}
