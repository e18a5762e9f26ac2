//! Widgets: shown, streamed and changed.

use std::sync::{Arc, Mutex, PoisonError};

use rhai::{Dynamic, FuncRegistration, Map, Module};
use serde_json::Value;

use super::{
    super::{
        error::{Failure, fail},
        options::{Options, describe},
        value::{to_dynamic, to_json},
    },
    Call, Ctx, catchable, function,
};
use crate::{
    chatkit::{ItemId, Widget},
    tool::{TurnRequest, WidgetRequest},
    widget,
};

type Done = Result<(), Failure>;
type Shown = Result<Dynamic, Failure>;

/// The widgets that a handler has begun and not finished.
#[derive(Default)]
pub struct Streams(Mutex<Vec<ItemId>>);

/// What `ctx.stream_widget(…)` gives.
#[derive(Clone)]
pub struct StreamHandle {
    call: Arc<Call>,
    id: ItemId,
    /// None: its states are given as they are.
    name: Option<String>,
}

pub fn register(module: &mut Module) {
    show(module);
    stream(module);
    change(module);
    function("render").set_into_module(module, |ctx: &mut Ctx, name: &str| -> Shown {
        Ok(to_dynamic(&ctx.0.render(name, &Dynamic::UNIT)?.0))
    });
    function("render").set_into_module(
        module,
        |ctx: &mut Ctx, name: &str, data: Dynamic| -> Shown {
            Ok(to_dynamic(&ctx.0.render(name, &data)?.0))
        },
    );
}

fn show(module: &mut Module) {
    let show = |ctx: &mut Ctx, given: Given| -> Shown {
        let Given { widget, copy_text, .. } = given;
        let request = TurnRequest::Widget(WidgetRequest::Show { widget, copy_text });
        ctx.0.ask("widget", request).map(|item| to_dynamic(&item))
    };
    function("widget").set_into_module(module, move |ctx: &mut Ctx, what: Dynamic| {
        let given = ctx.0.given("widget", &what, [])?;
        show(ctx, given)
    });
    function("widget").set_into_module(module, move |ctx: &mut Ctx, what: Dynamic, a: Dynamic| {
        let given = ctx.0.given("widget", &what, [a])?;
        show(ctx, given)
    });
    function("widget").set_into_module(
        module,
        move |ctx: &mut Ctx, what: Dynamic, a: Dynamic, b: Dynamic| {
            let given = ctx.0.given("widget", &what, [a, b])?;
            show(ctx, given)
        },
    );
}

fn stream(module: &mut Module) {
    let begin = |ctx: &mut Ctx, given: Given| -> Result<StreamHandle, Failure> {
        let Given { name, widget, copy_text } = given;
        let request = TurnRequest::Widget(WidgetRequest::Begin { widget, copy_text });
        let Value::String(id) = ctx.0.ask("stream_widget", request)? else {
            return Err(fail("the widget could not be begun"));
        };
        let id = ItemId::from(id);
        ctx.0.streams.lock().push(id.clone());
        Ok(StreamHandle { call: ctx.0.clone(), id, name })
    };
    function("stream_widget").set_into_module(module, move |ctx: &mut Ctx, what: Dynamic| {
        let given = ctx.0.given("stream_widget", &what, [])?;
        begin(ctx, given)
    });
    function("stream_widget").set_into_module(
        module,
        move |ctx: &mut Ctx, what: Dynamic, a: Dynamic| {
            let given = ctx.0.given("stream_widget", &what, [a])?;
            begin(ctx, given)
        },
    );
    function("stream_widget").set_into_module(
        module,
        move |ctx: &mut Ctx, what: Dynamic, a: Dynamic, b: Dynamic| {
            let given = ctx.0.given("stream_widget", &what, [a, b])?;
            begin(ctx, given)
        },
    );
    FuncRegistration::new_getter("id")
        .set_into_module(module, |stream: &mut StreamHandle| stream.id.to_string());
    function("update").set_into_module(
        module,
        |stream: &mut StreamHandle, data: Dynamic| -> Done {
            let StreamHandle { call, id, name } = stream;
            let widget = match name {
                Some(name) => call.render(name, &data)?,
                None => root(&data)?,
            };
            let request = WidgetRequest::Stream { item: id.clone(), widget };
            call.ask("stream_widget", TurnRequest::Widget(request)).map(drop)
        },
    );
    function("done").set_into_module(module, |stream: &mut StreamHandle| -> Shown {
        let StreamHandle { call, id, .. } = stream;
        call.streams.lock().retain(|it| it != id);
        let request = TurnRequest::Widget(WidgetRequest::End { item: id.clone() });
        call.ask("stream_widget", request).map(|item| to_dynamic(&item))
    });
    function("remove").set_into_module(module, |stream: &mut StreamHandle| -> Done {
        let StreamHandle { call, id, .. } = stream;
        call.streams.lock().retain(|it| it != id);
        call.ask("remove", TurnRequest::RemoveItem(id.clone())).map(drop)
    });
}

