use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::{
    app::EventLog,
    chatkit::{
        Annotation, AssistantMessageContent, AssistantMessageItem, Task, ThreadId, ThreadItem,
        ThreadItemUpdate, ThreadStreamEvent, WorkflowItem,
    },
    store::{Record, Store, StoreError, UserStore},
    turn::{TurnEnd, cover::Cover},
    user::UserKey,
};

/// Where a turn's events go: first the store, then the client.
///
/// Nothing else writes to a running thread, so what the user saw is what was saved.
pub struct EventSink {
    pub store: Store,
    pub user: UserKey,
    pub thread: ThreadId,
    /// The generation that made what is stored.
    pub generation: Arc<str>,
    pub client: mpsc::Sender<Vec<ThreadStreamEvent>>,
    /// Ends a turn that waits for a client that does not read.
    pub cancelled: CancellationToken,
    /// Keeps the events of a turn that goes on without its client. Without it, a client that leaves ends the turn.
    pub log: Option<Arc<EventLog>>,
    /// Items that were added and are not done.
    pub pending: Vec<ThreadItem>,
    /// Text came in since the last checkpoint.
    pub unsaved: bool,
    /// What goes to the client next.
    pub outgoing: Vec<ThreadStreamEvent>,
    pub cover: Cover,
}

impl EventSink {
    /// Stores what `event` says, then sends it after what was put aside. Fails with
    /// [`TurnEnd::Cancelled`] once the client has left, where that ends the turn.
    pub async fn send(&mut self, event: ThreadStreamEvent) -> Result<(), TurnEnd> {
        self.put_aside(event).await?;
        self.flush().await
    }

    /// Stores what `event` says, and puts it aside for [`Self::flush`]: events that come at once go out
    /// at once, for the client's task is woken for each time.
    pub async fn put_aside(&mut self, event: ThreadStreamEvent) -> Result<(), TurnEnd> {
        if self.cover.is_idle() {
            return self.put(event).await;
        }
        for event in self.cover.show(event) {
            Box::pin(self.put(event)).await?;
        }
        Ok(())
    }

    async fn put(&mut self, event: ThreadStreamEvent) -> Result<(), TurnEnd> {
        match &event {
            ThreadStreamEvent::ItemAdded { item } => self.pending.push(item.clone()),
            ThreadStreamEvent::ItemUpdated { item_id, update } => {
                if let Some(item) = self.pending.iter_mut().find(|it| it.id() == item_id) {
                    apply(item, update);
                    self.unsaved = true;
                }
            }
            ThreadStreamEvent::ItemDone { item } => {
                self.add_records(&[Record::Item(item.clone())]).await?;
                self.pending.retain(|it| it.id() != item.id());
            }
            ThreadStreamEvent::ItemRemoved { item_id } => {
                match self.rows().delete_item(&self.thread, item_id).await {
                    // One that was only added was never stored.
                    Ok(()) | Err(StoreError::NotFound) => (),
                    Err(err) => return Err(err.into()),
                }
                self.pending.retain(|it| it.id() != item_id);
            }
            ThreadStreamEvent::ItemReplaced { item } => {
                self.save_item(item).await?;
                self.pending.retain(|it| it.id() != item.id());
            }
            // The thread was saved when it changed.
            ThreadStreamEvent::ThreadCreated { .. }
            | ThreadStreamEvent::ThreadUpdated { .. }
            | ThreadStreamEvent::StreamOptions { .. }
            | ThreadStreamEvent::ProgressUpdate { .. }
            | ThreadStreamEvent::ClientEffect { .. }
            | ThreadStreamEvent::Error { .. }
            | ThreadStreamEvent::Notice { .. } => (),
        }
        if !is_hidden(&event) {
            self.outgoing.push(event);
        }
        Ok(())
    }

    /// Sends what was put aside.
    pub async fn flush(&mut self) -> Result<(), TurnEnd> {
        if self.outgoing.is_empty() {
            return Ok(());
        }
        let events = std::mem::take(&mut self.outgoing);
        self.log(&events);
        let left = tokio::select! {
            biased;
            sent = self.client.send(events) => sent.is_err(),
            () = self.cancelled.cancelled() => return Err(TurnEnd::Cancelled),
        };
        if left && self.log.is_none() {
            return Err(TurnEnd::Cancelled);
        }
        Ok(())
    }

    fn log(&self, events: &[ThreadStreamEvent]) {
        let Some(log) = &self.log else { return };
        for event in events {
            match serde_json::to_string(event) {
                Ok(json) => log.push(json),
                Err(err) => error!("an event cannot be written as JSON: {err}"),
            }
        }
    }

    /// Sends the event that ends a turn, whatever became of those before it.
    pub async fn send_last(&self, event: ThreadStreamEvent) {
        let events = vec![event];
        self.log(&events);
        // Its client may have left.
        let _ = self.client.send(events).await;
    }

