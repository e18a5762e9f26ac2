use jsonschema::Validator;
use serde_json::{Map, Value, json};

/// What arguments a tool takes.
#[derive(Debug)]
pub struct Parameters {
    /// A JSON Schema of `type: object`.
    pub schema: Value,
    validator: Validator,
}

/// Why what a plugin wrote are no parameters.
#[derive(Debug, thiserror::Error)]
pub enum WrongParameters {
    /// In the short form, where each parameter is a map.
    #[error("{message}: write `{{ \"type\": \"{kind}\" }}`")]
    NoMap { name: String, message: String, kind: String },
    #[error("{0}")]
    Schema(String),
    #[error("{0}")]
    Other(String),
}

impl Parameters {
    /// Reads a whole JSON Schema, where its `type` is `"object"`, or the short form.
    pub fn parse(written: Map<String, Value>) -> Result<Self, WrongParameters> {
        let whole = written.get("type").is_some_and(|it| it == "object");
        let schema = if whole { Value::Object(written) } else { long_form(written)? };
        Self::new(schema).map_err(WrongParameters::Schema)
    }

    /// Fails with what is wrong with the schema.
    pub fn new(schema: Value) -> Result<Self, String> {
        let validator = jsonschema::options()
            .with_retriever(NoRetriever)
            .build(&schema)
            .map_err(|err| invalid(&err))?;
        Ok(Self { schema, validator })
    }

    /// The arguments without the nulls that models send for what they leave out, if the schema admits them. The
    /// error is for the model.
    pub fn check(&self, arguments: Value) -> Result<Value, String> {
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
        Ok(arguments)
    }

    /// The same, with the defaults of what was left out.
    pub fn complete(&self, arguments: Value) -> Result<Map<String, Value>, String> {
        let Value::Object(mut arguments) = self.check(arguments)? else {
            return Err("the arguments are not valid: /: they are no object".to_owned());
        };
        let properties = self.schema.get("properties").and_then(Value::as_object);
        for (name, schema) in properties.into_iter().flatten() {
            if let Some(default) = schema.get("default") {
                arguments.entry(name.clone()).or_insert_with(|| default.clone());
            }
        }
        Ok(arguments)
    }

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

fn long_form(written: Map<String, Value>) -> Result<Value, WrongParameters> {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (name, schema) in written {
        let no_map = |message: String, kind: &str| WrongParameters::NoMap {
            name: name.clone(),
            message,
            kind: kind.to_owned(),
        };
        let mut schema = match schema {
            Value::Object(schema) => schema,
            Value::String(text) => {
                return Err(no_map(
                    format!("the parameter `{name}` is a string, not a map"),
                    &text,
                ));
            }
            _ => return Err(no_map(format!("the parameter `{name}` is not a map"), "string")),
        };
        match schema.remove("optional") {
            None | Some(Value::Bool(false)) if !schema.contains_key("default") => {
                required.push(Value::String(name.clone()));
            }
            None | Some(Value::Bool(_)) => (),
            Some(_) => {
                return Err(WrongParameters::Other(format!(
                    "`optional` of the parameter `{name}` must be `true` or `false`"
                )));
            }
        }
        properties.insert(name, Value::Object(schema));
    }
    Ok(json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    }))
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

fn invalid(err: &jsonschema::ValidationError<'_>) -> String {
    let place = match err.instance_path().as_str() {
        "" => String::new(),
        path => format!(" at `{path}`"),
    };
    format!("`parameters` is not a valid JSON Schema{place}: {}", shorten(err))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_out_has_its_default_or_is_not_there() {
        let schema = json!({
            "type": "object",
            "properties": {
                "kind": { "type": "string" },
                "size": { "type": "integer", "default": 3 },
                "note": { "type": "string" },
            },
            "required": ["kind"],
            "additionalProperties": false,
        });
        let parameters = Parameters::new(schema).unwrap();
        let complete = |arguments| parameters.complete(arguments).map(Value::Object);
        assert_eq!(
            complete(json!({ "kind": "a", "note": null })),
            Ok(json!({ "kind": "a", "size": 3 }))
        );
        assert_eq!(
            complete(json!({ "size": "x" })),
            Err("the arguments are not valid: /size: \"x\" is not of type \"integer\"; /: \"kind\" is a required property".to_owned())
        );
        assert!(complete(Value::Null).is_err() && complete(json!([1])).is_err());
    }
}
