//! The model that answers where no real one is connected, so that a first run shows streaming, tools
//! and reload without a key and without a network.
//!
//! It follows simple patterns in the last message of the user: a tool called by name, a tool's
//! `examples`, a few questions about itself. What it did, it tells in words.

mod arguments;
mod example;
mod intent;
mod tell;
#[cfg(test)]
mod tests;

use std::time::Duration;

use async_stream::stream;
use futures::{future::BoxFuture, stream::BoxStream};
use serde_json::Value;
use tokio::time::sleep;

use self::intent::Intent;
use super::{
    Finish, InputContent, InputItem, Model, ModelError, ModelEvent, ModelRequest, Role, ToolCall,
    Usage, new_call_id,
};

const WORD_DELAY: Duration = Duration::from_millis(15);
const TITLE_WORDS: usize = 6;
const TITLE_CHARS: usize = 48;

/// How messages begin that say what a user did not say.
const CONTEXT: [&str; 3] = [
    "Hidden context for the agent",
    "The user is referring to this in particular",
    "# User-provided context for @-mentions",
];

/// The built-in demo model.
pub struct Demo {
    word_delay: Duration,
}

impl Default for Demo {
    fn default() -> Self {
        Self { word_delay: WORD_DELAY }
    }
}

impl Model for Demo {
    fn stream(&self, request: ModelRequest) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
        let answer = answer(&request);
        let usage = Usage {
            input_tokens: input_tokens(&request),
            output_tokens: match &answer {
                Answer::Text(text) => tokens(text),
                Answer::Call(call) => tokens(&call.arguments),
            },
        };
        let word_delay = self.word_delay;
        Box::pin(stream! {
            match answer {
                Answer::Call(call) => yield Ok(ModelEvent::ToolCall(call)),
                Answer::Text(text) => {
                    yield Ok(ModelEvent::MessageAdded);
                    yield Ok(ModelEvent::ContentPartAdded { content_index: 0 });
                    for word in text.split_inclusive([' ', '\n']) {
                        sleep(word_delay).await;
                        let delta = word.to_owned();
                        yield Ok(ModelEvent::TextDelta { content_index: 0, delta });
                    }
                    yield Ok(ModelEvent::ContentPartDone { content_index: 0, text });
                    yield Ok(ModelEvent::MessageDone);
                }
            }
            yield Ok(ModelEvent::Usage(usage));
            yield Ok(ModelEvent::Done(Finish::Stop));
        })
    }

    fn complete(&self, request: ModelRequest) -> BoxFuture<'static, Result<String, ModelError>> {
        let title = title(&first_user_text(&request));
        Box::pin(async move { Ok(title) })
    }
}

enum Answer {
    Text(String),
    Call(ToolCall),
}

fn answer(request: &ModelRequest) -> Answer {
    let last = last_user_message(&request.input);
    let outputs = &request.input[last.map_or(0, |index| index + 1)..];
    if let Some(text) = tell::outputs(outputs) {
        return Answer::Text(text);
    }
    let text = last.map(|index| text_of(&request.input[index])).unwrap_or_default();
    match Intent::of(&text, &request.tools, request.tool_choice.as_deref()) {
        Intent::Call { tool, arguments } => Answer::Call(ToolCall {
            call_id: new_call_id(),
            name: tool.name.clone(),
            arguments: Value::Object(arguments).to_string(),
        }),
        Intent::UnknownTool(name) => Answer::Text(tell::unknown_tool(&name, &request.tools)),
        Intent::Tools => Answer::Text(tell::tools(&request.tools)),
        Intent::Connect => Answer::Text(tell::how_to_connect()),
        Intent::Page => Answer::Text(tell::page(&request.instructions)),
        Intent::Instructions => Answer::Text(tell::instructions(&request.instructions)),
        Intent::Introduction => Answer::Text(tell::introduction(&request.tools)),
        Intent::Other => Answer::Text(tell::other(&text, &request.tools)),
    }
}

/// The place of what the user said last.
fn last_user_message(input: &[InputItem]) -> Option<usize> {
    input.iter().rposition(|item| {
        let text = text_of(item);
        is_of_user(item) && !CONTEXT.iter().any(|begin| text.starts_with(begin))
    })
}

fn first_user_text(request: &ModelRequest) -> String {
    request.input.iter().find(|item| is_of_user(item)).map(text_of).unwrap_or_default()
}

const fn is_of_user(item: &InputItem) -> bool {
    matches!(item, InputItem::Message { role: Role::User, .. })
}

fn text_of(item: &InputItem) -> String {
    match item {
        InputItem::Message { content, .. } => texts_of(content).collect(),
        InputItem::FunctionCall { .. }
        | InputItem::FunctionCallOutput { .. }
        | InputItem::Raw(_) => String::new(),
    }
}

fn texts_of(content: &[InputContent]) -> impl Iterator<Item = &str> {
    content.iter().filter_map(|part| match part {
        InputContent::Text(text) => Some(text.as_str()),
        InputContent::Image { .. } | InputContent::File { .. } => None,
    })
}

/// The first words of a text, as a title.
fn title(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().take(TITLE_WORDS).collect();
    let title: String = words.join(" ").chars().take(TITLE_CHARS).collect();
    let title = title.trim_end_matches(|char: char| !char.is_alphanumeric());
    let mut chars = title.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => "New conversation".to_owned(),
    }
}

fn input_tokens(request: &ModelRequest) -> u64 {
    let input = request.input.iter().map(|item| tokens(&text_of(item))).sum::<u64>();
    tokens(&request.instructions) + input
}

/// About as many as a real model would count.
fn tokens(text: &str) -> u64 {
    text.len().div_ceil(4).try_into().unwrap_or(u64::MAX)
}
