use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, error::Category, value::RawValue};

use super::{
    AttachmentId, InferenceOptions, ItemId, Order, StructuredInputAnswer, ThreadId,
    UserMessageContent,
    object::{Object, object, objects, objects_by_name},
};

/// A request to `POST /chatkit`.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    pub operation: Operation,
    /// What the page sends along, the later winning: `metadata` beside `params`, `params.metadata`,
    /// `params.input.metadata`.
    pub metadata: Vec<Map<String, Value>>,
}

/// What is to be done. The names are the protocol's, `.` as `_`.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    ThreadsGetById(ThreadParams),
    ThreadsCreate(ThreadsCreateParams),
    ThreadsList(ThreadsListParams),
    ThreadsAddUserMessage(ThreadsAddUserMessageParams),
    ThreadsAddClientToolOutput(ThreadsAddClientToolOutputParams),
    ThreadsAddStructuredInput(ThreadsAddStructuredInputParams),
    ThreadsCustomAction(CustomActionParams),
    ThreadsSyncCustomAction(CustomActionParams),
    ThreadsRetryAfterItem(ThreadItemParams),
    ThreadsUpdate(ThreadsUpdateParams),
    ThreadsDelete(ThreadParams),
    ItemsList(ItemsListParams),
    ItemsFeedback(ItemsFeedbackParams),
    AttachmentsCreate(AttachmentsCreateParams),
    AttachmentsDelete(AttachmentsDeleteParams),
    InputTranscribe(InputTranscribeParams),
}

/// The names of all operations, as on the wire.
pub const OPERATIONS: &[&str] = &[
    "threads.get_by_id",
    "threads.create",
    "threads.list",
    "threads.add_user_message",
    "threads.add_client_tool_output",
    "threads.add_structured_input",
    "threads.custom_action",
    "threads.sync_custom_action",
    "threads.retry_after_item",
    "threads.update",
    "threads.delete",
    "items.list",
    "items.feedback",
    "attachments.create",
    "attachments.delete",
    "input.transcribe",
];

/// Why a body is not a request. Its text names the path of the field.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("the body {0}")]
    Json(String),
    #[error("`{path}` {problem}")]
    Field { path: String, problem: String },
    #[error("there is no operation `{name}`: did you mean `{nearest}`?")]
    UnknownOperation { name: String, nearest: &'static str },
}

impl Request {
    /// Parses the body of a `POST /chatkit`. Unknown fields are ignored, as by the reference.
    pub fn parse(body: &[u8]) -> Result<Self, RequestError> {
        #[derive(Deserialize)]
        struct Envelope<'a> {
            r#type: String,
            #[serde(borrow, default)]
            params: Option<&'a RawValue>,
            #[serde(default)]
            metadata: Option<Map<String, Value>>,
        }
        #[derive(Deserialize)]
        struct Metadata {
            #[serde(default)]
            metadata: Option<Map<String, Value>>,
        }

        if body.is_empty() {
            return Err(RequestError::Json("is empty".to_owned()));
        }
        let text = std::str::from_utf8(body).map_err(|err| {
            RequestError::Json(format!("is not UTF-8 from byte {}", err.valid_up_to()))
        })?;
        let envelope: Envelope<'_> = parse(text, "")?;
        let Some(params) = envelope.params.map(RawValue::get) else {
            return Err(RequestError::Field {
                path: "params".to_owned(),
                problem: "is missing".to_owned(),
            });
        };
        let mut operation = Operation::parse(&envelope.r#type, params)?;
        let inner = parse::<Metadata>(params, "params")?;
        let levels = [envelope.metadata, inner.metadata, operation.take_metadata()];
        let metadata = levels.into_iter().flatten().collect();
        Ok(Self { operation, metadata })
    }
}

impl Operation {
    /// What the page sends with a message.
    fn take_metadata(&mut self) -> Option<Map<String, Value>> {
        match self {
            Self::ThreadsCreate(params) => params.input.metadata.take(),
            Self::ThreadsAddUserMessage(params) => params.input.metadata.take(),
            Self::ThreadsGetById(_)
            | Self::ThreadsList(_)
            | Self::ThreadsAddClientToolOutput(_)
            | Self::ThreadsAddStructuredInput(_)
            | Self::ThreadsCustomAction(_)
            | Self::ThreadsSyncCustomAction(_)
            | Self::ThreadsRetryAfterItem(_)
            | Self::ThreadsUpdate(_)
            | Self::ThreadsDelete(_)
            | Self::ItemsList(_)
            | Self::ItemsFeedback(_)
            | Self::AttachmentsCreate(_)
            | Self::AttachmentsDelete(_)
            | Self::InputTranscribe(_) => None,
        }
    }

