use std::{collections::VecDeque, mem, sync::Arc};

use serde::Deserialize;
use serde_json::Value;

use crate::{
    chatkit::{Annotation, Source, UrlSource},
    model::{
        Completion, Finish, MAX_CALLS, ModelEvent, ToolCall, Usage,
        failure::Complaint,
        http::Decoder,
        loose::{self, Loose},
        names::ToolNames,
        new_call_id,
    },
};

/// An answer of the Chat Completions API, as far as it has come.
pub struct Answer {
    names: Arc<ToolNames>,
    is_message_open: bool,
    /// The present reasoning; empty if there is none.
    reasoning: String,
    calls: Vec<PartialCall>,
    finish: Option<Finish>,
    usage: Option<Usage>,
    /// Something has come that only an answer has.
    has_begun: bool,
}

struct PartialCall {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    choices: Loose<'a>,
    #[serde(borrow, default)]
    usage: Loose<'a>,
    #[serde(borrow, default)]
    error: Loose<'a>,
    #[serde(borrow, default)]
    object: Loose<'a>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
    /// In place of `delta` where the answer comes whole.
    #[serde(borrow, default)]
    message: Option<Delta<'a>>,
    #[serde(borrow, default)]
    finish_reason: Loose<'a>,
    #[serde(borrow, default)]
    index: Loose<'a>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    content: Loose<'a>,
    #[serde(borrow, default)]
    refusal: Loose<'a>,
    #[serde(borrow, default)]
    reasoning_content: Loose<'a>,
    #[serde(borrow, default)]
    reasoning: Loose<'a>,
    #[serde(borrow, default)]
    tool_calls: Loose<'a>,
    #[serde(borrow, default)]
    annotations: Loose<'a>,
}

#[derive(Deserialize)]
struct CallDelta<'a> {
    #[serde(borrow, default)]
    index: Loose<'a>,
    #[serde(borrow, default)]
    id: Loose<'a>,
    #[serde(borrow, default)]
    function: Option<FunctionDelta<'a>>,
}

#[derive(Deserialize)]
struct FunctionDelta<'a> {
    #[serde(borrow, default)]
    name: Loose<'a>,
    #[serde(borrow, default)]
    arguments: Loose<'a>,
}

#[derive(Deserialize)]
struct ChunkUsage<'a> {
    #[serde(borrow, default)]
    prompt_tokens: Loose<'a>,
    #[serde(borrow, default)]
    completion_tokens: Loose<'a>,
}

impl Answer {
    pub const fn new(names: Arc<ToolNames>) -> Self {
        Self {
            names,
            is_message_open: false,
            reasoning: String::new(),
            calls: Vec::new(),
            finish: None,
            usage: None,
            has_begun: false,
        }
    }

    fn read_choice(
        &mut self,
        choice: Choice<'_>,
        events: &mut VecDeque<ModelEvent>,
    ) -> Result<(), Complaint> {
        self.has_begun = true;
        if let Some(delta) = choice.delta.or(choice.message) {
            self.read_delta(&delta, events)?;
        }
        let reason = loose::text(choice.finish_reason);
        if !reason.is_empty() && self.finish.is_none() {
            self.finish = Some(match reason.as_str() {
                "length" | "max_tokens" | "MAX_TOKENS" => Finish::Length,
                "content_filter" | "SAFETY" => Finish::Filtered,
                _ => Finish::Stop,
            });
            self.close(events);
        }
        Ok(())
    }

