//! What the model is told of a tool's result.

use serde_json::Value;

/// Of a result's text, in bytes: what is more does not reach the model.
const TEXT_BYTES: usize = 256 * 1024;
/// Of an image, in bytes of base64.
const IMAGE_BYTES: usize = 8 * 1024 * 1024;
/// Of one result.
const IMAGES: usize = 8;

/// How the base64 of the images begins that models take. A provider refuses a request, and with it the thread, for
/// what only says that it is one.
const IMAGE_KINDS: [(&str, &str); 4] = [
    ("image/png", "iVBORw0KGgo"),
    ("image/jpeg", "/9j/"),
    ("image/gif", "R0lGOD"),
    ("image/webp", "UklGR"),
];

/// A result as the model gets it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Told {
    pub text: String,
    /// `data:` URLs.
    pub images: Vec<String>,
}

/// A result as the model gets it: a text as it is, content in MCP's form part by part, all else as JSON.
pub fn told(value: &Value) -> Told {
    let told = match value {
        Value::String(text) => Told { text: text.clone(), images: Vec::new() },
        Value::Object(map) if map.len() == 1 => {
            map.get("content").and_then(content).unwrap_or_else(|| json(value))
        }
        other => json(other),
    };
    Told { text: cut(told.text), ..told }
}

/// The beginning of a text that is too long for the model.
pub fn cut(text: String) -> String {
    if text.len() <= TEXT_BYTES {
        return text;
    }
    let end = text.floor_char_boundary(TEXT_BYTES);
    format!("{}\n[cut: the result has {} bytes]", &text[..end], text.len())
}

fn json(value: &Value) -> Told {
    Told { text: value.to_string(), images: Vec::new() }
}

/// None where there is a part that MCP does not know.
fn content(content: &Value) -> Option<Told> {
    let mut texts = Vec::new();
    let mut images = Vec::new();
    for part in content.as_array()? {
        let text = |key: &str| part[key].as_str();
        match text("type")? {
            "text" => texts.push(text("text")?.to_owned()),
            "image" => show(text("mimeType")?, text("data")?, &mut images, &mut texts),
            "audio" => texts.push(format!("[audio of the type {}, left out]", text("mimeType")?)),
            "resource" => resource(&part["resource"], &mut images, &mut texts)?,
            "resource_link" => {
                let name = text("title").or_else(|| text("name")).unwrap_or("a resource");
                texts.push(format!("[{name}: {}]", text("uri")?));
            }
            _ => return None,
        }
    }
    Some(Told { text: texts.join("\n"), images })
}

fn resource(resource: &Value, images: &mut Vec<String>, texts: &mut Vec<String>) -> Option<()> {
    let uri = resource["uri"].as_str()?;
    if let Some(text) = resource["text"].as_str() {
        texts.push(format!("[{uri}]\n{text}"));
        return Some(());
    }
    let data = resource["blob"].as_str()?;
    let mime = resource["mimeType"].as_str().unwrap_or("application/octet-stream");
    if mime.starts_with("image/") {
        texts.push(format!("[{uri}]"));
        show(mime, data, images, texts);
    } else {
        texts.push(format!("[{uri} of the type {mime}, left out]"));
    }
    Some(())
}

/// An image, or why there is none.
fn show(mime: &str, data: &str, images: &mut Vec<String>, texts: &mut Vec<String>) {
    let is_base64 = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'+' | b'/' | b'=');
    let is_image = IMAGE_KINDS.iter().any(|(kind, begin)| *kind == mime && data.starts_with(begin));
    if !is_image || !data.len().is_multiple_of(4) || !data.bytes().all(is_base64) {
        texts.push(format!("[an image of the type {mime} that cannot be shown]"));
    } else if data.len() > IMAGE_BYTES {
        texts.push(format!("[an image of {} bytes, too large to be shown]", data.len() / 4 * 3));
    } else if images.len() == IMAGES {
        texts.push(format!("[an image more than the {IMAGES} that are shown]"));
    } else {
        images.push(format!("data:{mime};base64,{data}"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PNG: &str = "iVBORw0KGgoAAAAN";

    #[track_caller]
    fn check(content: &Value, text: &str, images: usize) {
        let told = told(&json!({ "content": content }));
        assert_eq!((told.text.as_str(), told.images.len()), (text, images), "{content}");
    }

    #[test]
    fn results_are_told_as_text() {
        let text = |value: Value| told(&value).text;
        assert_eq!(text(json!("plain")), "plain");
        assert_eq!(text(json!({ "a": [1, null] })), r#"{"a":[1,null]}"#);
        let long = text(json!("é".repeat(TEXT_BYTES)));
        assert!(
            long.ends_with("[cut: the result has 524288 bytes]"),
            "{}",
            &long[long.len() - 60..]
        );
    }

    #[test]
    fn the_parts_of_mcp_are_told_each_in_its_way() {
        let image = json!({ "type": "image", "mimeType": "image/png", "data": PNG });
        check(
            &json!([{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }]),
            "a\nb",
            0,
        );
        check(&json!([{ "type": "text", "text": "a" }, image]), "a", 1);
        check(&json!([image]), "", 1);
        let text = json!({ "uri": "file:///a", "text": "hi" });
        check(&json!([{ "type": "resource", "resource": text }]), "[file:///a]\nhi", 0);
        let blob = json!({ "uri": "file:///a.png", "mimeType": "image/png", "blob": PNG });
        check(&json!([{ "type": "resource", "resource": blob }]), "[file:///a.png]", 1);
        let zip = json!({ "uri": "a.zip", "mimeType": "application/zip", "blob": "UEs=" });
        let left_out = "[a.zip of the type application/zip, left out]";
        check(&json!([{ "type": "resource", "resource": zip }]), left_out, 0);
        check(&json!([{ "type": "resource_link", "uri": "a:b", "name": "B" }]), "[B: a:b]", 0);
        check(&json!([{ "type": "song" }]), r#"{"content":[{"type":"song"}]}"#, 0);
    }

    #[test]
    fn what_only_says_that_it_is_an_image_is_told_as_text() {
        for (mime, data) in
            [("image/png", "AAAA"), ("image/svg+xml", PNG), ("image/png", "iVBORw0KGgo<>!")]
        {
            let image = json!([{ "type": "image", "mimeType": mime, "data": data }]);
            check(&image, &format!("[an image of the type {mime} that cannot be shown]"), 0);
        }
        let many =
            vec![json!({ "type": "image", "mimeType": "image/png", "data": PNG }); IMAGES + 1];
        check(&json!(many), "[an image more than the 8 that are shown]", IMAGES);
    }
}
