use jiff::{Timestamp, Unit};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Annotation, Attachment, ItemId, ItemKind, Task, ThreadId, Workflow, object::object_or_none,
};

/// The present, in the precision that is stored and sent: microseconds.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    now.round(Unit::Microsecond).unwrap_or(now)
}

/// An entry of a thread.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ThreadItem {
    UserMessage(UserMessageItem),
    AssistantMessage(AssistantMessageItem),
    ClientToolCall(ClientToolCallItem),
    Widget(WidgetItem),
    GeneratedImage(GeneratedImageItem),
    StructuredInput(StructuredInputItem),
    Workflow(WorkflowItem),
    Task(TaskItem),
    /// Never sent to a client.
    HiddenContextItem(HiddenContextItem),
    /// Never sent to a client.
    SdkHiddenContext(SdkHiddenContextItem),
    EndOfTurn(EndOfTurnItem),
}

impl ThreadItem {
    pub fn id(&self) -> &ItemId {
        match self {
            Self::UserMessage(item) => &item.id,
            Self::AssistantMessage(item) => &item.id,
            Self::ClientToolCall(item) => &item.id,
            Self::Widget(item) => &item.id,
            Self::GeneratedImage(item) => &item.id,
            Self::StructuredInput(item) => &item.id,
            Self::Workflow(item) => &item.id,
            Self::Task(item) => &item.id,
            Self::HiddenContextItem(item) => &item.id,
            Self::SdkHiddenContext(item) => &item.id,
            Self::EndOfTurn(item) => &item.id,
        }
    }

    pub fn thread_id(&self) -> &ThreadId {
        match self {
            Self::UserMessage(item) => &item.thread_id,
            Self::AssistantMessage(item) => &item.thread_id,
            Self::ClientToolCall(item) => &item.thread_id,
            Self::Widget(item) => &item.thread_id,
            Self::GeneratedImage(item) => &item.thread_id,
            Self::StructuredInput(item) => &item.thread_id,
            Self::Workflow(item) => &item.thread_id,
            Self::Task(item) => &item.thread_id,
            Self::HiddenContextItem(item) => &item.thread_id,
            Self::SdkHiddenContext(item) => &item.thread_id,
            Self::EndOfTurn(item) => &item.thread_id,
        }
    }

    /// Whether clients may never see it.
    pub const fn is_hidden(&self) -> bool {
        match self {
            Self::HiddenContextItem(_) | Self::SdkHiddenContext(_) => true,
            Self::UserMessage(_)
            | Self::AssistantMessage(_)
            | Self::ClientToolCall(_)
            | Self::Widget(_)
            | Self::GeneratedImage(_)
            | Self::StructuredInput(_)
            | Self::Workflow(_)
            | Self::Task(_)
            | Self::EndOfTurn(_) => false,
        }
    }
}

/// What the user said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UserMessageItem {
    pub id: ItemId,
    pub thread_id: ThreadId,
    pub created_at: Timestamp,
    pub content: Vec<UserMessageContent>,
    #[serde(default)]
    pub attachments: Vec<Attachment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quoted_text: Option<String>,
    pub inference_options: InferenceOptions,
}

impl UserMessageItem {
    /// The message as one text, tags as `@text`, as the reference's converter shows it to the model.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for part in &self.content {
            match part {
                UserMessageContent::InputText { text: part } => text.push_str(part),
                UserMessageContent::InputTag(tag) => {
                    text.push('@');
                    text.push_str(&tag.text);
                }
            }
        }
        text
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum UserMessageContent {
    InputText { text: String },
    InputTag(Tag),
}

/// An entity that the user mentioned with `@`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tag {
    pub id: String,
    pub text: String,
    /// Free-form: nulls are kept.
    pub data: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    #[serde(default)]
    pub interactive: bool,
}

/// What the user chose in the composer beside the message.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InferenceOptions {
    #[serde(default, deserialize_with = "object_or_none", skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolChoice {
    pub id: String,
}

/// What the assistant said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AssistantMessageItem {
    pub id: ItemId,
    pub thread_id: ThreadId,
    pub created_at: Timestamp,
    pub content: Vec<AssistantMessageContent>,
}

