//! Arguments as people write them: `sides=6 label="two words"`, or JSON.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Number, Value};

static PAIR: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r#"([A-Za-z_][\w-]*)\s*[=:]\s*("(?:[^"\\]|\\.)*"|'[^']*'|\[[^\]]*\]|\{[^}]*\}|[^\s,;)]+)"#,
    )
    .expect("it is a regular expression")
});

/// The arguments in a text, of the types in the tool's schema.
pub fn read(text: &str, schema: &Value) -> Map<String, Value> {
    let text = text.trim();
    if let Some((before, _)) = text.split_once('{')
        && !before.contains(['=', ':'])
    {
        let json = serde_json::Deserializer::from_str(&text[before.len()..]);
        if let Some(Ok(Value::Object(arguments))) = json.into_iter::<Value>().next() {
            return arguments;
        }
    }
    let mut arguments = Map::new();
    for pair in PAIR.captures_iter(text) {
        arguments.insert(pair[1].to_owned(), of_type(&pair[2], &schema["properties"][&pair[1]]));
    }
    if arguments.is_empty()
        && let Some(name) = only_argument(schema)
    {
        let rest = strip_filler(text).trim_end_matches(['.', '!', ')', '`']);
        if !rest.is_empty() {
            arguments.insert(name.to_owned(), of_type(rest, &schema["properties"][name]));
        }
    }
    arguments
}

/// Adds what the tool requires, the user did not say and the instructions do: `access_token abc` or `user_id: 7`.
pub fn follow(instructions: &str, schema: &Value, arguments: &mut Map<String, Value>) {
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    for name in required {
        if arguments.contains_key(name) {
            continue;
        }
        let Some((_, rest)) = instructions.split_once(name) else { continue };
        let rest = rest.trim_start_matches([' ', ':', '=', '`', '"']);
        let word = rest.split_whitespace().next().unwrap_or_default();
        let word = word.trim_end_matches(['.', ',', ';', '`', '"']);
        if !word.is_empty() {
            arguments.insert(name.to_owned(), of_type(word, &schema["properties"][name]));
        }
    }
}

/// A written value as the type that its schema asks for; a string, if it cannot be read so.
pub fn of_type(text: &str, schema: &Value) -> Value {
    let text = unquote(text.trim());
    let is = |name: &str| match &schema["type"] {
        Value::String(kind) => kind == name,
        Value::Array(kinds) => kinds.iter().any(|kind| kind == name),
        _ => false,
    };
    let number = text.replace(',', "");
    if is("integer")
        && let Ok(number) = number.parse::<i64>()
    {
        return number.into();
    }
    if is("number")
        && let Ok(number) = number.parse::<Number>()
    {
        return number.into();
    }
    if is("boolean") {
        match text.to_lowercase().as_str() {
            "true" | "yes" | "on" => return true.into(),
            "false" | "no" | "off" => return false.into(),
            _ => (),
        }
    }
    if is("array") {
        if let Ok(list @ Value::Array(_)) = serde_json::from_str(&text) {
            return list;
        }
        let parts = text.split(',').flat_map(|part| part.split(" and ")).map(str::trim);
        return parts.filter(|it| !it.is_empty()).map(|it| of_type(it, &schema["items"])).collect();
    }
    if is("object")
        && let Ok(object @ Value::Object(_)) = serde_json::from_str(&text)
    {
        return object;
    }
    let choices = schema["enum"].as_array().into_iter().flatten();
    let mut choices = choices.filter_map(Value::as_str);
    if let Some(choice) = choices.find(|choice| choice.eq_ignore_ascii_case(&text)) {
        return choice.into();
    }
    text.into()
}

/// The argument that is meant where none is named: the only one that is required, or that there is.
fn only_argument(schema: &Value) -> Option<&str> {
    if let Some([name]) = schema["required"].as_array().map(Vec::as_slice) {
        return name.as_str();
    }
    let mut names = schema["properties"].as_object()?.keys();
    names.next().filter(|_| names.next().is_none()).map(String::as_str)
}

fn strip_filler(text: &str) -> &str {
    ["with ", "for ", "on "].iter().find_map(|it| text.strip_prefix(it)).unwrap_or(text).trim()
}

fn unquote(text: &str) -> String {
    if text.len() >= 2 && text.starts_with('"') && text.ends_with('"') {
        return serde_json::from_str(text).unwrap_or_else(|_| text[1..text.len() - 1].to_owned());
    }
    let is_quoted = text.len() >= 2 && text.starts_with('\'') && text.ends_with('\'');
    if is_quoted { text[1..text.len() - 1].to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(text: &str, schema: &Value, expected: &Value) {
        assert_eq!(Value::Object(read(text, schema)), *expected, "{text}");
    }

    #[test]
    fn arguments_are_read_by_the_types_of_the_schema() {
        let schema = json!({ "type": "object", "required": ["sides"], "properties": {
            "sides": { "type": "integer" },
            "factor": { "type": ["number", "null"] },
            "loud": { "type": "boolean" },
            "label": { "type": "string" },
            "tags": { "type": "array", "items": { "type": "string" } },
            "unit": { "enum": ["C", "F"] },
            "more": { "type": "object" },
        } });
        for (text, expected) in [
            ("with sides=6", json!({ "sides": 6 })),
            (
                "with sides = 6, factor: 1.5 and loud=yes",
                json!({ "sides": 6, "factor": 1.5, "loud": true }),
            ),
            (r#"label="two \"words\"" unit=f"#, json!({ "label": "two \"words\"", "unit": "F" })),
            ("label='it is' sides=six", json!({ "label": "it is", "sides": "six" })),
            ("label=6", json!({ "label": "6" })),
            (r#"tags=["a", "b"] more={"x": 1}"#, json!({ "more": { "x": 1 }, "tags": ["a", "b"] })),
            (r#"with {"sides": 6, "x": [1]} please"#, json!({ "sides": 6, "x": [1] })),
            ("6", json!({ "sides": 6 })),
            ("with 6.", json!({ "sides": 6 })),
            ("", json!({})),
        ] {
            check(text, &schema, &expected);
        }
    }

    #[test]
    fn the_instructions_say_what_a_tool_requires_beside() {
        let schema = json!({ "required": ["text", "user_id", "access_token"] });
        let mut arguments = read("text=hi", &schema);
        follow("Include user_id: 7 and access_token kfh_1.", &schema, &mut arguments);
        let expected = json!({ "text": "hi", "user_id": "7", "access_token": "kfh_1" });
        assert_eq!(Value::Object(arguments), expected);
    }

    #[test]
    fn what_is_not_named_is_not_guessed_among_several() {
        let schema = json!({ "properties": { "a": {}, "b": {} }, "required": ["a", "b"] });
        check("something", &schema, &json!({}));
        check("something", &json!({ "properties": { "a": {} } }), &json!({ "a": "something" }));
    }
}
