//! A model that says what it was told to say: it drives all tests, and replays files.
//!
//! A script is a list of responses, one for each time that the model is asked; a response is a list
//! of steps, or a single one:
//!
//! ```json
//! [
//!   [{ "reasoning": "The user wants|a number." }, { "call": "roll_dice", "args": { "sides": 6 } }],
//!   { "text": "You rolled| a 4." },
//!   { "fail": "overloaded" }
//! ]
//! ```
//!
//! | step | what the model does |
//! |---|---|
//! | `{"text": "a\|b"}`, `{"texts": ["a", "b"]}` | says the deltas; texts that follow each other are one message |
//! | `{"refusal": "a\|b"}` | the same, of a refusal |
//! | `{"annotation": {"source": …, "index": 3}}` | annotates what was said last (as in ChatKit) |
//! | `{"reasoning": "a\|b"}` | thinks; steps that follow each other are summaries of one reasoning |
//! | `{"call": "tool", "args": {…}, "id": "call_1"}` | calls a tool; `args` may be a string, for broken JSON; `id` may be left out |
//! | `{"image": "base64", "partials": ["base64"]}` | draws |
//! | `{"raw": {…}}` | an output item to be sent back as it is |
//! | `{"usage": {"input_tokens": 1, "output_tokens": 2}}` | |
//! | `{"finish": "stop" \| "length" \| "filtered"}` | why it ends |
//! | `{"fail": "overloaded" \| "failed" \| "overflow" \| "unconfigured"}` | ends with an error |
//! | `{"delay_ms": 20}` | waits |
//! | `{"gate": "name"}` | waits until the test calls [`Scripted::open`] |
//!
//! `<<find REGEX>>` in a text or an argument is what the model was shown: the first match in its instructions or its input, or
//! the match's first group. In a script that is said before it runs, a call passes on so what only the turn knows.
//!
//! A response `{"complete": "text"}` answers one request that is not streamed (a title, `ctx.model`);
//! those are taken in their own order, so that a title asked for beside a turn takes nothing from it.

mod answer;
mod quote;
mod step;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_stream::try_stream;
use futures::{future::BoxFuture, stream::BoxStream};
use tokio::{sync::watch, time::sleep};

use self::answer::Answer;
pub use self::step::{ScriptedFailure, ScriptedResponse, ScriptedStep};
use super::{Completion, Model, ModelError, ModelEvent, ModelRequest, Usage};
use crate::load_error::LoadError;

/// A model that says what it was told to say. Its clones are one model: a test keeps one to look
/// into it and to open its gates.
#[derive(Clone)]
pub struct Scripted(Arc<Script>);

#[derive(Default)]
struct Script {
    state: Mutex<State>,
    /// A replayed file may run for long; nobody reads its requests.
    records: bool,
}

#[derive(Default)]
struct State {
    responses: VecDeque<Vec<ScriptedStep>>,
    completions: VecDeque<String>,
    requests: Vec<ModelRequest>,
    gates: HashMap<String, Arc<Gate>>,
}

struct Gate {
    is_open: watch::Sender<bool>,
    reached: watch::Sender<usize>,
}

impl Scripted {
    pub fn new(responses: Vec<ScriptedResponse>) -> Self {
        Self::with(responses, true)
    }

    /// The same, which forgets the requests it gets.
    pub fn replaying(responses: Vec<ScriptedResponse>) -> Self {
        Self::with(responses, false)
    }

    /// Reads a script; `file` is what errors name.
    pub fn parse(text: &str, file: &str) -> Result<Vec<ScriptedResponse>, LoadError> {
        step::parse(text, file)
    }

    fn with(responses: Vec<ScriptedResponse>, records: bool) -> Self {
        let scripted = Self(Arc::new(Script { records, ..Script::default() }));
        for response in responses {
            scripted.push(response);
        }
        scripted
    }

    /// Adds a response at the end.
    pub fn push(&self, response: ScriptedResponse) {
        match response {
            ScriptedResponse::Steps(steps) => self.state().responses.push_back(steps),
            ScriptedResponse::Complete(text) => self.state().completions.push_back(text),
        }
    }

    /// What it was asked so far, streamed or not, in order.
    pub fn requests(&self) -> Vec<ModelRequest> {
        self.state().requests.clone()
    }

    /// How many responses nobody has asked for.
    pub fn remaining(&self) -> usize {
        let state = self.state();
        state.responses.len() + state.completions.len()
    }

    /// Lets all who wait at this gate go on, now and later.
    pub fn open(&self, gate: &str) {
        self.gate(gate).is_open.send_replace(true);
    }

    /// Waits until an answer has come to this gate.
    pub async fn reached(&self, gate: &str) {
        let mut reached = self.gate(gate).reached.subscribe();
        // The gate is never dropped before its script.
        let _ = reached.wait_for(|times| *times > 0).await;
    }

    fn gate(&self, name: &str) -> Arc<Gate> {
        let mut state = self.state();
        let gate = state.gates.entry(name.to_owned()).or_insert_with(|| {
            Arc::new(Gate { is_open: watch::Sender::new(false), reached: watch::Sender::new(0) })
        });
        Arc::clone(gate)
    }

