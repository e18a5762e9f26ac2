//! What the model is shown of attachments.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tracing::warn;

use crate::{
    chatkit::{AttachmentId, UserMessageItem},
    media,
    model::InputContent,
    plugin::HookEvent,
    store::{Blobs, StoreError, StoredAttachment, UserStore},
    turn::{
        Turn, TurnEnd,
        hooks::author,
        input::{self, Form},
    },
};

/// Of all files of one request together. What does not fit is told by its name: the newest come first.
const REQUEST_BYTES: u64 = 24 << 20;
/// Of one text: more would fill the model's context.
const TEXT_BYTES: u64 = 256 << 10;

/// The types of images that model providers read.
const IMAGES: &[&str] = &["image/png", "image/jpeg", "image/gif", "image/webp"];

impl Turn {
    /// Looks up what the model is shown of the attachments that it will see: what a hook of `attachment` says,
    /// the first answer winning, else the file itself.
    pub async fn show_attachments(&mut self) -> Result<(), TurnEnd> {
        let mut rest = REQUEST_BYTES;
        let form = Form::of(self.agent.front.history.form);
        for message in self.transcript.messages_with_attachments(form) {
            for attachment in &message.attachments {
                let id = attachment.id();
                if self.transcript.attachments.contains_key(id) {
                    continue;
                }
                let parts = match find(&self.sink.rows(), id).await? {
                    None => vec![told(attachment.name(), attachment.mime_type(), "deleted")],
                    Some(stored) => self.show_attachment(&message, &stored, &mut rest).await?,
                };
                self.transcript.attachments.insert(id.clone(), parts);
            }
        }
        Ok(())
    }

    async fn show_attachment(
        &mut self,
        message: &UserMessageItem,
        stored: &StoredAttachment,
        rest: &mut u64,
    ) -> Result<Vec<InputContent>, TurnEnd> {
        if let Some(parts) = self.ask_plugins(message, stored).await? {
            return Ok(parts);
        }
        let blobs = self.sink.store.blobs().clone();
        self.drive(read(&blobs, stored, rest)).await
    }

    /// `attachment`: what the model is shown in its place.
    async fn ask_plugins(
        &mut self,
        message: &UserMessageItem,
        stored: &StoredAttachment,
    ) -> Result<Option<Vec<InputContent>>, TurnEnd> {
        if self.generation.hooks(HookEvent::Attachment).is_empty() {
            return Ok(None);
        }
        let event = json!({
            "id": stored.id, "name": stored.name, "mime_type": stored.mime_type, "size": stored.size,
            "item": message,
        });
        let answer = self.ask_hooks(HookEvent::Attachment, &event).await?;
        let Some((plugin, answer)) = answer else { return Ok(None) };
        let answer = match answer {
            part @ Value::Object(_) => Value::Array(vec![part]),
            answer => answer,
        };
        match input::content_from_json(&answer) {
            Ok(parts) => Ok(Some(parts)),
            Err(err) => Err(author(format!("an `attachment` hook of plugin `{plugin}`: {err}"))),
        }
    }
}

async fn find(
    rows: &UserStore<'_>,
    id: &AttachmentId,
) -> Result<Option<StoredAttachment>, StoreError> {
    match rows.load_attachment(id).await {
        Ok(stored) => Ok(Some(stored)),
        Err(StoreError::NotFound) => Ok(None),
        Err(err) => Err(err),
    }
}

/// The file as far as the model can read it and it fits into what is left of the request.
async fn read(blobs: &Blobs, stored: &StoredAttachment, rest: &mut u64) -> Vec<InputContent> {
    let StoredAttachment { name, mime_type, size, blob, .. } = stored;
    let tell = |why: &str| vec![told(name, mime_type, why)];
    let Some(blob) = blob else { return tell("it was never uploaded") };
    let is_text = media::is_text(mime_type);
    if !is_text && !IMAGES.contains(&mime_type.as_str()) && !media::is_document(mime_type) {
        return tell("files of this type cannot be read here");
    }
    let needed = if is_text { TEXT_BYTES.min(*size) } else { *size };
    if needed > *rest {
        return tell("left out, because the files of this conversation are too large together");
    }
    let bytes = match blobs.read(blob, needed).await {
        Ok(bytes) => bytes,
        Err(err) => {
            warn!("an attachment could not be shown to the model: {err}");
            return tell("it cannot be read now");
        }
    };
    *rest -= needed;
    if is_text {
        return vec![InputContent::Text(text(name, &bytes, *size))];
    }
    let data = |mime_type: &str| format!("data:{mime_type};base64,{}", STANDARD.encode(&bytes));
    if media::is_document(mime_type) {
        return vec![InputContent::File { filename: name.clone(), data: data(mime_type) }];
    }
    match media::image_type(&bytes).filter(|it| IMAGES.contains(it)) {
        Some(image) => vec![InputContent::Image { url: data(image) }],
        None => tell("it is no image of the type that it says"),
    }
}

fn told(name: &str, mime_type: &str, why: &str) -> InputContent {
    InputContent::Text(format!(
        "<file name={} type={} not_shown={} />",
        json!(name),
        json!(mime_type),
        json!(why)
    ))
}

fn text(name: &str, bytes: &[u8], size: u64) -> String {
    let text = String::from_utf8_lossy(bytes);
    // Not every provider takes a NUL.
    let text = text.trim_start_matches('\u{feff}').replace('\0', "\u{fffd}");
    let shown = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let name = json!(name);
    if shown < size {
        let text = text.trim_end_matches('\u{fffd}');
        return format!(
            "<file name={name} shown=\"the first {shown} of {size} bytes\">\n{text}\n</file>"
        );
    }
    format!("<file name={name}>\n{text}\n</file>")
}
