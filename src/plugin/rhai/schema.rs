use std::borrow::Cow;

use jsonschema::Validator;
use rhai::{Array, Dynamic, Map as RhaiMap};
use serde_json::{Map, Value, json};

use super::{
    options::Fault,
    value::{to_dynamic, type_name},
};

/// What arguments a tool takes.
pub struct Parameters {
    /// A JSON Schema of `type: object`.
    pub schema: Value,
    validator: Validator,
}

impl Parameters {
    /// Reads a whole JSON Schema, where its `type` is `"object"`, or the short form.
    pub fn parse(written: Map<String, Value>) -> Result<Self, Fault> {
        let whole = written.get("type").is_some_and(|it| it == "object");
        let schema = if whole { Value::Object(written) } else { long_form(written)? };
        let validator = jsonschema::options()
            .with_retriever(NoRetriever)
            .build(&schema)
            .map_err(|err| invalid(&err))?;
        Ok(Self { schema, validator })
    }

    /// The arguments as the script sees them: with defaults, `()` for what was left out, and the
    /// numbers that the schema says. The error is for the model.
    pub fn admit(&self, arguments: Value) -> Result<Dynamic, String> {
        let mut arguments = match arguments {
            Value::Null => Value::Object(Map::new()),
            arguments => arguments,
        };
        self.drop_nulls(&mut arguments);
        let problems: Vec<String> = self
            .validator
            .iter_errors(&arguments)
            .take(10)
            .map(|err| format!("{}: {}", path(err.instance_path().as_str()), shorten(&err)))
            .collect();
        if !problems.is_empty() {
            return Err(format!("the arguments are not valid: {}", problems.join("; ")));
        }
        let known = self.schema.get("properties").and_then(Value::as_object);
        let mut arguments = convert(&arguments, &self.schema, &self.schema);
        if let (Some(known), Some(mut arguments)) = (known, arguments.write_lock::<RhaiMap>()) {
            for name in known.keys() {
                arguments.entry(name.as_str().into()).or_insert(Dynamic::UNIT);
            }
        }
        Ok(arguments)
    }

    /// Models send null for what they leave out.
    fn drop_nulls(&self, arguments: &mut Value) {
        let required = self.schema.get("required").and_then(Value::as_array);
        let properties = self.schema.get("properties").and_then(Value::as_object);
        let (Some(arguments), Some(properties)) = (arguments.as_object_mut(), properties) else {
            return;
        };
        arguments.retain(|name, value| {
            let optional = !required.is_some_and(|it| it.iter().any(|it| it == name.as_str()));
            let Some(Value::Object(schema)) = properties.get(name) else { return true };
            // Where a type is named and null is none of it.
            let refuses = match schema.get("type") {
                Some(Value::String(one)) => one != "null",
                Some(Value::Array(some)) => some.iter().all(|it| it != "null"),
                _ => false,
            };
            !(value.is_null() && optional && refuses)
        });
    }
}

/// Schemas say everything themselves: nothing is fetched.
struct NoRetriever;

impl jsonschema::Retrieve for NoRetriever {
    fn retrieve(
        &self,
        uri: &jsonschema::Uri<String>,
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Err(format!("`{uri}` is not fetched: put it under `$defs`").into())
    }
}

fn long_form(written: Map<String, Value>) -> Result<Value, Fault> {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (name, schema) in written {
        let schema = match schema {
            Value::Object(mut schema) => {
                let optional = schema.remove("optional");
                match optional {
                    None | Some(Value::Bool(false)) if !schema.contains_key("default") => {
                        required.push(Value::String(name.clone()));
                    }
                    None | Some(Value::Bool(_)) => (),
                    Some(_) => {
                        return Err(Fault::new(format!(
                            "`optional` of the parameter `{name}` must be `true` or `false`"
                        )));
                    }
                }
                Value::Object(schema)
            }
            Value::String(text) => {
                return Err(Fault::new(format!("the parameter `{name}` is a string, not a map"))
                    .remedy(format!("write `{name}: #{{ type: \"{text}\" }}`")));
            }
            _ => {
                return Err(Fault::new(format!("the parameter `{name}` is not a map"))
                    .remedy(format!("write `{name}: #{{ type: \"string\" }}`")));
            }
        };
        properties.insert(name, schema);
    }
    Ok(json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    }))
}

fn invalid(err: &jsonschema::ValidationError<'_>) -> Fault {
    let place = match err.instance_path().as_str() {
        "" => String::new(),
        path => format!(" at `{path}`"),
    };
    Fault::new(format!("`parameters` is not a valid JSON Schema{place}: {}", shorten(err)))
        .remedy("see https://json-schema.org/understanding-json-schema for what it may say")
}

fn path(pointer: &str) -> &str {
    if pointer.is_empty() { "/" } else { pointer }
}

/// The error's text without the value where that is long.
fn shorten(err: &jsonschema::ValidationError<'_>) -> String {
    const LONGEST: usize = 200;
    let text = err.to_string();
    if text.chars().count() <= LONGEST { text } else { err.masked().to_string() }
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

/// The parameters as a script gave them.
pub fn written(value: &Dynamic, json: Value) -> Result<Map<String, Value>, Fault> {
    match json {
        Value::Object(map) => Ok(map),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(Fault::new(format!(
                "`parameters` of `tool` is no map but of the type {}",
                type_name(value)
            ))
            .remedy("write `parameters: #{ name: #{ type: \"string\" } }`"))
        }
    }
}
