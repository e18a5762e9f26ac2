//! Tasks, as `ctx.task` and the steps of `ctx.workflow` are written.

use serde_json::{Map, Value};

use crate::{
    chatkit::{FileSource, IconName, StatusIndicator, UrlSource},
    plugin::fields::Fields,
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
pub fn read_task(of: &str, task: Value, more: &[&str]) -> Result<TaskPatch, String> {
    let word = match task.get("type") {
        None | Some(Value::Null) => "custom".to_owned(),
        Some(Value::String(word)) => word.clone(),
        Some(other) => other.to_string(),
    };
    let Some((_, kind, own)) = KINDS.iter().find(|(name, _, _)| *name == word) else {
        let words: Vec<_> = KINDS.iter().map(|(name, _, _)| *name).collect();
        let words = words.join("`, `");
        return Err(format!("`{word}` is no type of a task: write one of `{words}`"));
    };
    let known: Vec<&str> = ["type", "title"].iter().chain(*own).chain(more).copied().collect();
    let patch = TaskPatch { kind: *kind, ..read(Fields::read(of, task, &known)?)? };
    if *kind == TaskKind::Thought && patch.content.is_none() {
        return Err("a thought lacks `content`: add `content: \"…\"` to its map".to_owned());
    }
    Ok(patch)
}

/// Reads changes of a task.
pub fn read_changes(of: &str, changes: Value) -> Result<TaskPatch, String> {
    let known = ["title", "content", "icon", "query", "queries", "sources", "status"];
    read(Fields::read(of, changes, &known)?)
}

fn read(mut fields: Fields<'_>) -> Result<TaskPatch, String> {
    let icon = fields.text("icon")?;
    let status = fields.text("status")?;
    Ok(TaskPatch {
        kind: TaskKind::Custom,
        title: fields.text("title")?,
        content: fields.text("content")?,
        icon: icon.as_deref().map(IconName::parse).transpose()?,
        status: status.as_deref().map(read_status).transpose()?,
        query: fields.text("query")?,
        queries: fields.texts("queries")?,
        sources: fields.any("sources").map(read_sources).transpose()?,
    })
}

fn read_status(status: &str) -> Result<StatusIndicator, String> {
    match status {
        "none" => Ok(StatusIndicator::None),
        "loading" => Ok(StatusIndicator::Loading),
        "complete" => Ok(StatusIndicator::Complete),
        other => Err(format!("`status` is `none`, `loading` or `complete`, not `{other}`")),
    }
}

/// A source is an address or a file's name, or a map that has it under `url` or `filename`.
fn read_sources(sources: Value) -> Result<TaskSources, String> {
    let wrong = || {
        "`sources` of a task is no array of addresses or file names: \
         write `[\"https://…\"]`, `[#{ url: …, title: … }]` or `[#{ filename: … }]`"
            .to_owned()
    };
    let Value::Array(sources) = sources else { return Err(wrong()) };
    let mut read = TaskSources::default();
    for source in sources {
        let map = match source {
            Value::String(text) if text.contains("://") => {
                Map::from_iter([("url".to_owned(), text.into())])
            }
            Value::String(text) => Map::from_iter([("filename".to_owned(), text.into())]),
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
