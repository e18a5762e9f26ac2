use std::sync::Arc;

use serde_json::{Map, Value, json};
use tracing::warn;

use crate::{
    chatkit::{
        AssistantMessageContent, AssistantMessageItem, HiddenContextItem, ItemId, ItemKind,
        NoticeLevel, StructuredInputItem, ThreadItem, ThreadStreamEvent, UserMessageItem, now,
    },
    model::ModelRequest,
    plugin::{CallError, HandlerId, HookEvent, Plugin},
    store::{MessageNote, Record},
    turn::{
        Failure, Respond, Turn, TurnEnd, Waiting,
        input::{self, Entry},
    },
};

/// What the hooks of `message` made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageOutcome {
    Answer,
    /// The user was told why; the model never sees it.
    Rejected,
}

/// What the handlers of an event returned, by plugin.
pub struct HookAnswers {
    pub answers: Vec<(String, Value)>,
    /// One of them ended the turn.
    pub ended: bool,
}

impl Turn {
    /// Runs the handlers of `event`, one after the other, and gives what they returned, by plugin.
    pub async fn run_hooks(
        &mut self,
        event: HookEvent,
        argument: Value,
    ) -> Result<Vec<(String, Value)>, TurnEnd> {
        let HookAnswers { answers, ended } = self.run_all_hooks(event, argument).await?;
        if ended { Err(TurnEnd::Ended) } else { Ok(answers) }
    }

    /// The same, and whether a handler ended the turn: it keeps the others neither from running nor from counting.
    pub async fn run_all_hooks(
        &mut self,
        event: HookEvent,
        argument: Value,
    ) -> Result<HookAnswers, TurnEnd> {
        let mut answers = Vec::new();
        let mut ended = false;
        for (plugin, handler) in self.generation.hooks(event) {
            let name = plugin.manifest().name.clone();
            match self.run_hook(plugin, handler, argument.clone()).await {
                Ok(answer) => answers.push((name, answer)),
                Err(TurnEnd::Ended) => ended = true,
                Err(end) => return Err(end),
            }
        }
        Ok(HookAnswers { answers, ended })
    }

    /// Asks the handlers of `event` one after the other until one returns something, and gives that with the
    /// name of its plugin.
    pub async fn ask_hooks(
        &mut self,
        event: HookEvent,
        argument: &Value,
    ) -> Result<Option<(String, Value)>, TurnEnd> {
        for (plugin, handler) in self.generation.hooks(event) {
            let name = plugin.manifest().name.clone();
            let answer = self.run_hook(plugin, handler, argument.clone()).await?;
            if !answer.is_null() {
                return Ok(Some((name, answer)));
            }
        }
        Ok(None)
    }

    async fn run_hook(
        &mut self,
        plugin: Arc<dyn Plugin>,
        handler: HandlerId,
        argument: Value,
    ) -> Result<Value, TurnEnd> {
        let name = plugin.manifest().name.clone();
        let call = plugin.call(handler, argument, self.call_context());
        match self.drive(call).await? {
            // A handler whose last act shows something returns what it showed, and means nothing by it.
            Ok(answer) if is_item(&answer) => Ok(Value::Null),
            Ok(answer) => Ok(answer),
            Err(CallError::User { message, retry }) => {
                Err(TurnEnd::Failed(Failure::User { message, retry }))
            }
            Err(CallError::Ended) => Err(TurnEnd::Ended),
            Err(CallError::Cancelled) => Err(TurnEnd::Cancelled),
            Err(err @ (CallError::Thrown(_) | CallError::Limit(_))) => {
                Err(author(format!("a hook of plugin `{name}`: {err}")))
            }
        }
    }

    /// `message`: may reject the user's message, change what the model sees of it, and add to it.
    pub async fn admit_message(
        &mut self,
        message: &UserMessageItem,
    ) -> Result<MessageOutcome, TurnEnd> {
        let mut note = MessageNote {
            id: ItemId::generate(ItemKind::HiddenContext),
            item_id: message.id.clone(),
            text: None,
            rejected: false,
            vars: Map::new(),
        };
        let event = json!({ "item": message, "text": message.text() });
        let mut records = Vec::new();
        let mut reason = None;
        let HookAnswers { answers, ended } = self.run_all_hooks(HookEvent::Message, event).await?;
        for (plugin, answer) in answers {
            let Some(answer) = map(&plugin, "message", answer) else { continue };
            for (key, value) in answer {
                match (key.as_str(), value) {
                    ("reject", Value::String(why)) => reason = Some(why),
                    ("text", Value::String(text)) => note.text = Some(text),
                    ("context", content) if !content.is_null() => {
                        records.push(hidden(&self.thread.id, content));
                    }
                    ("vars", Value::Object(vars)) => note.vars.extend(vars),
                    (_, Value::Null) => (),
                    (key, _) => {
                        return Err(author(format!(
                            "a `message` hook of plugin `{plugin}` returned `{key}`: it may return the \
                             texts `reject` and `text`, `context`, and the map `vars`"
                        )));
                    }
                }
            }
        }
        note.rejected = reason.is_some();
        self.vars.clone_from(&note.vars);
        if note.rejected || note.text.is_some() || !note.vars.is_empty() {
            records.insert(0, Record::MessageNote(note));
        }
        if !records.is_empty() {
            self.sink.add_records(&records).await?;
            self.transcript.entries.extend(records.into_iter().map(Entry::Record));
        }
        let Some(message) = reason else {
            return if ended { Err(TurnEnd::Ended) } else { Ok(MessageOutcome::Answer) };
        };
        // What is rejected is not asked about either.
        self.waiting = Waiting::default();
        let level = NoticeLevel::Warning;
        self.send(ThreadStreamEvent::Notice { level, message, title: None }).await?;
        Ok(MessageOutcome::Rejected)
    }

