//! Takes credentials, and what stands for them, out of all that leaves a turn.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};
use tracing::error;

use crate::{
    chatkit::{ItemId, Task, ThreadItemUpdate, ThreadStreamEvent},
    credential::{Scrubber, Seals},
    store::Record,
    tool::ThreadPatch,
};

/// What the sink shows everything to first. In a turn without credentials it looks at nothing.
pub struct Cover {
    seals: Arc<Seals>,
    /// Ends of texts that stream, which may be the beginning of something that is to go.
    held: BTreeMap<Streaming, String>,
}

/// A text that streams: a part of a message by its index, or a component of a widget by its id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Streaming {
    Part(ItemId, usize),
    Component(ItemId, String),
}

impl Cover {
    pub const fn new(seals: Arc<Seals>) -> Self {
        Self { seals, held: BTreeMap::new() }
    }

    /// Whether there is nothing to hide, so that all may pass as it is.
    pub fn is_idle(&self) -> bool {
        self.held.is_empty() && self.seals.is_empty()
    }

    /// What may be shown of an event, in the order in which it is to be.
    pub fn show(&mut self, event: ThreadStreamEvent) -> Vec<ThreadStreamEvent> {
        let scrubber = self.seals.scrubber();
        let ThreadStreamEvent::ItemUpdated { item_id, update } = event else {
            let mut events = Vec::new();
            if let ThreadStreamEvent::ItemDone { item } = &event {
                events = self.release(item.id(), None, &scrubber);
            }
            events.extend(scrubbed(event, &scrubber));
            return events;
        };
        match update {
            ThreadItemUpdate::TextDelta { content_index, delta } => {
                let place = Streaming::Part(item_id.clone(), content_index);
                let delta = self.hold(place, &delta, &scrubber);
                if delta.is_empty() {
                    return Vec::new();
                }
                let update = ThreadItemUpdate::TextDelta { content_index, delta };
                vec![ThreadStreamEvent::ItemUpdated { item_id, update }]
            }
            ThreadItemUpdate::WidgetTextDelta { component_id, delta, done } => {
                let place = Streaming::Component(item_id.clone(), component_id.clone());
                let mut delta = self.hold(place.clone(), &delta, &scrubber);
                if done {
                    delta.push_str(&self.held.remove(&place).unwrap_or_default());
                }
                if delta.is_empty() && !done {
                    return Vec::new();
                }
                let update = ThreadItemUpdate::WidgetTextDelta { component_id, delta, done };
                vec![ThreadStreamEvent::ItemUpdated { item_id, update }]
            }
            ThreadItemUpdate::ContentPartDone { content_index, .. } => {
                let mut events = self.release(&item_id, Some(content_index), &scrubber);
                events.extend(scrubbed(
                    ThreadStreamEvent::ItemUpdated { item_id, update },
                    &scrubber,
                ));
                events
            }
            // A thought that streams comes whole each time; what its end begins is shown with the next.
            ThreadItemUpdate::WorkflowTaskAdded { task_index, mut task } => {
                cut_thought(&mut task, &scrubber);
                let update = ThreadItemUpdate::WorkflowTaskAdded { task_index, task };
                scrubbed(ThreadStreamEvent::ItemUpdated { item_id, update }, &scrubber)
                    .into_iter()
                    .collect()
            }
            ThreadItemUpdate::WorkflowTaskUpdated { task_index, mut task } => {
                cut_thought(&mut task, &scrubber);
                let update = ThreadItemUpdate::WorkflowTaskUpdated { task_index, task };
                scrubbed(ThreadStreamEvent::ItemUpdated { item_id, update }, &scrubber)
                    .into_iter()
                    .collect()
            }
            update @ (ThreadItemUpdate::ContentPartAdded { .. }
            | ThreadItemUpdate::AnnotationAdded { .. }
            | ThreadItemUpdate::WidgetRootUpdated { .. }
            | ThreadItemUpdate::WidgetComponentUpdated { .. }
            | ThreadItemUpdate::GeneratedImageUpdated { .. }) => {
                scrubbed(ThreadStreamEvent::ItemUpdated { item_id, update }, &scrubber)
                    .into_iter()
                    .collect()
            }
        }
    }