impl AssistantMessageItem {
    /// An empty message, now.
    pub fn new(thread_id: ThreadId) -> Self {
        Self {
            id: ItemId::generate(ItemKind::Message),
            thread_id,
            created_at: now(),
            content: Vec::new(),
        }
    }

    /// The text of all its parts.
    pub fn text(&self) -> String {
        self.content.iter().map(|it| it.text.as_str()).collect()
    }
}

/// One part of an assistant's message.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(tag = "type", rename = "output_text")]
pub struct AssistantMessageContent {
    pub text: String,
    #[serde(default)]
    pub annotations: Vec<Annotation>,
}

/// A call of a tool that runs in the browser.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClientToolCallItem {
    pub id: ItemId,
    pub thread_id: ThreadId,
    pub created_at: Timestamp,
    #[serde(default)]
    pub status: ClientToolCallStatus,
    pub call_id: String,
    pub name: String,
    /// Free-form: nulls are kept.
    pub arguments: Map<String, Value>,
    /// Free-form: nulls inside are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientToolCallStatus {
    #[default]
    Pending,
    Completed,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WidgetItem {
    pub id: ItemId,
    pub thread_id: ThreadId,
    pub created_at: Timestamp,
    pub widget: Widget,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_text: Option<String>,
}

/// The JSON of a widget or of one of its components, as its template gave it, without nulls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Widget(pub Value);

impl Widget {
    /// Takes the nulls out at every depth, from lists too, as the reference does.
    pub fn new(mut json: Value) -> Self {
        drop_nulls(&mut json);
        Self(json)
    }
}

fn drop_nulls(json: &mut Value) {
    match json {
        Value::Array(list) => {
            list.retain(|it| !it.is_null());
            list.iter_mut().for_each(drop_nulls);
        }
        Value::Object(map) => {
            map.retain(|_, it| !it.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => (),
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GeneratedImageItem {
    pub id: ItemId,
    pub thread_id: ThreadId,
    pub created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<GeneratedImage>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GeneratedImage {
    pub id: String,
    pub url: String,
}

/// Questions to the user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StructuredInputItem {
    pub id: ItemId,
    pub thread_id: ThreadId,
    pub created_at: Timestamp,
    #[serde(default)]
    pub status: StructuredInputStatus,
    pub inputs: Vec<StructuredInput>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StructuredInputStatus {
    #[default]
    Pending,
    Answered,
    Skipped,
}

/// One question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum StructuredInput {
    MultipleChoice {
        id: String,
        question: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answer: Option<StructuredInputAnswer>,
        options: Vec<StructuredInputOption>,
        #[serde(default)]
        multiple: bool,
    },
    Freeform {
        id: String,
        question: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answer: Option<StructuredInputAnswer>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
    },
}

impl StructuredInput {
    pub fn id(&self) -> &str {
        let (Self::MultipleChoice { id, .. } | Self::Freeform { id, .. }) = self;
        id
    }

    pub const fn answer(&self) -> Option<&StructuredInputAnswer> {
        let (Self::MultipleChoice { answer, .. } | Self::Freeform { answer, .. }) = self;
        answer.as_ref()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StructuredInputOption {
    pub value: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StructuredInputAnswer {
    #[serde(default)]
    pub values: Vec<String>,
    #[serde(default)]
    pub skipped: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskItem {
    pub id: ItemId,
    pub thread_id: ThreadId,
    pub created_at: Timestamp,
    pub task: Task,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkflowItem {
    pub id: ItemId,
    pub thread_id: ThreadId,
    pub created_at: Timestamp,
    pub workflow: Workflow,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndOfTurnItem {
    pub id: ItemId,
    pub thread_id: ThreadId,
    pub created_at: Timestamp,
}

/// What the model is told and the user is not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HiddenContextItem {
    pub id: ItemId,
    pub thread_id: ThreadId,
    pub created_at: Timestamp,
    /// Free-form: nulls inside are kept.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub content: Value,
}

/// As [`HiddenContextItem`], from the server itself: that the user stopped an answer, for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SdkHiddenContextItem {
    pub id: ItemId,
    pub thread_id: ThreadId,
    pub created_at: Timestamp,
    pub content: String,
}
