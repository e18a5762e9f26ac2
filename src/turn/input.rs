use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use serde_json::{Map, Value, json};

use crate::{
    chatkit::{
        AssistantMessageItem, AttachmentId, ItemId, StructuredInput, StructuredInputItem,
        StructuredInputStatus, Tag, Task, ThreadItem, UserMessageContent, UserMessageItem,
    },
    credential::Seals,
    model::{InputContent, InputItem, Role},
    prompt::HistoryForm,
    store::{MessageNote, Record, ToolCallRecord},
    turn::pairs::{ClientCalls, push_calls, push_client_tool_call, same_response},
};

/// The part of a thread that the model is told of, in its order.
#[derive(Default)]
pub struct Transcript {
    pub entries: Vec<Entry>,
    /// What hooks made of tags and messages.
    pub tags: BTreeMap<(ItemId, String), String>,
    /// What the model is shown of attachments.
    pub attachments: BTreeMap<AttachmentId, Vec<InputContent>>,
    /// What stands for credentials in this turn.
    pub seals: Arc<Seals>,
}

pub enum Entry {
    Record(Record),
    /// Sent back to the provider as it was, in this turn only.
    Raw(Value),
}

/// How the history is given to the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Items,
    /// The prompt holds it as text: only what belongs to this turn is input.
    CurrentTurn,
}

impl Form {
    pub const fn of(history: HistoryForm) -> Self {
        match history {
            HistoryForm::Items => Self::Items,
            HistoryForm::Transcript => Self::CurrentTurn,
        }
    }
}

impl Transcript {
    /// The model's input. Texts and order are those of the reference's `ThreadItemConverter`.
    pub fn input(&self, form: Form) -> Vec<InputItem> {
        let notes = self.notes();
        let entries = self.shown(form);
        // The message that is answered: what the user quoted matters until the answer is whole.
        let last = entries.iter().rposition(is_user_message);
        let calls = ClientCalls::of(entries);
        let mut input = Vec::with_capacity(entries.len());
        let mut index = 0;
        while index < entries.len() {
            match &entries[index] {
                Entry::Raw(item) => input.push(InputItem::Raw(item.clone())),
                Entry::Record(Record::MessageNote(_)) => (),
                // It is told where its call stands.
                Entry::Record(Record::Item(item)) if calls.owned.contains(item.id()) => (),
                Entry::Record(Record::Item(item)) => {
                    self.push_item(&mut input, item, &notes, last == Some(index));
                }
                Entry::Record(Record::ToolCall(call)) => {
                    // The calls of one response stand together, before their outputs.
                    let siblings = same_response(&entries[index..], call);
                    push_calls(&mut input, &siblings, &calls, &self.seals);
                    index += siblings.len();
                    continue;
                }
            }
            index += 1;
        }
        input
    }

    /// The conversation before this turn as text, for `{{ history }}`.
    pub fn text(&self) -> String {
        let notes = self.notes();
        let mut lines = Vec::new();
        for entry in &self.entries[..self.begin_of_turn()] {
            let Entry::Record(Record::Item(item)) = entry else { continue };
            match item {
                ThreadItem::UserMessage(message) => {
                    let note = notes.get(&message.id);
                    if note.is_some_and(|note| note.rejected) {
                        continue;
                    }
                    let text = note.and_then(|note| note.text.clone());
                    let text = text.unwrap_or_else(|| message.text());
                    let files: Vec<String> =
                        message.attachments.iter().map(|it| format!(" [{}]", it.name())).collect();
                    lines.push(format!("User: {text}{}", files.concat()));
                }
                ThreadItem::AssistantMessage(message) => {
                    lines.push(format!("Assistant: {}", message.text()));
                }
                ThreadItem::ClientToolCall(_)
                | ThreadItem::Widget(_)
                | ThreadItem::GeneratedImage(_)
                | ThreadItem::StructuredInput(_)
                | ThreadItem::Workflow(_)
                | ThreadItem::Task(_)
                | ThreadItem::HiddenContextItem(_)
                | ThreadItem::SdkHiddenContext(_)
                | ThreadItem::EndOfTurn(_) => (),
            }
        }
        lines.join("\n")
    }