    fn parse(name: &str, params: &str) -> Result<Self, RequestError> {
        Ok(match name {
            "threads.get_by_id" => Self::ThreadsGetById(parse(params, "params")?),
            "threads.create" => Self::ThreadsCreate(parse(params, "params")?),
            "threads.list" => Self::ThreadsList(parse(params, "params")?),
            "threads.add_user_message" => Self::ThreadsAddUserMessage(parse(params, "params")?),
            "threads.add_client_tool_output" => {
                Self::ThreadsAddClientToolOutput(parse(params, "params")?)
            }
            "threads.add_structured_input" => {
                Self::ThreadsAddStructuredInput(parse(params, "params")?)
            }
            "threads.custom_action" => Self::ThreadsCustomAction(parse(params, "params")?),
            "threads.sync_custom_action" => Self::ThreadsSyncCustomAction(parse(params, "params")?),
            "threads.retry_after_item" => Self::ThreadsRetryAfterItem(parse(params, "params")?),
            "threads.update" => Self::ThreadsUpdate(parse(params, "params")?),
            "threads.delete" => Self::ThreadsDelete(parse(params, "params")?),
            "items.list" => Self::ItemsList(parse(params, "params")?),
            "items.feedback" => Self::ItemsFeedback(parse(params, "params")?),
            "attachments.create" => Self::AttachmentsCreate(parse(params, "params")?),
            "attachments.delete" => Self::AttachmentsDelete(parse(params, "params")?),
            "input.transcribe" => Self::InputTranscribe(parse(params, "params")?),
            unknown => {
                let nearest = OPERATIONS
                    .iter()
                    .max_by(|a, b| strsim::jaro(a, unknown).total_cmp(&strsim::jaro(b, unknown)))
                    .copied()
                    .unwrap_or_default();
                let name = unknown.chars().take(64).collect();
                return Err(RequestError::UnknownOperation { name, nearest });
            }
        })
    }

    /// Whether it changes nothing here.
    pub const fn only_reads(&self) -> bool {
        match self {
            Self::ThreadsGetById(_)
            | Self::ThreadsList(_)
            | Self::ItemsList(_)
            | Self::InputTranscribe(_) => true,
            Self::ThreadsCreate(_)
            | Self::ThreadsAddUserMessage(_)
            | Self::ThreadsAddClientToolOutput(_)
            | Self::ThreadsAddStructuredInput(_)
            | Self::ThreadsCustomAction(_)
            | Self::ThreadsSyncCustomAction(_)
            | Self::ThreadsRetryAfterItem(_)
            | Self::ThreadsUpdate(_)
            | Self::ThreadsDelete(_)
            | Self::ItemsFeedback(_)
            | Self::AttachmentsCreate(_)
            | Self::AttachmentsDelete(_) => false,
        }
    }

    /// Its name on the wire.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ThreadsGetById(_) => "threads.get_by_id",
            Self::ThreadsCreate(_) => "threads.create",
            Self::ThreadsList(_) => "threads.list",
            Self::ThreadsAddUserMessage(_) => "threads.add_user_message",
            Self::ThreadsAddClientToolOutput(_) => "threads.add_client_tool_output",
            Self::ThreadsAddStructuredInput(_) => "threads.add_structured_input",
            Self::ThreadsCustomAction(_) => "threads.custom_action",
            Self::ThreadsSyncCustomAction(_) => "threads.sync_custom_action",
            Self::ThreadsRetryAfterItem(_) => "threads.retry_after_item",
            Self::ThreadsUpdate(_) => "threads.update",
            Self::ThreadsDelete(_) => "threads.delete",
            Self::ItemsList(_) => "items.list",
            Self::ItemsFeedback(_) => "items.feedback",
            Self::AttachmentsCreate(_) => "attachments.create",
            Self::AttachmentsDelete(_) => "attachments.delete",
            Self::InputTranscribe(_) => "input.transcribe",
        }
    }
}

/// Parses `text`, which stands at `prefix` in the body, so that errors name the whole path.
fn parse<'de, T: Deserialize<'de>>(text: &'de str, prefix: &str) -> Result<T, RequestError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let Object(value) = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|err| explain(&err.path().to_string(), err.inner(), prefix))?;
    deserializer.end().map_err(|err| explain(".", &err, prefix))?;
    Ok(value)
}

