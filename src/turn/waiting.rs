//! What a turn ends with to wait for the user: questions, and the call of a tool that the page runs.

use serde_json::{Map, Value};

use crate::{
    chatkit::{
        ClientToolCallItem, ClientToolCallStatus, ItemId, ItemKind, StructuredInput,
        StructuredInputItem, StructuredInputStatus, ThreadItem, ThreadStreamEvent, now,
    },
    tool::{CallOrigin, ToolError},
    turn::{Turn, TurnEnd},
};

/// Shown when all else is: a call that waits for its output is the last item of its thread.
#[derive(Default)]
pub struct Waiting {
    questions: Vec<StructuredInputItem>,
    call: Option<ClientToolCallItem>,
}

impl Waiting {
    pub fn is_empty(&self) -> bool {
        self.questions.is_empty() && self.call.is_none()
    }

    /// The client tool call whose output answers the model's call of this id.
    pub fn answers(&self, call_id: &str) -> Option<ItemId> {
        self.call.as_ref().filter(|call| call.call_id == call_id).map(|call| call.id.clone())
    }

    /// In the order in which they are shown.
    pub fn items(&self) -> impl Iterator<Item = ThreadItem> {
        let questions = self.questions.iter().cloned().map(ThreadItem::StructuredInput);
        questions.chain(self.call.iter().cloned().map(ThreadItem::ClientToolCall))
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

    /// Asks the user once the turn has ended.
    pub fn ask_user(&mut self, questions: Vec<StructuredInput>) -> ToolError {
        self.waiting.questions.push(StructuredInputItem {
            id: ItemId::generate(ItemKind::Message),
            thread_id: self.thread.id.clone(),
            created_at: now(),
            status: StructuredInputStatus::Pending,
            inputs: questions,
        });
        ToolError::Ended
    }

    /// Shows what the turn ends with.
    pub async fn show_waiting(&mut self) -> Result<(), TurnEnd> {
        let items: Vec<_> = self.waiting.items().collect();
        self.waiting = Waiting::default();
        for item in items {
            self.send_shown(ThreadStreamEvent::ItemDone { item }).await?;
        }
        Ok(())
    }
}
