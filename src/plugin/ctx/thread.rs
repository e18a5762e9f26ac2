//! `ctx.thread`

use serde_json::{Value, json};

use super::{Arguments, HostCall};
use crate::{
    chatkit::{ThreadMetadata, ThreadStatus},
    plugin::{CallError, fields::Fields},
    tool::{ThreadPatch, TurnRequest},
};

impl HostCall {
    /// The thread as it is now; null where there is none.
    pub async fn thread(&self) -> Result<Value, CallError> {
        if self.context.thread.is_none() {
            return Ok(Value::Null);
        }
        shown(self.ask("thread", TurnRequest::LoadThread).await?)
    }

    pub async fn set_thread(&self, patch: ThreadPatch) -> Result<Value, CallError> {
        shown(self.ask("thread", TurnRequest::UpdateThread(patch)).await?)
    }
}

fn shown(thread: Value) -> Result<Value, CallError> {
    let thread: ThreadMetadata = serde_json::from_value(thread)
        .map_err(|err| CallError::Thrown(format!("the thread is not readable: {err}")))?;
    Ok(json!({
        "id": thread.id,
        "created_at": thread.created_at,
        "title": thread.title,
        "metadata": thread.metadata,
        "allowed_image_domains": thread.allowed_image_domains,
        "status": status(&thread.status),
    }))
}

/// Reads changes: what is left out stays, and null takes a title or the domains away.
pub fn read_patch(arguments: &mut Arguments<'_>) -> Result<ThreadPatch, String> {
    let changes = arguments.map("the changes")?;
    let has = |key: &str| changes.contains_key(key);
    let (title, metadata) = (has("title"), has("metadata"));
    let domains = has("allowed_image_domains");
    let known = ["title", "metadata", "allowed_image_domains", "status"];
    let mut fields = Fields::read("ctx.thread", Value::Object(changes), &known)?;
    Ok(ThreadPatch {
        title: fields.text("title").map(|it| title.then_some(it))?,
        metadata: match fields.map("metadata")? {
            None if metadata => return Err("`metadata` of `ctx.thread` must be a map".to_owned()),
            metadata => metadata,
        },
        allowed_image_domains: fields
            .texts("allowed_image_domains")
            .map(|it| domains.then_some(it))?,
        status: fields.any("status").map(read_status).transpose()?,
    })
}

/// As it can be set: a word, or a map where there is a reason.
fn status(status: &ThreadStatus) -> Value {
    let (word, reason) = match status {
        ThreadStatus::Active => ("active", &None),
        ThreadStatus::Locked { reason } => ("locked", reason),
        ThreadStatus::Closed { reason } => ("closed", reason),
    };
    match reason {
        None => word.into(),
        Some(reason) => json!({ "type": word, "reason": reason }),
    }
}

fn read_status(value: Value) -> Result<ThreadStatus, String> {
    let (word, reason) = match value {
        Value::String(word) => (word, None),
        value => {
            let mut fields = Fields::read("ctx.thread.status", value, &["type", "reason"])?;
            (fields.required_text("type")?, fields.text("reason")?)
        }
    };
    match word.as_str() {
        "active" => Ok(ThreadStatus::Active),
        "locked" => Ok(ThreadStatus::Locked { reason }),
        "closed" => Ok(ThreadStatus::Closed { reason }),
        other => {
            Err(format!("`{other}` is no status of a thread: write `active`, `locked` or `closed`"))
        }
    }
}