    /// Forgets the oldest turns, about half of what there is; false when there is but one turn.
    pub fn forget_oldest(&mut self) -> bool {
        let begins: Vec<usize> = self
            .entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| is_user_message(entry))
            .map(|(index, _)| index)
            .collect();
        let keep_from = match begins.len() {
            0 | 1 => match begins.first() {
                // What precedes the only message is the rest of a turn that the window cut.
                Some(&begin) if begin > 0 => begin,
                _ => return false,
            },
            turns => begins[turns.div_ceil(2)],
        };
        self.entries.drain(..keep_from);
        true
    }

    /// All tags of the messages that the model will see.
    pub fn all_tags(&self) -> Vec<(UserMessageItem, Tag)> {
        let mut tags = Vec::new();
        for entry in &self.entries {
            let Entry::Record(Record::Item(ThreadItem::UserMessage(message))) = entry else {
                continue;
            };
            for tag in unique_tags(message) {
                tags.push((message.clone(), tag.clone()));
            }
        }
        tags
    }

    /// What the hooks of `message` gave the prompt for the message that is answered.
    pub fn vars(&self) -> Map<String, Value> {
        let Some(Entry::Record(Record::Item(message))) = self.entries.get(self.begin_of_turn())
        else {
            return Map::new();
        };
        self.notes().get(message.id()).map(|note| note.vars.clone()).unwrap_or_default()
    }

    /// The messages with attachments that the model will see, the newest first.
    pub fn messages_with_attachments(&self, form: Form) -> Vec<UserMessageItem> {
        let notes = self.notes();
        let mut messages = Vec::new();
        for entry in self.shown(form).iter().rev() {
            let Entry::Record(Record::Item(ThreadItem::UserMessage(message))) = entry else {
                continue;
            };
            let is_rejected = notes.get(&message.id).is_some_and(|note| note.rejected);
            if !message.attachments.is_empty() && !is_rejected {
                messages.push(message.clone());
            }
        }
        messages
    }

    fn shown(&self, form: Form) -> &[Entry] {
        match form {
            Form::Items => &self.entries,
            Form::CurrentTurn => self.of_turn(),
        }
    }

    /// What came since the user's last message, that included.
    pub fn of_turn(&self) -> &[Entry] {
        &self.entries[self.begin_of_turn()..]
    }

    /// Puts a call in its place again, with what it came to.
    pub fn keep_call(&mut self, call: ToolCallRecord) {
        let place = self.entries.iter_mut().find_map(|entry| match entry {
            Entry::Record(Record::ToolCall(it)) if it.id == call.id => Some(it),
            _ => None,
        });
        match place {
            Some(place) => *place = call,
            None => self.entries.push(Entry::Record(Record::ToolCall(call))),
        }
    }

    fn begin_of_turn(&self) -> usize {
        self.entries.iter().rposition(is_user_message).unwrap_or(self.entries.len())
    }

    fn notes(&self) -> BTreeMap<&ItemId, &MessageNote> {
        let mut notes = BTreeMap::new();
        for entry in &self.entries {
            if let Entry::Record(Record::MessageNote(note)) = entry {
                notes.insert(&note.item_id, note);
            }
        }
        notes
    }

    fn push_item(
        &self,
        input: &mut Vec<InputItem>,
        item: &ThreadItem,
        notes: &BTreeMap<&ItemId, &MessageNote>,
        is_last: bool,
    ) {
        match item {
            ThreadItem::UserMessage(message) => {
                self.push_user_message(input, message, notes.get(&message.id).copied(), is_last);
            }
            ThreadItem::AssistantMessage(message) => input.push(assistant(message)),
            ThreadItem::ClientToolCall(call) => push_client_tool_call(input, call),
            ThreadItem::Widget(item) => input.push(user(format!(
                "The following graphical UI widget (id: {}) was displayed to the user:{}",
                item.id, item.widget.0
            ))),
            ThreadItem::GeneratedImage(item) => {
                let Some(image) = &item.image else { return };
                input.push(InputItem::Message {
                    role: Role::User,
                    content: vec![
                        InputContent::Text(
                            "The following image was generated by the agent.".to_owned(),
                        ),
                        InputContent::Image { url: image.url.clone() },
                    ],
                });
            }
            ThreadItem::StructuredInput(item) => input.push(structured_input(item)),
            ThreadItem::Workflow(item) => {
                input.extend(item.workflow.tasks.iter().filter_map(task));
            }
            ThreadItem::Task(item) => input.extend(task(&item.task)),
            ThreadItem::HiddenContextItem(item) => input.push(hidden(&match &item.content {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            })),
            ThreadItem::SdkHiddenContext(item) => input.push(hidden(&item.content)),
            ThreadItem::EndOfTurn(_) => (),
        }
    }

    fn push_user_message(
        &self,
        input: &mut Vec<InputItem>,
        message: &UserMessageItem,
        note: Option<&MessageNote>,
        is_last: bool,
    ) {
        if note.is_some_and(|note| note.rejected) {
            return;
        }
        let text = note.and_then(|note| note.text.clone()).unwrap_or_else(|| message.text());
        let shown = message.attachments.iter().filter_map(|it| self.attachments.get(it.id()));
        let mut content: Vec<InputContent> = shown.flatten().cloned().collect();
        if content.is_empty() || !text.is_empty() {
            content.insert(0, InputContent::Text(text));
        }
        input.push(InputItem::Message { role: Role::User, content });
        if let Some(quoted) = message.quoted_text.as_ref().filter(|_| is_last) {
            input.push(user(format!("The user is referring to this in particular: \n{quoted}")));
        }
        let mut content = vec![InputContent::Text(
            "# User-provided context for @-mentions\n\
             - When referencing resolved entities, use their canonical names **without** '@'.\n\
             - The '@' form appears only in user text and should not be echoed."
                .to_owned(),
        )];
        for tag in unique_tags(message) {
            let text = match self.tags.get(&(message.id.clone(), tag.text.clone())) {
                Some(text) => text.clone(),
                None => describe_tag(tag),
            };
            content.push(InputContent::Text(text));
        }
        if content.len() > 1 {
            input.push(InputItem::Message { role: Role::User, content });
        }
    }
}