    fn read_delta(
        &mut self,
        delta: &Delta<'_>,
        events: &mut VecDeque<ModelEvent>,
    ) -> Result<(), Complaint> {
        for field in [delta.reasoning_content, delta.reasoning] {
            let text = loose::text(field);
            if !text.is_empty() {
                self.push_reasoning(text, events);
                break;
            }
        }
        for field in [delta.content, delta.refusal] {
            let text = loose::text(field);
            if !text.is_empty() {
                self.open_message(events);
                events.push_back(ModelEvent::TextDelta { content_index: 0, delta: text });
            }
        }
        if delta.annotations.is_some() && self.is_message_open {
            let annotations = loose::list::<Value>(delta.annotations);
            events.extend(annotations.iter().filter_map(annotation).map(|annotation| {
                ModelEvent::Annotation { content_index: 0, annotation: Box::new(annotation) }
            }));
        }
        if delta.tool_calls.is_some() {
            for call in loose::list::<CallDelta<'_>>(delta.tool_calls) {
                self.push_call(&call)?;
            }
        }
        Ok(())
    }

    fn push_reasoning(&mut self, delta: String, events: &mut VecDeque<ModelEvent>) {
        if self.is_message_open {
            self.is_message_open = false;
            events.push_back(ModelEvent::MessageDone);
        }
        if self.reasoning.is_empty() {
            events.push_back(ModelEvent::ReasoningAdded);
        }
        self.reasoning.push_str(&delta);
        events.push_back(ModelEvent::ReasoningDelta { summary_index: 0, delta });
    }

    fn open_message(&mut self, events: &mut VecDeque<ModelEvent>) {
        self.close_reasoning(events);
        if !self.is_message_open {
            self.is_message_open = true;
            events.push_back(ModelEvent::MessageAdded);
            events.push_back(ModelEvent::ContentPartAdded { content_index: 0 });
        }
    }

    fn close_reasoning(&mut self, events: &mut VecDeque<ModelEvent>) {
        if !self.reasoning.is_empty() {
            let text = mem::take(&mut self.reasoning);
            events.push_back(ModelEvent::ReasoningDone { summary_index: 0, text });
        }
    }

    fn push_call(&mut self, delta: &CallDelta<'_>) -> Result<(), Complaint> {
        let index = loose::number(delta.index);
        let id = loose::text(delta.id);
        let function = delta.function.as_ref();
        let name = loose::text(function.and_then(|it| it.name));
        let arguments = loose::json_text(function.and_then(|it| it.arguments));
        let known = match (index, id.as_str()) {
            (Some(_), _) => self.calls.iter_mut().rfind(|call| call.index == index),
            (None, "") => self.calls.last_mut(),
            (None, id) => self.calls.iter_mut().rfind(|call| call.id == id),
        };
        // Some servers number all calls 0, or not at all.
        let known = known.filter(|call| {
            let is_other_id = !id.is_empty() && !call.id.is_empty() && id != call.id;
            let is_next = !name.is_empty() && call.is_whole();
            !is_other_id && !is_next
        });
        let Some(call) = known else {
            if id.is_empty() && name.is_empty() && arguments.is_empty() {
                return Ok(());
            }
            if self.calls.len() == MAX_CALLS {
                return Err(Complaint::new(format!(
                    "more than {MAX_CALLS} calls of tools at once"
                )));
            }
            self.calls.push(PartialCall { index, id, name, arguments });
            return Ok(());
        };

        if call.id.is_empty() {
            call.id = id;
        }
        if call.name.is_empty() {
            call.name = name;
        }
        call.arguments.push_str(&arguments);
        Ok(())
    }

    /// Closes what is open and gives out the calls.
    fn close(&mut self, events: &mut VecDeque<ModelEvent>) {
        self.close_reasoning(events);
        if mem::take(&mut self.is_message_open) {
            events.push_back(ModelEvent::MessageDone);
        }
        for call in self.calls.drain(..) {
            let call_id = if call.id.is_empty() { new_call_id() } else { call.id };
            let name = self.names.full_name(call.name);
            let arguments = call.arguments;
            events.push_back(ModelEvent::ToolCall(ToolCall { call_id, name, arguments }));
        }
    }
}

impl Decoder for Answer {
    fn read(&mut self, data: &[u8], events: &mut VecDeque<ModelEvent>) -> Result<(), Complaint> {
        if data == b"[DONE]" {
            self.has_begun = true;
            self.end(events);
            return Ok(());
        }
        let Some(chunk) = loose::event::<Chunk<'_>>(data)? else { return Ok(()) };
        if chunk.error.is_some() || chunk.object.is_some_and(|it| it.get() == "\"error\"") {
            let body = serde_json::from_slice(data).unwrap_or_default();
            return Err(Complaint::read(&body));
        }
        if let Some(usage) = loose::object::<ChunkUsage<'_>>(chunk.usage) {
            self.usage = Some(Usage {
                input_tokens: loose::number(usage.prompt_tokens).unwrap_or_default(),
                output_tokens: loose::number(usage.completion_tokens).unwrap_or_default(),
            });
        }
        for choice in loose::list::<Choice<'_>>(chunk.choices) {
            // Only one was asked for.
            if loose::number(choice.index).unwrap_or_default() == 0 {
                self.read_choice(choice, events)?;
            }
        }
        Ok(())
    }

    fn is_whole(&self) -> bool {
        self.finish.is_some()
    }

    fn end(&mut self, events: &mut VecDeque<ModelEvent>) -> bool {
        if !self.has_begun {
            return false;
        }
        self.close(events);
        events.extend(self.usage.take().map(ModelEvent::Usage));
        events.push_back(ModelEvent::Done(self.finish.unwrap_or(Finish::Stop)));
        true
    }
}

impl PartialCall {
    fn is_whole(&self) -> bool {
        serde_json::from_str::<serde::de::IgnoredAny>(&self.arguments).is_ok()
    }
}

/// An answer that was not streamed.
pub fn whole(answer: &Value) -> Completion {
    let message = &answer["choices"][0]["message"];
    let mut text = loose::text_of(&message["content"]);
    if text.is_empty() {
        text = loose::text_of(&message["refusal"]);
    }
    let tokens = |key: &str| answer["usage"][key].as_u64().unwrap_or_default();
    let usage =
        Usage { input_tokens: tokens("prompt_tokens"), output_tokens: tokens("completion_tokens") };
    Completion { text, usage }
}

fn annotation(annotation: &Value) -> Option<Annotation> {
    let citation = annotation.get("url_citation")?;
    let url = citation.get("url")?.as_str()?.to_owned();
    let title = citation.get("title").and_then(Value::as_str).unwrap_or(&url).to_owned();
    Some(Annotation {
        index: citation.get("end_index").and_then(Value::as_u64),
        source: Source::Url(UrlSource { title, url, ..UrlSource::default() }),
    })
}
