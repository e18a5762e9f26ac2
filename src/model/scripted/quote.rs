//! `<<find REGEX>>` in a script: what the model was shown.

use regex::Regex;
use serde_json::Value;

use super::{ScriptedStep, step::ScriptedCall};
use crate::model::{InputContent, InputItem, ModelRequest};

const BEGIN: &str = "<<find ";
const END: &str = ">>";

/// The steps with what they quote of the request put in.
pub fn fill(steps: Vec<ScriptedStep>, request: &ModelRequest) -> Vec<ScriptedStep> {
    steps.into_iter().map(|step| fill_step(step, request)).collect()
}

fn fill_step(step: ScriptedStep, request: &ModelRequest) -> ScriptedStep {
    let texts = |texts: Vec<String>| texts.into_iter().map(|it| fill_text(it, request)).collect();
    match step {
        ScriptedStep::Text(deltas) => ScriptedStep::Text(texts(deltas)),
        ScriptedStep::Reasoning(deltas) => ScriptedStep::Reasoning(texts(deltas)),
        ScriptedStep::Call(call) if call.arguments.contains(BEGIN) => {
            let arguments = match serde_json::from_str(&call.arguments) {
                Ok(mut value) => {
                    fill_value(&mut value, request);
                    value.to_string()
                }
                Err(_) => fill_text(call.arguments, request),
            };
            ScriptedStep::Call(ScriptedCall { arguments, ..call })
        }
        step @ (ScriptedStep::Annotation(_)
        | ScriptedStep::Call(_)
        | ScriptedStep::Image { .. }
        | ScriptedStep::Search { .. }
        | ScriptedStep::Raw(_)
        | ScriptedStep::Usage(_)
        | ScriptedStep::Finish(_)
        | ScriptedStep::Fail(_)
        | ScriptedStep::Delay(_)
        | ScriptedStep::Gate(_)) => step,
    }
}

fn fill_value(value: &mut Value, request: &ModelRequest) {
    match value {
        Value::String(text) => *text = fill_text(std::mem::take(text), request),
        Value::Array(values) => values.iter_mut().for_each(|it| fill_value(it, request)),
        Value::Object(map) => {
            for (key, mut value) in std::mem::take(map) {
                fill_value(&mut value, request);
                map.insert(fill_text(key, request), value);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => (),
    }
}

/// What is not found is left out.
fn fill_text(text: String, request: &ModelRequest) -> String {
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let Some((pattern, after)) = after.split_once(END) else { break };
        out.push_str(before);
        out.push_str(&find(pattern, request).unwrap_or_default());
        rest = after;
    }
    if out.is_empty() && rest.len() == text.len() {
        return text;
    }
    out + rest
}

/// The first match, or its first group, in the instructions and then in the input.
fn find(pattern: &str, request: &ModelRequest) -> Option<String> {
    let regex = Regex::new(pattern).ok()?;
    let texts = request.input.iter().flat_map(texts);
    std::iter::once(request.instructions.clone()).chain(texts).find_map(|text| {
        let found = regex.captures(&text)?;
        Some(found.get(1).or_else(|| found.get(0))?.as_str().to_owned())
    })
}

fn texts(item: &InputItem) -> Vec<String> {
    let of_content = |content: &[InputContent]| {
        let text = |part: &InputContent| match part {
            InputContent::Text(text) => Some(text.clone()),
            InputContent::Image { .. } | InputContent::File { .. } => None,
        };
        content.iter().filter_map(text).collect()
    };
    match item {
        InputItem::Message { content, .. } => of_content(content),
        InputItem::FunctionCall { arguments, .. } => vec![arguments.clone()],
        InputItem::FunctionCallOutput { output, .. } => of_content(output),
        InputItem::Raw(raw) => vec![raw.to_string()],
    }
}
