use std::{borrow::Cow, mem};

use bytes::Bytes;
use serde::{Serialize, de::IgnoredAny};
use serde_json::{Value, json};

use crate::model::{InputContent, InputItem, ModelRequest, Role, http::Delivery, names::ToolNames};

/// The body of a request.
pub fn body(request: &ModelRequest, names: &ToolNames, delivery: Delivery) -> Bytes {
    let tools: Vec<Tool<'_>> = request
        .tools
        .iter()
        .map(|tool| Tool::Function {
            function: Function {
                name: names.for_model(&tool.name),
                description: &tool.description,
                parameters: &tool.parameters,
                strict: false,
            },
        })
        .collect();
    let stream = delivery == Delivery::Streamed;
    let body = Body {
        model: &request.model,
        messages: messages(request, names),
        stream,
        stream_options: stream.then(|| json!({ "include_usage": true })),
        tool_choice: request.tool_choice.as_deref().filter(|_| !tools.is_empty()).map(
            |name| json!({ "type": "function", "function": { "name": names.for_model(name) } }),
        ),
        parallel_tool_calls: (!tools.is_empty() && !request.parallel_tool_calls).then_some(false),
        tools,
        temperature: request.temperature,
        reasoning_effort: request.reasoning.as_ref().and_then(|it| it.effort.as_deref()),
        response_format: request.schema.as_ref().map(|schema| {
            json!({
                "type": "json_schema",
                "json_schema": { "name": "answer", "schema": schema, "strict": false },
            })
        }),
    };
    serde_json::to_vec(&body).expect("the keys are strings and the values JSON").into()
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Value>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Tool<'a> {
    Function { function: Function<'a> },
}

#[derive(Serialize)]
struct Function<'a> {
    name: Cow<'a, str>,
    description: &'a str,
    parameters: &'a Value,
    strict: bool,
}

#[derive(Serialize)]
#[serde(tag = "role", rename_all = "lowercase")]
enum Message<'a> {
    System {
        content: &'a str,
    },
    User {
        content: Content<'a>,
    },
    Assistant {
        #[serde(skip_serializing_if = "Option::is_none")]
        content: Option<Content<'a>>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<Call<'a>>,
    },
    Tool {
        tool_call_id: &'a str,
        content: Content<'a>,
    },
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(&'a str),
    Parts(Vec<Part<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<'a> {
    Text { text: Cow<'a, str> },
    ImageUrl { image_url: ImageUrl<'a> },
    File { file: File<'a> },
}

#[derive(Serialize)]
struct ImageUrl<'a> {
    url: &'a str,
}

#[derive(Serialize)]
struct File<'a> {
    filename: &'a str,
    file_data: &'a str,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Call<'a> {
    Function { id: &'a str, function: CalledFunction<'a> },
}

#[derive(Serialize)]
struct CalledFunction<'a> {
    name: Cow<'a, str>,
    arguments: &'a str,
}

fn messages<'a>(request: &'a ModelRequest, names: &'a ToolNames) -> Vec<Message<'a>> {
    let mut messages = Vec::with_capacity(request.input.len() + 1);
    if !request.instructions.is_empty() {
        messages.push(Message::System { content: &request.instructions });
    }
    // Of tools, shown after all outputs that stand together: nothing may come between those.
    let mut shown = Vec::new();
    for item in &request.input {
        if !matches!(item, InputItem::FunctionCallOutput { .. }) {
            push_shown(&mut messages, &mut shown);
        }
        match item {
            InputItem::Message { role: Role::User, content } => {
                messages.push(Message::User { content: user_content(content) });
            }
            InputItem::Message { role: Role::Assistant, content } => {
                let content = Some(text_content(content));
                messages.push(Message::Assistant { content, tool_calls: Vec::new() });
            }
            InputItem::FunctionCall { call_id, name, arguments } => {
                let function = CalledFunction {
                    name: names.for_model(name),
                    // Servers that parse it refuse the whole request for one broken call.
                    arguments: if is_object(arguments) { arguments } else { "{}" },
                };
                let call = Call::Function { id: call_id, function };
                if let Some(Message::Assistant { tool_calls, .. }) = messages.last_mut() {
                    tool_calls.push(call);
                } else {
                    let tool_calls = vec![call];
                    messages.push(Message::Assistant { content: None, tool_calls });
                }
            }
            InputItem::FunctionCallOutput { call_id, output } => {
                let (texts, others): (Vec<_>, Vec<_>) =
                    output.iter().partition(|it| matches!(it, InputContent::Text(_)));
                let content = match texts[..] {
                    [] if !others.is_empty() => Content::Text("(shown below)"),
                    [] => Content::Text(""),
                    [InputContent::Text(text)] => Content::Text(text),
                    _ => Content::Parts(texts.into_iter().map(part).collect()),
                };
                messages.push(Message::Tool { tool_call_id: call_id, content });
                shown.extend(others.into_iter().map(part));
            }
            // Of the Responses API.
            InputItem::Raw(_) => (),
        }
    }
    push_shown(&mut messages, &mut shown);
    messages
}

fn push_shown<'a>(messages: &mut Vec<Message<'a>>, shown: &mut Vec<Part<'a>>) {
    if shown.is_empty() {
        return;
    }
    let mut parts = vec![Part::Text { text: "What the tools showed:".into() }];
    parts.append(&mut mem::take(shown));
    messages.push(Message::User { content: Content::Parts(parts) });
}

fn user_content(content: &[InputContent]) -> Content<'_> {
    match content {
        [] => Content::Text(""),
        [InputContent::Text(text)] => Content::Text(text),
        _ => Content::Parts(content.iter().map(part).collect()),
    }
}

/// What an assistant said; it can only have been text.
fn text_content(content: &[InputContent]) -> Content<'_> {
    match content {
        [] => Content::Text(""),
        [InputContent::Text(text)] => Content::Text(text),
        _ => Content::Parts(
            content.iter().filter(|it| matches!(it, InputContent::Text(_))).map(part).collect(),
        ),
    }
}

fn part(content: &InputContent) -> Part<'_> {
    match content {
        InputContent::Text(text) => Part::Text { text: text.into() },
        InputContent::Image { url } => Part::ImageUrl { image_url: ImageUrl { url } },
        InputContent::File { filename, data } => {
            Part::File { file: File { filename, file_data: data } }
        }
    }
}

fn is_object(arguments: &str) -> bool {
    arguments.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(arguments).is_ok()
}
