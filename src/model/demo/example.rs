//! Sentences that call for a tool: `what is the weather in {city}?`.

use std::{fmt::Write, sync::Arc};

use regex::Regex;
use serde_json::{Map, Value};

use super::arguments;
use crate::tool::ToolSpec;

/// The tool that an example of its calls for, with the arguments: the example with the most words.
pub fn find<'a>(
    text: &str,
    tools: &'a [Arc<ToolSpec>],
) -> Option<(&'a ToolSpec, Map<String, Value>)> {
    let examples = tools.iter().flat_map(|tool| tool.examples.iter().map(move |it| (tool, it)));
    let matches = examples.filter_map(|(tool, it)| Some((tool, match_example(it, text)?)));
    let (tool, (_, values)) = matches.max_by_key(|(_, (own, _))| *own)?;
    let properties = &tool.parameters["properties"];
    let arguments = values.into_iter().map(|(name, text)| {
        let value = arguments::of_type(&text, &properties[&name]);
        (name, value)
    });
    Some((&**tool, arguments.collect()))
}

/// How many characters of the text are the example's own, and what stands for its `{arguments}`.
/// Case and punctuation do not matter.
fn match_example(example: &str, text: &str) -> Option<(usize, Vec<(String, String)>)> {
    let mut pattern = r"(?is)^[\s\p{P}]*".to_owned();
    let mut names = Vec::new();
    let mut own = 0;
    let mut rest = example;
    while !rest.is_empty() {
        let (literal, argument) = match rest.split_once('{') {
            Some((literal, after)) => {
                let (name, after) = after.split_once('}')?;
                rest = after;
                (literal, Some(name.trim()))
            }
            None => (std::mem::take(&mut rest), None),
        };
        let words: Vec<&str> = literal
            .split(|char: char| !char.is_alphanumeric())
            .filter(|it| !it.is_empty())
            .collect();
        if !words.is_empty() {
            if !names.is_empty() {
                pattern.push_str(r"[\s\p{P}]+");
            }
            let escaped: Vec<String> = words.iter().map(|word| regex::escape(word)).collect();
            pattern.push_str(&escaped.join(r"[\s\p{P}]+"));
            own += words.iter().map(|word| word.len()).sum::<usize>();
        } else if !names.is_empty() && argument.is_some() {
            pattern.push_str(r"[\s,;]+");
        }
        if let Some(name) = argument {
            if !words.is_empty() {
                pattern.push_str(r"[\s:,]+");
            }
            let _ = write!(pattern, "(.+?)");
            names.push(name.to_owned());
        }
    }
    if own == 0 {
        return None;
    }
    pattern.push_str(r"[\s.!?…]*$");
    let captures = Regex::new(&pattern).ok()?.captures(text)?;
    let values = captures.iter().skip(1).flatten().map(|value| value.as_str().to_owned());
    let values: Vec<(String, String)> = names.into_iter().zip(values).collect();
    let is_said = |text: &str| text.contains(char::is_alphanumeric);
    values.iter().all(|(_, value)| is_said(value)).then_some((own, values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(example: &str, text: &str, expected: Option<&[&str]>) {
        let values = match_example(example, text)
            .map(|(_, values)| values.into_iter().map(|(_, value)| value).collect::<Vec<_>>());
        assert_eq!(
            values,
            expected.map(|it| it.iter().map(|it| (*it).to_owned()).collect()),
            "{text}"
        );
    }

    #[test]
    fn case_and_punctuation_do_not_matter() {
        let example = "what is the weather in {city}?";
        check(example, "What is the weather in Oslo?", Some(&["Oslo"]));
        check(example, "  what is... the WEATHER, in New York", Some(&["New York"]));
        check(example, "what is the weather in Oslo", Some(&["Oslo"]));
        check(example, "what is the weather in ?", None);
        check(example, "and what is the weather in Oslo?", None);
        check(example, "what is the weather", None);
    }

    #[test]
    fn several_arguments_are_captured() {
        let example = "convert {value} {from} to {to}";
        check(example, "Convert 2.5 km to miles!", Some(&["2.5", "km", "miles"]));
        check(example, "convert -5 c to f", Some(&["-5", "c", "f"]));
        check("remember: {text}", "remember that it rains.", Some(&["that it rains"]));
        check("remember: {text}", "Remember: a, b", Some(&["a, b"]));
    }

    #[test]
    fn an_example_without_words_matches_nothing() {
        check("{anything}", "hello", None);
        check("", "hello", None);
        check("broken {", "broken", None);
        check("roll the dice", "Roll the dice!", Some(&[]));
    }
}
