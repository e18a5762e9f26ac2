//! What a handler says and shows.

use serde_json::{Value, json};

use super::{Arguments, HostCall, task::read_task};
use crate::{
    chatkit::{IconName, NoticeLevel, Source},
    plugin::CallError,
    tool::TurnRequest,
};

impl HostCall {
    /// `ctx.error`: ends the turn, and this handler with it.
    pub fn end(&self, arguments: &mut Arguments<'_>) -> Result<Value, CallError> {
        let message = arguments.text("a message")?;
        let retry = match arguments.any() {
            Value::Null => false,
            Value::Bool(retry) => retry,
            other => return Err(arguments.wrong("`retry`", "`true` or `false`", &other).into()),
        };
        self.require_thread("error")?;
        Err(CallError::User { message, retry })
    }
}

pub fn read(member: &str, arguments: &mut Arguments<'_>) -> Result<TurnRequest, String> {
    Ok(match member {
        "say" => TurnRequest::Say { markdown: arguments.text("a text")? },
        "progress" => {
            let icon = match arguments.left() {
                0 | 1 => None,
                _ => arguments.optional_text("the icon")?,
            };
            let icon = icon.as_deref().map(IconName::parse).transpose()?;
            TurnRequest::Progress { icon, text: arguments.text("a text")? }
        }
        "notice" => TurnRequest::Notice {
            level: read_notice_level(&arguments.text("a level")?)?,
            message: arguments.text("a message")?,
            title: arguments.optional_text("the title")?,
        },
        "effect" => {
            let name = arguments.text("a name")?;
            TurnRequest::Effect { name, data: arguments.map("the data")? }
        }
        "hidden" => TurnRequest::Hidden { text: arguments.text("a text")? },
        "image" => TurnRequest::Image { url: arguments.text("a url")? },
        "cite" => TurnRequest::Cite {
            source: read_source(arguments.any())?,
            index: match arguments.any() {
                Value::Null => None,
                index => {
                    Some(index.as_u64().ok_or("the index of `ctx.cite` counts from 0".to_owned())?)
                }
            },
        },
        _ => TurnRequest::Task(read_task("ctx.task", arguments.any(), &[])?),
    })
}

fn read_notice_level(level: &str) -> Result<NoticeLevel, String> {
    match level {
        "info" => Ok(NoticeLevel::Info),
        "warning" => Ok(NoticeLevel::Warning),
        "danger" => Ok(NoticeLevel::Danger),
        other => Err(format!(
            "`{other}` is no level of `ctx.notice`: write `info`, `warning` or `danger`"
        )),
    }
}

/// A source is a url, or a map of a url, file or entity source; its type may be left out.
fn read_source(source: Value) -> Result<Source, String> {
    let mut source = match source {
        Value::String(url) => {
            return serde_json::from_value(json!({ "type": "url", "url": url, "title": url }))
                .map_err(|err| format!("`ctx.cite`: {err}"));
        }
        Value::Object(source) => source,
        _ => {
            return Err(
                "the source of `ctx.cite` must be a url or a map: write `#{ title: …, url: … }`"
                    .to_owned(),
            );
        }
    };
    if !source.contains_key("type") {
        let kinds = [("url", "url"), ("filename", "file"), ("id", "entity")];
        let Some((_, kind)) = kinds.into_iter().find(|(key, _)| source.contains_key(*key)) else {
            return Err("the source of `ctx.cite` lacks `url`, `filename` or `id`".to_owned());
        };
        source.insert("type".to_owned(), kind.into());
    }
    if !source.contains_key("title") {
        let named = ["url", "filename", "label", "id"].iter().find_map(|it| source.get(*it));
        let title = named.cloned().unwrap_or_default();
        source.insert("title".to_owned(), title);
    }
    serde_json::from_value(Value::Object(source))
        .map_err(|err| format!("the source of `ctx.cite` is not valid: {err}"))
}
