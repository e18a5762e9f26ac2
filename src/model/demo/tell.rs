//! What the demo model says.

use std::{fmt::Write, sync::Arc};

use serde_json::Value;

use super::{HIDDEN, QUESTIONS, text_of, texts_of};
use crate::{model::InputItem, tool::ToolSpec};

const MAX_QUOTE_CHARS: usize = 600;
const MAX_ROWS: usize = 20;

pub fn introduction(tools: &[Arc<ToolSpec>]) -> String {
    let tools = match tools.len() {
        0 => "There are no tools yet: drop a script into `plugins/`, and my next answer knows it."
            .to_owned(),
        1 => "I can call one tool. Say **help** to see it.".to_owned(),
        count => format!("I can call {count} tools. Say **help** to see them."),
    };
    format!(
        "Hello! I am the **demo model** that is built into Kitfox. I am no language model: I follow \
         simple patterns, so that you can see streaming, tools and live reload without a key.\n\n\
         {tools} To connect a real model, ask **how do I connect a model?**"
    )
}

pub fn how_to_connect() -> String {
    "Two ways lead to a real model:\n\n\
     1. Set `OPENAI_API_KEY` in the environment and start Kitfox again.\n\
     2. Or name any OpenAI-compatible server in `kitfox.toml`; that is live as soon as you save it:\n\n\
     ```toml\n\
     [providers.local]\n\
     api = \"chat_completions\"\n\
     base_url = \"http://localhost:11434/v1\"\n\n\
     [models.default]\n\
     provider = \"local\"\n\
     model = \"llama3.2\"\n\
     ```\n"
    .to_owned()
}

pub fn other(text: &str, tools: &[Arc<ToolSpec>]) -> String {
    let heard = quote(text);
    let example = tools.iter().find_map(|tool| Some(sample(tool)).filter(|it| !it.is_empty()));
    let attempt = example.map_or_else(String::new, |it| format!(" Try **{it}**, for example."));
    let heard = if heard.is_empty() { String::new() } else { format!("You said:\n\n{heard}\n\n") };
    format!(
        "{heard}I am only Kitfox's demo model, and that is more than I understand.{attempt}\n\n\
         - **help** lists what I can do\n\
         - **what page am I on?** shows what I know of your page\n\
         - **how do I connect a model?** tells how to get real answers\n"
    )
}

/// The tools with an example each.
pub fn tools(tools: &[Arc<ToolSpec>]) -> String {
    if tools.is_empty() {
        return "I have no tools yet. Drop a script into `plugins/` (`kitfox new rhai hello` writes one), \
                and ask me again: nothing needs to be restarted."
            .to_owned();
    }
    let mut text =
        "This is what I can call, each with a sentence that I understand:\n\n".to_owned();
    for tool in tools {
        let description = tool.description.split(". ").next().unwrap_or_default().trim();
        let description = description.trim_end_matches('.');
        let dash = if description.is_empty() { "" } else { " – " };
        let _ = writeln!(text, "- **{}**{dash}{description}: *{}*", tool.name, sample(tool));
    }
    text.push_str(
        "\nI also answer **what page am I on?** and **what do your instructions say?**\n",
    );
    text
}

pub fn unknown_tool(name: &str, known: &[Arc<ToolSpec>]) -> String {
    let nearest = known
        .iter()
        .map(|tool| (strsim::jaro_winkler(name, &tool.name), &tool.name))
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .filter(|(likeness, _)| *likeness > 0.8);
    let hint = nearest.map_or_else(String::new, |(_, name)| format!(" Do you mean `{name}`?"));
    format!("There is no tool `{name}`.{hint}\n\n{}", tools(known))
}

/// What the instructions say of the user's page.
pub fn page(instructions: &str) -> String {
    let lines: Vec<&str> = instructions
        .lines()
        .filter(|line| {
            let line = line.to_lowercase();
            ["page", "looking at", "http://", "https://"].iter().any(|it| line.contains(it))
        })
        .collect();
    if lines.is_empty() {
        return "My instructions say nothing about a page. The host page can send its `pageContext`, and \
                `{{ page.title }}` in `prompts/assistant.md` puts it here."
            .to_owned();
    }
    format!("My instructions say this about your page:\n\n{}\n", quote(&lines.join("\n")))
}

pub fn instructions(instructions: &str) -> String {
    if instructions.trim().is_empty() {
        return "I have no instructions: write some into `prompts/assistant.md`, and ask me again."
            .to_owned();
    }
    format!(
        "These are my instructions, rendered for this turn from the prompt file:\n\n{}\n\n\
         Edit the file, and my next answer follows the new text.\n",
        quote(instructions)
    )
}

/// What the user answered to questions, if that is the news.
pub fn answers(items: &[InputItem]) -> Option<String> {
    let text = items.iter().map(text_of).rfind(|text| text.starts_with(QUESTIONS))?;
    let answers = within(&text, "StructuredInput").unwrap_or_default();
    Some(format!("Thank you. I have noted:\n\n{}\n", answers.trim()))
}

