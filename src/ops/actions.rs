//! What the user does in a widget.

use std::sync::Arc;

use serde_json::{Value, json as value};
use tracing::warn;

use crate::{
    chatkit::{
        CustomActionParams, ItemId, SyncCustomActionResponse, ThreadId, ThreadItem, WidgetItem,
    },
    config::document::one_line,
    ops::{Answer, Caller, OpError, json, threads::check_open},
    plugin::{ActionKind, CallError, HandlerId, Plugin},
    store::StoreError,
    turn::{self, Cause, Decision},
};

/// Of an action's name in an error, in characters.
const NAME_LENGTH: usize = 64;

impl Caller<'_> {
    /// `threads.custom_action`: a turn that begins with the action's handler.
    pub async fn custom_action(&self, params: CustomActionParams) -> Result<Answer, OpError> {
        let CustomActionParams { thread_id, item_id, action } = params;
        if let Some(decision) = Decision::of_action(&action.r#type) {
            return self.decide(thread_id, item_id, decision).await;
        }
        // Whose it is comes first: a stranger must not learn whether it is busy.
        self.load_thread(&thread_id).await?;
        self.load_sender(&thread_id, item_id.as_ref()).await?;
        let (plugin, handler) = self.find_action(ActionKind::Turn, &action.r#type)?;
        let guard = self.begin_turn(&thread_id).await?;
        let thread = self.load_thread(&thread_id).await?;
        check_open(&thread)?;
        // As the turn before it left it.
        let sender = self.load_sender(&thread_id, item_id.as_ref()).await?;
        let argument =
            value!({ "type": action.r#type, "payload": action.payload, "sender": sender });
        self.resume(thread, guard, Cause::Action { plugin, handler, argument }, Vec::new()).await
    }

    /// `threads.sync_custom_action`: one answer, while a turn may run.
    pub async fn sync_custom_action(&self, params: CustomActionParams) -> Result<Answer, OpError> {
        let CustomActionParams { thread_id, item_id, action } = params;
        let thread = self.load_thread(&thread_id).await?;
        let (plugin, handler) = self.find_action(ActionKind::Sync, &action.r#type)?;
        // Each sees what those before it made of the widget.
        let _place = self.app.sync_actions.enter(&thread_id).await;
        let sender = self.load_sender(&thread_id, item_id.as_ref()).await?;
        check_open(&thread)?;
        let name = plugin.manifest().name.clone();
        let argument =
            value!({ "type": action.r#type, "payload": action.payload, "sender": sender });
        let call = turn::call_sync_action(
            self.app,
            &self.generation,
            plugin,
            handler,
            argument,
            self.context.clone(),
            thread,
        );
        match call.await {
            Ok(updated_item) => json(&SyncCustomActionResponse { updated_item }),
            Err(CallError::User { message, .. }) => Err(OpError::BadRequest(message)),
            Err(CallError::Cancelled) => {
                Err(OpError::Unavailable("the server is stopping".to_owned()))
            }
            // Not a 500: the client would do it again, and part of it may be done.
            Err(err @ (CallError::Thrown(_) | CallError::Limit(_) | CallError::Ended)) => {
                let err = one_line(&err.to_string());
                warn!(plugin = %name, "a sync action of plugin `{name}` failed: {err}");
                Err(OpError::BadRequest("the action failed".to_owned()))
            }
        }
    }

    /// The widget that sent the action as its handler sees it; null where none did.
    async fn load_sender(
        &self,
        thread: &ThreadId,
        item: Option<&ItemId>,
    ) -> Result<Value, OpError> {
        let Some(item) = item else { return Ok(Value::Null) };
        let widget = self.load_widget(thread, item).await?;
        Ok(value!({ "id": widget.id, "widget": widget.widget, "copy_text": widget.copy_text }))
    }

    pub async fn load_widget(
        &self,
        thread: &ThreadId,
        item: &ItemId,
    ) -> Result<WidgetItem, OpError> {
        match self.rows().load_item(thread, item).await {
            Ok(ThreadItem::Widget(widget)) => Ok(widget),
            Ok(_) => Err(OpError::BadRequest("`params.item_id`: is not a widget".to_owned())),
            Err(StoreError::NotFound) => Err(OpError::NotFound("item")),
            Err(err) => Err(err.into()),
        }
    }

    fn find_action(
        &self,
        kind: ActionKind,
        r#type: &str,
    ) -> Result<(Arc<dyn Plugin>, HandlerId), OpError> {
        if let Some(found) = self.generation.find_action(kind, r#type) {
            return Ok(found);
        }
        let (other, operation) = match kind {
            ActionKind::Turn => (ActionKind::Sync, "threads.sync_custom_action"),
            ActionKind::Sync => (ActionKind::Turn, "threads.custom_action"),
        };
        let name: String = r#type.chars().take(NAME_LENGTH).collect();
        let is_other = self.generation.find_action(other, r#type).is_some()
            || Decision::of_action(r#type).is_some();
        Err(OpError::BadRequest(if is_other {
            format!("`params.action.type`: `{name}` is an action for `{operation}`")
        } else {
            format!("`params.action.type`: no plugin handles the action `{name}`")
        }))
    }
}