/// The tags of a message, each text once.
fn unique_tags(message: &UserMessageItem) -> Vec<&Tag> {
    let mut seen = HashSet::new();
    message
        .content
        .iter()
        .filter_map(|part| match part {
            UserMessageContent::InputTag(tag) => Some(tag),
            UserMessageContent::InputText { .. } => None,
        })
        .filter(|tag| seen.insert(&tag.text))
        .collect()
}

/// What the model is told of a tag that no plugin explains.
fn describe_tag(tag: &Tag) -> String {
    format!("<TAG id={} text={} data={}/>", tag.id, tag.text, python_json(&tag.data))
}

/// JSON with a space after `:` and `,`, as models see it most.
fn python_json(data: &Map<String, Value>) -> String {
    let fields: Vec<String> = data
        .iter()
        .map(|(key, value)| {
            let value = match value {
                Value::Object(inner) => python_json(inner),
                other => other.to_string(),
            };
            format!("{}: {value}", json!(key))
        })
        .collect();
    format!("{{{}}}", fields.join(", "))
}

fn user(text: String) -> InputItem {
    InputItem::Message { role: Role::User, content: vec![InputContent::Text(text)] }
}

fn assistant(message: &AssistantMessageItem) -> InputItem {
    let content =
        message.content.iter().map(|part| InputContent::Text(part.text.clone())).collect();
    InputItem::Message { role: Role::Assistant, content }
}

fn hidden(text: &str) -> InputItem {
    user(format!(
        "Hidden context for the agent (not shown to the user):\n\
         <HiddenContext>\n{text}\n</HiddenContext>"
    ))
}

fn task(task: &Task) -> Option<InputItem> {
    let Task::Custom { title, content, .. } = task else { return None };
    let text = match (title.as_deref().unwrap_or(""), content.as_deref().unwrap_or("")) {
        ("", "") => return None,
        (title, "") => title.to_owned(),
        ("", content) => content.to_owned(),
        (title, content) => format!("{title}: {content}"),
    };
    Some(user(format!(
        "A message was displayed to the user that the following task was performed:\n\
         <Task>\n{text}\n</Task>"
    )))
}

fn structured_input(item: &StructuredInputItem) -> InputItem {
    let lines: Vec<String> = item
        .inputs
        .iter()
        .map(|input| {
            let (StructuredInput::MultipleChoice { question, answer, .. }
            | StructuredInput::Freeform { question, answer, .. }) = input;
            match answer {
                None => format!("- {question}: unanswered"),
                Some(answer) if answer.skipped => format!("- {question}: skipped"),
                Some(answer) => format!("- {question}: {}", answer.values.join(", ")),
            }
        })
        .collect();
    let status = match item.status {
        StructuredInputStatus::Pending => "pending",
        StructuredInputStatus::Answered => "answered",
        StructuredInputStatus::Skipped => "skipped",
    };
    user(format!(
        "A structured input request was displayed to the user with the following status: {status}\n\
         <StructuredInput>\n{}\n</StructuredInput>",
        lines.join("\n")
    ))
}

fn is_user_message(entry: &Entry) -> bool {
    matches!(entry, Entry::Record(Record::Item(ThreadItem::UserMessage(_))))
}

/// Takes long `data:` URLs out of the input, and leaves short ones in their place.
pub fn take_files(input: &mut [InputItem]) -> Vec<String> {
    let mut files = Vec::new();
    for data in data_urls(input).filter(|it| it.len() > LONG_DATA && it.starts_with("data:")) {
        let place = place_of_file(files.len());
        files.push(std::mem::replace(data, place));
    }
    files
}

