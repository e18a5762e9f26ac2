use std::time::Duration;

use serde_json::{Map, Value};
use tracing::warn;

use super::or_cancelled;
use crate::{
    model::{InputContent, InputItem, ModelError, ModelRequest, Role, complete},
    plugin::{CallError, Host, Manifest, Need, toml_file::nearest},
    tool::CallContext,
};

const TIMEOUT: Duration = Duration::from_mins(1);

/// What `ctx.model` is asked.
#[derive(Debug, PartialEq)]
struct Question {
    prompt: String,
    /// A key of `[models]`.
    model: Option<String>,
    schema: Option<Value>,
}

impl Host {
    /// `ctx.model(prompt or #{ prompt, model, schema })`: the text, or parsed JSON where a schema is given.
    pub async fn model(
        &self,
        plugin: &Manifest,
        context: &CallContext,
        request: Value,
    ) -> Result<Value, CallError> {
        plugin.check(&Need::Model).map_err(CallError::Thrown)?;
        let Question { prompt, model, schema } =
            Question::parse(request).map_err(CallError::Thrown)?;
        let model = self.models.choose(model.as_deref()).map_err(|err| explain(&err, plugin))?;
        let is_json = schema.is_some();
        let request = ModelRequest {
            model: model.model.clone(),
            input: vec![InputItem::Message {
                role: Role::User,
                content: vec![InputContent::Text(prompt)],
            }],
            schema,
            spent: context.spent.clone(),
            ..ModelRequest::default()
        };
        let answer = tokio::time::timeout(TIMEOUT, complete(&model, request));
        let Ok(answer) = or_cancelled(context, answer).await? else {
            let seconds = TIMEOUT.as_secs();
            let message = format!("the model did not answer within {seconds} s");
            return Err(CallError::Thrown(message));
        };
        let text = answer.map_err(|err| explain(&err, plugin))?;
        if !is_json {
            return Ok(Value::String(text));
        }
        serde_json::from_str(without_fence(&text)).map_err(|err| {
            CallError::Thrown(format!("the model's answer is not the JSON it was asked for: {err}"))
        })
    }
}

const KEYS: &[&str] = &["prompt", "model", "schema"];

impl Question {
    fn parse(request: Value) -> Result<Self, String> {
        let mut map = match request {
            Value::String(prompt) => return Ok(Self { prompt, model: None, schema: None }),
            Value::Object(map) => map,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
                return Err(
                    "`model` needs a prompt, or a map with `prompt`, and `model` and `schema` \
                            where wanted"
                        .to_owned(),
                );
            }
        };
        if let Some(unknown) = map.keys().find(|key| !KEYS.contains(&key.as_str())) {
            let near = nearest(unknown, KEYS).map_or_else(
                || format!("it knows `{}`", KEYS.join("`, `")),
                |near| format!("did you mean `{near}`?"),
            );
            return Err(format!("`model` knows no `{unknown}`: {near}"));
        }
        let Some(prompt) = take_text(&mut map, "prompt")? else {
            return Err("`model` lacks `prompt`: say what it shall answer".to_owned());
        };
        let model = take_text(&mut map, "model")?;
        let schema = map.remove("schema").filter(|it| !it.is_null());
        if schema.as_ref().is_some_and(|it| !it.is_object()) {
            return Err("`schema` of `model` must be a JSON Schema, which is a map".to_owned());
        }
        Ok(Self { prompt, model, schema })
    }
}

fn take_text(map: &mut Map<String, Value>, key: &str) -> Result<Option<String>, String> {
    match map.remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("`{key}` of `model` must be a string")),
    }
}

/// Models that are not held to a schema like to put their JSON into a fence.
fn without_fence(text: &str) -> &str {
    let text = text.trim();
    let Some(inner) = text.strip_prefix("```").and_then(|it| it.strip_suffix("```")) else {
        return text;
    };
    inner.split_once('\n').map_or(inner, |(_, json)| json)
}

/// The provider's own words are for the log.
fn explain(err: &ModelError, plugin: &Manifest) -> CallError {
    CallError::Thrown(match err {
        ModelError::Unconfigured(message) => message.clone(),
        ModelError::ContextOverflow(_) => "the prompt is too long for the model".to_owned(),
        ModelError::Overloaded { .. } => "the model is overloaded: try again later".to_owned(),
        ModelError::Failed(_) => {
            let name = &plugin.name;
            warn!(plugin = %name, error = %err, "plugin {name} got no answer from a model: {err}");
            "the model failed".to_owned()
        }
    })
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_question_is_a_prompt_or_a_map() {
        let question = Question::parse(json!("hi")).unwrap();
        assert_eq!(question, Question { prompt: "hi".to_owned(), model: None, schema: None });
        let question = Question::parse(
            json!({ "prompt": "hi", "model": "small", "schema": { "type": "object" } }),
        );
        assert_eq!(
            question.unwrap(),
            Question {
                prompt: "hi".to_owned(),
                model: Some("small".to_owned()),
                schema: Some(json!({ "type": "object" })),
            }
        );
    }

    #[test]
    fn a_wrong_question_says_what_is_wrong() {
        let error = |request| Question::parse(request).unwrap_err();
        assert_snapshot!(error(json!(3)), @"`model` needs a prompt, or a map with `prompt`, and `model` and `schema` where wanted");
        assert_snapshot!(error(json!({ "promt": "hi" })), @"`model` knows no `promt`: did you mean `prompt`?");
        assert_snapshot!(error(json!({ "model": "small" })), @"`model` lacks `prompt`: say what it shall answer");
        assert_snapshot!(error(json!({ "prompt": 3 })), @"`prompt` of `model` must be a string");
        assert_snapshot!(error(json!({ "prompt": "hi", "schema": "text" })), @"`schema` of `model` must be a JSON Schema, which is a map");
    }

    #[test]
    fn json_is_read_inside_a_fence() {
        assert_eq!(without_fence("```json\n{\"a\": 1}\n```"), "{\"a\": 1}\n");
        assert_eq!(without_fence(" {\"a\": 1} "), "{\"a\": 1}");
    }
}
