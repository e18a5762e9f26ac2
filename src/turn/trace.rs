//! Writes down what a turn does, for those who may look.

use std::{sync::Arc, time::Instant};

use uuid::Uuid;

use crate::{
    app::{Traced, TracedModel, TracedStep, TracedTool, TracedTurn, TurnState},
    chatkit::now,
    model::{ModelRequest, ToolCall, Usage},
    turn::{Cause, Failure, Turn, TurnEnd},
};

/// Of a text that is kept, in bytes.
const TEXT_BYTES: usize = 16 * 1024;

/// What is written down of a running turn.
pub struct Trace {
    turn: TracedTurn,
    began: Instant,
    steps: usize,
    asked: Option<Asked>,
    /// As the model was sent them last.
    instructions: String,
}

/// A call of the model that is under way.
struct Asked {
    began: Instant,
    /// In milliseconds.
    first: Option<u64>,
    before: Usage,
    shown: TracedModel,
}

impl Turn {
    /// Nothing is written down for those who could not look.
    pub fn begin_trace(&mut self, cause: &Cause) {
        let user = self.context.user.as_ref();
        let is_operator = user.is_some_and(|it| it.roles.iter().any(|role| role == "operator"));
        if !is_operator && !self.generation.config.is_local() {
            return;
        }
        let turn = TracedTurn {
            user: self.sink.user.clone(),
            id: Arc::from(Uuid::now_v7().simple().to_string()),
            thread_id: Arc::from(self.thread.id.to_string()),
            agent: self.agent.id.clone(),
            model: self.model.as_ref().ok().map(|it| it.model.clone()),
            generation: self.generation.id.clone(),
            cause: name_of(cause),
            started_at: now(),
            state: TurnState::Running,
            error: None,
            milliseconds: None,
            input_tokens: 0,
            output_tokens: 0,
            steps: Vec::new(),
        };
        self.app.timeline.begin(turn.clone());
        self.trace = Some(Box::new(Trace {
            turn,
            began: Instant::now(),
            steps: 0,
            asked: None,
            instructions: String::new(),
        }));
    }

    pub fn trace_request(&mut self, request: &ModelRequest) {
        if self.trace.is_none() {
            return;
        }
        let instructions = self.shown(&request.instructions);
        let before = self.usage;
        let Some(trace) = &mut self.trace else { return };
        let is_new = trace.instructions != instructions;
        if is_new {
            trace.instructions.clone_from(&instructions);
        }
        trace.asked = Some(Asked {
            began: Instant::now(),
            first: None,
            before,
            shown: TracedModel {
                model: request.model.clone(),
                first: None,
                input_items: request.input.len(),
                tools: request.tools.len(),
                calls: 0,
                input_tokens: 0,
                output_tokens: 0,
                instructions: is_new.then_some(instructions),
                error: None,
            },
        });
    }

    /// The model's first word is here.
    pub fn trace_first_event(&mut self) {
        if let Some(asked) = self.trace.as_mut().and_then(|it| it.asked.as_mut()) {
            asked.first.get_or_insert_with(|| milliseconds_since(asked.began));
        }
    }

    pub fn trace_answer(&mut self, answer: &Result<Vec<ToolCall>, TurnEnd>) {
        let Some(asked) = self.trace.as_mut().and_then(|it| it.asked.take()) else { return };
        let error = match answer {
            Ok(_) | Err(TurnEnd::Ended) => None,
            Err(TurnEnd::Cancelled) => Some("cancelled".to_owned()),
            Err(TurnEnd::Failed(failure)) => Some(self.shown(&reason(failure))),
        };
        let failed = matches!(answer, Err(TurnEnd::Failed(_)));
        let milliseconds = milliseconds_since(asked.began);
        let what = Traced::Model(TracedModel {
            first: asked.first,
            calls: answer.as_ref().map_or(0, Vec::len),
            input_tokens: self.usage.input_tokens - asked.before.input_tokens,
            output_tokens: self.usage.output_tokens - asked.before.output_tokens,
            error,
            ..asked.shown
        });
        self.add_step(milliseconds, failed, what);
    }

    pub fn trace_call(&mut self, call: &ToolCall, output: &str, failed: bool, milliseconds: u64) {
        if self.trace.is_none() {
            return;
        }
        let arguments = self.seals.unseal_names(&call.arguments).into_owned();
        let what = Traced::Tool(TracedTool {
            tool: self.shown(&call.name),
            arguments: self.shown(&arguments),
            output: self.shown(output),
        });
        self.add_step(milliseconds, failed, what);
    }

    /// What is to be said of the turn's end, before it is acted upon.
    pub fn trace_end(&mut self, end: Option<&TurnEnd>) {
        if self.trace.is_none() {
            return;
        }
        let (state, error) = match end {
            None | Some(TurnEnd::Ended) => (TurnState::Done, None),
            Some(TurnEnd::Cancelled) => (TurnState::Cancelled, None),
            Some(TurnEnd::Failed(failure)) => {
                (TurnState::Failed, Some(self.shown(&reason(failure))))
            }
        };
        let Some(trace) = self.trace.take() else { return };
        self.app.timeline.end(TracedTurn {
            state,
            error,
            milliseconds: Some(milliseconds_since(trace.began)),
            input_tokens: self.usage.input_tokens,
            output_tokens: self.usage.output_tokens,
            ..trace.turn
        });
    }

    fn add_step(&mut self, milliseconds: u64, failed: bool, what: Traced) {
        let Some(trace) = &mut self.trace else { return };
        let step = TracedStep {
            turn: trace.turn.id.clone(),
            thread_id: trace.turn.thread_id.clone(),
            step: trace.steps,
            at: milliseconds_since(trace.began).saturating_sub(milliseconds),
            milliseconds,
            failed,
            what,
        };
        trace.steps += 1;
        self.app.timeline.add(&trace.turn.user, step);
    }

    /// A text without secrets, at a length that can be kept.
    fn shown(&self, text: &str) -> String {
        // Cut, a secret could not be found any more.
        let text = if self.seals.is_empty() {
            text.into()
        } else {
            std::borrow::Cow::Owned(self.seals.scrubber().scrub(text).into_owned())
        };
        if text.len() <= TEXT_BYTES {
            return text.into_owned();
        }
        let end = text.floor_char_boundary(TEXT_BYTES);
        format!("{}\n[cut: {} bytes]", &text[..end], text.len())
    }
}

const fn name_of(cause: &Cause) -> &'static str {
    match cause {
        Cause::NewThread(_) | Cause::Message(_) => "message",
        Cause::Action { .. } => "action",
        Cause::Answers(_) => "answers",
        Cause::Decided(_) => "decision",
        Cause::Continue => "continue",
    }
}

/// Why a turn failed, for those who can mend it.
fn reason(failure: &Failure) -> String {
    match failure {
        Failure::Model(err) => err.to_string(),
        Failure::Store(err) => err.to_string(),
        Failure::User { message, .. } | Failure::Author(message) | Failure::Action(message) => {
            message.clone()
        }
        Failure::Rounds(rounds) => format!("no end after {rounds} rounds of tool calls"),
        Failure::Time(time) => format!("no end after {} s", time.as_secs()),
        Failure::Panicked => "the turn panicked: the log says where".to_owned(),
    }
}

fn milliseconds_since(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}
