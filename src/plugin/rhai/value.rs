use base64::{Engine as _, engine::general_purpose::STANDARD};
use rhai::{Array, Blob, Dynamic, FnPtr, Map};
use serde_json::Value;

use super::{
    ctx::{AttachmentHandle, Response, StreamHandle, ThreadHandle},
    limits::{DEPTH, too_deep},
};

/// JSON as scripts see it: null is `()`.
pub fn to_dynamic(value: &Value) -> Dynamic {
    match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(value) => (*value).into(),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => integer.into(),
            None => number.as_f64().unwrap_or(f64::NAN).into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(array) => Dynamic::from_array(array.iter().map(to_dynamic).collect::<Array>()),
        Value::Object(object) => {
            let entries =
                object.iter().map(|(key, value)| (key.as_str().into(), to_dynamic(value)));
            Dynamic::from_map(entries.collect::<Map>())
        }
    }
}

/// The JSON of a script's value. Fails for what JSON cannot hold, such as a closure.
pub fn to_json(value: &Dynamic) -> Result<Value, String> {
    to_json_at(value, 0)
}

fn to_json_at(value: &Dynamic, depth: usize) -> Result<Value, String> {
    if depth > DEPTH {
        return Err(too_deep());
    }
    if value.is_shared() {
        let inner = value.read_lock::<Dynamic>();
        let inner = inner.ok_or("the value is in use by the closure that it was given to")?;
        return to_json_at(&inner, depth);
    }
    if value.is_unit() {
        return Ok(Value::Null);
    }
    if let Ok(value) = value.as_bool() {
        return Ok(value.into());
    }
    if let Ok(value) = value.as_int() {
        return Ok(value.into());
    }
    if let Ok(value) = value.as_float() {
        // JSON knows neither NaN nor infinity.
        return Ok(value.into());
    }
    if let Ok(text) = value.as_immutable_string_ref() {
        return Ok(text.as_str().into());
    }
    if let Ok(value) = value.as_char() {
        return Ok(value.to_string().into());
    }
    if let Ok(array) = value.as_array_ref() {
        return array.iter().map(|entry| to_json_at(entry, depth + 1)).collect();
    }
    if let Some(map) = value.read_lock::<Map>() {
        let entries =
            map.iter().map(|(key, entry)| Ok((key.to_string(), to_json_at(entry, depth + 1)?)));
        return entries.collect::<Result<_, String>>().map(Value::Object);
    }
    if let Some(blob) = value.read_lock::<Blob>() {
        return Ok(STANDARD.encode(&*blob).into());
    }
    if let Some(response) = value.read_lock::<Response>() {
        return Ok(response.to_json());
    }
    if let Some(thread) = value.read_lock::<ThreadHandle>() {
        return thread.to_json();
    }
    if let Some(stream) = value.read_lock::<StreamHandle>() {
        return Ok(stream.id.as_str().into());
    }
    if let Some(attachment) = value.read_lock::<AttachmentHandle>() {
        return attachment.to_json();
    }
    if value.read_lock::<FnPtr>().is_some() {
        return Err("a closure cannot become JSON".to_owned());
    }
    Err(format!("a value of the type `{}` cannot become JSON", type_name(value)))
}

/// The name of a value's type as people know it.
pub fn type_name(value: &Dynamic) -> &'static str {
    let name = value.type_name();
    match name {
        "()" => "()",
        "i64" => "integer",
        "f64" => "float",
        "bool" => "boolean",
        "char" => "character",
        "string" => "string",
        "array" | "map" | "blob" => name,
        "Fn" => "closure",
        "timestamp" => "timestamp",
        _ => match name.rsplit("::").next() {
            Some("Ctx") => "ctx",
            Some("ThreadHandle") => "ctx.thread",
            Some("AttachmentHandle") => "attachment",
            Some("Response") => "http response",
            Some("Date") => "date",
            _ => "object",
        },
    }
}
