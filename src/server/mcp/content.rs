//! What tools offer and return, in MCP's words.

use rmcp::model::{CallToolResult, ContentBlock, ResourceContents, Tool, ToolAnnotations};
use serde_json::Value;

use crate::{tool::ToolSpec, turn};

/// A tool as clients list it.
pub fn tool(spec: &ToolSpec) -> Tool {
    let schema = spec.parameters.as_object().cloned().unwrap_or_default();
    let mut tool = Tool::new(spec.name.clone(), spec.description.clone(), schema);
    // A component may have written what MCP does not know.
    let annotations = Value::Object(spec.annotations.clone());
    if let Ok(annotations) = serde_json::from_value::<ToolAnnotations>(annotations)
        && annotations != ToolAnnotations::default()
    {
        tool.title.clone_from(&annotations.title);
        tool.annotations = Some(annotations);
    }
    tool
}

/// A result, part by part where it is content in MCP's form; a map is there as text and as it is.
pub fn result(value: Value) -> CallToolResult {
    let value = match value {
        Value::String(text) => {
            return CallToolResult::success(vec![ContentBlock::text(turn::cut(text))]);
        }
        value => value,
    };
    if let Some(content) = find_content(&value) {
        return CallToolResult::success(content.into_iter().map(checked).collect());
    }
    let json = value.to_string();
    let length = json.len();
    let text = turn::cut(json);
    let whole = text.len() == length;
    let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
    if value.is_object() && whole {
        result.structured_content = Some(value);
    }
    result
}

/// What a failed call is told as.
pub fn failure(message: String) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(turn::cut(message))])
}

/// `#{ content: […] }`, where MCP knows every part.
fn find_content(value: &Value) -> Option<Vec<ContentBlock>> {
    let map = value.as_object().filter(|it| it.len() == 1)?;
    let content = map.get("content").filter(|it| it.is_array())?;
    serde_json::from_value(content.clone()).ok()
}

/// A part whose bytes a client can read, or what was left out.
fn checked(part: ContentBlock) -> ContentBlock {
    let (what, mime_type, data) = match &part {
        ContentBlock::Image(image) => ("an image", image.mime_type.as_str(), &image.data),
        ContentBlock::Audio(audio) => ("audio", audio.mime_type.as_str(), &audio.data),
        ContentBlock::Resource(resource) => match &resource.resource {
            ResourceContents::BlobResourceContents { blob, mime_type, .. } => {
                ("a resource", mime_type.as_deref().unwrap_or("application/octet-stream"), blob)
            }
            _ => return part,
        },
        ContentBlock::Text(text) => return ContentBlock::text(turn::cut(text.text.clone())),
        _ => return part,
    };
    if is_base64(data) {
        return part;
    }
    ContentBlock::text(format!("[{what} of the type {mime_type} that is not in base64, left out]"))
}

fn is_base64(data: &str) -> bool {
    let data = data.as_bytes();
    let padding = data.iter().rev().take_while(|it| **it == b'=').count();
    let is_digit = |it: &u8| it.is_ascii_alphanumeric() || matches!(it, b'+' | b'/');
    data.len().is_multiple_of(4)
        && padding <= 2
        && data[..data.len() - padding].iter().all(is_digit)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::tool::ToolSpec;

    use super::*;

    fn show(value: Value) -> String {
        serde_json::to_string(&result(value)).unwrap()
    }

    #[test]
    fn a_result_is_text_and_a_map_is_structured_too() {
        insta::assert_snapshot!(show(json!("hi")), @r#"{"resultType":"complete","content":[{"type":"text","text":"hi"}],"isError":false}"#);
        insta::assert_snapshot!(show(json!({ "a": [1] })), @r#"{"resultType":"complete","content":[{"type":"text","text":"{\"a\":[1]}"}],"structuredContent":{"a":[1]},"isError":false}"#);
        insta::assert_snapshot!(show(json!([1, "b"])), @r#"{"resultType":"complete","content":[{"type":"text","text":"[1,\"b\"]"}],"isError":false}"#);
        insta::assert_snapshot!(show(json!({ "content": "mine" })), @r#"{"resultType":"complete","content":[{"type":"text","text":"{\"content\":\"mine\"}"}],"structuredContent":{"content":"mine"},"isError":false}"#);
    }

    #[test]
    fn content_in_the_form_of_mcp_stays_as_it_is() {
        let parts = json!([
            { "type": "text", "text": "a" },
            { "type": "image", "mimeType": "image/png", "data": "iVBORw0KGgo=" },
            { "type": "audio", "mimeType": "audio/wav", "data": "UklG" },
            { "type": "resource", "resource": { "uri": "a:b", "mimeType": "text/plain", "text": "c" } },
            { "type": "resource_link", "uri": "a:b", "name": "B" },
        ]);
        let result = result(json!({ "content": parts }));
        assert_eq!(serde_json::to_value(&result.content).unwrap(), parts);
        assert_eq!(result.structured_content, None);
    }

    #[test]
    fn what_no_client_could_read_is_left_out() {
        let image = json!({ "type": "image", "mimeType": "image/png", "data": "<svg>" });
        let shown = show(json!({ "content": [image] }));
        assert!(
            shown.contains("[an image of the type image/png that is not in base64, left out]"),
            "{shown}"
        );
    }

    #[test]
    fn a_long_result_is_cut_and_then_text_only() {
        let result = result(json!({ "a": "x".repeat(300_000) }));
        assert_eq!(result.structured_content, None);
        let text = result.content[0].as_text().unwrap();
        assert!(text.text.ends_with("[cut: the result has 300008 bytes]"));
    }

    #[test]
    fn a_tool_is_listed_with_its_hints() {
        let mut spec = ToolSpec::new(
            "a".to_owned(),
            "Does a.".to_owned(),
            json!({ "type": "object", "$defs": {} }),
        );
        insta::assert_snapshot!(serde_json::to_string(&tool(&spec)).unwrap(), @r#"{"name":"a","description":"Does a.","inputSchema":{"type":"object","$defs":{}}}"#);
        spec.annotations.insert("title".to_owned(), "A".into());
        spec.annotations.insert("readOnlyHint".to_owned(), true.into());
        insta::assert_snapshot!(serde_json::to_string(&tool(&spec)).unwrap(), @r#"{"name":"a","title":"A","description":"Does a.","inputSchema":{"type":"object","$defs":{}},"annotations":{"title":"A","readOnlyHint":true}}"#);
    }
}
