use rmcp::model::{CallToolResult, ServerResult};
use serde_json::{Map, Value, json};

use crate::{
    mcp::clean::{clean, is_clean},
    tool::ToolError,
};

/// What a call came to, as tools give their results: a text, JSON, or content in MCP's form.
pub fn read(answer: ServerResult, max_bytes: usize) -> Result<Value, ToolError> {
    match answer {
        ServerResult::CallToolResult(result) => read_result(result, max_bytes),
        ServerResult::InputRequiredResult(_) => Err(ToolError::Failed(
            "the tool wants something of the user that cannot be asked for here".to_owned(),
        )),
        _ => Err(ToolError::Failed("the server answered with what is no result".to_owned())),
    }
}

fn read_result(result: CallToolResult, max_bytes: usize) -> Result<Value, ToolError> {
    let failed = result.is_error == Some(true);
    let structured = result.structured_content;
    let mut parts = Vec::new();
    for part in result.content {
        let mut part = serde_json::to_value(part).unwrap_or_default();
        clean_texts(&mut part);
        parts.push(strip(part));
    }
    if failed {
        let mut texts: Vec<&str> = parts.iter().filter_map(|it| it["text"].as_str()).collect();
        let structured = structured.map(|it| it.to_string());
        if texts.is_empty() {
            texts.extend(structured.as_deref());
        }
        let text = texts.join("\n");
        let text = if text.trim().is_empty() { "the tool failed".to_owned() } else { text };
        return Err(ToolError::Failed(cut(text, max_bytes)));
    }
    if let Some(mut structured) = structured {
        clean_texts(&mut structured);
        if parts.iter().all(|it| is_same(it, &structured)) {
            let text = structured.to_string();
            if text.len() > max_bytes {
                return Ok(Value::String(cut(text, max_bytes)));
            }
            return Ok(structured);
        }
        if !parts.iter().any(|it| is_told_by(it, &structured)) {
            parts.push(json!({ "type": "text", "text": structured.to_string() }));
        }
    }
    cut_parts(&mut parts, max_bytes);
    match parts.as_mut_slice() {
        [] => Ok(Value::String(String::new())),
        [part] if part["type"] == "text" => Ok(part["text"].take()),
        _ => Ok(json!({ "content": parts })),
    }
}

/// Whether the part only says the structured content again.
fn is_same(part: &Value, structured: &Value) -> bool {
    let text = part["text"].as_str().filter(|_| part["type"] == "text");
    text.and_then(|it| serde_json::from_str::<Value>(it).ok()).is_some_and(|it| it == *structured)
}

/// Whether the part says what the structured content holds, maybe wrapped as `{ "result": … }`.
fn is_told_by(part: &Value, structured: &Value) -> bool {
    let wrapped = structured.as_object().filter(|it| it.len() == 1).and_then(|it| it.get("result"));
    is_same(part, structured)
        || wrapped.is_some_and(|it| part["text"] == *it || is_same(part, it) || it.is_array())
}

/// What neither models nor people need.
fn strip(part: Value) -> Value {
    let Value::Object(mut part) = part else { return part };
    part.shift_remove("_meta");
    part.shift_remove("annotations");
    Value::Object(part)
}

/// Every text but the base64 of images and the like.
fn clean_texts(value: &mut Value) {
    match value {
        Value::String(text) if !is_clean(text) => *text = clean(text).into_owned(),
        Value::Array(list) => list.iter_mut().for_each(clean_texts),
        Value::Object(map) => {
            if map.keys().all(|it| is_clean(it)) {
                map.values_mut().for_each(clean_texts);
                return;
            }
            let mut cleaned = Map::new();
            for (key, mut value) in std::mem::take(map) {
                clean_texts(&mut value);
                cleaned.insert(clean(&key).into_owned(), value);
            }
            *map = cleaned;
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => (),
    }
}

/// Texts share what a result may have; images have a limit of their own.
fn cut_parts(parts: &mut [Value], max_bytes: usize) {
    let mut left = max_bytes;
    for part in parts {
        let field = if part["type"] == "resource" { &mut part["resource"] } else { part };
        let Some(Value::String(text)) = field.get_mut("text") else { continue };
        if text.len() > left {
            *text = cut(std::mem::take(text), left);
            left = 0;
        } else {
            left -= text.len();
        }
    }
}

fn cut(text: String, max_bytes: usize) -> String {
    if text.len() <= max_bytes {
        return text;
    }
    let end = text.floor_char_boundary(max_bytes);
    format!("{}\n[cut: the result has {} bytes]", &text[..end], text.len())
}

#[cfg(test)]
mod tests {
    use serde_json::from_value;

    use super::*;

    #[track_caller]
    fn check(result: Value, expected: Value) {
        let result: CallToolResult = from_value(result).unwrap();
        assert_eq!(read_result(result, 20).map_err(|it| it.to_string()), Ok(expected));
    }

    #[test]
    fn a_result_is_told_once_and_in_its_simplest_form() {
        let text = |text: &str| json!({ "type": "text", "text": text });
        check(json!({ "content": [text("hi\u{202e}")] }), json!("hi"));
        check(json!({ "content": [] }), json!(""));
        check(
            json!({ "content": [text("{\"a\":1}")], "structuredContent": { "a": 1 } }),
            json!({ "a": 1 }),
        );
        check(json!({ "structuredContent": [1, 2] }), json!([1, 2]));
        check(
            json!({ "content": [text("hi")], "structuredContent": { "result": "hi" } }),
            json!("hi"),
        );
        check(
            json!({ "content": [text("one")], "structuredContent": { "n": 1 } }),
            json!({ "content": [text("one"), text("{\"n\":1}")] }),
        );
        let image = json!({ "type": "image", "mimeType": "image/png", "data": "iVBORw0KGgo=" });
        check(
            json!({ "content": [text("see"), image] }),
            json!({ "content": [text("see"), image] }),
        );
    }

    #[test]
    fn what_is_too_long_is_cut_and_says_so() {
        let long = json!({ "content": [{ "type": "text", "text": "é".repeat(15) }] });
        check(long, json!(format!("{}\n[cut: the result has 30 bytes]", "é".repeat(10))));
        let wide = json!({ "structuredContent": { "a": "x".repeat(30) } });
        check(wide, json!("{\"a\":\"xxxxxxxxxxxxxx\n[cut: the result has 38 bytes]"));
    }

    #[test]
    fn an_error_of_the_tool_is_told_as_one() {
        let failed = |value: Value| {
            let result: CallToolResult = from_value(value).unwrap();
            read_result(result, 20).unwrap_err().to_string()
        };
        let text = json!({ "type": "text", "text": "no such city" });
        assert_eq!(failed(json!({ "content": [text], "isError": true })), "no such city");
        assert_eq!(failed(json!({ "content": [], "isError": true })), "the tool failed");
    }
}
