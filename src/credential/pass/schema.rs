//! What a tool's input schema says of an argument.

use serde_json::{Map, Value};

/// Where schemas hold schemas of the same value.
const SAME_VALUE: &[&str] = &["allOf", "anyOf", "oneOf", "if", "then", "else", "not"];
/// Schemas of servers are no deeper than this when they come here.
const DEPTH: usize = 32;

/// Whether the schema has this argument.
pub fn takes(schema: &Value, name: &str) -> bool {
    any(schema, DEPTH, &mut |object| object.get("properties").and_then(|it| it.get(name)).is_some())
}

/// Whether the argument, or anything in it, is to be sent as a header too.
pub fn leaves_as_header(schema: &Value, name: &str) -> bool {
    any(schema, DEPTH, &mut |object| {
        let property = object.get("properties").and_then(|it| it.get(name));
        property.is_some_and(|it| is_header(schema, it, DEPTH))
    })
}

/// Takes the argument out.
pub fn hide(schema: &mut Value, name: &str) {
    hide_in(schema, name, DEPTH);
}

fn hide_in(schema: &mut Value, name: &str, depth: usize) {
    let Value::Object(object) = schema else { return };
    if let Some(Value::Object(properties)) = object.get_mut("properties") {
        properties.shift_remove(name);
    }
    let mut no_more = false;
    if let Some(Value::Array(required)) = object.get_mut("required") {
        required.retain(|it| it != name);
        no_more = required.is_empty();
    }
    if no_more {
        object.shift_remove("required");
    }
    for key in ["dependentRequired", "dependentSchemas", "dependencies"] {
        if let Some(Value::Object(dependent)) = object.get_mut(key) {
            dependent.shift_remove(name);
            for value in dependent.values_mut() {
                match value {
                    Value::Array(names) => names.retain(|it| it != name),
                    other => hide_in(other, name, depth.saturating_sub(1)),
                }
            }
        }
    }
    if let Some(Value::Array(examples)) = object.get_mut("examples") {
        for example in examples {
            remove(example, name);
        }
    }
    if let Some(default) = object.get_mut("default") {
        remove(default, name);
    }
    if depth == 0 {
        return;
    }
    for key in SAME_VALUE {
        match object.get_mut(*key) {
            Some(Value::Array(schemas)) => {
                for schema in schemas {
                    hide_in(schema, name, depth - 1);
                }
            }
            Some(other) => hide_in(other, name, depth - 1),
            None => (),
        }
    }
}

fn remove(value: &mut Value, name: &str) {
    if let Value::Object(object) = value {
        object.shift_remove(name);
    }
}

/// Whether `found` holds for the schema, or for one of those that it is made of.
fn any(schema: &Value, depth: usize, found: &mut dyn FnMut(&Map<String, Value>) -> bool) -> bool {
    let Value::Object(object) = schema else { return false };
    if found(object) {
        return true;
    }
    if depth == 0 {
        return false;
    }
    SAME_VALUE.iter().any(|key| match object.get(*key) {
        Some(Value::Array(schemas)) => schemas.iter().any(|it| any(it, depth - 1, found)),
        Some(other) => any(other, depth - 1, found),
        None => false,
    })
}

fn is_header(root: &Value, schema: &Value, depth: usize) -> bool {
    if depth == 0 {
        // What is deeper than anybody writes is not trusted.
        return true;
    }
    match schema {
        Value::Object(object) => {
            let target = object
                .get("$ref")
                .and_then(Value::as_str)
                .and_then(|it| root.pointer(it.strip_prefix('#')?));
            object.contains_key("x-mcp-header")
                || target.is_some_and(|it| is_header(root, it, depth - 1))
                || object.values().any(|it| is_header(root, it, depth - 1))
        }
        Value::Array(values) => values.iter().any(|it| is_header(root, it, depth - 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{hide, leaves_as_header, takes};

    #[test]
    fn a_hidden_argument_leaves_no_trace() {
        let mut schema = json!({
            "type": "object",
            "properties": { "text": { "type": "string" }, "token": { "type": "string" } },
            "required": ["token"],
            "allOf": [{ "required": ["token", "text"], "properties": { "token": { "minLength": 3 } } }],
            "dependentRequired": { "text": ["token"] },
            "examples": [{ "text": "hi", "token": "abc" }],
        });
        assert!(takes(&schema, "token"));
        hide(&mut schema, "token");
        assert!(!schema.to_string().contains("token"), "{schema}");
        assert!(schema.to_string().contains("text"), "{schema}");
        assert!(!takes(&schema, "token"));
    }

    #[test]
    fn an_argument_that_leaves_as_a_header_is_seen() {
        let header = json!({ "type": "string", "x-mcp-header": "Token" });
        let direct = json!({ "properties": { "token": header } });
        let inner = json!({ "properties": { "token": { "properties": { "a": header } } } });
        let part = json!({ "allOf": [{ "properties": { "token": header } }] });
        let elsewhere = json!({
            "$defs": { "token": header }, "properties": { "token": { "$ref": "#/$defs/token" } },
        });
        for schema in [&direct, &inner, &part, &elsewhere] {
            assert!(leaves_as_header(schema, "token"), "{schema}");
            assert!(!leaves_as_header(schema, "text"), "{schema}");
        }
    }
}