/// Says what is wrong in words that need no knowledge of this program.
fn explain(path: &str, err: &serde_json::Error, prefix: &str) -> RequestError {
    let path = match (prefix, path) {
        (prefix, ".") => prefix.to_owned(),
        ("", inner) => inner.to_owned(),
        (prefix, inner) => format!("{prefix}.{inner}"),
    };
    // The position is dropped where a field is named: it counts from where `params` begins.
    let text = err.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    if text.starts_with("recursion limit exceeded") {
        return RequestError::Field {
            path: shorten(&path),
            problem: "is nested too deeply".to_owned(),
        };
    }
    if prefix.is_empty() && matches!(err.classify(), Category::Syntax | Category::Eof) {
        return RequestError::Json(format!("is not JSON: {}", shorten(&err.to_string())));
    }
    if let Some(field) = text.strip_prefix("missing field `").and_then(|it| it.strip_suffix('`')) {
        let path = if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") };
        return RequestError::Field { path: shorten(&path), problem: "is missing".to_owned() };
    }
    let problem = mismatch(text).unwrap_or_else(|| format!("is not valid: {}", shorten(text)));
    if path.is_empty() {
        return RequestError::Json(problem);
    }
    RequestError::Field { path: shorten(&path), problem }
}

/// `invalid type: integer `7`, expected a string` → `is integer `7`, not a string`
fn mismatch(text: &str) -> Option<String> {
    let rest = ["invalid type: ", "invalid value: ", "unknown variant "]
        .iter()
        .find_map(|it| text.strip_prefix(it))?;
    let (found, expected) = rest.rsplit_once(", expected ")?;
    let found = match found {
        "sequence" => "a list",
        "map" => "an object",
        other => other,
    };
    let expected = match expected {
        "i64" => "an integer",
        "a sequence" => "a list",
        "a map" => "an object",
        other => other,
    };
    Some(format!("is {}, not {expected}", shorten(found)))
}

/// The beginning of a text that a client may have made as long as it likes.
fn shorten(text: &str) -> String {
    const CHARS: usize = 80;
    match text.char_indices().nth(CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// What a client sends for a new message; it becomes a [`UserMessageItem`](super::UserMessageItem).
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct UserMessageInput {
    #[serde(deserialize_with = "objects")]
    pub content: Vec<UserMessageContent>,
    pub attachments: Vec<AttachmentId>,
    #[serde(default)]
    pub quoted_text: Option<String>,
    #[serde(deserialize_with = "object")]
    pub inference_options: InferenceOptions,
    /// What the page sends along; the reference's types drop it.
    #[serde(default)]
    pub metadata: Option<Map<String, Value>>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ThreadParams {
    pub thread_id: ThreadId,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ThreadItemParams {
    pub thread_id: ThreadId,
    pub item_id: ItemId,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ThreadsCreateParams {
    #[serde(deserialize_with = "object")]
    pub input: UserMessageInput,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ThreadsListParams {
    #[serde(default)]
    pub limit: Option<i64>,
    #[serde(default)]
    pub order: Order,
    #[serde(default)]
    pub after: Option<ThreadId>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ThreadsAddUserMessageParams {
    #[serde(deserialize_with = "object")]
    pub input: UserMessageInput,
    pub thread_id: ThreadId,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ThreadsAddClientToolOutputParams {
    pub thread_id: ThreadId,
    #[serde(deserialize_with = "required_value")]
    pub result: Value,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ThreadsAddStructuredInputParams {
    pub thread_id: ThreadId,
    pub item_id: ItemId,
    #[serde(deserialize_with = "object")]
    pub input: StructuredInputSubmission,
}

/// The user's answers to a structured input. `{}` means answered, with all questions skipped.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct StructuredInputSubmission {
    #[serde(default)]
    pub status: SubmissionStatus,
    #[serde(default, deserialize_with = "objects_by_name")]
    pub answers: BTreeMap<String, StructuredInputAnswer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubmissionStatus {
    #[default]
    Answered,
    Skipped,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct CustomActionParams {
    pub thread_id: ThreadId,
    /// The widget that sent it.
    #[serde(default)]
    pub item_id: Option<ItemId>,
    #[serde(deserialize_with = "object")]
    pub action: Action,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Action {
    pub r#type: String,
    #[serde(default)]
    pub payload: Value,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ThreadsUpdateParams {
    pub thread_id: ThreadId,
    pub title: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ItemsListParams {
    pub thread_id: ThreadId,
    #[serde(default)]
    pub limit: Option<i64>,
    #[serde(default)]
    pub order: Order,
    #[serde(default)]
    pub after: Option<ItemId>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ItemsFeedbackParams {
    pub thread_id: ThreadId,
    pub item_ids: Vec<ItemId>,
    pub kind: FeedbackKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedbackKind {
    Positive,
    Negative,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct AttachmentsCreateParams {
    pub name: String,
    pub size: i64,
    pub mime_type: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct AttachmentsDeleteParams {
    pub attachment_id: AttachmentId,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct InputTranscribeParams {
    pub audio_base64: String,
    /// As the browser gives it, e.g. `audio/webm;codecs=opus`.
    pub mime_type: String,
}

/// A [`Value`] that may be null but not left out.
fn required_value<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    Value::deserialize(deserializer)
}
