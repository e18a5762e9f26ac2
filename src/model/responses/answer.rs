use std::{
    borrow::Cow,
    collections::{HashSet, VecDeque},
    mem,
    sync::Arc,
};

use serde::Deserialize;
use serde_json::Value;

use crate::{
    chatkit::{Annotation, FileSource, Source, UrlSource},
    model::{
        Completion, Finish, MAX_CALLS, MAX_PARTS, ModelEvent, Search, SearchKind, ToolCall, Usage,
        failure::Complaint,
        http::Decoder,
        loose::{self, Loose},
        names::ToolNames,
        new_call_id,
    },
};

/// Of the queries and the sources of one search.
const MAX_SEARCH: usize = 50;

/// An answer of the Responses API, as far as it has come.
pub struct Answer {
    names: Arc<ToolNames>,
    is_message_open: bool,
    /// How many content parts the present message has so far.
    parts: usize,
    calls: usize,
    is_image_open: bool,
    /// Any event was given out, so that the answer need not be read from its end.
    has_begun: bool,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    delta: Loose<'a>,
    #[serde(borrow, default)]
    text: Loose<'a>,
    #[serde(borrow, default)]
    refusal: Loose<'a>,
    #[serde(borrow, default)]
    item: Loose<'a>,
    #[serde(borrow, default)]
    part: Loose<'a>,
    #[serde(borrow, default)]
    annotation: Loose<'a>,
    #[serde(borrow, default)]
    response: Loose<'a>,
    #[serde(borrow, default)]
    error: Loose<'a>,
    #[serde(borrow, default)]
    object: Loose<'a>,
    #[serde(borrow, default)]
    content_index: Loose<'a>,
    #[serde(borrow, default)]
    summary_index: Loose<'a>,
    #[serde(borrow, default)]
    partial_image_index: Loose<'a>,
    #[serde(borrow, default)]
    partial_image_b64: Loose<'a>,
}

/// What is read of a message, call or other output item when it is added.
#[derive(Deserialize)]
struct Added<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    id: Loose<'a>,
}

impl Answer {
    pub const fn new(names: Arc<ToolNames>) -> Self {
        Self {
            names,
            is_message_open: false,
            parts: 0,
            calls: 0,
            is_image_open: false,
            has_begun: false,
        }
    }