fn change(module: &mut Module) {
    let replace = |ctx: &mut Ctx, item: &Dynamic, given: Given| -> Shown {
        let Given { widget, copy_text, .. } = given;
        let item = item_id("replace", item)?;
        let request = TurnRequest::Widget(WidgetRequest::Replace { item, widget, copy_text });
        ctx.0.ask("replace", request).map(|item| to_dynamic(&item))
    };
    let update = |ctx: &mut Ctx, item: &Dynamic, given: Given| -> Shown {
        let item = item_id("update", item)?;
        let widget = given.widget;
        let request = TurnRequest::Widget(WidgetRequest::Update { item, widget });
        ctx.0.ask("update", request).map(|item| to_dynamic(&item))
    };
    function("replace").set_into_module(
        module,
        move |ctx: &mut Ctx, item: Dynamic, what: Dynamic| {
            let given = ctx.0.given("replace", &what, [])?;
            replace(ctx, &item, given)
        },
    );
    function("replace").set_into_module(
        module,
        move |ctx: &mut Ctx, item: Dynamic, what: Dynamic, a: Dynamic| {
            let given = ctx.0.given("replace", &what, [a])?;
            replace(ctx, &item, given)
        },
    );
    function("replace").set_into_module(
        module,
        move |ctx: &mut Ctx, item: Dynamic, what: Dynamic, a: Dynamic, b: Dynamic| {
            let given = ctx.0.given("replace", &what, [a, b])?;
            replace(ctx, &item, given)
        },
    );
    function("update").set_into_module(
        module,
        move |ctx: &mut Ctx, item: Dynamic, what: Dynamic| {
            let given = ctx.0.given("update", &what, [])?;
            update(ctx, &item, given)
        },
    );
    function("update").set_into_module(
        module,
        move |ctx: &mut Ctx, item: Dynamic, what: Dynamic, data: Dynamic| {
            let given = ctx.0.given("update", &what, [data])?;
            update(ctx, &item, given)
        },
    );
    function("remove").set_into_module(module, |ctx: &mut Ctx, item: Dynamic| -> Done {
        let item = item_id("remove", &item)?;
        ctx.0.ask("remove", TurnRequest::RemoveItem(item)).map(drop)
    });
}

/// A widget as a handler gives it.
struct Given {
    /// None: it was given as it is.
    name: Option<String>,
    widget: Widget,
    copy_text: Option<String>,
}

impl Call {
    /// Finishes the widgets that the handler has left open.
    pub fn finish_streams(&self) {
        for item in std::mem::take(&mut *self.streams.lock()) {
            let request = TurnRequest::Widget(WidgetRequest::End { item });
            let ended = async {
                tokio::select! {
                    biased;
                    () = self.context.cancelled.cancelled() => (),
                    // A turn that is over has finished it itself.
                    _ = self.context.ask(request) => (),
                }
            };
            self.runtime.block_on(ended);
        }
    }

    /// The widget that `what` names, for the data that follows it, or that it is itself; then options.
    fn given<const N: usize>(
        &self,
        member: &str,
        what: &Dynamic,
        rest: [Dynamic; N],
    ) -> Result<Given, Failure> {
        let mut rest = rest.into_iter();
        let (name, widget) = match what.as_immutable_string_ref() {
            Ok(name) => {
                let data = rest.next().unwrap_or_default();
                (Some(name.to_string()), self.render(&name, &data)?)
            }
            Err(_) => (None, root(what)?),
        };
        let function = format!("ctx.{member}");
        let options = rest.next().filter(|it| !it.is_unit());
        let options = match options.map(Dynamic::try_cast_result::<Map>).transpose() {
            Ok(options) => options.unwrap_or_default(),
            Err(other) => {
                return Err(fail(format!(
                    "the options of `{function}` are a map, `#{{ copy_text: … }}`, and not {}",
                    describe(&other)
                )));
            }
        };
        if rest.next().is_some() {
            return Err(fail(format!("`{function}` with a widget given as a map takes no data")));
        }
        let mut options = Options::new(&function, options, &["copy_text"])
            .map_err(|fault| fail(fault.into_text()))?;
        let copy_text = options.string("copy_text").map_err(|fault| fail(fault.into_text()))?;
        Ok(Given { name, widget, copy_text })
    }

    fn render(&self, name: &str, data: &Dynamic) -> Result<Widget, Failure> {
        let data = match to_json(data).map_err(fail)? {
            Value::Null => Value::Object(serde_json::Map::new()),
            data => data,
        };
        let own = &self.plugin.assets.widgets;
        self.host.render_widget(own, &self.context, name, &data).map_err(catchable)
    }
}

impl Streams {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<ItemId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn root(value: &Dynamic) -> Result<Widget, Failure> {
    if !value.is_map() {
        return Err(fail(format!(
            "a widget is the name of a .widget file, or a map with a `type`, and not {}",
            describe(value)
        )));
    }
    widget::root(to_json(value).map_err(fail)?).map_err(fail)
}

/// The id of an item, which is given itself, or as a map or stream that has it.
fn item_id(member: &str, item: &Dynamic) -> Result<ItemId, Failure> {
    if let Some(stream) = item.read_lock::<StreamHandle>() {
        return Ok(stream.id.clone());
    }
    let id = match item.read_lock::<Map>() {
        Some(map) => map.get("id").and_then(|it| it.clone().into_string().ok()),
        None => item.clone().into_string().ok(),
    };
    id.map(ItemId::from).ok_or_else(|| {
        fail(format!(
            "the item for `ctx.{member}` is what `ctx.widget` returned, `action.sender` or an id, and \
             not {}",
            describe(item)
        ))
    })
}