/// Puts them back, wherever their places are now.
pub fn put_back_files(input: &mut [InputItem], files: &[String]) {
    for data in data_urls(input) {
        if let Some(at) = (0..files.len()).find(|at| *data == place_of_file(*at)) {
            data.clone_from(&files[at]);
        }
    }
}

const LONG_DATA: usize = 4096;

fn place_of_file(index: usize) -> String {
    format!("data:,file-{index}")
}

fn data_urls(input: &mut [InputItem]) -> impl Iterator<Item = &mut String> {
    let parts = input.iter_mut().flat_map(|item| match item {
        InputItem::Message { content, .. } => &mut content[..],
        InputItem::FunctionCallOutput { output, .. } => &mut output[..],
        InputItem::FunctionCall { .. } | InputItem::Raw(_) => &mut [],
    });
    parts.filter_map(|part| match part {
        InputContent::Image { url: data } | InputContent::File { data, .. } => Some(data),
        InputContent::Text(_) => None,
    })
}

/// Model input as the hooks of `request` see it: the Responses API's form.
pub fn to_json(input: &[InputItem]) -> Value {
    let content = |parts: &[InputContent]| -> Value {
        match parts {
            [InputContent::Text(text)] => json!(text),
            parts => parts
                .iter()
                .map(|part| match part {
                    InputContent::Text(text) => json!({ "type": "input_text", "text": text }),
                    InputContent::Image { url } => {
                        json!({ "type": "input_image", "image_url": url })
                    }
                    InputContent::File { filename, data } => {
                        json!({ "type": "input_file", "filename": filename, "file_data": data })
                    }
                })
                .collect(),
        }
    };
    input
        .iter()
        .map(|item| match item {
            InputItem::Message { role, content: parts } => json!({
                "type": "message",
                "role": match role { Role::User => "user", Role::Assistant => "assistant" },
                "content": content(parts),
            }),
            InputItem::FunctionCall { call_id, name, arguments } => json!({
                "type": "function_call", "call_id": call_id, "name": name, "arguments": arguments,
            }),
            InputItem::FunctionCallOutput { call_id, output } => json!({
                "type": "function_call_output", "call_id": call_id, "output": content(output),
            }),
            InputItem::Raw(raw) => raw.clone(),
        })
        .collect()
}

/// Reads what a hook of `request` made of the input. Fails with what is wrong with it.
pub fn from_json(input: &Value) -> Result<Vec<InputItem>, String> {
    let Value::Array(items) = input else {
        return Err("`input` must be an array".to_owned());
    };
    items.iter().map(item_from_json).collect()
}

fn item_from_json(item: &Value) -> Result<InputItem, String> {
    let text = |key: &str| {
        let value = item.get(key).and_then(Value::as_str);
        value.map(str::to_owned).ok_or_else(|| format!("an item of `input` needs the text `{key}`"))
    };
    let content = |key: &str| content_from_json(item.get(key).unwrap_or(&Value::Null));
    match item.get("type").and_then(Value::as_str).unwrap_or("message") {
        "message" => Ok(InputItem::Message {
            role: match item.get("role").and_then(Value::as_str) {
                Some("assistant") => Role::Assistant,
                Some("user") | None => Role::User,
                Some(other) => {
                    return Err(format!("`role` is `user` or `assistant`, not `{other}`"));
                }
            },
            content: content("content")?,
        }),
        "function_call" => Ok(InputItem::FunctionCall {
            call_id: text("call_id")?,
            name: text("name")?,
            arguments: text("arguments")?,
        }),
        "function_call_output" => Ok(InputItem::FunctionCallOutput {
            call_id: text("call_id")?,
            output: content("output")?,
        }),
        _ => Ok(InputItem::Raw(item.clone())),
    }
}

/// Reads a text or an array of parts. Fails with what is wrong with it.
pub fn content_from_json(content: &Value) -> Result<Vec<InputContent>, String> {
    let parts = match content {
        Value::String(text) => return Ok(vec![InputContent::Text(text.clone())]),
        Value::Array(parts) => parts,
        _ => return Err("`content` must be a text or an array of parts".to_owned()),
    };
    parts
        .iter()
        .map(|part| {
            let text = |key: &str| part.get(key).and_then(Value::as_str).map(str::to_owned);
            match part.get("type").and_then(Value::as_str) {
                Some("input_image") => text("image_url").map(|url| InputContent::Image { url }),
                Some("input_file") => text("filename")
                    .zip(text("file_data"))
                    .map(|(filename, data)| InputContent::File { filename, data }),
                _ => text("text").map(InputContent::Text),
            }
            .ok_or_else(|| "a part of `content` is neither text, image nor file".to_owned())
        })
        .collect()
}
