use std::{fmt, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::Value;

use crate::{
    chatkit::Annotation,
    load_error::LoadError,
    model::{Finish, Usage},
};

/// One answer of a [`super::Scripted`] model.
#[derive(Debug, Clone, PartialEq)]
pub enum ScriptedResponse {
    /// To a request that is streamed.
    Steps(Vec<ScriptedStep>),
    /// To one that is not.
    Complete(String),
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "RawStep")]
pub enum ScriptedStep {
    /// The deltas of a text.
    Text(Vec<String>),
    /// On what was said last.
    Annotation(Box<Annotation>),
    /// The deltas of one summary.
    Reasoning(Vec<String>),
    Call(ScriptedCall),
    Image {
        partials: Vec<String>,
        result: String,
    },
    /// A search of the web.
    Search {
        queries: Vec<String>,
        sources: Vec<String>,
    },
    Raw(Value),
    Usage(Usage),
    Finish(Finish),
    Fail(ScriptedFailure),
    Delay(Duration),
    /// Waits for [`super::Scripted::open`].
    Gate(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptedCall {
    pub name: String,
    /// JSON, or broken on purpose.
    pub arguments: String,
    pub call_id: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScriptedFailure {
    Overloaded,
    Failed,
    Overflow,
    Unconfigured,
}

impl ScriptedResponse {
    pub fn steps(steps: impl Into<Vec<ScriptedStep>>) -> Self {
        Self::Steps(steps.into())
    }

    /// A message; `|` stands between its deltas.
    pub fn text(text: &str) -> Self {
        Self::steps([ScriptedStep::text(text)])
    }

    /// One tool call.
    #[expect(clippy::needless_pass_by_value, reason = "it is called with `json!`")]
    pub fn call(name: &str, arguments: Value) -> Self {
        Self::steps([ScriptedStep::call(name, &arguments)])
    }

    pub fn fail(failure: ScriptedFailure) -> Self {
        Self::steps([ScriptedStep::Fail(failure)])
    }

    /// The answer to a request that is not streamed.
    pub fn complete(text: &str) -> Self {
        Self::Complete(text.to_owned())
    }
}

impl ScriptedStep {
    /// A text; `|` stands between its deltas.
    pub fn text(text: &str) -> Self {
        Self::Text(deltas(text))
    }

    pub fn call(name: &str, arguments: &Value) -> Self {
        let arguments = arguments.to_string();
        Self::Call(ScriptedCall { name: name.to_owned(), arguments, call_id: None })
    }
}

/// Reads a script; `file` is what errors name.
pub fn parse(text: &str, file: &str) -> Result<Vec<ScriptedResponse>, LoadError> {
    serde_json::from_str(text).map_err(|err| {
        let position = format!(" at line {} column {}", err.line(), err.column());
        let message = err.to_string();
        let message = message.strip_suffix(&position).unwrap_or(&message);
        LoadError::new(file, message).at(err.line(), Some(err.column())).remedy(
            "a script is a list of responses, each a list of steps like `{\"text\": \"Hi\"}` or \
             `{\"call\": \"tool\", \"args\": {}}`",
        )
    })
}

/// A list of steps, a single step, or `{"complete": "text"}`.
impl<'de> Deserialize<'de> for ScriptedResponse {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Response;

        impl<'de> Visitor<'de> for Response {
            type Value = ScriptedResponse;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a response: a list of steps, or one step")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut steps = Vec::new();
                while let Some(step) = list.next_element()? {
                    steps.push(step);
                }
                Ok(ScriptedResponse::Steps(steps))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let mut raw = RawStep::deserialize(MapAccessDeserializer::new(map))?;
                if let Some(text) = raw.complete.take() {
                    return Ok(ScriptedResponse::Complete(text));
                }
                let step = ScriptedStep::try_from(raw).map_err(de::Error::custom)?;
                Ok(ScriptedResponse::Steps(vec![step]))
            }
        }

        deserializer.deserialize_any(Response)
    }
}

/// A step as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
    text: Option<String>,
    texts: Option<Vec<String>>,
    refusal: Option<String>,
    reasoning: Option<String>,
    annotation: Option<RawAnnotation>,
    call: Option<String>,
    args: Option<Value>,
    id: Option<String>,
    image: Option<String>,
    partials: Option<Vec<String>>,
    search: Option<Vec<String>>,
    sources: Option<Vec<String>>,
    raw: Option<Value>,
    usage: Option<RawUsage>,
    finish: Option<RawFinish>,
    fail: Option<ScriptedFailure>,
    delay_ms: Option<u64>,
    gate: Option<String>,
    complete: Option<String>,
}

