//! Widgets that handlers show and change.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    chatkit::{
        ItemId, ItemKind, ThreadId, ThreadItem, ThreadItemUpdate, ThreadStreamEvent, Widget,
        WidgetItem, now,
    },
    store::{StoreError, UserStore},
    tool::{ToolError, WidgetRequest},
    turn::{Turn, TurnEnd, approvals::is_card},
    widget,
};

/// The widgets that handlers of a turn have begun and not finished.
#[derive(Default)]
pub struct OpenWidgets(BTreeMap<ItemId, WidgetItem>);

impl OpenWidgets {
    /// All that are open, finished now.
    pub fn end_all(&mut self) -> Vec<ThreadItem> {
        std::mem::take(&mut self.0).into_values().map(ThreadItem::Widget).collect()
    }
}

impl Turn {
    /// Does what a handler wants of a widget. What is wrong with that is for the handler.
    pub async fn act_on_widget(
        &mut self,
        request: WidgetRequest,
    ) -> Result<Result<Value, ToolError>, TurnEnd> {
        match request {
            WidgetRequest::Show { widget, copy_text } => {
                let item = new_item(&self.thread.id, widget, copy_text);
                self.show(ThreadItem::Widget(item)).await.map(Ok)
            }
            WidgetRequest::Begin { widget, copy_text } => {
                if let Some(event) = self.output.close_workflow() {
                    self.send(event).await?;
                }
                let item = new_item(&self.thread.id, widget, copy_text);
                let id = item.id.clone();
                self.widgets.0.insert(id.clone(), item.clone());
                let item = ThreadItem::Widget(item);
                self.send_shown(ThreadStreamEvent::ItemAdded { item }).await?;
                Ok(Ok(json!(id)))
            }
            WidgetRequest::Stream { item, widget } => {
                let Some(open) = self.widgets.0.get_mut(&item) else {
                    let message =
                        "the widget is done: change it with `ctx.update` or `ctx.replace`";
                    return Ok(Err(ToolError::Failed(message.to_owned())));
                };
                let updates = widget::diff(&open.widget, &widget);
                open.widget = widget;
                for update in updates {
                    let item_id = item.clone();
                    self.send_shown(ThreadStreamEvent::ItemUpdated { item_id, update }).await?;
                }
                Ok(Ok(Value::Null))
            }
            WidgetRequest::End { item } => {
                let Some(item) = self.widgets.0.remove(&item) else { return Ok(Ok(Value::Null)) };
                let item = ThreadItem::Widget(item);
                let answer = json!(item);
                self.send_shown(ThreadStreamEvent::ItemDone { item }).await?;
                Ok(Ok(answer))
            }
            WidgetRequest::Replace { item, widget, copy_text } => {
                let item = match self.finished(&item, widget, copy_text).await {
                    Ok(item) => item,
                    Err(Refused::Handler(err)) => return Ok(Err(err)),
                    Err(Refused::Turn(end)) => return Err(end),
                };
                self.remember(&item);
                let answer = json!(item);
                self.send_shown(ThreadStreamEvent::ItemReplaced { item }).await?;
                Ok(Ok(answer))
            }
            WidgetRequest::Update { item, widget } => {
                let item_id = item.clone();
                let item = match self.finished(&item, widget.clone(), None).await {
                    Ok(item) => item,
                    Err(Refused::Handler(err)) => return Ok(Err(err)),
                    Err(Refused::Turn(end)) => return Err(end),
                };
                self.sink.save_item(&item).await?;
                self.remember(&item);
                let update = ThreadItemUpdate::WidgetRootUpdated { widget };
                self.send_shown(ThreadStreamEvent::ItemUpdated { item_id, update }).await?;
                Ok(Ok(json!(item)))
            }
        }
    }

    pub async fn remove_item(
        &mut self,
        item_id: ItemId,
    ) -> Result<Result<Value, ToolError>, TurnEnd> {
        if self.widgets.0.remove(&item_id).is_none() {
            let item = load_item(&self.sink.rows(), &self.thread.id, &item_id).await;
            match item.and_then(|it| check_removable(&it)) {
                Ok(()) => (),
                Err(Refused::Handler(err)) => return Ok(Err(err)),
                Err(Refused::Turn(end)) => return Err(end),
            }
        }
        self.items.retain(|it| *it.id() != item_id);
        self.send_shown(ThreadStreamEvent::ItemRemoved { item_id }).await?;
        Ok(Ok(Value::Null))
    }