    fn read_event(
        &mut self,
        event: &Event<'_>,
        data: &[u8],
        events: &mut VecDeque<ModelEvent>,
    ) -> Result<(), Complaint> {
        let content_index = || part_index(event.content_index);
        let summary_index = || loose::index(event.summary_index);
        match &*event.kind {
            "response.output_text.delta" | "response.refusal.delta" => {
                let delta = loose::text(event.delta);
                let content_index = content_index()?;
                self.open_part(content_index, events);
                events.push_back(ModelEvent::TextDelta { content_index, delta });
            }
            "response.output_text.done" | "response.refusal.done" => {
                let text = loose::text(event.text.or(event.refusal));
                self.end_part(content_index()?, text, events);
            }
            "response.output_text.annotation.added" => {
                let content_index = content_index()?;
                let annotation = loose::value(event.annotation);
                if let Some(annotation) = annotation.as_ref().and_then(annotation_of) {
                    self.open_part(content_index, events);
                    let annotation = Box::new(annotation);
                    events.push_back(ModelEvent::Annotation { content_index, annotation });
                }
            }
            "response.content_part.added" => {
                let part = loose::object::<Added<'_>>(event.part);
                if part.is_some_and(|it| matches!(&*it.kind, "output_text" | "refusal")) {
                    self.open_part(content_index()?, events);
                }
            }
            "response.output_item.added" => {
                if let Some(item) = loose::object::<Added<'_>>(event.item) {
                    self.add_item(&item, events);
                }
            }
            "response.output_item.done" => {
                self.end_item(loose::value(event.item).unwrap_or_default(), events)?;
            }
            "response.reasoning_summary_text.delta" => {
                events.push_back(ModelEvent::ReasoningDelta {
                    summary_index: summary_index(),
                    delta: loose::text(event.delta),
                });
            }
            "response.reasoning_summary_text.done" => {
                events.push_back(ModelEvent::ReasoningDone {
                    summary_index: summary_index(),
                    text: loose::text(event.text),
                });
            }
            "response.image_generation_call.partial_image" => {
                self.open_image(events);
                events.push_back(ModelEvent::ImagePartial {
                    index: loose::number(event.partial_image_index).unwrap_or_default(),
                    base64: loose::text(event.partial_image_b64),
                });
            }
            "response.completed" | "response.incomplete" | "response.done" => {
                self.end_response(loose::value(event.response).unwrap_or_default(), events)?;
            }
            "response.failed" => {
                let response = loose::value(event.response).unwrap_or_default();
                return Err(match &response["error"] {
                    Value::Null => Complaint::new("the response failed"),
                    error => Complaint::read(error),
                });
            }
            _ if event.error.is_some() || event.kind == "error" || is_error(event) => {
                return Err(Complaint::read(&complaint(data)));
            }
            // The whole answer, from a server that does not stream.
            "" if event.object.is_some_and(|it| it.get() == "\"response\"") => {
                self.end_response(serde_json::from_slice(data).unwrap_or_default(), events)?;
            }
            _ => (),
        }
        Ok(())
    }

    fn add_item(&mut self, item: &Added<'_>, events: &mut VecDeque<ModelEvent>) {
        match &*item.kind {
            "message" => {
                self.close_message(events);
                self.open_message(events);
            }
            "reasoning" => {
                self.close_message(events);
                events.push_back(ModelEvent::ReasoningAdded);
            }
            "image_generation_call" => {
                self.close_message(events);
                self.open_image(events);
            }
            kind => {
                if let Some(kind) = search_kind(kind) {
                    self.close_message(events);
                    let id = loose::text(item.id);
                    events.push_back(ModelEvent::SearchAdded { id, kind });
                }
            }
        }
    }

    fn end_item(
        &mut self,
        mut item: Value,
        events: &mut VecDeque<ModelEvent>,
    ) -> Result<(), Complaint> {
        let take = |item: &mut Value, key: &str| item.get_mut(key).map(Value::take);
        match item["type"].as_str().unwrap_or_default() {
            "message" => {
                self.open_message(events);
                if self.parts == 0 {
                    self.say_parts(&item["content"], events);
                }
                self.close_message(events);
            }
            "function_call" => {
                self.close_message(events);
                if self.calls == MAX_CALLS {
                    let message = format!("more than {MAX_CALLS} calls of tools at once");
                    return Err(Complaint::new(message));
                }
                self.calls += 1;
                let text = |key: &str| item[key].as_str().filter(|text| !text.is_empty());
                let call_id = text("call_id").or_else(|| text("id"));
                events.push_back(ModelEvent::ToolCall(ToolCall {
                    call_id: call_id.map_or_else(new_call_id, str::to_owned),
                    name: self.names.full_name(text("name").unwrap_or_default().to_owned()),
                    arguments: match &item["arguments"] {
                        Value::String(text) => text.clone(),
                        Value::Null => String::new(),
                        other => other.to_string(),
                    },
                }));
            }
            "image_generation_call" => {
                if let Some(Value::String(base64)) = take(&mut item, "result") {
                    self.open_image(events);
                    self.is_image_open = false;
                    events.push_back(ModelEvent::ImageDone { base64 });
                }
            }
            "" => (),
            // Reasoning, and the provider's own tools, which must stand where they stood.
            kind => {
                self.close_message(events);
                if let Some(kind) = search_kind(kind) {
                    events.push_back(ModelEvent::SearchDone(search(kind, &item)));
                }
                if item.get("encrypted_content").or_else(|| item.get("id")).is_some() {
                    events.push_back(ModelEvent::Raw(item));
                }
            }
        }
        Ok(())
    }

    fn end_response(
        &mut self,
        mut response: Value,
        events: &mut VecDeque<ModelEvent>,
    ) -> Result<(), Complaint> {
        if !self.has_begun
            && let Some(Value::Array(items)) = response.get_mut("output").map(Value::take)
        {
            for item in items {
                self.end_item(item, events)?;
            }
        }
        self.close_message(events);
        events.extend(usage(&response).map(ModelEvent::Usage));
        let is_incomplete = response["status"] == "incomplete";
        let finish = match response["incomplete_details"]["reason"].as_str() {
            Some("content_filter") => Finish::Filtered,
            Some(_) => Finish::Length,
            None if is_incomplete => Finish::Length,
            None => Finish::Stop,
        };
        events.push_back(ModelEvent::Done(finish));
        Ok(())
    }

    /// Says what a message holds of which nothing was streamed.
    fn say_parts(&mut self, content: &Value, events: &mut VecDeque<ModelEvent>) {
        for (content_index, part) in content.as_array().into_iter().flatten().enumerate() {
            let text = loose::text_of(part);
            if text.is_empty() {
                continue;
            }
            self.open_part(content_index, events);
            events.push_back(ModelEvent::TextDelta { content_index, delta: text.clone() });
            let annotations = part["annotations"].as_array().into_iter().flatten();
            events.extend(annotations.filter_map(annotation_of).map(|annotation| {
                ModelEvent::Annotation { content_index, annotation: Box::new(annotation) }
            }));
            self.end_part(content_index, text, events);
        }
    }

    fn open_message(&mut self, events: &mut VecDeque<ModelEvent>) {
        if !self.is_message_open {
            self.is_message_open = true;
            self.parts = 0;
            events.push_back(ModelEvent::MessageAdded);
        }
    }

    fn open_part(&mut self, content_index: usize, events: &mut VecDeque<ModelEvent>) {
        self.open_message(events);
        if content_index >= self.parts {
            self.parts = content_index + 1;
            events.push_back(ModelEvent::ContentPartAdded { content_index });
        }
    }

    fn end_part(&mut self, content_index: usize, text: String, events: &mut VecDeque<ModelEvent>) {
        self.open_part(content_index, events);
        events.push_back(ModelEvent::ContentPartDone { content_index, text });
    }

    fn close_message(&mut self, events: &mut VecDeque<ModelEvent>) {
        if mem::take(&mut self.is_message_open) {
            events.push_back(ModelEvent::MessageDone);
        }
    }

    fn open_image(&mut self, events: &mut VecDeque<ModelEvent>) {
        if !mem::replace(&mut self.is_image_open, true) {
            events.push_back(ModelEvent::ImageAdded);
        }
    }
}

