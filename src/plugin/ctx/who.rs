use serde_json::{Value, json};

use super::HostCall;
use crate::{
    chatkit::{AttachmentId, UserMessageContent, UserMessageItem},
    plugin::CallError,
};

impl HostCall {
    /// The user message, with what is known of its attachments.
    pub async fn item(&self) -> Result<Value, CallError> {
        let Some(item) = self.context.item.as_deref() else { return Ok(Value::Null) };
        let mut attachments = Vec::new();
        for attachment in &item.attachments {
            let mut attachment = json!(attachment);
            let id = attachment["id"].as_str().unwrap_or_default();
            let stored = self.host.attachment(&self.context, &AttachmentId::from(id)).await?;
            attachments.push(json!({
                "id": attachment["id"].take(),
                "name": attachment["name"].take(),
                "mime_type": attachment["mime_type"].take(),
                "size": stored.size,
            }));
        }
        let mut item = message(item);
        item["attachments"] = attachments.into();
        Ok(item)
    }
}

/// The user message as handlers see it, without its attachments.
pub fn message(item: &UserMessageItem) -> Value {
    let tags = item.content.iter().filter_map(|part| match part {
        UserMessageContent::InputTag(tag) => Some(tag),
        UserMessageContent::InputText { .. } => None,
    });
    json!({
        "id": item.id,
        "created_at": item.created_at,
        "text": item.text(),
        "tags": tags.collect::<Vec<_>>(),
        "attachments": [],
        "quoted_text": item.quoted_text,
        "tool_choice": item.inference_options.tool_choice.as_ref().map(|it| &it.id),
        "model": item.inference_options.model,
    })
}
