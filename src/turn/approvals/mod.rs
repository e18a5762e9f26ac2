//! Calls of tools that the user has to approve.
//!
//! A turn that makes such calls ends with a card for each. The call is kept as one that waits, bound to what its card
//! shows; the click on a card begins a turn that runs it, or tells the model that it did not run.

mod card;
mod hops;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use tracing::info;

use crate::{
    app::Generation,
    chatkit::{
        ItemId, ItemKind, StructuredInputItem, StructuredInputStatus, ThreadItem,
        ThreadStreamEvent, Widget, WidgetItem, now,
    },
    config::CrossServer,
    credential::Connect,
    model::ToolCall,
    plugin::Parameters,
    store::{ApprovalState, CallApproval, Record, Settled, StoreError, ToolCallRecord},
    tool::{Answered, Approval, Reply, Tool},
    turn::{
        Turn, TurnEnd,
        calls::{self, Consent, Run},
        input::{Entry, Transcript},
    },
};

pub use self::{
    card::{ask_to_visit as visit_card, is_card},
    hops::Hops,
};

/// The types of the actions of a card.
const APPROVE: &str = "kitfox.approve";
const DENY: &str = "kitfox.deny";

const DENIED: &str =
    "error: the user declined this call: do without it, or ask them what they want instead";
const UNANSWERED: &str =
    "error: the user did not answer what this call asked: they wrote the next message instead";
const PASSED: &str =
    "error: the user did not approve this call: they wrote the next message instead";

/// What the user decides on a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Approve,
    Deny,
}

impl Decision {
    /// What an action of this type decides; None where it is a plugin's.
    pub fn of_action(r#type: &str) -> Option<Self> {
        match r#type {
            APPROVE => Some(Self::Approve),
            DENY => Some(Self::Deny),
            _ => None,
        }
    }
}

/// Where the user has decided on the call of this card already: what became of it.
pub fn find_status(card: &Widget) -> Option<&str> {
    is_card(card).then(|| card::status(card))
}

/// A call that the user has decided on, and its card.
pub struct Decided {
    pub call: ToolCallRecord,
    pub card: WidgetItem,
    next: Next,
}

/// What becomes of a call that the user has decided on.
enum Next {
    Nothing,
    Begin,
    /// It asked by the card.
    Resume(Box<Answered>),
}

impl Decided {
    /// What the user's decision makes of a call that waits for it. What was approved is what the card shows: where it is
    /// not what would run now, nothing does.
    pub fn new(
        generation: &Generation,
        mut call: ToolCallRecord,
        mut card: WidgetItem,
        decision: Decision,
    ) -> Self {
        if call.input.as_ref().is_some_and(|it| it.is_open) {
            return Self::of_visit(generation, call, card, decision);
        }
        let shown = call.approval.as_ref().map(|it| it.digest.as_str());
        let tool = generation.tools.0.get(&call.name);
        let (state, output) = match (decision, tool) {
            (Decision::Deny, _) => (ApprovalState::Denied, DENIED.to_owned()),
            (Decision::Approve, Some(tool)) if shown == Some(&*digest(tool, &call.arguments)) => {
                (ApprovalState::Approved, calls::UNFINISHED.to_owned())
            }
            (Decision::Approve, Some(_)) => (
                ApprovalState::Void,
                format!(
                    "error: `{}` changed after the user was asked, so that their approval does not count: call it \
                     again if it is still needed",
                    call.name
                ),
            ),
            (Decision::Approve, None) if card::asks_to_connect(&card.widget) => (
                ApprovalState::Void,
                format!("`{}` is not needed any more: the user has connected", call.name),
            ),
            (Decision::Approve, None) => (
                ApprovalState::Void,
                format!("error: there is no tool `{}` any more: it was not run", call.name),
            ),
        };
        if let Some(approval) = &mut call.approval {
            approval.state = state;
        }
        call.output = output;
        card.widget = card::settle(card.widget, state);
        let next = if state == ApprovalState::Approved { Next::Begin } else { Next::Nothing };
        Self { call, card, next }
    }

    /// The same of a call that has the user open a page before it goes on, which it does either way.
    fn of_visit(
        generation: &Generation,
        mut call: ToolCallRecord,
        mut card: WidgetItem,
        decision: Decision,
    ) -> Self {
        let (reply, state) = match decision {
            Decision::Approve => (Reply::Visited, ApprovalState::Approved),
            Decision::Deny => (Reply::Declined, ApprovalState::Denied),
        };
        card.widget = card::settle(card.widget, state);
        let next = match close_input(generation, &mut call) {
            Some(state) => Next::Resume(Box::new(Answered { state, reply })),
            None => Next::Nothing,
        };
        Self { call, card, next }
    }

    /// As it is stored.
    pub fn to_settled(&self) -> Settled {
        let item = Some(ThreadItem::Widget(self.card.clone()));
        Settled { call: self.call.clone(), item }
    }
}

