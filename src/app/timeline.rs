//! What turns did, for those who may look: kept in memory, for a while.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::broadcast;

use crate::user::UserKey;

/// Turns that are kept.
const TURNS: usize = 200;
/// Steps that are kept of one turn.
const STEPS: usize = 200;
/// Of the texts of all that is kept.
const BYTES: usize = 8 << 20;
/// Events that a slow viewer may miss beyond these.
const EVENTS: usize = 256;

/// The turns of late, each with its calls of models and tools, and word of each as it happens.
///
/// Whoever reads it sees the turns of one user only.
pub struct Timeline {
    kept: Mutex<Kept>,
    events: broadcast::Sender<Arc<TimelineEvent>>,
}

#[derive(Default)]
struct Kept {
    /// The oldest first.
    turns: VecDeque<TracedTurn>,
    bytes: usize,
}

/// A turn as it is shown. What it holds is free of secrets.
#[derive(Debug, Clone, Serialize)]
pub struct TracedTurn {
    #[serde(skip)]
    pub user: UserKey,
    pub id: Arc<str>,
    pub thread_id: Arc<str>,
    pub agent: String,
    /// The provider's name for it; none where there is no model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    pub generation: Arc<str>,
    pub cause: &'static str,
    pub started_at: Timestamp,
    pub state: TurnState,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub milliseconds: Option<u64>,
    pub input_tokens: u64,
    pub output_tokens: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Arc<TracedStep>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TurnState {
    Running,
    Done,
    Cancelled,
    Failed,
}

/// A call of a model or a tool, once it has ended.
#[derive(Debug, Clone, Serialize)]
pub struct TracedStep {
    /// The turn's id.
    pub turn: Arc<str>,
    pub thread_id: Arc<str>,
    /// From 0, in the order in which they ended.
    pub step: usize,
    /// When it began, from the turn's beginning.
    pub at: u64,
    pub milliseconds: u64,
    pub failed: bool,
    #[serde(flatten)]
    pub what: Traced,
}

#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Traced {
    Model(TracedModel),
    Tool(TracedTool),
}

#[derive(Debug, Clone, Serialize)]
pub struct TracedModel {
    pub model: String,
    /// Until the first word or call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<u64>,
    pub input_items: usize,
    pub tools: usize,
    /// Tools that it called.
    pub calls: usize,
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// Where they are not those of the call before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct TracedTool {
    pub tool: String,
    pub arguments: String,
    pub output: String,
}

#[derive(Debug, Clone)]
pub enum TimelineEvent {
    /// It began or ended; without its steps.
    Turn(Box<TracedTurn>),
    Step(UserKey, Arc<TracedStep>),
}

impl Default for Timeline {
    fn default() -> Self {
        Self { kept: Mutex::default(), events: broadcast::Sender::new(EVENTS) }
    }
}

impl Timeline {
    /// Word of every user's turns, from now on: who listens leaves out what is not for them.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<TimelineEvent>> {
        self.events.subscribe()
    }

    /// The turns of this user, the oldest first.
    pub fn of(&self, user: &UserKey) -> Vec<TracedTurn> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.turns.iter().filter(|it| it.user == *user).cloned().collect()
    }

    pub fn begin(&self, turn: TracedTurn) {
        self.tell(TimelineEvent::Turn(Box::new(turn.clone())));
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.turns.push_back(turn);
        kept.shorten();
    }

    /// Adds what a turn did. One that is kept no more, or has done too much, is not added to.
    pub fn add(&self, user: &UserKey, step: TracedStep) {
        let step = Arc::new(step);
        {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(turn) = kept.turns.iter_mut().find(|it| it.id == step.turn) else { return };
            if turn.steps.len() >= STEPS {
                return;
            }
            turn.steps.push(step.clone());
            kept.bytes += step.bytes();
            kept.shorten();
        }
        self.tell(TimelineEvent::Step(user.clone(), step));
    }

    /// Brings a turn up to date at its end. `turn` has no steps.
    pub fn end(&self, turn: TracedTurn) {
        {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(before) = kept.turns.iter_mut().find(|it| it.id == turn.id) else { return };
            let steps = std::mem::take(&mut before.steps);
            *before = TracedTurn { steps, ..turn.clone() };
        }
        self.tell(TimelineEvent::Turn(Box::new(turn)));
    }

    /// Takes away all that is kept of a thread.
    pub fn forget(&self, thread_id: &str) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.turns.retain(|it| *it.thread_id != *thread_id);
        kept.bytes = kept.turns.iter().map(TracedTurn::bytes).sum();
    }

    fn tell(&self, event: TimelineEvent) {
        // Nobody listens: nobody misses it.
        let _ = self.events.send(Arc::new(event));
    }
}

impl TimelineEvent {
    /// Whose turn it is about.
    pub const fn user(&self) -> &UserKey {
        match self {
            Self::Turn(turn) => &turn.user,
            Self::Step(user, _) => user,
        }
    }
}

