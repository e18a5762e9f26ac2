use std::sync::Arc;

use serde_json::{Map, Value};

use super::{arguments, example};
use crate::tool::ToolSpec;

/// What the user wants of the demo model.
pub enum Intent<'a> {
    Call {
        tool: &'a ToolSpec,
        arguments: Map<String, Value>,
    },
    UnknownTool(String),
    /// What it can do.
    Tools,
    /// How a real model is connected.
    Connect,
    /// Which page the user looks at.
    Page,
    /// What its instructions say.
    Instructions,
    /// Who it is.
    Introduction,
    Other,
}

impl<'a> Intent<'a> {
    pub fn of(text: &str, tools: &'a [Arc<ToolSpec>], tool_choice: Option<&str>) -> Self {
        let forced = tool_choice.and_then(|name| tools.iter().find(|tool| tool.name == name));
        let verb = strip_verb(text);
        let named = verb.and_then(|rest| named_tool(rest, tools));
        if let Some((tool, rest)) = named {
            return Self::Call { tool, arguments: arguments::read(rest, &tool.parameters) };
        }
        if let Some((tool, arguments)) = example::find(text, tools) {
            return Self::Call { tool, arguments };
        }
        if let Some(tool) = forced {
            return Self::Call { tool, arguments: arguments::read(text, &tool.parameters) };
        }
        if let Some(name) = verb.and_then(unknown_name) {
            return Self::UnknownTool(name);
        }
        let text = text.to_lowercase();
        let words: Vec<&str> =
            text.split(|char: char| !char.is_alphanumeric()).filter(|it| !it.is_empty()).collect();
        let has = |word: &str| words.contains(&word);
        let starts = |begin: &[&str]| words.starts_with(begin);
        match words.len() {
            _ if text.contains("what can you do") || text.contains("which tools") => Self::Tools,
            1..=3 if has("help") || has("tools") => Self::Tools,
            _ if has("connect") || text.contains("api key") || text.contains("api_key") => {
                Self::Connect
            }
            _ if has("page") && (has("what") || has("which") || has("where")) => Self::Page,
            _ if has("instructions") || has("prompt") || has("context") => Self::Instructions,
            _ if starts(&["who", "are"]) || starts(&["what", "are", "you"]) => Self::Introduction,
            1..=3 if has("hello") || has("hi") || has("hey") => Self::Introduction,
            _ => Self::Other,
        }
    }
}

/// What follows `call`, `use`, `run` or `invoke` at the beginning of a text.
fn strip_verb(text: &str) -> Option<&str> {
    let text = text.trim_start();
    let (verb, mut rest) = text.split_once(char::is_whitespace)?;
    if !["call", "use", "run", "invoke"].iter().any(|it| verb.eq_ignore_ascii_case(it)) {
        return None;
    }
    for filler in ["the ", "tool "] {
        rest = rest.trim_start();
        rest = strip_prefix_ignoring_case(rest, filler).unwrap_or(rest);
    }
    Some(rest.trim_start())
}

/// The tool whose name begins a text, and what follows: the longest, however it is spelled.
fn named_tool<'a, 't>(
    text: &'t str,
    tools: &'a [Arc<ToolSpec>],
) -> Option<(&'a ToolSpec, &'t str)> {
    let text = text.trim_start_matches(['`', '"', '\'']);
    let candidates = tools.iter().filter_map(|tool| {
        let length = matching_length(text, &tool.name)?;
        let rest = &text[length..];
        let is_end = !rest.starts_with(|char: char| char.is_alphanumeric() || char == '_');
        is_end.then(|| (&**tool, rest.trim_start_matches(['`', '"', '\'', ',', ':', ' ', '('])))
    });
    candidates.max_by_key(|(tool, _)| tool.name.len())
}

/// How much of a text is this name, with `_`, `-` and a blank being the same.
fn matching_length(text: &str, name: &str) -> Option<usize> {
    let plain =
        |char: char| if matches!(char, '-' | ' ') { '_' } else { char.to_ascii_lowercase() };
    let mut chars = text.char_indices();
    for expected in name.chars() {
        let (_, char) = chars.next()?;
        if plain(char) != plain(expected) {
            return None;
        }
    }
    Some(chars.next().map_or(text.len(), |(index, _)| index))
}

/// A word that can only be meant as the name of a tool.
fn unknown_name(text: &str) -> Option<String> {
    let name = text.split_whitespace().next()?;
    let name = name.trim_matches(|char: char| !char.is_alphanumeric() && char != '_');
    (name.contains('_') || name.contains('.')).then(|| name.to_owned())
}

fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let begin = text.get(..prefix.len())?;
    begin.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}
