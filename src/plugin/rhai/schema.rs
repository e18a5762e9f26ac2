use std::borrow::Cow;

use rhai::{Array, Dynamic, Map as RhaiMap};
use serde_json::{Map, Value};

use super::{
    options::Fault,
    value::{to_dynamic, to_json, type_name},
};
use crate::plugin::{Parameters, parameters::WrongParameters};

/// Reads a whole JSON Schema, where its `type` is `"object"`, or the short form.
pub fn parse(written: Map<String, Value>) -> Result<Parameters, Fault> {
    Parameters::parse(written).map_err(|err| match err {
        WrongParameters::NoMap { name, message, kind } => {
            Fault::new(message).remedy(format!("write `{name}: #{{ type: \"{kind}\" }}`"))
        }
        WrongParameters::Schema(message) => Fault::new(message)
            .remedy("see https://json-schema.org/understanding-json-schema for what it may say"),
        WrongParameters::Other(message) => Fault::new(message),
    })
}

/// The arguments as the script sees them: with defaults, `()` for what was left out, and the numbers
/// that the schema says. The error is for the model.
pub fn admit(parameters: &Parameters, arguments: Value) -> Result<Dynamic, String> {
    let schema = &parameters.schema;
    let arguments = parameters.check(arguments)?;
    let known = schema.get("properties").and_then(Value::as_object);
    let mut arguments = convert(&arguments, schema, schema);
    if let (Some(known), Some(mut arguments)) = (known, arguments.write_lock::<RhaiMap>()) {
        for name in known.keys() {
            arguments.entry(name.as_str().into()).or_insert(Dynamic::UNIT);
        }
    }
    Ok(arguments)
}

/// The value as the schema types it: integers where it says integer, floats where it says number.
fn convert(value: &Value, schema: &Value, root: &Value) -> Dynamic {
    let schema = resolve(schema, root);
    match value {
        Value::Number(number) => match (says(&schema, "integer"), says(&schema, "number")) {
            (true, false) => whole(number).map_or_else(|| to_dynamic(value), Dynamic::from),
            (false, true) => number.as_f64().map_or_else(|| to_dynamic(value), Dynamic::from),
            _ => to_dynamic(value),
        },
        Value::Array(array) => {
            let first = schema.get("prefixItems").and_then(Value::as_array);
            let rest = schema.get("items").unwrap_or(&Value::Null);
            let entries = array.iter().enumerate().map(|(index, entry)| {
                convert(entry, first.and_then(|it| it.get(index)).unwrap_or(rest), root)
            });
            Dynamic::from_array(entries.collect::<Array>())
        }
        Value::Object(object) => {
            let properties = schema.get("properties").and_then(Value::as_object);
            let others = schema.get("additionalProperties").unwrap_or(&Value::Null);
            let mut map = RhaiMap::new();
            for (name, entry) in object {
                let schema = properties.and_then(|it| it.get(name)).unwrap_or(others);
                map.insert(name.as_str().into(), convert(entry, schema, root));
            }
            for (name, property) in properties.into_iter().flatten() {
                if let (None, Some(default)) = (object.get(name), property.get("default")) {
                    map.insert(name.as_str().into(), convert(default, property, root));
                }
            }
            Dynamic::from_map(map)
        }
        Value::Null | Value::Bool(_) | Value::String(_) => to_dynamic(value),
    }
}

/// The schema with what it refers to, and the parts that are joined by `allOf`, `anyOf`, `oneOf`.
fn resolve<'a>(schema: &'a Value, root: &'a Value) -> Cow<'a, Map<String, Value>> {
    let Some(object) = schema.as_object() else { return Cow::Owned(Map::new()) };
    let joined = ["$ref", "allOf", "anyOf", "oneOf"];
    if !joined.iter().any(|it| object.contains_key(*it)) {
        return Cow::Borrowed(object);
    }
    let mut whole = object.clone();
    let mut parts: Vec<&Value> = ["allOf", "anyOf", "oneOf"]
        .iter()
        .filter_map(|it| object.get(*it).and_then(Value::as_array))
        .flatten()
        .collect();
    let pointer = object.get("$ref").and_then(Value::as_str).and_then(|it| it.strip_prefix('#'));
    parts.extend(pointer.and_then(|it| root.pointer(it)));
    // One level is enough for what people write, and cannot go round in circles.
    for part in parts.into_iter().filter_map(Value::as_object) {
        for (key, value) in part {
            whole.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
    Cow::Owned(whole)
}

fn says(schema: &Map<String, Value>, name: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(one)) => one == name,
        Some(Value::Array(some)) => some.iter().any(|it| it == name),
        _ => false,
    }
}

/// 5 for `5.0`.
fn whole(number: &serde_json::Number) -> Option<i64> {
    number.as_i64().or_else(|| {
        let float = number.as_f64()?;
        #[expect(clippy::cast_possible_truncation, reason = "the cast back tells")]
        let integer = float as i64;
        #[expect(clippy::cast_precision_loss, clippy::float_cmp, reason = "they are equal or not")]
        (integer as f64 == float).then_some(integer)
    })
}

/// The parameters as a script gave them to `function`.
pub fn read(function: &str, written: Option<Dynamic>) -> Result<Parameters, Fault> {
    let Some(written) = written else { return parse(Map::new()) };
    let json = to_json(&written)
        .map_err(|err| Fault::new(format!("`parameters` of `{function}`: {err}")))?;
    match json {
        Value::Object(map) => parse(map),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(Fault::new(format!(
                "`parameters` of `{function}` is no map but of the type {}",
                type_name(&written)
            ))
            .remedy("write `parameters: #{ name: #{ type: \"string\" } }`"))
        }
    }
}