impl Decoder for Answer {
    fn read(&mut self, data: &[u8], events: &mut VecDeque<ModelEvent>) -> Result<(), Complaint> {
        if data == b"[DONE]" {
            return Ok(());
        }
        let Some(event) = loose::event::<Event<'_>>(data)? else { return Ok(()) };
        self.read_event(&event, data, events)?;
        self.has_begun |= !events.is_empty();
        Ok(())
    }

    fn is_whole(&self) -> bool {
        false
    }

    fn end(&mut self, events: &mut VecDeque<ModelEvent>) -> bool {
        if !self.has_begun {
            return false;
        }
        self.close_message(events);
        events.push_back(ModelEvent::Done(Finish::Stop));
        true
    }
}

/// An answer that was not streamed.
pub fn whole(answer: &Value) -> Completion {
    let items = answer["output"].as_array().into_iter().flatten();
    let text = items
        .filter(|item| item["type"] == "message")
        .map(|item| loose::text_of(&item["content"]))
        .collect();
    Completion { text, usage: usage(answer).unwrap_or_default() }
}

fn usage(response: &Value) -> Option<Usage> {
    let usage = response.get("usage").filter(|it| it.is_object())?;
    let tokens = |key: &str| usage[key].as_u64().unwrap_or_default();
    Some(Usage { input_tokens: tokens("input_tokens"), output_tokens: tokens("output_tokens") })
}

fn search_kind(item: &str) -> Option<SearchKind> {
    match item {
        "web_search_call" => Some(SearchKind::Web),
        "file_search_call" => Some(SearchKind::Files),
        _ => None,
    }
}

/// What was looked for, and where something was found. Providers leave out most of it unless they are asked for it.
fn search(kind: SearchKind, item: &Value) -> Search {
    let texts = |list: &Value, key: &str| -> Vec<String> {
        let texts = list.as_array().into_iter().flatten();
        let texts = texts.filter_map(|it| it.as_str().or_else(|| it[key].as_str()));
        texts.take(MAX_SEARCH).map(str::to_owned).collect()
    };
    let text = |value: &Value| -> Vec<String> {
        value.as_str().filter(|it| !it.is_empty()).map(str::to_owned).into_iter().collect()
    };
    let action = &item["action"];
    let (mut queries, mut sources) = match kind {
        SearchKind::Web => (texts(&action["queries"], "query"), texts(&action["sources"], "url")),
        SearchKind::Files => {
            (texts(&item["queries"], "query"), texts(&item["results"], "filename"))
        }
    };
    if queries.is_empty() {
        queries = text(&action["query"]);
    }
    // A page that was opened, or looked through.
    if sources.is_empty() {
        sources = text(&action["url"]);
    }
    let mut seen = HashSet::new();
    sources.retain(|it| seen.insert(it.clone()));
    Search { id: item["id"].as_str().unwrap_or_default().to_owned(), kind, queries, sources }
}

fn is_error(event: &Event<'_>) -> bool {
    event.object.is_some_and(|it| it.get() == "\"error\"")
}

/// An event of type `error` as an error: its type says nothing more.
fn complaint(data: &[u8]) -> Value {
    let mut body: Value = serde_json::from_slice(data).unwrap_or_default();
    if let Some(body) = body.as_object_mut() {
        body.remove("type");
    }
    body
}

/// Parts are kept by their index, so that it must not be just any number.
fn part_index(field: Loose<'_>) -> Result<usize, Complaint> {
    match loose::index(field) {
        index if index < MAX_PARTS => Ok(index),
        index => Err(Complaint::new(format!("a content part with the index {index}"))),
    }
}

/// None for what cannot be shown.
fn annotation_of(annotation: &Value) -> Option<Annotation> {
    let text = |key: &str| annotation[key].as_str().filter(|text| !text.is_empty());
    let file = || {
        let filename = text("filename")?.to_owned();
        let title = filename.clone();
        Some(Source::File(FileSource { title, filename, ..FileSource::default() }))
    };
    let (source, index) = match text("type")? {
        "file_citation" => (file()?, "index"),
        "container_file_citation" => (file()?, "end_index"),
        "url_citation" => {
            let url = text("url")?.to_owned();
            let title = text("title").unwrap_or(&url).to_owned();
            (Source::Url(UrlSource { title, url, ..UrlSource::default() }), "end_index")
        }
        _ => return None,
    };
    Some(Annotation { source, index: annotation[index].as_u64() })
}