/// What a plugin told beside the conversation.
pub fn context(items: &[InputItem]) -> Option<String> {
    let told: Vec<String> = items
        .iter()
        .map(text_of)
        .filter(|text| text.starts_with(HIDDEN))
        .filter_map(|text| within(&text, "HiddenContext").map(quote))
        .collect();
    (!told.is_empty()).then(|| format!("I was told:\n\n{}\n", told.join("\n\n")))
}

/// The text between `<tag>` and `</tag>`.
fn within<'a>(text: &'a str, tag: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{tag}>"))?;
    rest.rsplit_once(&format!("</{tag}>")).map(|(inner, _)| inner)
}

/// What tools answered, if that is the news. `items` come after the user's last message.
pub fn outputs(items: &[InputItem]) -> Option<String> {
    let name_of = |id: &str| {
        items.iter().find_map(|item| match item {
            InputItem::FunctionCall { call_id, name, .. } if call_id == id => Some(name.as_str()),
            InputItem::FunctionCall { .. }
            | InputItem::Message { .. }
            | InputItem::FunctionCallOutput { .. }
            | InputItem::Raw(_) => None,
        })
    };
    let mut texts = Vec::new();
    for item in items {
        if let InputItem::FunctionCallOutput { call_id, output } = item {
            let output: String = texts_of(output).collect();
            texts.push(result(name_of(call_id).unwrap_or("The tool"), output.trim()));
        }
    }
    (!texts.is_empty()).then(|| texts.join("\n"))
}

fn result(name: &str, output: &str) -> String {
    let value = serde_json::from_str(output).unwrap_or_else(|_| Value::from(output));
    match &value {
        Value::Null => format!("Done: **{name}** has run.\n"),
        Value::String(text) if text.is_empty() => format!("Done: **{name}** has run.\n"),
        Value::Object(map) if map.is_empty() => format!("Done: **{name}** has run.\n"),
        Value::Array(list) if list.is_empty() => format!("**{name}** found nothing.\n"),
        Value::Object(_) | Value::Array(_) => {
            let mut text = format!("**{name}** says:\n\n");
            rows(&value, 0, &mut text);
            text
        }
        scalar => format!("**{name}** says: {}\n", plain(scalar)),
    }
}

/// A value as a markdown list.
fn rows(value: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    let rows: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(key, it)| (format!("**{key}**: "), it)).collect(),
        Value::Array(list) => list.iter().map(|it| (String::new(), it)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return,
    };
    for (label, value) in rows.iter().take(MAX_ROWS) {
        match value {
            Value::Object(map) if depth < 2 && !map.is_empty() && !label.is_empty() => {
                let _ = writeln!(text, "{indent}- {}", label.trim_end());
                self::rows(value, depth + 1, text);
            }
            Value::Array(list) if depth < 2 && !list.is_empty() && !label.is_empty() => {
                let _ = writeln!(text, "{indent}- {}", label.trim_end());
                self::rows(value, depth + 1, text);
            }
            Value::Object(map) if label.is_empty() => {
                let fields: Vec<String> =
                    map.iter().map(|(key, it)| format!("**{key}**: {}", plain(it))).collect();
                let _ = writeln!(text, "{indent}- {}", fields.join(", "));
            }
            _ => {
                let _ = writeln!(text, "{indent}- {label}{}", plain(value));
            }
        }
    }
    if rows.len() > MAX_ROWS {
        let _ = writeln!(text, "{indent}- … and {} more", rows.len() - MAX_ROWS);
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(_) => value.to_string(),
        Value::Array(_) | Value::Object(_) => format!("`{value}`"),
    }
}

/// A sentence that calls a tool.
fn sample(tool: &ToolSpec) -> String {
    if let Some(example) = tool.examples.first() {
        return example.clone();
    }
    let mut text = format!("call {}", tool.name);
    let required = tool.parameters["required"].as_array().into_iter().flatten();
    for (index, name) in required.filter_map(Value::as_str).enumerate() {
        let with = if index == 0 { " with" } else { "" };
        let _ = write!(text, "{with} {name}={}", placeholder(&tool.parameters["properties"][name]));
    }
    text
}

fn placeholder(schema: &Value) -> String {
    if let Some(first) = schema["enum"].get(0).or_else(|| schema["examples"].get(0)) {
        return first.as_str().map_or_else(|| first.to_string(), str::to_owned);
    }
    match schema["type"].as_str() {
        Some("integer" | "number") => "1".to_owned(),
        Some("boolean") => "yes".to_owned(),
        _ => "\"…\"".to_owned(),
    }
}

/// A markdown quotation, cut where it is long.
fn quote(text: &str) -> String {
    let mut short: String = text.trim().chars().take(MAX_QUOTE_CHARS).collect();
    if short.len() < text.trim().len() {
        short.push('…');
    }
    let lines: Vec<String> =
        short.lines().map(|line| format!("> {line}").trim_end().to_owned()).collect();
    lines.join("\n")
}
