use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

use jsonschema::{Retrieve, Uri, Validator};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::{
    mcp::{
        clean::{clean, clean_line, cut},
        file::ServerFile,
        schema,
    },
    tool::ToolSpec,
};

/// Of one server.
pub const MAX_TOOLS: usize = 200;
const MAX_DESCRIPTION: usize = 1024;
const MAX_NAME: usize = 64;
const MAX_TITLE: usize = 128;
const CONNECT: &str = "connect";

/// A tool of a server, as it was listed.
pub struct ListedTool {
    /// By the server.
    pub name: String,
    /// As the model sees it.
    pub spec: Arc<ToolSpec>,
    /// Of its arguments, with those that the model does not see.
    pub schema: Value,
    /// Of what the model is told of it: a change is told, or blocks it.
    pub hash: String,
    validator: OnceLock<Result<Validator, String>>,
}

/// The tools of a server that may be offered, by the server's names, and what is wrong with others.
#[derive(Default)]
pub struct Listed {
    pub tools: BTreeMap<String, Arc<ListedTool>>,
    /// For the operator.
    pub warnings: Vec<String>,
}

/// Takes what a server lists for what it may be.
pub fn admit(file: &ServerFile, listed: Vec<rmcp::model::Tool>) -> Listed {
    let mut admitted = Listed::default();
    let mut seen = BTreeSet::new();
    let total = listed.len();
    for tool in listed.into_iter().take(MAX_TOOLS) {
        let name = tool.name.to_string();
        if !is_name(&name) {
            let shown = clean_line(&name, 40);
            admitted.warnings.push(format!(
                "the tool `{shown}` is left out: a name has 1 to {MAX_NAME} letters, digits, `_`, `-` and `.`"
            ));
            continue;
        }
        if !file.tools.admits(&name) {
            continue;
        }
        if !seen.insert(name.clone()) {
            admitted.warnings.push(format!("the tool `{name}` is listed twice: the first counts"));
            continue;
        }
        match admit_one(file, &name, tool) {
            Ok(tool) => {
                admitted.tools.insert(name, Arc::new(tool));
            }
            Err(reason) => {
                admitted.warnings.push(format!("the tool `{name}` is left out: {reason}"));
            }
        }
    }
    if total > MAX_TOOLS {
        admitted.warnings.push(format!(
            "it lists {total} tools: those after the first {MAX_TOOLS} are left out"
        ));
    }
    admitted
}

fn admit_one(file: &ServerFile, name: &str, tool: rmcp::model::Tool) -> Result<ListedTool, String> {
    let schema = schema::check((*tool.input_schema).clone())?;
    if let Some(reason) = file.rules.refusal(&schema) {
        return Err(reason);
    }
    let seen = file.rules.hide(&schema);
    let description = clean(tool.description.as_deref().unwrap_or_default()).trim().to_owned();
    let description = cut(description, MAX_DESCRIPTION);
    let mut annotations = match json!(tool.annotations) {
        Value::Object(annotations) => annotations,
        _ => Map::new(),
    };
    let title = tool.title.or_else(|| annotations.get("title")?.as_str().map(str::to_owned));
    match title.map(|it| clean_line(&it, MAX_TITLE)).filter(|it| !it.is_empty()) {
        Some(title) => annotations.insert("title".to_owned(), Value::from(title)),
        None => annotations.shift_remove("title"),
    };
    let hash = hash(&description, &schema, &annotations);
    let spec = ToolSpec {
        approval: file.approval_of(name),
        annotations,
        timeout: Some(file.timeout),
        server: Some(Arc::from(file.id.as_str())),
        ..ToolSpec::new(format!("{}__{name}", file.id), description, seen)
    };
    let validator = OnceLock::new();
    Ok(ListedTool { name: name.to_owned(), spec: Arc::new(spec), schema, hash, validator })
}