    /// What may be stored of a value, and the value itself where there is nothing to hide in it.
    pub fn keep<'a, T: Serialize + DeserializeOwned + Clone>(&self, value: &'a T) -> Cow<'a, T> {
        if self.seals.is_empty() {
            return Cow::Borrowed(value);
        }
        match clean(value, &self.seals.scrubber()) {
            Cleaned::Other(value) => Cow::Owned(value),
            // What is kept is of a form that no replaced text can break.
            Cleaned::Same | Cleaned::Broken => Cow::Borrowed(value),
        }
    }

    /// As [`Self::keep`].
    pub fn keep_records<'a>(&self, records: &'a [Record]) -> Cow<'a, [Record]> {
        if self.seals.is_empty() {
            return Cow::Borrowed(records);
        }
        Cow::Owned(records.iter().map(|it| self.keep(it).into_owned()).collect())
    }

    pub fn clean_patch(&self, patch: &mut ThreadPatch) {
        if self.seals.is_empty() {
            return;
        }
        patch.title = patch.title.take().map(|title| title.map(|it| self.text(it)));
        if let Some(metadata) = &mut patch.metadata {
            self.seals.scrubber().scrub_map(metadata);
        }
    }

    pub fn text(&self, text: String) -> String {
        if self.seals.is_empty() { text } else { self.seals.scrubber().scrub(&text).into_owned() }
    }

    /// The text that is decided on now; the rest waits for what follows.
    fn hold(&mut self, place: Streaming, delta: &str, scrubber: &Scrubber) -> String {
        let mut text = self.held.remove(&place).unwrap_or_default();
        text.push_str(delta);
        let rest = text.split_off(scrubber.decided(&text));
        if !rest.is_empty() {
            self.held.insert(place, rest);
        }
        scrubber.scrub(&text).into_owned()
    }

    /// What was held back of an item whose text goes no further.
    fn release(
        &mut self,
        item: &ItemId,
        part: Option<usize>,
        scrubber: &Scrubber,
    ) -> Vec<ThreadStreamEvent> {
        let of_item = |place: &Streaming| match place {
            Streaming::Part(id, index) => id == item && part.is_none_or(|it| it == *index),
            Streaming::Component(id, _) => id == item && part.is_none(),
        };
        let places: Vec<_> = self.held.keys().filter(|it| of_item(it)).cloned().collect();
        let mut events = Vec::new();
        for place in places {
            let Some(rest) = self.held.remove(&place) else { continue };
            let delta = scrubber.scrub(&rest).into_owned();
            let (item_id, update) = match place {
                Streaming::Part(id, content_index) => {
                    (id, ThreadItemUpdate::TextDelta { content_index, delta })
                }
                Streaming::Component(id, component_id) => {
                    (id, ThreadItemUpdate::WidgetTextDelta { component_id, delta, done: false })
                }
            };
            events.push(ThreadStreamEvent::ItemUpdated { item_id, update });
        }
        events
    }
}

fn cut_thought(task: &mut Task, scrubber: &Scrubber) {
    if let Task::Thought { content, .. } = task {
        content.truncate(scrubber.decided(content));
    }
}

fn scrubbed(event: ThreadStreamEvent, scrubber: &Scrubber) -> Option<ThreadStreamEvent> {
    match clean(&event, scrubber) {
        Cleaned::Same => Some(event),
        Cleaned::Other(event) => Some(event),
        Cleaned::Broken => {
            error!("an event that holds a credential was not sent");
            None
        }
    }
}

enum Cleaned<T> {
    Same,
    Other(T),
    Broken,
}

/// Through JSON, which has a place for every text there is: a kind of event that comes tomorrow is covered too.
fn clean<T: Serialize + DeserializeOwned>(value: &T, scrubber: &Scrubber) -> Cleaned<T> {
    let Ok(text) = serde_json::to_string(value) else { return Cleaned::Broken };
    if !scrubber.finds(&text) {
        return Cleaned::Same;
    }
    let Ok(mut json) = serde_json::to_value(value) else { return Cleaned::Broken };
    scrubber.scrub_value(&mut json);
    serde_json::from_value(json).map_or(Cleaned::Broken, Cleaned::Other)
}