/// Why a call needs the user's approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// The tool says so.
    Tool,
    /// It may carry what came from one MCP server to another.
    Hop { from: String, to: String },
    /// The user has to give something first.
    Connect(Connect),
}

impl Need {
    /// None where a call of this tool may run at once.
    pub fn of(tool: &Tool, hops: &Hops, cross_server: CrossServer) -> Option<Self> {
        let spec = &tool.spec;
        if spec.needs_approval() {
            return Some(Self::Tool);
        }
        let server = spec.server.as_deref()?;
        if spec.approval == Approval::Never || spec.is_read_only() {
            return None;
        }
        match cross_server {
            CrossServer::Allow => None,
            CrossServer::Ask => hops
                .seen_beside(server)
                .map(|from| Self::Hop { from: from.to_string(), to: server.to_owned() }),
        }
    }
}

/// A call that waits for the user from the end of the turn on, and what it waits for.
pub struct Held {
    pub call: ToolCallRecord,
    pub item: ThreadItem,
    /// Told once the user sees it.
    pub shown: Option<oneshot::Sender<()>>,
}

impl Turn {
    /// Makes the card of a call. Fails with why the call would fail anyway.
    pub fn ask_approval(
        &self,
        call: &ToolCall,
        need: &Need,
    ) -> Result<(CallApproval, WidgetItem), String> {
        let tool = calls::find_tool(&self.generation, Some(&self.agent), &call.name)?;
        let mut arguments = calls::parse_arguments(&call.arguments)?;
        // One whose schema is not understood judges its arguments itself.
        if let Ok(parameters) = Parameters::new(tool.spec.parameters.clone()) {
            if tool.spec.server.is_none() {
                // A plugin gets the defaults of what was left out.
                arguments = Value::Object(parameters.complete(arguments)?);
            } else {
                parameters.check(arguments.clone())?;
            }
        }
        info!(tool = %call.name, "a call of {} waits for the user's approval", call.name);
        let shown = match (&arguments, tool.provider.rules()) {
            (Value::Object(arguments), Some(rules)) => Value::Object(rules.shown(arguments)),
            _ => arguments,
        };
        let card = WidgetItem {
            id: ItemId::generate(ItemKind::Message),
            thread_id: self.thread.id.clone(),
            created_at: now(),
            widget: card::ask(tool, &shown, need),
            copy_text: None,
        };
        let digest = digest(tool, &self.seals.unseal_names(&call.arguments));
        let state = ApprovalState::Pending;
        Ok((CallApproval { card: card.id.clone(), digest, state }, card))
    }

    /// Shows what these calls wait for from now on.
    pub async fn show_held(&mut self, held: Vec<Held>) -> Result<(), TurnEnd> {
        for Held { call, item, shown } in held {
            // At once: no call waits for what nobody sees.
            let records = [Record::ToolCall(call), Record::Item(item.clone())];
            self.sink.add_records(&records).await?;
            if let Some(shown) = shown {
                // Whoever wanted to know may be gone.
                let _ = shown.send(());
            }
            self.items.push(item.clone());
            self.sink.send_stored(ThreadStreamEvent::ItemDone { item }).await?;
        }
        Ok(())
    }

    /// Does what the user decided on a call, which is stored. Says whether the agent goes on with it: not while the user
    /// has others to decide on.
    pub async fn act_on_decision(&mut self, decided: Decided) -> Result<bool, TurnEnd> {
        let Decided { call, card, next } = decided;
        let item = ThreadItem::Widget(card);
        self.sink.send_stored(ThreadStreamEvent::ItemReplaced { item }).await?;
        self.load_transcript().await?;
        let is_last = !self.has_waiting_calls().await?;
        self.waiting.has_cards = !is_last;
        let response = call.response.clone();
        let stop = match next {
            Next::Nothing => false,
            Next::Begin => self.run_waiting(call, Run::Begin(Consent::Given)).await?,
            Next::Resume(answered) => self.run_waiting(call, Run::Resume(answered)).await?,
        };
        Ok(is_last && !stop && !self.is_stopped(&response))
    }

    /// Goes on with the call that asked for these answers. Says whether the agent goes on after it; None where no call
    /// asked.
    pub async fn act_on_answers(
        &mut self,
        item: &StructuredInputItem,
    ) -> Result<Option<bool>, TurnEnd> {
        let mut calls = self.sink.rows().load_waiting_calls(&self.thread.id).await?;
        let Some(index) = calls.iter().position(|it| it.waits_for() == Some(&item.id)) else {
            return Ok(None);
        };
        let mut call = calls.remove(index);
        let state = close_input(&self.generation, &mut call);
        let settled = Settled { call: call.clone(), item: None };
        if !self.sink.rows().settle_calls(&self.thread.id, &[settled]).await? {
            // Another process was first.
            return Ok(Some(false));
        }
        self.waiting.has_cards = !calls.is_empty();
        let response = call.response.clone();
        let mut stop = false;
        if let Some(state) = state {
            let answered = Box::new(Answered { state, reply: Reply::Answers(item.clone()) });
            stop = self.run_waiting(call, Run::Resume(answered)).await?;
        } else {
            self.transcript.keep_call(call);
        }
        Ok(Some(calls.is_empty() && !stop && !self.is_stopped(&response)))
    }

