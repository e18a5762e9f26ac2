use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

use crate::model::{InputContent, InputItem, ModelRequest, Role, http::Delivery, names::ToolNames};

/// The body of a request.
pub fn body(request: &ModelRequest, names: &ToolNames, delivery: Delivery) -> Bytes {
    let mut tools: Vec<Tool<'_>> = request
        .tools
        .iter()
        .map(|tool| {
            Tool::Ours(OurTool::Function {
                name: names.for_model(&tool.name),
                description: &tool.description,
                parameters: &tool.parameters,
                strict: false,
            })
        })
        .collect();
    tools.extend(request.hosted.iter().map(Tool::Hosted));
    let reasoning = request.reasoning.as_ref();
    let body = Body {
        model: &request.model,
        instructions: Some(request.instructions.as_str()).filter(|it| !it.is_empty()),
        input: request.input.iter().filter_map(|item| input_item(item, names)).collect(),
        stream: delivery == Delivery::Streamed,
        store: false,
        include: include(request),
        tool_choice: request.tool_choice.as_deref().filter(|_| !tools.is_empty()).map(|name| {
            if request.hosted.iter().any(|tool| tool["type"] == name) {
                json!({ "type": name })
            } else {
                json!({ "type": "function", "name": names.for_model(name) })
            }
        }),
        parallel_tool_calls: (!tools.is_empty() && !request.parallel_tool_calls).then_some(false),
        tools,
        temperature: request.temperature,
        reasoning: reasoning.map(|reasoning| Reasoning {
            effort: reasoning.effort.as_deref(),
            summary: reasoning.show.then_some("auto"),
        }),
        text: request.schema.as_ref().map(|schema| {
            let format = json!({
                "type": "json_schema", "name": "answer", "schema": schema, "strict": false,
            });
            json!({ "format": format })
        }),
    };
    serde_json::to_vec(&body).expect("the keys are strings and the values JSON").into()
}

/// What the provider says only if it is asked to.
fn include(request: &ModelRequest) -> Vec<&'static str> {
    let has = |name: &str| request.hosted.iter().any(|tool| tool["type"] == name);
    let extras = [
        (request.reasoning.is_some(), "reasoning.encrypted_content"),
        (has("web_search"), "web_search_call.action.sources"),
        (has("file_search"), "file_search_call.results"),
    ];
    extras.into_iter().filter(|(wanted, _)| *wanted).map(|(_, name)| name).collect()
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instructions: Option<&'a str>,
    input: Vec<Item<'a>>,
    stream: bool,
    store: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    include: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<Reasoning<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Value>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Tool<'a> {
    Ours(OurTool<'a>),
    Hosted(&'a Value),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum OurTool<'a> {
    Function { name: Cow<'a, str>, description: &'a str, parameters: &'a Value, strict: bool },
}

#[derive(Serialize)]
struct Reasoning<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Item<'a> {
    Ours(OurItem<'a>),
    Raw(&'a Value),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum OurItem<'a> {
    Message { role: &'static str, content: Vec<Part<'a>> },
    FunctionCall { call_id: &'a str, name: Cow<'a, str>, arguments: &'a str },
    FunctionCallOutput { call_id: &'a str, output: Output<'a> },
}

#[derive(Serialize)]
#[serde(untagged)]
enum Output<'a> {
    Text(&'a str),
    Parts(Vec<Part<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<'a> {
    InputText { text: &'a str },
    OutputText { text: &'a str, annotations: [(); 0] },
    InputImage { image_url: &'a str, detail: &'static str },
    InputFile { filename: &'a str, file_data: &'a str },
}

fn input_item<'a>(item: &'a InputItem, names: &'a ToolNames) -> Option<Item<'a>> {
    Some(match item {
        InputItem::Message { role: Role::User, content } => Item::Ours(OurItem::Message {
            role: "user",
            content: content.iter().map(input_part).collect(),
        }),
        InputItem::Message { role: Role::Assistant, content } => {
            let content: Vec<Part<'_>> = content.iter().filter_map(output_part).collect();
            if content.is_empty() {
                return None;
            }
            Item::Ours(OurItem::Message { role: "assistant", content })
        }
        InputItem::FunctionCall { call_id, name, arguments } => {
            Item::Ours(OurItem::FunctionCall { call_id, name: names.for_model(name), arguments })
        }
        InputItem::FunctionCallOutput { call_id, output } => {
            let output = match &output[..] {
                [] => Output::Text(""),
                [InputContent::Text(text)] => Output::Text(text),
                parts => Output::Parts(parts.iter().map(input_part).collect()),
            };
            Item::Ours(OurItem::FunctionCallOutput { call_id, output })
        }
        // Nothing is stored there, so an item that is no more than an id would not be found.
        InputItem::Raw(item) if is_bare_reasoning(item) => return None,
        InputItem::Raw(item) => Item::Raw(item),
    })
}

fn is_bare_reasoning(item: &Value) -> bool {
    let has = |key: &str| match item.get(key) {
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(parts)) => !parts.is_empty(),
        _ => false,
    };
    item["type"] == "reasoning" && !has("encrypted_content") && !has("content")
}

fn input_part(content: &InputContent) -> Part<'_> {
    match content {
        InputContent::Text(text) => Part::InputText { text },
        InputContent::Image { url } => Part::InputImage { image_url: url, detail: "auto" },
        InputContent::File { filename, data } => Part::InputFile { filename, file_data: data },
    }
}

/// What an assistant said; it can only have been text.
fn output_part(content: &InputContent) -> Option<Part<'_>> {
    match content {
        InputContent::Text(text) => Some(Part::OutputText { text, annotations: [] }),
        InputContent::Image { .. } | InputContent::File { .. } => None,
    }
}