    /// `answer`: may add to what the user answered.
    pub async fn run_answer_hooks(&mut self, item: &StructuredInputItem) -> Result<(), TurnEnd> {
        let answers: Map<String, Value> =
            item.inputs.iter().map(|it| (it.id().to_owned(), json!(it.answer()))).collect();
        let event = json!({ "item": item, "answers": answers });
        // The agent goes on anyway: it may be asked to.
        self.respond = Respond::Asked;
        let HookAnswers { answers, ended } = self.run_all_hooks(HookEvent::Answer, event).await?;
        self.respond = Respond::Anyway;
        let mut records = Vec::new();
        for (plugin, answer) in answers {
            let Some(answer) = map(&plugin, "answer", answer) else { continue };
            for (key, value) in answer {
                match (key.as_str(), value) {
                    (_, Value::Null) => (),
                    ("context", content) => records.push(hidden(&self.thread.id, content)),
                    (key, _) => {
                        return Err(author(format!(
                            "an `answer` hook of plugin `{plugin}` returned `{key}`: it may return `context`"
                        )));
                    }
                }
            }
        }
        self.flush_hidden(records).await?;
        if ended { Err(TurnEnd::Ended) } else { Ok(()) }
    }

    /// `tag`: what the model is told of the tags that it will see; the first answer wins.
    pub async fn explain_tags(&mut self) -> Result<(), TurnEnd> {
        if self.generation.hooks(HookEvent::Tag).is_empty() {
            return Ok(());
        }
        for (message, tag) in self.transcript.all_tags() {
            let event = json!({
                "id": tag.id, "text": tag.text, "data": tag.data, "group": tag.group, "item": message,
            });
            for (_, answer) in self.run_hooks(HookEvent::Tag, event).await? {
                let text = match answer {
                    Value::Null => continue,
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                self.transcript.tags.entry((message.id.clone(), tag.text.clone())).or_insert(text);
            }
        }
        Ok(())
    }

    /// `request`: may change instructions and input, and take tools away.
    pub async fn run_request_hooks(
        &mut self,
        mut request: ModelRequest,
        round: usize,
    ) -> Result<ModelRequest, TurnEnd> {
        if self.generation.hooks(HookEvent::Request).is_empty() {
            return Ok(request);
        }
        // Scripts take no strings as long as files are.
        let files = input::take_files(&mut request.input);
        let tools: Vec<&str> = request.tools.iter().map(|it| it.name.as_str()).collect();
        let event = json!({
            "instructions": request.instructions,
            "input": input::to_json(&request.input),
            "tools": tools,
            "round": round,
        });
        for (plugin, answer) in self.run_hooks(HookEvent::Request, event).await? {
            let Some(answer) = map(&plugin, "request", answer) else { continue };
            for (key, value) in answer {
                match (key.as_str(), value) {
                    ("instructions", Value::String(text)) => request.instructions = text,
                    ("input", items @ Value::Array(_)) => {
                        request.input = input::from_json(&items).map_err(|err| {
                            author(format!("a `request` hook of plugin `{plugin}`: {err}"))
                        })?;
                    }
                    ("drop_tools", Value::Array(names)) => {
                        let dropped =
                            |tool: &str| names.iter().any(|name| name.as_str() == Some(tool));
                        request.tools.retain(|tool| !dropped(&tool.name));
                        request.tool_choice = request.tool_choice.filter(|tool| !dropped(tool));
                    }
                    (_, Value::Null) => (),
                    (key, _) => {
                        return Err(author(format!(
                            "a `request` hook of plugin `{plugin}` returned `{key}`: it may return the \
                             text `instructions` and the arrays `input` and `drop_tools`"
                        )));
                    }
                }
            }
        }
        input::put_back_files(&mut request.input, &files);
        Ok(request)
    }

    /// `response`: may change the text of the finished message.
    pub async fn run_response_hooks(
        &mut self,
        mut message: AssistantMessageItem,
    ) -> Result<AssistantMessageItem, TurnEnd> {
        if self.generation.hooks(HookEvent::Response).is_empty() {
            return Ok(message);
        }
        let event = json!({ "item": message, "text": message.text() });
        for (plugin, answer) in self.run_hooks(HookEvent::Response, event).await? {
            let Some(mut answer) = map(&plugin, "response", answer) else { continue };
            match answer.remove("text") {
                Some(Value::String(text)) => {
                    let annotations =
                        message.content.drain(..).flat_map(|part| part.annotations).collect();
                    message.content = vec![AssistantMessageContent { text, annotations }];
                }
                None | Some(Value::Null) => (),
                Some(_) => {
                    return Err(author(format!(
                        "a `response` hook of plugin `{plugin}` returned a `text` that is no text"
                    )));
                }
            }
        }
        Ok(message)
    }
}

fn is_item(answer: &Value) -> bool {
    ["id", "thread_id", "created_at"].iter().all(|key| answer.get(key).is_some())
}

/// A hook returns a map or nothing.
fn map(plugin: &str, event: &str, answer: Value) -> Option<Map<String, Value>> {
    match answer {
        Value::Null => None,
        Value::Object(map) => Some(map),
        // Often the value of a handler's last expression, and not meant.
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            warn!("a `{event}` hook of plugin `{plugin}` returned neither a map nor `()`: ignored");
            None
        }
    }
}

fn hidden(thread: &crate::chatkit::ThreadId, content: Value) -> Record {
    Record::Item(ThreadItem::HiddenContextItem(HiddenContextItem {
        id: ItemId::generate(ItemKind::HiddenContext),
        thread_id: thread.clone(),
        created_at: now(),
        content,
    }))
}

pub fn author(message: String) -> TurnEnd {
    TurnEnd::Failed(Failure::Author(message))
}