    fn record(&self, request: ModelRequest) {
        if self.0.records {
            self.state().requests.push(request);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Model for Scripted {
    fn stream(&self, request: ModelRequest) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
        let steps = self.state().responses.pop_front();
        let steps = steps.map(|it| quote::fill(it, &request));
        self.record(request);
        let scripted = self.clone();
        Box::pin(try_stream! {
            let mut answer = Answer::default();
            for step in steps.ok_or_else(used_up)? {
                match step {
                    ScriptedStep::Delay(duration) => sleep(duration).await,
                    ScriptedStep::Gate(name) => {
                        let gate = scripted.gate(&name);
                        gate.reached.send_modify(|times| *times += 1);
                        let _ = gate.is_open.subscribe().wait_for(|is_open| *is_open).await;
                    }
                    ScriptedStep::Fail(failure) => Err(error_of(failure))?,
                    step => {
                        for event in answer.play(step) {
                            yield event;
                        }
                    }
                }
            }
            for event in answer.end() {
                yield event;
            }
        })
    }

    fn complete(
        &self,
        request: ModelRequest,
    ) -> BoxFuture<'static, Result<Completion, ModelError>> {
        self.record(request);
        let text = self.state().completions.pop_front();
        Box::pin(async move {
            let text = text.ok_or_else(|| {
                ModelError::Failed("the script has no further `complete`: add one".to_owned())
            })?;
            Ok(Completion { text, usage: Usage::default() })
        })
    }
}

fn used_up() -> ModelError {
    ModelError::Failed("the script has no further response: add one".to_owned())
}

fn error_of(failure: ScriptedFailure) -> ModelError {
    let text = "as the script says".to_owned();
    match failure {
        ScriptedFailure::Overloaded => ModelError::Overloaded { message: text, retry_after: None },
        ScriptedFailure::Failed => ModelError::Failed(text),
        ScriptedFailure::Overflow => ModelError::ContextOverflow(text),
        ScriptedFailure::Unconfigured => ModelError::Unconfigured(text),
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use insta::assert_snapshot;
    use serde_json::json;

    use super::*;
    use crate::model::tests::{events, say};

    /// The events of the first response of a script.
    async fn play(script: &str) -> String {
        let scripted = Scripted::new(Scripted::parse(script, "script.json").unwrap());
        events(scripted.stream(ModelRequest::default())).await
    }

    #[tokio::test]
    async fn texts_that_follow_each_other_are_one_message() {
        assert_snapshot!(play(r#"[[
            { "reasoning": "One|." }, { "reasoning": "Two." },
            { "text": "a|b" }, { "texts": ["c|"] },
            { "annotation": { "source": { "type": "url", "title": "t", "url": "u" }, "index": 1 } },
            { "call": "roll", "args": { "n": 1 }, "id": "call_1" },
            { "call": "roll", "args": "{broken" , "id": "call_2" },
            { "refusal": "No." },
            { "usage": { "input_tokens": 1, "output_tokens": 2 } },
            { "finish": "length" }
        ]]"#).await, @r#"
        reasoning
          0 "One"
          0 "."
          0 done "One."
          1 "Two."
          1 done "Two."
        message
          part 0
            "a"
            "b"
            "c|"
            {"type":"annotation","source":{"type":"url","title":"t","url":"u"},"index":1}
          part 0 done "abc|"
        message done
        call roll {"n":1} call_1
        call roll {broken call_2
        message
          part 0
            "No."
          part 0 done "No."
        message done
        usage 1 2
        done Length
        "#);
    }

    #[tokio::test]
    async fn a_failure_ends_the_answer() {
        assert_snapshot!(play(r#"[[{ "text": "a" }, { "fail": "overflow" }]]"#).await, @r#"
        message
          part 0
            "a"
        error the input is too long for the model: as the script says
        "#);
    }

    #[tokio::test]
    async fn a_script_that_is_used_up_says_so() {
        assert_snapshot!(play("[]").await, @"error the model failed: the script has no further response: add one");
    }

    #[tokio::test]
    async fn an_answer_waits_at_a_gate_until_it_is_opened() {
        let scripted = Scripted::new(vec![ScriptedResponse::steps([
            ScriptedStep::text("a"),
            ScriptedStep::Gate("middle".to_owned()),
            ScriptedStep::text("b"),
        ])]);
        let mut stream = scripted.stream(ModelRequest::default());
        for _ in 0..3 {
            stream.next().await.unwrap().unwrap();
        }
        let other = scripted.clone();
        let (rest, ()) = tokio::join!(stream.collect::<Vec<_>>(), async move {
            other.reached("middle").await;
            other.open("middle");
        });
        assert_eq!(rest.len(), 4);
    }

    #[tokio::test]
    async fn a_script_passes_on_what_the_model_was_shown() {
        let scripted = Scripted::new(vec![ScriptedResponse::steps([
            ScriptedStep::text("say <<find h(\\w+)>>|!"),
            ScriptedStep::call("roll", &json!({ "<<find o>>": ["<<find \\d>>", "<<find none>>"] })),
        ])]);
        let played = events(scripted.stream(say("hello 5"))).await;
        assert!(
            played.contains("\"say ello\"") && played.contains(r#"{"o":["5",""]}"#),
            "{played}"
        );
    }

    #[tokio::test]
    async fn requests_are_kept_and_completions_have_their_own_order() {
        let scripted = Scripted::new(vec![
            ScriptedResponse::complete("A title"),
            ScriptedResponse::call("roll", json!({})),
        ]);
        assert_eq!(scripted.complete(say("title")).await.unwrap().text, "A title");
        assert!(events(scripted.stream(say("roll"))).await.contains("call"));
        assert_eq!(scripted.remaining(), 0);
        assert_eq!(
            scripted.complete(say("again")).await.unwrap_err().to_string(),
            "the model failed: the script has no further `complete`: add one"
        );
        let inputs = [say("title"), say("roll"), say("again")].map(|request| request.input);
        let recorded: Vec<_> = scripted.requests().into_iter().map(|it| it.input).collect();
        assert_eq!(recorded, inputs);
    }
}