/// What is offered of a server as long as its user has not given what it wants: the call shows them where they do.
pub fn connect(file: &ServerFile) -> Arc<ListedTool> {
    let id = &file.id;
    let schema = json!({ "type": "object", "properties": {}, "additionalProperties": false });
    let description = format!(
        "Connects the user's account at `{id}`, whose other tools can be used afterwards. Call it when the user asks \
         for something that `{id}` is for: they are shown where to connect."
    );
    let spec = ToolSpec {
        server: Some(Arc::from(id.as_str())),
        annotations: Map::from_iter([("readOnlyHint".to_owned(), Value::from(true))]),
        ..ToolSpec::new(format!("{id}__{CONNECT}"), description, schema.clone())
    };
    let (hash, validator) = (String::new(), OnceLock::new());
    Arc::new(ListedTool { name: CONNECT.to_owned(), spec: Arc::new(spec), schema, hash, validator })
}

impl ListedTool {
    /// Whether it is no tool of the server: see `connect`.
    pub fn is_connect(&self) -> bool {
        self.hash.is_empty()
    }

    /// The arguments without the nulls that models send for what they leave out. The error says what is wrong
    /// with them, for the model.
    pub fn check(&self, mut arguments: Map<String, Value>) -> Result<Map<String, Value>, String> {
        self.drop_nulls(&mut arguments);
        let validator = self.validator.get_or_init(|| {
            jsonschema::options()
                .with_pattern_options(jsonschema::PatternOptions::regex())
                .with_retriever(NoRetriever)
                .build(&self.spec.parameters)
                .map_err(|err| clean_line(&err.to_string(), 200))
        });
        let Ok(validator) = validator else {
            // What cannot be checked here is the server's to check.
            return Ok(arguments);
        };
        let arguments = Value::Object(arguments);
        let problems: Vec<String> = validator
            .iter_errors(&arguments)
            .take(10)
            .map(|err| {
                let path = err.instance_path().as_str();
                let path = if path.is_empty() { "/" } else { path };
                format!("{path}: {}", clean_line(&err.to_string(), 200))
            })
            .collect();
        match arguments {
            Value::Object(arguments) if problems.is_empty() => Ok(arguments),
            _ => Err(format!("the arguments are not valid: {}", problems.join("; "))),
        }
    }

    fn drop_nulls(&self, arguments: &mut Map<String, Value>) {
        let schema = &self.spec.parameters;
        let is_required = |name: &str| {
            let required = schema["required"].as_array();
            required.is_some_and(|it| it.iter().any(|it| it == name))
        };
        arguments.retain(|name, value| {
            // Where a type is named and null is none of it.
            let refuses = match &schema["properties"][name.as_str()]["type"] {
                Value::String(one) => one != "null",
                Value::Array(some) => some.iter().all(|it| it != "null"),
                _ => false,
            };
            !(value.is_null() && refuses && !is_required(name))
        });
    }
}

/// Schemas are whole: nothing is fetched for them.
struct NoRetriever;

impl Retrieve for NoRetriever {
    fn retrieve(
        &self,
        _uri: &Uri<String>,
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Err("another document is not fetched".into())
    }
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'_' | b'.' | b'-'))
}

fn hash(description: &str, schema: &Value, annotations: &Map<String, Value>) -> String {
    use std::fmt::Write;

    let mut hasher = Sha256::new();
    for part in [description.to_owned(), canonical(schema), canonical(&json!(annotations))] {
        hasher.update(Sha256::digest(part));
    }
    let mut text = String::new();
    for byte in &hasher.finalize()[..16] {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// JSON in which the order of keys does not count.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<_, _> = map.iter().collect();
            let entry = |(key, value): (&String, &Value)| {
                format!("{}:{}", Value::from(key.as_str()), canonical(value))
            };
            let entries: Vec<_> = sorted.into_iter().map(entry).collect();
            format!("{{{}}}", entries.join(","))
        }
        Value::Array(list) => {
            format!("[{}]", list.iter().map(canonical).collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}
