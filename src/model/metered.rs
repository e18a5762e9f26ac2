//! Calls of models, counted and traced, whoever makes them.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use futures::{
    Stream,
    future::BoxFuture,
    stream::{BoxStream, StreamExt},
};
use serde_json::{Value, json};

use super::{
    Completion, Finish, InputContent, InputItem, Model, ModelError, ModelEvent, ModelRequest, Role,
    Usage,
};
use crate::{
    telemetry::{self, Place, Traced, count},
    tool::Spent,
};

/// A provider whose calls are counted and traced.
pub struct Metered {
    /// In `[models]`.
    key: Arc<str>,
    /// As the conventions for traces name it.
    provider: Arc<str>,
    inner: Arc<dyn Model>,
}

impl Metered {
    pub fn new(key: &str, provider: &str, inner: Arc<dyn Model>) -> Self {
        Self { key: key.into(), provider: provider.into(), inner }
    }

    fn begin(&self, request: &ModelRequest) -> Call {
        let model = request.model.as_str();
        let traced = Traced::begin(format!("chat {model}"), Place::Client);
        if traced.is_recording() {
            traced.set("gen_ai.operation.name", "chat");
            traced.set("gen_ai.provider.name", self.provider.clone());
            traced.set("gen_ai.request.model", model.to_owned());
            if let Some(temperature) = request.temperature {
                traced.set("gen_ai.request.temperature", temperature);
            }
            traced.set_content("gen_ai.system_instructions", || {
                json!([{ "type": "text", "content": request.instructions }]).to_string()
            });
            traced.set_content("gen_ai.input.messages", || messages(&request.input).to_string());
        }
        Call {
            key: self.key.clone(),
            traced,
            spent: request.spent.clone(),
            begin: Instant::now(),
            has_spoken: false,
            usage: Usage::default(),
            said: Said::default(),
            outcome: None,
        }
    }
}

impl Model for Metered {
    fn stream(&self, request: ModelRequest) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
        let call = self.begin(&request);
        let inner = call.traced.enter(|| self.inner.stream(request));
        Box::pin(Answer { inner, call })
    }

    fn complete(
        &self,
        request: ModelRequest,
    ) -> BoxFuture<'static, Result<Completion, ModelError>> {
        let mut call = self.begin(&request);
        let answer = self.inner.complete(request);
        Box::pin(async move {
            let result = call.traced.run(answer).await;
            call.end(&result);
            drop(call);
            result
        })
    }
}

/// A call until it is over.
struct Call {
    key: Arc<str>,
    traced: Traced,
    spent: Spent,
    begin: Instant,
    has_spoken: bool,
    usage: Usage,
    said: Said,
    /// None while it is not over: whoever asked may leave.
    outcome: Option<Outcome>,
}

