mod chat_completions;
mod faults;
mod models;
mod requests;
mod responses;
mod upstream;

use std::{fmt::Write, sync::Arc};

use futures::{StreamExt, stream::BoxStream};
use serde_json::{Map, json};

use super::{InputContent, InputItem, ModelError, ModelEvent, ModelRequest, Role};
use crate::{
    tool::{Approval, ToolSpec},
    user::Allow,
};

pub fn tool(name: &str) -> Arc<ToolSpec> {
    Arc::new(ToolSpec {
        name: name.to_owned(),
        description: format!("The tool {name}."),
        parameters: json!({ "type": "object", "properties": {} }),
        examples: Vec::new(),
        stop: false,
        parallel: true,
        approval: Approval::Never,
        annotations: Map::new(),
        timeout: None,
        mcp: false,
        server: None,
        allow: Allow::default(),
    })
}

/// A request with one message of the user.
pub fn say(text: &str) -> ModelRequest {
    ModelRequest {
        model: "m".to_owned(),
        input: vec![user(text)],
        parallel_tool_calls: true,
        ..ModelRequest::default()
    }
}

pub fn user(text: &str) -> InputItem {
    InputItem::Message { role: Role::User, content: vec![InputContent::Text(text.to_owned())] }
}

/// An answer, a line for each event; ids that were generated are `call_…`.
pub async fn events(mut stream: BoxStream<'static, Result<ModelEvent, ModelError>>) -> String {
    let mut text = String::new();
    while let Some(event) = stream.next().await {
        let _ = match event {
            Ok(ModelEvent::MessageAdded) => writeln!(text, "message"),
            Ok(ModelEvent::ContentPartAdded { content_index }) => {
                writeln!(text, "  part {content_index}")
            }
            Ok(ModelEvent::TextDelta { delta, .. }) => writeln!(text, "    {delta:?}"),
            Ok(ModelEvent::Annotation { annotation, .. }) => {
                writeln!(text, "    {}", serde_json::to_string(&annotation).unwrap())
            }
            Ok(ModelEvent::ContentPartDone { content_index, text: whole }) => {
                writeln!(text, "  part {content_index} done {whole:?}")
            }
            Ok(ModelEvent::MessageDone) => writeln!(text, "message done"),
            Ok(ModelEvent::ReasoningAdded) => writeln!(text, "reasoning"),
            Ok(ModelEvent::ReasoningDelta { summary_index, delta }) => {
                writeln!(text, "  {summary_index} {delta:?}")
            }
            Ok(ModelEvent::ReasoningDone { summary_index, text: whole }) => {
                writeln!(text, "  {summary_index} done {whole:?}")
            }
            Ok(ModelEvent::ToolCall(call)) => {
                let is_generated = call.call_id.len() == 37;
                let id = if is_generated { "call_…" } else { &call.call_id };
                writeln!(text, "call {} {} {id}", call.name, call.arguments)
            }
            Ok(ModelEvent::ImageAdded) => writeln!(text, "image"),
            Ok(ModelEvent::ImagePartial { index, base64 }) => writeln!(text, "  {index} {base64}"),
            Ok(ModelEvent::SearchAdded { id, kind }) => {
                writeln!(text, "search {kind:?} {id}")
            }
            Ok(ModelEvent::SearchDone(search)) => writeln!(
                text,
                "searched {} for {:?} in {:?}",
                search.id, search.queries, search.sources
            ),
            Ok(ModelEvent::ImageDone { base64 }) => writeln!(text, "image done {base64}"),
            Ok(ModelEvent::Raw(item)) => writeln!(text, "raw {item}"),
            Ok(ModelEvent::Usage(usage)) => {
                writeln!(text, "usage {} {}", usage.input_tokens, usage.output_tokens)
            }
            Ok(ModelEvent::Done(finish)) => writeln!(text, "done {finish:?}"),
            Err(err) => writeln!(text, "error {err}"),
        };
    }
    text
}