impl Kept {
    /// Takes the oldest away until the rest is within its limits.
    fn shorten(&mut self) {
        while self.turns.len() > TURNS || (self.bytes > BYTES && self.turns.len() > 1) {
            let Some(turn) = self.turns.pop_front() else { return };
            self.bytes = self.bytes.saturating_sub(turn.bytes());
        }
    }
}

impl TracedTurn {
    fn bytes(&self) -> usize {
        self.steps.iter().map(|it| it.bytes()).sum()
    }
}

impl TracedStep {
    fn bytes(&self) -> usize {
        match &self.what {
            Traced::Model(it) => it.instructions.as_ref().map_or(0, String::len),
            Traced::Tool(it) => it.arguments.len() + it.output.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(user: &str, id: &str) -> TracedTurn {
        TracedTurn {
            user: UserKey::new("header", "", user),
            id: id.into(),
            thread_id: format!("thr_{id}").into(),
            agent: "assistant".to_owned(),
            model: None,
            generation: "g".into(),
            cause: "message",
            started_at: Timestamp::UNIX_EPOCH,
            state: TurnState::Running,
            error: None,
            milliseconds: None,
            input_tokens: 0,
            output_tokens: 0,
            steps: Vec::new(),
        }
    }

    fn step(turn: &str, step: usize, output: String) -> TracedStep {
        TracedStep {
            turn: turn.into(),
            thread_id: format!("thr_{turn}").into(),
            step,
            at: 2,
            milliseconds: 3,
            failed: false,
            what: Traced::Tool(TracedTool {
                tool: "hello".to_owned(),
                arguments: "{}".to_owned(),
                output,
            }),
        }
    }

    fn ids(timeline: &Timeline, user: &str) -> Vec<String> {
        let turns = timeline.of(&UserKey::new("header", "", user));
        turns.iter().map(|it| it.id.to_string()).collect()
    }

    #[test]
    fn a_user_is_shown_no_turn_of_another() {
        let timeline = Timeline::default();
        timeline.begin(turn("ada", "1"));
        timeline.begin(turn("eve", "2"));
        assert_eq!(ids(&timeline, "ada"), ["1"]);
        assert_eq!(ids(&timeline, "eve"), ["2"]);
    }

    #[test]
    fn a_turn_that_ends_keeps_its_steps() {
        let timeline = Timeline::default();
        timeline.begin(turn("ada", "1"));
        timeline.add(&UserKey::new("header", "", "ada"), step("1", 0, "hi".to_owned()));
        timeline.end(TracedTurn { state: TurnState::Done, ..turn("ada", "1") });
        let turns = timeline.of(&UserKey::new("header", "", "ada"));
        assert_eq!(turns[0].state, TurnState::Done);
        insta::assert_snapshot!(serde_json::to_string(&turns[0].steps).unwrap(), @r#"[{"turn":"1","thread_id":"thr_1","step":0,"at":2,"milliseconds":3,"failed":false,"kind":"tool","tool":"hello","arguments":"{}","output":"hi"}]"#);
    }

    #[test]
    fn what_is_old_gives_way() {
        let timeline = Timeline::default();
        for number in 0..TURNS + 2 {
            timeline.begin(turn("ada", &number.to_string()));
        }
        assert_eq!(ids(&timeline, "ada").len(), TURNS);
        assert_eq!(ids(&timeline, "ada")[0], "2");
        let user = UserKey::new("header", "", "ada");
        timeline.add(&user, step("7", 0, "x".repeat(BYTES)));
        assert_eq!(ids(&timeline, "ada")[0], "8");
        // The turn that held so much went with it.
        timeline.add(&user, step("7", 1, "late".to_owned()));
        assert_eq!(ids(&timeline, "ada").len(), TURNS - 6);
        assert_eq!(timeline.kept.lock().unwrap().bytes, 0);
    }

    #[test]
    fn a_turn_that_does_too_much_is_kept_in_part() {
        let timeline = Timeline::default();
        timeline.begin(turn("ada", "1"));
        let user = UserKey::new("header", "", "ada");
        for number in 0..STEPS + 5 {
            timeline.add(&user, step("1", number, "x".to_owned()));
        }
        assert_eq!(timeline.of(&user)[0].steps.len(), STEPS);
    }

    #[test]
    fn nothing_is_kept_of_a_thread_that_was_deleted() {
        let timeline = Timeline::default();
        timeline.begin(turn("ada", "1"));
        timeline.add(&UserKey::new("header", "", "ada"), step("1", 0, "hi".to_owned()));
        timeline.forget("thr_1");
        timeline.end(turn("ada", "1"));
        assert_eq!(ids(&timeline, "ada"), [""; 0]);
        assert_eq!(timeline.kept.lock().unwrap().bytes, 0);
    }
}