#[derive(Debug, Clone, Copy)]
enum Outcome {
    /// How the provider ended it.
    Done(&'static str),
    Failed(&'static str),
}

impl Call {
    fn see(&mut self, event: &Result<ModelEvent, ModelError>) {
        match event {
            Ok(ModelEvent::TextDelta { delta, .. }) => {
                if !self.has_spoken {
                    self.has_spoken = true;
                    let seconds = self.begin.elapsed().as_secs_f64();
                    self.traced.set("gen_ai.response.time_to_first_chunk", seconds);
                }
                self.said.text(delta);
            }
            Ok(ModelEvent::ToolCall(call)) => self.said.call(&call.name, &call.arguments),
            Ok(ModelEvent::Usage(usage)) => {
                self.usage.input_tokens += usage.input_tokens;
                self.usage.output_tokens += usage.output_tokens;
            }
            Ok(ModelEvent::Done(how)) => self.outcome = Some(finish(*how)),
            Ok(
                ModelEvent::MessageAdded
                | ModelEvent::ContentPartAdded { .. }
                | ModelEvent::Annotation { .. }
                | ModelEvent::ContentPartDone { .. }
                | ModelEvent::MessageDone
                | ModelEvent::ReasoningAdded
                | ModelEvent::ReasoningDelta { .. }
                | ModelEvent::ReasoningDone { .. }
                | ModelEvent::SearchAdded { .. }
                | ModelEvent::SearchDone(_)
                | ModelEvent::ImageAdded
                | ModelEvent::ImagePartial { .. }
                | ModelEvent::ImageDone { .. }
                | ModelEvent::Raw(_),
            ) => (),
            Err(err) => self.fail(err),
        }
    }

    fn end(&mut self, result: &Result<Completion, ModelError>) {
        match result {
            Ok(completion) => {
                self.usage = completion.usage;
                self.said.text(&completion.text);
                self.outcome = Some(finish(Finish::Stop));
            }
            Err(err) => self.fail(err),
        }
    }

    fn fail(&mut self, err: &ModelError) {
        self.outcome = Some(Outcome::Failed(match err {
            ModelError::Overloaded { .. } => "overloaded",
            ModelError::ContextOverflow(_) => "context_overflow",
            ModelError::Unconfigured(_) => "unconfigured",
            ModelError::Failed(_) => "failed",
        }));
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let Usage { input_tokens, output_tokens } = self.usage;
        let outcome = match self.outcome {
            Some(Outcome::Done(_)) => "ok",
            Some(Outcome::Failed(why)) => why,
            None => "left",
        };
        count::model_call(&self.key, outcome, self.begin.elapsed());
        count::tokens(&self.key, input_tokens, output_tokens);
        self.spent.add(input_tokens.saturating_add(output_tokens));
        if !self.traced.is_recording() {
            return;
        }
        let number = |it: u64| i64::try_from(it).unwrap_or(i64::MAX);
        if input_tokens + output_tokens > 0 {
            self.traced.set("gen_ai.usage.input_tokens", number(input_tokens));
            self.traced.set("gen_ai.usage.output_tokens", number(output_tokens));
        }
        match self.outcome {
            Some(Outcome::Done(reason)) => {
                self.traced.set_list("gen_ai.response.finish_reasons", &[reason]);
            }
            Some(Outcome::Failed(why)) => self.traced.fail(why),
            None => self.traced.fail("cancelled"),
        }
        self.traced.set_content("gen_ai.output.messages", || self.said.to_json().to_string());
    }
}

fn finish(finish: Finish) -> Outcome {
    Outcome::Done(match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::Filtered => "content_filter",
    })
}

/// What the model says, where traces are to hold it.
#[derive(Debug, Default)]
struct Said {
    text: String,
    calls: Vec<Value>,
}

impl Said {
    fn text(&mut self, text: &str) {
        if telemetry::holds_content() {
            self.text.push_str(text);
        }
    }

    fn call(&mut self, name: &str, arguments: &str) {
        if telemetry::holds_content() {
            self.calls.push(json!({ "type": "tool_call", "name": name, "arguments": arguments }));
        }
    }

    fn to_json(&self) -> Value {
        let mut parts = vec![json!({ "type": "text", "content": self.text })];
        parts.extend(self.calls.iter().cloned());
        json!([{ "role": "assistant", "parts": parts }])
    }
}

/// As the conventions have messages. What is no text is named, not shown.
fn messages(input: &[InputItem]) -> Value {
    let part = |content: &InputContent| match content {
        InputContent::Text(text) => json!({ "type": "text", "content": text }),
        InputContent::Image { .. } => json!({ "type": "image" }),
        InputContent::File { .. } => json!({ "type": "file" }),
    };
    let message = |item: &InputItem| match item {
        InputItem::Message { role, content } => {
            let role = match role {
                Role::User => "user",
                Role::Assistant => "assistant",
            };
            let parts: Vec<_> = content.iter().map(part).collect();
            Some(json!({ "role": role, "parts": parts }))
        }
        InputItem::FunctionCall { call_id, name, arguments } => {
            let call =
                json!({ "type": "tool_call", "id": call_id, "name": name, "arguments": arguments });
            Some(json!({ "role": "assistant", "parts": [call] }))
        }
        InputItem::FunctionCallOutput { call_id, output } => {
            let output: Vec<_> = output.iter().map(part).collect();
            let result = json!({ "type": "tool_call_response", "id": call_id, "response": output });
            Some(json!({ "role": "tool", "parts": [result] }))
        }
        InputItem::Raw(_) => None,
    };
    input.iter().filter_map(message).collect()
}

/// The answer of a provider on its way to whoever asked.
struct Answer {
    inner: BoxStream<'static, Result<ModelEvent, ModelError>>,
    call: Call,
}

impl Stream for Answer {
    type Item = Result<ModelEvent, ModelError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let polled = this.call.traced.enter(|| this.inner.poll_next_unpin(cx));
        if let Poll::Ready(Some(event)) = &polled {
            this.call.see(event);
        }
        polled
    }
}
