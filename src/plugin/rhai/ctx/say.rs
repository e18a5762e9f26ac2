//! What a handler says and shows.

use rhai::{Dynamic, Map, Module};
use serde_json::{Value, json};

use super::{
    super::{
        error::{Failure, fail},
        limits,
        value::{to_dynamic, to_json},
    },
    Ctx, function,
    task::read_task,
};
use crate::{
    chatkit::{IconName, NoticeLevel, Source},
    plugin::CallError,
    tool::TurnRequest,
};

type Done = Result<(), Failure>;
type Shown = Result<Dynamic, Failure>;

pub fn register(module: &mut Module) {
    function("say").set_into_module(module, |ctx: &mut Ctx, markdown: &str| -> Shown {
        let request = TurnRequest::Say { markdown: markdown.to_owned() };
        ctx.0.ask("say", request).map(|item| to_dynamic(&item))
    });
    progress(module);
    notice(module);
    function("error").set_into_module(module, |ctx: &mut Ctx, message: &str| -> Done {
        end(ctx, message, false)
    });
    function("error")
        .set_into_module(module, |ctx: &mut Ctx, message: &str, retry: bool| -> Done {
            end(ctx, message, retry)
        });
    function("effect").set_into_module(module, |ctx: &mut Ctx, name: &str| -> Done {
        effect(ctx, name, &Map::new().into())
    });
    function("effect")
        .set_into_module(module, |ctx: &mut Ctx, name: &str, data: Dynamic| -> Done {
            effect(ctx, name, &data)
        });
    function("hidden").set_into_module(module, |ctx: &mut Ctx, text: &str| -> Done {
        ctx.0.ask("hidden", TurnRequest::Hidden { text: text.to_owned() }).map(drop)
    });
    function("image").set_into_module(module, |ctx: &mut Ctx, url: &str| -> Shown {
        let request = TurnRequest::Image { url: url.to_owned() };
        ctx.0.ask("image", request).map(|item| to_dynamic(&item))
    });
    function("cite").set_into_module(module, |ctx: &mut Ctx, source: Dynamic| -> Done {
        cite(ctx, &source, None)
    });
    function("cite").set_into_module(
        module,
        |ctx: &mut Ctx, source: Dynamic, index: i64| -> Done {
            let index =
                u64::try_from(index).map_err(|_| fail("the index of `ctx.cite` counts from 0"))?;
            cite(ctx, &source, Some(index))
        },
    );
    function("task").set_into_module(module, |ctx: &mut Ctx, task: Map| -> Shown {
        let task = read_task("ctx.task", task, &[]).map_err(|fault| fail(fault.into_text()))?;
        ctx.0.ask("task", TurnRequest::Task(task)).map(|item| to_dynamic(&item))
    });
    function("respond").set_into_module(module, |ctx: &mut Ctx| -> Done {
        ctx.0.ask("respond", TurnRequest::Respond).map(drop)
    });
}

fn progress(module: &mut Module) {
    function("progress").set_into_module(module, |ctx: &mut Ctx, text: &str| -> Done {
        let request = TurnRequest::Progress { icon: None, text: text.to_owned() };
        ctx.0.ask("progress", request).map(drop)
    });
    let show = |ctx: &mut Ctx, icon: Option<&str>, text: &str| -> Done {
        let icon = icon.map(IconName::parse).transpose().map_err(fail)?;
        let request = TurnRequest::Progress { icon, text: text.to_owned() };
        ctx.0.ask("progress", request).map(drop)
    };
    function("progress").set_into_module(module, move |ctx: &mut Ctx, icon: &str, text: &str| {
        show(ctx, Some(icon), text)
    });
    function("progress")
        .set_into_module(module, move |ctx: &mut Ctx, (): (), text: &str| show(ctx, None, text));
}

fn notice(module: &mut Module) {
    let show = |ctx: &mut Ctx, level: &str, message: &str, title: Option<&str>| -> Done {
        let level = match level {
            "info" => NoticeLevel::Info,
            "warning" => NoticeLevel::Warning,
            "danger" => NoticeLevel::Danger,
            other => {
                return Err(fail(format!(
                    "`{other}` is no level of `ctx.notice`: write `info`, `warning` or `danger`"
                )));
            }
        };
        let title = title.map(str::to_owned);
        let request = TurnRequest::Notice { level, message: message.to_owned(), title };
        ctx.0.ask("notice", request).map(drop)
    };
    function("notice").set_into_module(module, move |ctx: &mut Ctx, level: &str, message: &str| {
        show(ctx, level, message, None)
    });
    function("notice").set_into_module(
        module,
        move |ctx: &mut Ctx, level: &str, message: &str, title: &str| {
            show(ctx, level, message, Some(title))
        },
    );
    function("notice")
        .set_into_module(module, move |ctx: &mut Ctx, level: &str, message: &str, (): ()| {
            show(ctx, level, message, None)
        });
}

/// Ends the turn, and this handler with it.
fn end(ctx: &Ctx, message: &str, retry: bool) -> Done {
    ctx.0.require_thread("error")?;
    Err(limits::stop(CallError::User { message: message.to_owned(), retry }))
}

fn effect(ctx: &Ctx, name: &str, data: &Dynamic) -> Done {
    let data = match to_json(data).map_err(fail)? {
        Value::Object(data) => data,
        Value::Null => serde_json::Map::new(),
        _ => return Err(fail("the data of `ctx.effect` must be a map, `#{…}`")),
    };
    ctx.0.ask("effect", TurnRequest::Effect { name: name.to_owned(), data }).map(drop)
}

fn cite(ctx: &Ctx, source: &Dynamic, index: Option<u64>) -> Done {
    let source = read_source(to_json(source).map_err(fail)?)?;
    ctx.0.ask("cite", TurnRequest::Cite { source, index }).map(drop)
}

/// A source is a url, or a map of a url, file or entity source; its type may be left out.
fn read_source(source: Value) -> Result<Source, Failure> {
    let mut source = match source {
        Value::String(url) => {
            return serde_json::from_value(json!({ "type": "url", "url": url, "title": url }))
                .map_err(|err| fail(format!("`ctx.cite`: {err}")));
        }
        Value::Object(source) => source,
        _ => {
            return Err(fail(
                "the source of `ctx.cite` must be a url or a map: write `#{ title: …, url: … }`",
            ));
        }
    };
    if !source.contains_key("type") {
        let kinds = [("url", "url"), ("filename", "file"), ("id", "entity")];
        let Some((_, kind)) = kinds.into_iter().find(|(key, _)| source.contains_key(*key)) else {
            return Err(fail("the source of `ctx.cite` lacks `url`, `filename` or `id`"));
        };
        source.insert("type".to_owned(), kind.into());
    }
    if !source.contains_key("title") {
        let named = ["url", "filename", "label", "id"].iter().find_map(|it| source.get(*it));
        let title = named.cloned().unwrap_or_default();
        source.insert("title".to_owned(), title);
    }
    serde_json::from_value(Value::Object(source))
        .map_err(|err| fail(format!("the source of `ctx.cite` is not valid: {err}")))
}
