use serde_json::{Map, Value};

use crate::mcp::clean::{clean, is_clean};

const MAX_BYTES: usize = 32 * 1024;
const MAX_DEPTH: usize = 32;

/// What a server says of a tool's arguments as a model may get it, or why no model may.
pub fn check(mut schema: Map<String, Value>) -> Result<Value, String> {
    let is_object = schema.get("type").is_none_or(|it| it == "object");
    if !is_object {
        return Err("its input schema is not of `type: object`".to_owned());
    }
    // Some servers leave it out where there are no arguments.
    schema.entry("type").or_insert_with(|| Value::from("object"));
    let mut schema = Value::Object(schema);
    check_depth(&schema, MAX_DEPTH)?;
    if schema.to_string().len() > MAX_BYTES {
        return Err(format!("its input schema has more than {} KiB", MAX_BYTES / 1024));
    }
    check_value(&mut schema)?;
    Ok(schema)
}

fn check_depth(value: &Value, left: usize) -> Result<(), String> {
    if left == 0 {
        return Err(format!("its input schema is nested more than {MAX_DEPTH} deep"));
    }
    match value {
        Value::Array(list) => list.iter().try_for_each(|it| check_depth(it, left - 1)),
        Value::Object(map) => map.values().try_for_each(|it| check_depth(it, left - 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

/// Texts for readers are cleaned; what is compared must be clean as it is.
fn check_value(value: &mut Value) -> Result<(), String> {
    match value {
        Value::String(text) if !is_clean(text) => {
            Err("its input schema holds characters that are not seen".to_owned())
        }
        Value::Array(list) => list.iter_mut().try_for_each(check_value),
        Value::Object(map) => {
            for (key, value) in map {
                check_entry(key, value)?;
            }
            Ok(())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

fn check_entry(key: &str, value: &mut Value) -> Result<(), String> {
    if !is_clean(key) {
        return Err("its input schema names characters that are not seen".to_owned());
    }
    match (key, &mut *value) {
        ("description" | "title" | "$comment", Value::String(text)) => {
            *text = clean(text).into_owned();
            Ok(())
        }
        ("$ref" | "$dynamicRef" | "$recursiveRef", Value::String(target))
            if !target.starts_with('#') =>
        {
            Err("its input schema refers to another document".to_owned())
        }
        _ => check_value(value),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checked(schema: Value) -> Result<Value, String> {
        let Value::Object(schema) = schema else { panic!("{schema}") };
        check(schema)
    }

    #[test]
    fn a_schema_is_cleaned_where_it_speaks_and_refused_where_it_is_compared() {
        let said = json!({ "type": "object", "properties": {
            "city": { "type": "string", "description": "The \u{1b}[1mcity\u{202e}" }
        } });
        let cleaned = checked(said).unwrap();
        assert_eq!(cleaned["properties"]["city"]["description"], "The [1mcity");
        let hidden = json!({ "type": "object", "properties": { "ci\u{200b}ty": {} } });
        assert!(checked(hidden).is_err());
        let word = json!({ "properties": { "a": { "enum": ["x\u{e0041}"] } } });
        assert!(checked(word).is_err());
    }

    #[test]
    fn what_is_too_large_too_deep_or_elsewhere_is_refused() {
        assert_eq!(checked(json!({})).unwrap(), json!({ "type": "object" }));
        assert!(checked(json!({ "type": "array" })).is_err());
        let mut deep = json!({});
        for _ in 0..MAX_DEPTH {
            deep = json!({ "properties": deep });
        }
        let err = checked(json!({ "properties": deep })).unwrap_err();
        assert_eq!(err, "its input schema is nested more than 32 deep");
        let large = json!({ "description": "x".repeat(MAX_BYTES) });
        assert_eq!(checked(large).unwrap_err(), "its input schema has more than 32 KiB");
        let remote = json!({ "properties": { "a": { "$ref": "https://evil.test/schema" } } });
        assert_eq!(checked(remote).unwrap_err(), "its input schema refers to another document");
        assert!(checked(json!({ "properties": { "a": { "$ref": "#/$defs/a" } } })).is_ok());
    }
}