    fn is_stopped(&self, response: &str) -> bool {
        self.transcript.calls().any(|it| it.response == response && it.stopped)
    }

    pub async fn has_waiting_calls(&mut self) -> Result<bool, StoreError> {
        let calls = self.sink.rows().load_waiting_calls(&self.thread.id).await?;
        Ok(!calls.is_empty())
    }

    /// The user writes on: what waits for them waits no longer.
    pub async fn pass_waiting_calls(&mut self) -> Result<(), TurnEnd> {
        let rows = self.sink.rows();
        let mut settled = Vec::new();
        for call in rows.load_waiting_calls(&self.thread.id).await? {
            let Some(item) = call.waits_for() else { continue };
            if let (Some(input), Some(tool)) =
                (&call.input, self.generation.tools.0.get(&call.name))
                && input.is_open
            {
                tool.provider.abandon(&input.state);
            }
            settled.push(match rows.load_item(&self.thread.id, item).await {
                Ok(item) => pass(call, Some(item)),
                Err(StoreError::NotFound) => pass(call, None),
                Err(err) => return Err(err.into()),
            });
        }
        // Where one of them is settled by now, another process has the thread.
        if settled.is_empty() || !rows.settle_calls(&self.thread.id, &settled).await? {
            return Ok(());
        }
        for item in settled.into_iter().filter_map(|it| it.item) {
            self.sink.send_stored(ThreadStreamEvent::ItemReplaced { item }).await?;
        }
        Ok(())
    }

    /// The MCP servers whose results the model has seen since the user's last message.
    pub fn hops_so_far(&self) -> Hops {
        Hops::new(self.transcript.calls().flat_map(|it| it.servers.iter().cloned()).collect())
    }
}

/// Takes note that the user has replied to what the call asked, and gives what it goes on with. None where it is not the
/// call any more that asked: nobody else gets what the user answered.
fn close_input(generation: &Generation, call: &mut ToolCallRecord) -> Option<Value> {
    let input = call.input.as_mut()?;
    input.is_open = false;
    let (state, shown) = (input.state.take(), input.digest.clone());
    let asked = ToolCall {
        call_id: call.call_id.clone(),
        name: call.name.clone(),
        arguments: call.arguments.clone(),
    };
    let is_same = shown == digest_of(generation, &asked);
    call.output = if is_same {
        calls::UNFINISHED.to_owned()
    } else {
        format!("error: `{}` changed after it asked the user: call it again", call.name)
    };
    is_same.then_some(state)
}

/// A call that the user passed, and what it waited for.
fn pass(mut call: ToolCallRecord, item: Option<ThreadItem>) -> Settled {
    if let Some(approval) = &mut call.approval
        && approval.state == ApprovalState::Pending
    {
        approval.state = ApprovalState::Passed;
        PASSED.clone_into(&mut call.output);
    }
    if let Some(input) = &mut call.input
        && std::mem::take(&mut input.is_open)
    {
        input.state.take();
        UNANSWERED.clone_into(&mut call.output);
    }
    let item = item.map(|item| match item {
        ThreadItem::Widget(mut card) => {
            card.widget = card::settle(card.widget, ApprovalState::Passed);
            ThreadItem::Widget(card)
        }
        ThreadItem::StructuredInput(mut questions) => {
            questions.status = StructuredInputStatus::Skipped;
            ThreadItem::StructuredInput(questions)
        }
        other => other,
    });
    Settled { call, item }
}

impl Transcript {
    /// The calls of this turn, which the user's last message began.
    fn calls(&self) -> impl Iterator<Item = &ToolCallRecord> {
        self.of_turn().iter().filter_map(|entry| match entry {
            Entry::Record(Record::ToolCall(call)) => Some(call),
            Entry::Record(Record::Item(_) | Record::MessageNote(_)) | Entry::Raw(_) => None,
        })
    }
}

/// Tells what would run: another tool of the same name, or another one from the same place, is not the same.
fn digest(tool: &Tool, arguments: &str) -> String {
    let spec = &tool.spec;
    let shown = json!([
        spec.name,
        spec.description,
        spec.parameters,
        spec.approval,
        spec.annotations,
        spec.server,
        tool.provider.origin(),
        arguments,
    ]);
    format!("{:x}", Sha256::digest(shown.to_string()))
}

/// The same for a call; empty where there is no such tool.
pub fn digest_of(generation: &Generation, call: &ToolCall) -> String {
    let tool = generation.tools.0.get(&call.name);
    tool.map(|tool| digest(tool, &call.arguments)).unwrap_or_default()
}