    /// A finished widget of this thread with another content.
    async fn finished(
        &mut self,
        item: &ItemId,
        widget: Widget,
        copy_text: Option<String>,
    ) -> Result<ThreadItem, Refused> {
        if self.widgets.0.contains_key(item) {
            let message = "the widget is still being streamed: use its own `update`, or finish it \
                           with `done()`";
            return Err(failed(message));
        }
        changed(&self.sink.rows(), &self.thread.id, item, widget, copy_text).await
    }

    /// Keeps the new state of an item that this turn has shown.
    fn remember(&mut self, item: &ThreadItem) {
        if let Some(shown) = self.items.iter_mut().find(|it| it.id() == item.id()) {
            *shown = item.clone();
        }
    }
}

/// Changes a widget where there is no turn. Answers with the item.
pub async fn change_apart(
    rows: &UserStore<'_>,
    thread: &ThreadId,
    item: &ItemId,
    widget: Widget,
    copy_text: Option<String>,
) -> Result<ThreadItem, ToolError> {
    let item = changed(rows, thread, item, widget, copy_text).await.map_err(apart)?;
    rows.save_item(thread, &item).await.map_err(|err| apart(err.into()))?;
    Ok(item)
}

/// Takes an item away where there is no turn.
pub async fn remove_apart(
    rows: &UserStore<'_>,
    thread: &ThreadId,
    item: &ItemId,
) -> Result<(), ToolError> {
    let found = load_item(rows, thread, item).await;
    found.and_then(|it| check_removable(&it)).map_err(apart)?;
    rows.delete_item(thread, item).await.map_err(|err| apart(err.into()))
}

/// Why an item is not changed: for its handler, or for the turn.
enum Refused {
    Handler(ToolError),
    Turn(TurnEnd),
}

impl From<StoreError> for Refused {
    fn from(err: StoreError) -> Self {
        Self::Turn(err.into())
    }
}

fn failed(message: impl Into<String>) -> Refused {
    Refused::Handler(ToolError::Failed(message.into()))
}

fn apart(refused: Refused) -> ToolError {
    match refused {
        Refused::Handler(err) => err,
        Refused::Turn(TurnEnd::Failed(_)) => ToolError::Failed("the store failed".to_owned()),
        Refused::Turn(TurnEnd::Cancelled | TurnEnd::Ended) => {
            ToolError::Failed("the thread was deleted".to_owned())
        }
    }
}

async fn load_item(
    rows: &UserStore<'_>,
    thread: &ThreadId,
    item: &ItemId,
) -> Result<ThreadItem, Refused> {
    match rows.load_item(thread, item).await {
        Ok(item) => Ok(item),
        Err(StoreError::NotFound) => {
            let id: String = item.as_str().chars().take(64).collect();
            Err(failed(format!("there is no item `{id}` in this thread")))
        }
        Err(err) => Err(err.into()),
    }
}

async fn changed(
    rows: &UserStore<'_>,
    thread: &ThreadId,
    item: &ItemId,
    widget: Widget,
    copy_text: Option<String>,
) -> Result<ThreadItem, Refused> {
    let ThreadItem::Widget(mut item) = load_item(rows, thread, item).await? else {
        return Err(failed(format!("the item `{item}` is no widget")));
    };
    if is_card(&item.widget) {
        return Err(failed("a card that asks the user for approval is not changed by plugins"));
    }
    item.widget = widget;
    item.copy_text = copy_text.or(item.copy_text);
    Ok(ThreadItem::Widget(item))
}

fn check_removable(item: &ThreadItem) -> Result<(), Refused> {
    match item {
        ThreadItem::UserMessage(_) => Err(failed("a message of the user's is not removed")),
        ThreadItem::Widget(item) if is_card(&item.widget) => {
            Err(failed("a card that asks the user for approval is not removed by plugins"))
        }
        ThreadItem::AssistantMessage(_)
        | ThreadItem::ClientToolCall(_)
        | ThreadItem::Widget(_)
        | ThreadItem::GeneratedImage(_)
        | ThreadItem::StructuredInput(_)
        | ThreadItem::Workflow(_)
        | ThreadItem::Task(_)
        | ThreadItem::HiddenContextItem(_)
        | ThreadItem::SdkHiddenContext(_)
        | ThreadItem::EndOfTurn(_) => Ok(()),
    }
}

fn new_item(thread: &ThreadId, widget: Widget, copy_text: Option<String>) -> WidgetItem {
    WidgetItem {
        id: ItemId::generate(ItemKind::Message),
        thread_id: thread.clone(),
        created_at: now(),
        widget,
        copy_text,
    }
}