/// ChatKit's annotation, whose `type` goes without saying.
#[derive(Deserialize)]
struct RawAnnotation {
    source: crate::chatkit::Source,
    index: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUsage {
    input_tokens: u64,
    output_tokens: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawFinish {
    Stop,
    Length,
    Filtered,
}

impl TryFrom<RawStep> for ScriptedStep {
    type Error = String;

    fn try_from(raw: RawStep) -> Result<Self, String> {
        if raw.call.is_none() && (raw.args.is_some() || raw.id.is_some()) {
            return Err("`args` and `id` belong to a `call`: name the tool".to_owned());
        }
        if raw.image.is_none() && raw.partials.is_some() {
            return Err("`partials` belong to an `image`: give it too".to_owned());
        }
        if raw.search.is_none() && raw.sources.is_some() {
            return Err("`sources` belong to a `search`: give it too".to_owned());
        }
        if raw.complete.is_some() {
            return Err("`complete` is a response of its own, not a step".to_owned());
        }
        let call = raw.call.map(|name| {
            let arguments = match raw.args {
                None => "{}".to_owned(),
                Some(Value::String(text)) => text,
                Some(arguments) => arguments.to_string(),
            };
            Self::Call(ScriptedCall { name, arguments, call_id: raw.id })
        });
        let image = raw
            .image
            .map(|result| Self::Image { partials: raw.partials.unwrap_or_default(), result });
        let steps = [
            raw.text.or(raw.refusal).map(|text| Self::Text(deltas(&text))),
            raw.texts.map(Self::Text),
            raw.reasoning.map(|text| Self::Reasoning(deltas(&text))),
            raw.annotation.map(|RawAnnotation { source, index }| {
                Self::Annotation(Box::new(Annotation { source, index }))
            }),
            call,
            image,
            raw.search
                .map(|queries| Self::Search { queries, sources: raw.sources.unwrap_or_default() }),
            raw.raw.map(Self::Raw),
            raw.usage.map(|RawUsage { input_tokens, output_tokens }| {
                Self::Usage(Usage { input_tokens, output_tokens })
            }),
            raw.finish.map(|finish| {
                Self::Finish(match finish {
                    RawFinish::Stop => Finish::Stop,
                    RawFinish::Length => Finish::Length,
                    RawFinish::Filtered => Finish::Filtered,
                })
            }),
            raw.fail.map(Self::Fail),
            raw.delay_ms.map(|delay| Self::Delay(Duration::from_millis(delay))),
            raw.gate.map(Self::Gate),
        ];
        let mut steps = steps.into_iter().flatten();
        match (steps.next(), steps.next()) {
            (Some(step), None) => Ok(step),
            (None, _) => Err("a step says what the model does, e.g. `text` or `call`".to_owned()),
            (Some(_), Some(_)) => Err("a step does one thing: make several of it".to_owned()),
        }
    }
}

/// `|` stands between deltas.
fn deltas(text: &str) -> Vec<String> {
    text.split('|').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn error(script: &str) -> String {
        parse(script, "script.json").unwrap_err().to_string()
    }

    #[test]
    fn errors_say_where_and_what_to_do() {
        assert_snapshot!(error("[[{ \"txt\": \"a\" }]]"), @r#"script.json:1:9: unknown field `txt`, expected one of `text`, `texts`, `refusal`, `reasoning`, `annotation`, `call`, `args`, `id`, `image`, `partials`, `search`, `sources`, `raw`, `usage`, `finish`, `fail`, `delay_ms`, `gate`, `complete` (a script is a list of responses, each a list of steps like `{"text": "Hi"}` or `{"call": "tool", "args": {}}`)"#);
        assert_snapshot!(error("[\n  { \"args\": {} }\n]"), @r#"script.json:2:16: `args` and `id` belong to a `call`: name the tool (a script is a list of responses, each a list of steps like `{"text": "Hi"}` or `{"call": "tool", "args": {}}`)"#);
        assert_snapshot!(error("[{ \"text\": \"a\", \"call\": \"b\" }]"), @r#"script.json:1:29: a step does one thing: make several of it (a script is a list of responses, each a list of steps like `{"text": "Hi"}` or `{"call": "tool", "args": {}}`)"#);
        assert_snapshot!(error("[{}]"), @r#"script.json:1:3: a step says what the model does, e.g. `text` or `call` (a script is a list of responses, each a list of steps like `{"text": "Hi"}` or `{"call": "tool", "args": {}}`)"#);
        assert_snapshot!(error("[[{ \"complete\": \"a\" }]]"), @r#"script.json:1:22: `complete` is a response of its own, not a step (a script is a list of responses, each a list of steps like `{"text": "Hi"}` or `{"call": "tool", "args": {}}`)"#);
        assert_snapshot!(error("[[{ \"partials\": [] }]]"), @r#"script.json:1:21: `partials` belong to an `image`: give it too (a script is a list of responses, each a list of steps like `{"text": "Hi"}` or `{"call": "tool", "args": {}}`)"#);
        assert_snapshot!(error("[5]"), @r#"script.json:1:2: invalid type: integer `5`, expected a response: a list of steps, or one step (a script is a list of responses, each a list of steps like `{"text": "Hi"}` or `{"call": "tool", "args": {}}`)"#);
        assert_snapshot!(error("[{ \"fail\": \"x\" }]"), @r#"script.json:1:14: unknown variant `x`, expected one of `overloaded`, `failed`, `overflow`, `unconfigured` (a script is a list of responses, each a list of steps like `{"text": "Hi"}` or `{"call": "tool", "args": {}}`)"#);
        assert_snapshot!(error("{"), @r#"script.json:1:0: invalid type: map, expected a sequence (a script is a list of responses, each a list of steps like `{"text": "Hi"}` or `{"call": "tool", "args": {}}`)"#);
    }

    #[test]
    fn a_response_may_be_one_step() {
        let script = r#"[{ "text": "a|b" }, { "delay_ms": 5 }, { "complete": "t" }]"#;
        assert_eq!(
            parse(script, "script.json").unwrap(),
            [
                ScriptedResponse::text("a|b"),
                ScriptedResponse::steps([ScriptedStep::Delay(Duration::from_millis(5))]),
                ScriptedResponse::complete("t"),
            ]
        );
    }
}
