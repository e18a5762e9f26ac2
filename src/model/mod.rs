//! Model providers: what asks a model and gives its answer as events, whatever API it speaks.

mod chat_completions;
mod demo;
mod failure;
mod http;
mod loose;
mod metered;
mod models;
mod names;
mod responses;
mod scripted;
mod sse;
#[cfg(test)]
mod tests;
mod transcribe;

use std::{sync::Arc, time::Duration};

use futures::{future::BoxFuture, stream::BoxStream};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    chatkit::Annotation,
    prompt::Reasoning,
    tool::{Spent, ToolSpec},
};

pub use self::{
    http::client,
    models::{ChosenModel, Models},
    scripted::{Scripted, ScriptedFailure, ScriptedResponse, ScriptedStep},
    transcribe::{Audio, Transcriber},
};

/// One request to a model, in the words of the Responses API.
#[derive(Debug, Clone, Default)]
pub struct ModelRequest {
    /// The provider's name for the model.
    pub model: String,
    pub instructions: String,
    pub input: Vec<InputItem>,
    pub tools: Vec<Arc<ToolSpec>>,
    pub tool_choice: Option<String>,
    /// False: at most one call a response.
    pub parallel_tool_calls: bool,
    pub temperature: Option<f64>,
    pub reasoning: Option<Reasoning>,
    /// The provider's own tools as it names them, e.g. `{"type": "web_search"}`.
    pub hosted: Vec<Value>,
    /// The answer must be JSON of this schema.
    pub schema: Option<Value>,
    /// Where what it costs is written down.
    pub spent: Spent,
}

/// An item of a model's input.
#[derive(Debug, Clone, PartialEq)]
pub enum InputItem {
    Message {
        role: Role,
        content: Vec<InputContent>,
    },
    FunctionCall {
        call_id: String,
        name: String,
        arguments: String,
    },
    FunctionCallOutput {
        call_id: String,
        output: Vec<InputContent>,
    },
    /// An output item that the provider wants back as it was, e.g. reasoning between tool calls of
    /// one turn. Only the API that gave it sends it.
    Raw(Value),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    User,
    Assistant,
}

#[derive(Debug, Clone, PartialEq)]
pub enum InputContent {
    Text(String),
    /// A URL or `data:` URL.
    Image {
        url: String,
    },
    /// A `data:` URL.
    File {
        filename: String,
        data: String,
    },
}

/// What a model says, in order. A message is: added, its parts, done.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelEvent {
    MessageAdded,
    ContentPartAdded {
        content_index: usize,
    },
    TextDelta {
        content_index: usize,
        delta: String,
    },
    Annotation {
        content_index: usize,
        annotation: Box<Annotation>,
    },
    /// The part's whole text. Providers that do not say it leave it out.
    ContentPartDone {
        content_index: usize,
        text: String,
    },
    MessageDone,
    /// The model began to reason (again).
    ReasoningAdded,
    /// A piece of the summary `summary_index` of the present reasoning.
    ReasoningDelta {
        summary_index: usize,
        delta: String,
    },
    /// The whole text of that summary.
    ReasoningDone {
        summary_index: usize,
        text: String,
    },
    ToolCall(ToolCall),
    /// The provider searches with a tool of its own.
    SearchAdded {
        id: String,
        kind: SearchKind,
    },
    SearchDone(Search),
    /// The provider draws an image.
    ImageAdded,
    ImagePartial {
        index: u64,
        base64: String,
    },
    ImageDone {
        base64: String,
    },
    /// To be sent back in this turn's next request, at this place: see [`InputItem::Raw`].
    Raw(Value),
    Usage(Usage),
    /// The last event of every answer.
    Done(Finish),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// The provider's, or one of ours where it gives none.
    pub call_id: String,
    pub name: String,
    /// JSON, as the model wrote it: it may be broken.
    pub arguments: String,
}

/// What a tool of the provider's own has looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// The provider's, to tell one search from another.
    pub id: String,
    pub kind: SearchKind,
    pub queries: Vec<String>,
    /// Addresses of the web, or names of files.
    pub sources: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchKind {
    Web,
    Files,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    pub input_tokens: u64,
    pub output_tokens: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    Stop,
    /// Cut at a limit of length.
    Length,
    /// Cut by the provider's filter.
    Filtered,
}

/// Why there is no answer, or no whole one. Its text is for the log, not for the user.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Too many requests, or the provider is out of order for the moment.
    #[error("the model provider is overloaded: {message}")]
    Overloaded { message: String, retry_after: Option<Duration> },
    /// The input is longer than the model takes.
    #[error("the input is too long for the model: {0}")]
    ContextOverflow(String),
    /// There is no such model, key or provider: the operator's to mend; the text says how and may be shown.
    #[error("{0}")]
    Unconfigured(String),
    #[error("the model failed: {0}")]
    Failed(String),
}

/// A model provider.
// A trait because there are several APIs; the turn must not know which.
pub trait Model: Send + Sync {
    /// Begins an answer. Errors before the first event were retried where that can help; after the
    /// first event an error ends the stream. Dropping the stream closes the request.
    fn stream(&self, request: ModelRequest) -> BoxStream<'static, Result<ModelEvent, ModelError>>;

    /// The whole text of an answer that is not streamed.
    fn complete(&self, request: ModelRequest)
    -> BoxFuture<'static, Result<Completion, ModelError>>;
}

/// The whole text of an answer, and what it cost.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Completion {
    pub text: String,
    pub usage: Usage,
}

/// Asks without streaming and gives the whole text: for titles and `ctx.model`.
pub async fn complete(
    model: &ChosenModel,
    mut request: ModelRequest,
) -> Result<String, ModelError> {
    request.model.clone_from(&model.model);
    Ok(model.provider.complete(request).await?.text)
}

/// Of one answer. A provider that asks for more of anything is at fault.
const MAX_CALLS: usize = 128;
const MAX_PARTS: usize = 1000;

/// A call id for a provider that gives none.
fn new_call_id() -> String {
    format!("call_{}", Uuid::new_v4().simple())
}
