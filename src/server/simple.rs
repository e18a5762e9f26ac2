use std::collections::HashMap;

use serde_json::json;

use crate::chatkit::{
    AssistantMessageItem, ItemId, ThreadItem, ThreadItemUpdate, ThreadStreamEvent,
};

use super::sse::{Encoder, write_frame};

/// What a client shows where an error brings no text of its own.
const FAILED: &str = "the answer failed: try again";

/// Named events for clients that show threads and the assistant's text, and nothing else.
#[derive(Default)]
pub struct SimpleEncoder {
    /// The messages under way, and how much of each was sent, in bytes.
    sent: HashMap<ItemId, usize>,
}

impl Encoder for SimpleEncoder {
    type Event = Vec<ThreadStreamEvent>;

    fn encode(&mut self, events: Vec<ThreadStreamEvent>, frames: &mut Vec<u8>) {
        for event in events {
            self.encode_one(event, frames);
        }
    }

    fn finish(&mut self, frames: &mut Vec<u8>) {
        write_frame(frames, Some("done"), &json!({}));
    }
}

impl SimpleEncoder {
    fn encode_one(&mut self, event: ThreadStreamEvent, frames: &mut Vec<u8>) {
        match event {
            ThreadStreamEvent::ThreadCreated { thread } => {
                let thread = json!({ "id": thread.id, "title": thread.title, "metadata": {} });
                write_frame(frames, Some("thread.created"), &thread);
            }
            ThreadStreamEvent::ItemAdded { item } => {
                if let ThreadItem::AssistantMessage(message) = item {
                    self.begin(&message, frames);
                }
            }
            ThreadStreamEvent::ItemUpdated { item_id, update } => {
                self.update(&item_id, &update, frames);
            }
            ThreadStreamEvent::ItemDone { item } => {
                if let ThreadItem::AssistantMessage(message) = item {
                    self.end(&message, frames);
                }
            }
            ThreadStreamEvent::Error { error } => {
                let message = error.message.as_deref().unwrap_or(FAILED);
                write_frame(frames, Some("error"), &json!({ "message": message }));
            }
            ThreadStreamEvent::ThreadUpdated { .. }
            | ThreadStreamEvent::ItemRemoved { .. }
            | ThreadStreamEvent::ItemReplaced { .. }
            | ThreadStreamEvent::StreamOptions { .. }
            | ThreadStreamEvent::ProgressUpdate { .. }
            | ThreadStreamEvent::ClientEffect { .. }
            | ThreadStreamEvent::Notice { .. } => (),
        }
    }

    fn begin(&mut self, message: &AssistantMessageItem, frames: &mut Vec<u8>) {
        let item =
            json!({ "id": message.id, "type": "message", "role": "assistant", "content": [] });
        write_frame(frames, Some("item.created"), &item);
        self.sent.insert(message.id.clone(), 0);
        self.say(&message.id, &message.text(), frames);
    }

    fn update(&mut self, id: &ItemId, update: &ThreadItemUpdate, frames: &mut Vec<u8>) {
        match update {
            ThreadItemUpdate::ContentPartAdded { content, .. } => {
                self.say(id, &content.text, frames);
            }
            ThreadItemUpdate::TextDelta { delta, .. } => self.say(id, delta, frames),
            ThreadItemUpdate::AnnotationAdded { .. }
            | ThreadItemUpdate::ContentPartDone { .. }
            | ThreadItemUpdate::WidgetTextDelta { .. }
            | ThreadItemUpdate::WidgetRootUpdated { .. }
            | ThreadItemUpdate::WidgetComponentUpdated { .. }
            | ThreadItemUpdate::WorkflowTaskAdded { .. }
            | ThreadItemUpdate::WorkflowTaskUpdated { .. }
            | ThreadItemUpdate::GeneratedImageUpdated { .. } => (),
        }
    }

    /// A message may come finished, or be longer than what was streamed of it.
    fn end(&mut self, message: &AssistantMessageItem, frames: &mut Vec<u8>) {
        if !self.sent.contains_key(&message.id) {
            self.begin(message, frames);
        }
        let sent = self.sent.remove(&message.id).unwrap_or_default();
        if let Some(rest) = message.text().get(sent..) {
            self.say(&message.id, rest, frames);
        }
        write_frame(frames, Some("item.done"), &json!({ "id": message.id }));
    }

    fn say(&mut self, id: &ItemId, text: &str, frames: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        if let Some(sent) = self.sent.get_mut(id) {
            *sent += text.len();
        }
        let delta = json!({ "id": id, "delta": { "type": "output_text", "text": text } });
        write_frame(frames, Some("item.delta"), &delta);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn encode(events: &[Value]) -> String {
        let mut encoder = SimpleEncoder::default();
        let mut frames = Vec::new();
        for event in events {
            encoder.encode_one(serde_json::from_value(event.clone()).unwrap(), &mut frames);
        }
        encoder.finish(&mut frames);
        String::from_utf8(frames).unwrap()
    }

    fn message(event: &str, text: &str) -> Value {
        let content = if text.is_empty() {
            json!([])
        } else {
            json!([{ "type": "output_text", "text": text, "annotations": [] }])
        };
        json!({ "type": event, "item": {
            "type": "assistant_message", "id": "msg_1", "thread_id": "thr_1",
            "created_at": "2026-01-01T00:00:00Z", "content": content,
        } })
    }

    #[test]
    fn a_streamed_answer_is_created_grows_and_is_done() {
        let thread = json!({ "type": "thread.created", "thread": {
            "id": "thr_1", "created_at": "2026-01-01T00:00:00Z", "status": { "type": "active" },
            "metadata": {}, "items": { "data": [], "has_more": false },
        } });
        let delta = json!({ "type": "thread.item.updated", "item_id": "msg_1", "update": {
            "type": "assistant_message.content_part.text_delta", "content_index": 0, "delta": "Hi\n",
        } });
        let events = [
            thread,
            json!({ "type": "stream_options", "stream_options": { "allow_cancel": true } }),
            message("thread.item.added", ""),
            delta,
            message("thread.item.done", "Hi\n"),
        ];
        insta::assert_snapshot!(encode(&events), @r#"
        event: thread.created
        data: {"id":"thr_1","title":null,"metadata":{}}

        event: item.created
        data: {"id":"msg_1","type":"message","role":"assistant","content":[]}

        event: item.delta
        data: {"id":"msg_1","delta":{"type":"output_text","text":"Hi\n"}}

        event: item.done
        data: {"id":"msg_1"}

        event: done
        data: {}
        "#);
    }

    #[test]
    fn a_message_that_comes_finished_is_told_whole() {
        insta::assert_snapshot!(encode(&[message("thread.item.done", "Hello")]), @r#"
        event: item.created
        data: {"id":"msg_1","type":"message","role":"assistant","content":[]}

        event: item.delta
        data: {"id":"msg_1","delta":{"type":"output_text","text":"Hello"}}

        event: item.done
        data: {"id":"msg_1"}

        event: done
        data: {}
        "#);
    }

    #[test]
    fn an_error_without_a_text_has_one_here() {
        let error = json!({ "type": "error", "code": "stream.error", "allow_retry": true });
        insta::assert_snapshot!(encode(&[error]), @r#"
        event: error
        data: {"message":"the answer failed: try again"}

        event: done
        data: {}
        "#);
    }
}
