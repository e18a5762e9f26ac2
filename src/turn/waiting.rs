//! What a turn ends with to wait for the user: questions, calls to approve, and the call of a tool that the page runs.

use std::{collections::BTreeMap, mem, sync::Arc};

use serde_json::{Map, Value};
use tokio::sync::oneshot;

use crate::{
    chatkit::{
        ClientToolCallItem, ClientToolCallStatus, ItemId, ItemKind, StructuredInput,
        StructuredInputItem, StructuredInputStatus, ThreadItem, ThreadStreamEvent, WidgetItem, now,
    },
    credential::Connect,
    tool::{CallOrigin, Inquiry, ToolError, Wanted},
    turn::{
        Turn, TurnEnd,
        approvals::{Held, visit_card},
    },
};

/// Shown when all else is: a call that waits for its output is the last item of its thread.
#[derive(Default)]
pub struct Waiting {
    questions: Vec<StructuredInputItem>,
    pub held: Vec<Held>,
    /// What calls that run ask the user, by the id of the model's call.
    pub asked: BTreeMap<String, Asked>,
    /// The user has cards to decide on, of this turn or of those before it.
    pub has_cards: bool,
    call: Option<ClientToolCallItem>,
    /// What calls need of the user, by their ids, until they are held.
    connects: BTreeMap<Arc<str>, Connect>,
}

/// What a call asks the user before it can go on.
pub struct Asked {
    pub tool: String,
    pub item: ThreadItem,
    pub state: Value,
    /// Told once the user is asked.
    pub shown: Option<oneshot::Sender<()>>,
}

impl Waiting {
    pub fn is_empty(&self) -> bool {
        self.questions.is_empty() && self.held.is_empty() && self.call.is_none()
    }

    /// The calls that need something of the user.
    pub fn take_connects(&mut self) -> BTreeMap<Arc<str>, Connect> {
        mem::take(&mut self.connects)
    }

    /// The client tool call whose output answers the model's call of this id.
    pub fn answers(&self, call_id: &str) -> Option<ItemId> {
        self.call.as_ref().filter(|call| call.call_id == call_id).map(|call| call.id.clone())
    }

    /// In the order in which they are shown.
    pub fn items(&self) -> impl Iterator<Item = ThreadItem> {
        let questions = self.questions.iter().cloned().map(ThreadItem::StructuredInput);
        let held = self.held.iter().map(|it| it.item.clone());
        questions.chain(held).chain(self.call.iter().cloned().map(ThreadItem::ClientToolCall))
    }
}

impl Turn {
    /// Has the page run a tool once the turn has ended, and says how the handler that asked for it ends.
    pub async fn call_client_tool(
        &mut self,
        name: String,
        arguments: Map<String, Value>,
        progress: Option<String>,
        origin: CallOrigin,
    ) -> Result<ToolError, TurnEnd> {
        let id = ItemId::generate(ItemKind::ToolCall);
        let call_id = match origin {
            CallOrigin::Model { call_id } => call_id.to_string(),
            CallOrigin::Handler | CallOrigin::Mcp => id.to_string(),
            CallOrigin::Agent => {
                return Ok(ToolError::Failed(format!(
                    "`{name}` runs in the user's page, and an agent that is called as a tool cannot wait for that: \
                     leave it to the agent that the user talks to"
                )));
            }
        };
        if self.waiting.has_cards {
            return Ok(ToolError::Failed(format!(
                "`{name}` was not called: the user is asked to approve another call first, call it again after that"
            )));
        }
        if let Some(call) = &self.waiting.call {
            return Ok(ToolError::Failed(format!(
                "`{name}` was not called: the page runs one tool at a time, and `{}` is first",
                call.name
            )));
        }
        if let Some(text) = progress {
            self.send(ThreadStreamEvent::ProgressUpdate { icon: None, text }).await?;
        }
        self.waiting.call = Some(ClientToolCallItem {
            id,
            thread_id: self.thread.id.clone(),
            created_at: now(),
            status: ClientToolCallStatus::Pending,
            call_id,
            name,
            arguments,
            output: None,
        });
        Ok(ToolError::Ended)
    }

    /// Has a call wait until the user has given what it needs, and says how it ends meanwhile.
    pub fn ask_to_connect(&mut self, connect: Connect, origin: &CallOrigin) -> ToolError {
        match origin {
            CallOrigin::Model { call_id } => {
                if self.waiting.connects.values().any(|it| *it == connect) {
                    return ToolError::Failed(format!(
                        "the user is being asked to connect {}: call it again when they have",
                        connect.label
                    ));
                }
                self.waiting.connects.insert(call_id.clone(), connect);
                ToolError::Ended
            }
            // Nothing of theirs could be gone on with.
            CallOrigin::Handler | CallOrigin::Agent | CallOrigin::Mcp => {
                ToolError::Failed(connect.to_string())
            }
        }
    }

    /// Asks the user once the turn has ended.
    pub fn ask_user(&mut self, questions: Vec<StructuredInput>) -> ToolError {
        let item = self.questions(questions);
        self.waiting.questions.push(item);
        ToolError::Ended
    }

    /// Asks the user once the turn has ended, for a call that goes on with the answers.
    pub fn ask_for_call(&mut self, inquiry: Inquiry, origin: CallOrigin) -> ToolError {
        let Inquiry { tool, wanted, state, shown } = inquiry;
        let CallOrigin::Model { call_id } = origin else {
            return ToolError::Failed(only_the_agent_asks(&tool));
        };
        let item = match wanted {
            Wanted::Answers(questions) => ThreadItem::StructuredInput(self.questions(questions)),
            Wanted::Visit(visit) => ThreadItem::Widget(WidgetItem {
                id: ItemId::generate(ItemKind::Message),
                thread_id: self.thread.id.clone(),
                created_at: now(),
                widget: visit_card(&visit),
                copy_text: None,
            }),
        };
        self.waiting.asked.insert(call_id.to_string(), Asked { tool, item, state, shown });
        ToolError::Ended
    }

    fn questions(&self, inputs: Vec<StructuredInput>) -> StructuredInputItem {
        StructuredInputItem {
            id: ItemId::generate(ItemKind::Message),
            thread_id: self.thread.id.clone(),
            created_at: now(),
            status: StructuredInputStatus::Pending,
            inputs,
        }
    }

    /// Shows what the turn ends with.
    pub async fn show_waiting(&mut self) -> Result<(), TurnEnd> {
        let Waiting { questions, held, call, .. } = mem::take(&mut self.waiting);
        for item in questions {
            let item = ThreadItem::StructuredInput(item);
            self.send_shown(ThreadStreamEvent::ItemDone { item }).await?;
        }
        self.show_held(held).await?;
        if let Some(call) = call {
            let item = ThreadItem::ClientToolCall(call);
            self.send_shown(ThreadStreamEvent::ItemDone { item }).await?;
        }
        Ok(())
    }
}

/// What the model is told of a tool that asks the user where that cannot be waited for.
pub fn only_the_agent_asks(tool: &str) -> String {
    format!(
        "`{tool}` asks the user something, and only a call by the agent that they talk to can wait for their answer: \
         leave it to that agent"
    )
}
