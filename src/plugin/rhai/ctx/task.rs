//! Tasks, as `ctx.task` and the steps of `ctx.workflow` are written.

use rhai::{Dynamic, Map};
use serde_json::{Map as JsonMap, Value};

use super::super::{
    options::{Fault, Options},
    value::to_json,
};
use crate::{
    chatkit::{FileSource, IconName, StatusIndicator, UrlSource},
    tool::{TaskKind, TaskPatch, TaskSources},
};

/// The words for the kinds of tasks, and what each has beside its title.
const KINDS: [(&str, TaskKind, &[&str]); 5] = [
    ("custom", TaskKind::Custom, &["content", "icon"]),
    ("thought", TaskKind::Thought, &["content"]),
    ("web_search", TaskKind::WebSearch, &["query", "queries", "sources"]),
    ("file", TaskKind::File, &["sources"]),
    ("image", TaskKind::Image, &[]),
];

/// Reads a new task; `more` it may say beside what its kind has.
pub fn read_task(function: &str, task: Map, more: &[&str]) -> Result<TaskPatch, Fault> {
    let word = match task.get("type").filter(|it| !it.is_unit()) {
        None => "custom".to_owned(),
        Some(word) => word.to_string(),
    };
    let Some((_, kind, own)) = KINDS.iter().find(|(name, _, _)| *name == word) else {
        let words: Vec<_> = KINDS.iter().map(|(name, _, _)| *name).collect();
        return Err(Fault::new(format!("`{word}` is no type of a task"))
            .remedy(format!("write one of `{}`", words.join("`, `"))));
    };
    let known: Vec<&str> = ["type", "title"].iter().chain(*own).chain(more).copied().collect();
    let options = Options::new(function, task, &known)?;
    let patch = TaskPatch { kind: *kind, ..read(options)? };
    if *kind == TaskKind::Thought && patch.content.is_none() {
        return Err(
            Fault::new("a thought lacks `content`").remedy("add `content: \"…\"` to its map")
        );
    }
    Ok(patch)
}

/// Reads changes of a task.
pub fn read_changes(function: &str, changes: Map) -> Result<TaskPatch, Fault> {
    let known = ["title", "content", "icon", "query", "queries", "sources", "status"];
    read(Options::new(function, changes, &known)?)
}

fn read(mut options: Options<'_>) -> Result<TaskPatch, Fault> {
    let icon = options.string("icon")?;
    let status = options.string("status")?;
    Ok(TaskPatch {
        kind: TaskKind::Custom,
        title: options.string("title")?,
        content: options.string("content")?,
        icon: icon.as_deref().map(IconName::parse).transpose().map_err(Fault::new)?,
        status: status.as_deref().map(read_status).transpose()?,
        query: options.string("query")?,
        queries: options.strings("queries")?,
        sources: options.any("sources").map(|it| read_sources(&it)).transpose()?,
    })
}

fn read_status(status: &str) -> Result<StatusIndicator, Fault> {
    match status {
        "none" => Ok(StatusIndicator::None),
        "loading" => Ok(StatusIndicator::Loading),
        "complete" => Ok(StatusIndicator::Complete),
        other => {
            Err(Fault::new(format!("`status` is `none`, `loading` or `complete`, not `{other}`")))
        }
    }
}

/// A source is an address or a file's name, or a map that has it under `url` or `filename`.
fn read_sources(sources: &Dynamic) -> Result<TaskSources, Fault> {
    let wrong = || {
        Fault::new("`sources` of a task is no array of addresses or file names")
            .remedy("write `[\"https://…\"]`, `[#{ url: …, title: … }]` or `[#{ filename: … }]`")
    };
    let Ok(Value::Array(sources)) = to_json(sources) else { return Err(wrong()) };
    let mut read = TaskSources::default();
    for source in sources {
        let map = match source {
            Value::String(text) if text.contains("://") => {
                JsonMap::from_iter([("url".to_owned(), text.into())])
            }
            Value::String(text) => JsonMap::from_iter([("filename".to_owned(), text.into())]),
            Value::Object(map) => map,
            _ => return Err(wrong()),
        };
        let with_title = |name: &str| -> Option<Value> {
            let mut map = map.clone();
            let title = map.get(name)?.clone();
            map.entry("title").or_insert(title);
            Some(Value::Object(map))
        };
        if let Some(map) = with_title("url") {
            let source: UrlSource = serde_json::from_value(map).map_err(|_| wrong())?;
            read.pages.push(source);
        } else if let Some(map) = with_title("filename") {
            let source: FileSource = serde_json::from_value(map).map_err(|_| wrong())?;
            read.files.push(source);
        } else {
            return Err(wrong());
        }
    }
    Ok(read)
}
