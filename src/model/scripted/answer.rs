use std::mem;

use super::{ScriptedStep, step::ScriptedCall};
use crate::model::{Finish, ModelEvent, Search, SearchKind, ToolCall, new_call_id};

/// An answer that is being played.
#[derive(Default)]
pub struct Answer {
    /// What the present message has said.
    message: Option<String>,
    /// How many summaries the present reasoning has.
    summaries: usize,
    finish: Option<Finish>,
}

impl Answer {
    /// What a step says; nothing for those that say nothing.
    pub fn play(&mut self, step: ScriptedStep) -> Vec<ModelEvent> {
        let mut events = Vec::new();
        match step {
            ScriptedStep::Text(deltas) => self.say(deltas, &mut events),
            ScriptedStep::Annotation(annotation) => {
                self.say(Vec::new(), &mut events);
                let annotation = *annotation;
                let annotation = Box::new(annotation);
                events.push(ModelEvent::Annotation { content_index: 0, annotation });
            }
            ScriptedStep::Reasoning(deltas) => self.reason(deltas, &mut events),
            ScriptedStep::Call(ScriptedCall { name, arguments, call_id }) => {
                self.close(&mut events);
                let call_id = call_id.unwrap_or_else(new_call_id);
                events.push(ModelEvent::ToolCall(ToolCall { call_id, name, arguments }));
            }
            ScriptedStep::Image { partials, result } => {
                self.close(&mut events);
                events.push(ModelEvent::ImageAdded);
                events.extend(
                    (0..)
                        .zip(partials)
                        .map(|(index, base64)| ModelEvent::ImagePartial { index, base64 }),
                );
                events.push(ModelEvent::ImageDone { base64: result });
            }
            ScriptedStep::Search { queries, sources } => {
                self.close(&mut events);
                let (id, kind) = (new_call_id(), SearchKind::Web);
                events.push(ModelEvent::SearchAdded { id: id.clone(), kind });
                let search = Search { id, kind, queries, sources };
                events.push(ModelEvent::SearchDone(search));
            }
            ScriptedStep::Raw(item) => {
                self.close(&mut events);
                events.push(ModelEvent::Raw(item));
            }
            ScriptedStep::Usage(usage) => {
                self.close(&mut events);
                events.push(ModelEvent::Usage(usage));
            }
            ScriptedStep::Finish(finish) => self.finish = Some(finish),
            ScriptedStep::Fail(_) | ScriptedStep::Delay(_) | ScriptedStep::Gate(_) => (),
        }
        events
    }

    pub fn end(mut self) -> Vec<ModelEvent> {
        let mut events = Vec::new();
        self.close(&mut events);
        events.push(ModelEvent::Done(self.finish.unwrap_or(Finish::Stop)));
        events
    }

    fn say(&mut self, deltas: Vec<String>, events: &mut Vec<ModelEvent>) {
        self.summaries = 0;
        let text = self.message.get_or_insert_with(|| {
            events.push(ModelEvent::MessageAdded);
            events.push(ModelEvent::ContentPartAdded { content_index: 0 });
            String::new()
        });
        for delta in deltas {
            text.push_str(&delta);
            events.push(ModelEvent::TextDelta { content_index: 0, delta });
        }
    }

    fn reason(&mut self, deltas: Vec<String>, events: &mut Vec<ModelEvent>) {
        let summary_index = self.summaries;
        if summary_index == 0 {
            self.close(events);
            events.push(ModelEvent::ReasoningAdded);
        }
        let text = deltas.concat();
        events.extend(
            deltas.into_iter().map(|delta| ModelEvent::ReasoningDelta { summary_index, delta }),
        );
        events.push(ModelEvent::ReasoningDone { summary_index, text });
        self.summaries = summary_index + 1;
    }

    fn close(&mut self, events: &mut Vec<ModelEvent>) {
        self.summaries = 0;
        if let Some(text) = mem::take(&mut self.message) {
            events.push(ModelEvent::ContentPartDone { content_index: 0, text });
            events.push(ModelEvent::MessageDone);
        }
    }
}