    /// Sends what is stored already.
    pub async fn send_stored(&mut self, event: ThreadStreamEvent) -> Result<(), TurnEnd> {
        if self.cover.is_idle() {
            self.outgoing.push(event);
        } else {
            self.outgoing.extend(self.cover.show(event));
        }
        self.flush().await
    }

    pub async fn add_records(&self, records: &[Record]) -> Result<(), StoreError> {
        let records = self.cover.keep_records(records);
        self.rows().add_records(&self.thread, &records, Some(&self.generation)).await
    }

    /// Stores the new state of an item.
    pub async fn save_item(&self, item: &ThreadItem) -> Result<(), StoreError> {
        self.rows().save_item(&self.thread, &self.cover.keep(item)).await
    }

    /// Keeps the text so far of what is in progress.
    pub async fn checkpoint(&mut self) -> Result<(), StoreError> {
        if !self.unsaved {
            return Ok(());
        }
        for item in &self.pending {
            match item {
                ThreadItem::AssistantMessage(message) if !is_blank(message) => {
                    self.rows().checkpoint(&self.thread, item, Some(&self.generation)).await?;
                }
                ThreadItem::AssistantMessage(_)
                | ThreadItem::UserMessage(_)
                | ThreadItem::ClientToolCall(_)
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
        self.unsaved = false;
        Ok(())
    }

    /// The assistant's text that was shown and is not stored, to be kept when a turn ends early. What is
    /// blank, and what is no text, goes.
    pub fn take_pending_text(&mut self) -> Vec<Record> {
        let pending = std::mem::take(&mut self.pending);
        pending
            .into_iter()
            .filter(
                |item| matches!(item, ThreadItem::AssistantMessage(message) if !is_blank(message)),
            )
            .map(Record::Item)
            .collect()
    }

    /// Ends when the client has left and that ends the turn.
    pub async fn client_left(&self) {
        if self.log.is_none() {
            self.client.closed().await;
        } else {
            std::future::pending::<()>().await;
        }
    }

    pub fn rows(&self) -> UserStore<'_> {
        self.store.of(&self.user)
    }
}

fn is_hidden(event: &ThreadStreamEvent) -> bool {
    match event {
        ThreadStreamEvent::ItemAdded { item }
        | ThreadStreamEvent::ItemDone { item }
        | ThreadStreamEvent::ItemReplaced { item } => item.is_hidden(),
        ThreadStreamEvent::ThreadCreated { .. }
        | ThreadStreamEvent::ThreadUpdated { .. }
        | ThreadStreamEvent::ItemUpdated { .. }
        | ThreadStreamEvent::ItemRemoved { .. }
        | ThreadStreamEvent::StreamOptions { .. }
        | ThreadStreamEvent::ProgressUpdate { .. }
        | ThreadStreamEvent::ClientEffect { .. }
        | ThreadStreamEvent::Error { .. }
        | ThreadStreamEvent::Notice { .. } => false,
    }
}

fn is_blank(message: &AssistantMessageItem) -> bool {
    message.content.iter().all(|part| part.text.trim().is_empty())
}

/// Brings an item in progress up to date, as the reference's `_update_pending_items` does.
fn apply(item: &mut ThreadItem, update: &ThreadItemUpdate) {
    match (item, update) {
        (
            ThreadItem::AssistantMessage(message),
            ThreadItemUpdate::ContentPartAdded { content_index, content }
            | ThreadItemUpdate::ContentPartDone { content_index, content },
        ) => {
            let part = part(message, *content_index);
            let annotations = std::mem::take(&mut part.annotations);
            *part = content.clone();
            if part.annotations.is_empty() {
                part.annotations = annotations;
            }
        }
        (
            ThreadItem::AssistantMessage(message),
            ThreadItemUpdate::TextDelta { content_index, delta },
        ) => part(message, *content_index).text.push_str(delta),
        (
            ThreadItem::AssistantMessage(message),
            ThreadItemUpdate::AnnotationAdded { content_index, annotation, .. },
        ) => part(message, *content_index).annotations.push(Annotation::clone(annotation)),
        (
            ThreadItem::Workflow(item),
            ThreadItemUpdate::WorkflowTaskAdded { task_index, task }
            | ThreadItemUpdate::WorkflowTaskUpdated { task_index, task },
        ) => set_task(item, *task_index, task),
        // Other updates carry the whole new state in the `done` that follows.
        _ => (),
    }
}

fn part(message: &mut AssistantMessageItem, index: usize) -> &mut AssistantMessageContent {
    if message.content.len() <= index {
        message.content.resize_with(index + 1, AssistantMessageContent::default);
    }
    &mut message.content[index]
}

fn set_task(item: &mut WorkflowItem, index: usize, task: &Task) {
    match item.workflow.tasks.get_mut(index) {
        Some(old) => *old = task.clone(),
        None => item.workflow.tasks.push(task.clone()),
    }
}
