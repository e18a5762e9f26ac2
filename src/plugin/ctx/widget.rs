//! Widgets: shown, streamed and changed.

use serde_json::{Map, Value};

use super::{Arguments, HostCall};
use crate::{
    chatkit::{ItemId, Widget},
    plugin::{
        CallError,
        fields::{Fields, describe},
    },
    tool::{TurnRequest, WidgetRequest},
    widget,
};

/// A widget that was begun.
pub struct Stream {
    id: ItemId,
    is_open: bool,
    /// None: its states are given as they are.
    name: Option<String>,
}

/// A widget as a handler gives it.
struct Given {
    /// None: it was given as it is.
    name: Option<String>,
    widget: Widget,
    copy_text: Option<String>,
}

impl HostCall {
    pub async fn widget(
        &self,
        member: &str,
        arguments: &mut Arguments<'_>,
    ) -> Result<Value, CallError> {
        let request = match member {
            "render" => {
                let name = arguments.text("the name of a widget")?;
                return Ok(self.render(&name, arguments.any())?.0);
            }
            "widget" => {
                let Given { widget, copy_text, .. } = self.given(member, arguments)?;
                WidgetRequest::Show { widget, copy_text }
            }
            "stream_widget" => return self.begin(arguments).await,
            "stream_widget.update" => {
                let item = item_id(member, &arguments.any())?;
                let name =
                    self.streams().iter().find(|it| it.id == item).and_then(|it| it.name.clone());
                let data = arguments.any();
                let widget = match name {
                    Some(name) => self.render(&name, data)?,
                    None => root(data)?,
                };
                WidgetRequest::Stream { item, widget }
            }
            "stream_widget.done" => {
                let item = item_id(member, &arguments.any())?;
                self.close(&item);
                WidgetRequest::End { item }
            }
            "replace" => {
                let item = item_id(member, &arguments.any())?;
                let Given { widget, copy_text, .. } = self.given(member, arguments)?;
                WidgetRequest::Replace { item, widget, copy_text }
            }
            "update" => {
                let item = item_id(member, &arguments.any())?;
                let widget = self.given(member, arguments)?.widget;
                WidgetRequest::Update { item, widget }
            }
            _ => {
                let item = item_id(member, &arguments.any())?;
                self.close(&item);
                return self.ask(member, TurnRequest::RemoveItem(item)).await;
            }
        };
        self.ask(member, TurnRequest::Widget(request)).await
    }

    /// Finishes the widgets that the handler has left open, once it has returned.
    pub async fn finish_streams(&self) {
        let left = std::mem::take(&mut *self.streams());
        for Stream { id, .. } in left.into_iter().filter(|it| it.is_open) {
            // A turn that is over has finished it itself.
            let _ = self
                .ask("stream_widget", TurnRequest::Widget(WidgetRequest::End { item: id }))
                .await;
        }
    }

    fn close(&self, item: &ItemId) {
        if let Some(stream) = self.streams().iter_mut().find(|it| it.id == *item) {
            stream.is_open = false;
        }
    }

    async fn begin(&self, arguments: &mut Arguments<'_>) -> Result<Value, CallError> {
        let Given { name, widget, copy_text } = self.given("stream_widget", arguments)?;
        let request = TurnRequest::Widget(WidgetRequest::Begin { widget, copy_text });
        let id = self.ask("stream_widget", request).await?;
        let Value::String(text) = &id else {
            return Err(CallError::Thrown("the widget could not be begun".to_owned()));
        };
        self.streams().push(Stream { id: text.clone().into(), is_open: true, name });
        Ok(id)
    }

    /// The widget that the next argument names, for the data after it, or that it is itself; then options.
    fn given(&self, member: &str, arguments: &mut Arguments<'_>) -> Result<Given, CallError> {
        let (name, widget) = match arguments.any() {
            Value::String(name) => {
                let widget = self.render(&name, arguments.any())?;
                (Some(name), widget)
            }
            given => (None, root(given)?),
        };
        let options = Value::Object(arguments.map("the options")?);
        if arguments.left() > 0 {
            let message = format!("`ctx.{member}` with a widget given as a map takes no data");
            return Err(CallError::Thrown(message));
        }
        let of = format!("ctx.{member}");
        let mut options = Fields::read(&of, options, &["copy_text"])?;
        Ok(Given { name, widget, copy_text: options.text("copy_text")? })
    }

    fn render(&self, name: &str, data: Value) -> Result<Widget, CallError> {
        let data = if data.is_null() { Value::Object(Map::new()) } else { data };
        self.host.render_widget(&self.plugin.assets.widgets, &self.context, name, &data)
    }
}

fn root(widget: Value) -> Result<Widget, String> {
    if !widget.is_object() {
        return Err(format!(
            "a widget is the name of a .widget file, or a map with a `type`, and not {}",
            describe(&widget)
        ));
    }
    widget::root(widget)
}

/// The id of an item, which is given itself or as a map that has it.
fn item_id(member: &str, item: &Value) -> Result<ItemId, String> {
    let id = item.as_str().or_else(|| item.get("id")?.as_str());
    id.map(ItemId::from).ok_or_else(|| {
        format!(
            "the item for `ctx.{member}` is what `ctx.widget` returned, `action.sender` or an id, and not {}",
            describe(item)
        )
    })
}
