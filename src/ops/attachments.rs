use std::collections::HashSet;

use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use jiff::Timestamp;
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    app::App,
    chatkit::{
        Attachment, AttachmentId, AttachmentUploadDescriptor, AttachmentsCreateParams,
        FileAttachment, ImageAttachment, Page, ThreadId, ThreadItem, UploadMethod, UserMessageItem,
        now,
    },
    config::AttachmentLimits,
    media,
    ops::{
        Answer, Caller, OpError, json,
        links::{LinkPurpose, SignedLink, Signer},
    },
    prompt::{Agent, AttachmentRules},
    store::{BlobReader, StoreError, StoredAttachment},
};

/// Of one message, where its agent does not say.
const MAX_COUNT: usize = 10;
/// Of one user that wait for a message.
const MAX_UNUSED: u32 = 100;

/// The bytes of an upload as they come, or why they do not.
pub type Upload = BoxStream<'static, Result<Bytes, OpError>>;

/// What an agent takes, within what the operator allows.
pub struct Allowance {
    /// Each file must be of one of these.
    pub types: Vec<String>,
    pub max_bytes: u64,
    pub max_count: usize,
}

impl Allowance {
    /// None where the agent takes no attachments.
    pub fn of(agent: &Agent, limits: &AttachmentLimits) -> Option<Self> {
        let mut allowance =
            Self { types: limits.types.clone(), max_bytes: limits.max_bytes, max_count: MAX_COUNT };
        match &agent.front.attachments {
            AttachmentRules::None => return None,
            AttachmentRules::Any => (),
            AttachmentRules::Some { accept, max_size, max_count } => {
                if let Some(accept) = accept {
                    allowance.narrow(accept);
                }
                allowance.max_bytes = max_size.unwrap_or(u64::MAX).min(limits.max_bytes);
                if let Some(count) = max_count {
                    allowance.max_count = usize::try_from(*count).unwrap_or(usize::MAX);
                }
            }
        }
        Some(allowance)
    }

    /// Of each two patterns that have something in common, the narrower.
    fn narrow(&mut self, accept: &[String]) {
        let mut types = Vec::new();
        for theirs in accept {
            for ours in &self.types {
                if media::matches(ours, theirs) {
                    types.push(theirs.to_ascii_lowercase());
                } else if media::matches(theirs, ours) {
                    types.push(ours.clone());
                }
            }
        }
        types.dedup();
        self.types = types;
    }

    fn takes(&self, mime_type: &str) -> bool {
        self.types.iter().any(|pattern| media::matches(pattern, mime_type))
    }

    fn check_type(&self, field: &str, mime_type: &str) -> Result<(), OpError> {
        if self.takes(mime_type) {
            return Ok(());
        }
        let types: Vec<String> = self.types.iter().map(|it| format!("`{it}`")).collect();
        Err(OpError::BadRequest(format!(
            "`{field}`: files of the type `{mime_type}` are not taken, only {}",
            types.join(", ")
        )))
    }
}

impl Caller<'_> {
    /// The first phase of an upload: what comes is checked, and where it is to go is told.
    pub async fn create_attachment(
        &self,
        params: AttachmentsCreateParams,
    ) -> Result<Answer, OpError> {
        let mime_type = read_type("params.mime_type", &params.mime_type, &params.name)?;
        let limit = self.limit_for("params.mime_type", &mime_type)?;
        let size = match u64::try_from(params.size) {
            Ok(0) => return Err(empty("params.size")),
            Ok(size) => size,
            Err(_) => {
                let message = format!("`params.size`: {} is less than 0", params.size);
                return Err(OpError::BadRequest(message));
            }
        };
        if size > limit {
            return Err(too_large(limit));
        }
        self.check_place().await?;
        self.admit_upload(size).await?;
        let attachment = StoredAttachment {
            id: AttachmentId::generate(),
            name: media::clean_name(&params.name),
            mime_type,
            size,
            blob: None,
            thread: None,
        };
        if !self.rows().add_attachment(&attachment, MAX_UNUSED).await? {
            return Err(too_many());
        }
        json(&self.show(&attachment).await?)
    }

    /// What no message uses goes; one that a message uses leaves its name there, as in the reference.
    pub async fn delete_attachment(&self, id: &AttachmentId) -> Result<Answer, OpError> {
        let blob = self.rows().delete_attachment(id).await.map_err(unknown)?;
        self.delete_blobs(blob.into_iter().collect());
        Ok(Answer::Json(b"{}".to_vec()))
    }

    /// An upload without a first phase.
    pub async fn upload_directly(
        &self,
        name: &str,
        mime_type: &str,
        upload: Upload,
    ) -> Result<Attachment, OpError> {
        let mime_type = read_type("file", mime_type, name)?;
        let limit = self.limit_for("file", &mime_type)?;
        self.check_place().await?;
        let (blob, size) = store(self.app, upload, Expected::AtMost(limit)).await?;
        if let Err(err) = self.admit_upload(size).await {
            self.delete_blobs(vec![blob]);
            return Err(err);
        }
        let attachment = StoredAttachment {
            id: AttachmentId::generate(),
            name: media::clean_name(name),
            mime_type,
            size,
            blob: Some(blob.clone()),
            thread: None,
        };
        // Others may have come while it was sent.
        match self.rows().add_attachment(&attachment, MAX_UNUSED).await {
            Ok(true) => self.show(&attachment).await,
            Ok(false) => {
                self.delete_blobs(vec![blob]);
                Err(too_many())
            }
            Err(err) => {
                self.delete_blobs(vec![blob]);
                Err(err.into())
            }
        }
    }

    /// Takes the bytes away, beside whatever is done next.
    pub fn delete_blobs(&self, blobs: Vec<String>) {
        if blobs.is_empty() {
            return;
        }
        let store = self.app.store.clone();
        self.app.tasks.spawn(async move { store.delete_blobs(&blobs).await });
    }

    /// The attachments of a message, all of which its sender may use and `agent` takes.
    pub async fn load_attachments(
        &self,
        ids: &[AttachmentId],
        agent: &Agent,
    ) -> Result<Vec<StoredAttachment>, OpError> {
        const FIELD: &str = "params.input.attachments";
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let limits = &self.generation.config.limits.attachments;
        let Some(allowance) = Allowance::of(agent, limits) else { return Err(none_taken(FIELD)) };
        if ids.len() > allowance.max_count {
            return Err(OpError::BadRequest(format!(
                "`{FIELD}`: a message has at most {} attachments, and this one has {}",
                allowance.max_count,
                ids.len()
            )));
        }
        let mut seen = HashSet::new();
        let mut attachments = Vec::with_capacity(ids.len());
        for id in ids {
            let attachment = self.rows().load_attachment(id).await.map_err(unknown)?;
            if !seen.insert(id) {
                return Err(OpError::BadRequest(format!("`{FIELD}`: `{id}` is there twice")));
            }
            if attachment.blob.is_none() {
                return Err(OpError::BadRequest(format!(
                    "`{FIELD}`: `{id}` is not uploaded yet: send the message after its upload"
                )));
            }
            if attachment.thread.is_some() {
                return Err(OpError::Conflict(format!(
                    "`{FIELD}`: `{id}` belongs to another message: upload the file again"
                )));
            }
            allowance.check_type(FIELD, &attachment.mime_type)?;
            if attachment.size > allowance.max_bytes {
                return Err(too_large(allowance.max_bytes));
            }
            attachments.push(attachment);
        }
        Ok(attachments)
    }

    /// The message as clients get it.
    pub async fn link(&self, message: &UserMessageItem) -> Result<UserMessageItem, OpError> {
        let mut message = message.clone();
        if !message.attachments.is_empty() {
            self.signer().await?.fill(&mut message);
        }
        Ok(message)
    }

    /// Gives the images on a page of stored items their links. Pages without images are not parsed.
    pub async fn link_page(&self, page: &mut Page<Box<RawValue>>) -> Result<(), OpError> {
        for stored in &mut page.data {
            // In a text the quotation marks would be escaped; in the data of widgets and tags it may stand.
            if !stored.get().contains(r#""type":"image""#) {
                continue;
            }
            let Ok(ThreadItem::UserMessage(message)) = serde_json::from_str(stored.get()) else {
                continue;
            };
            let item = ThreadItem::UserMessage(self.link(&message).await?);
            *stored = to_raw_value(&item).map_err(|err| OpError::Failed(err.into()))?;
        }
        Ok(())
    }

    async fn show(&self, attachment: &StoredAttachment) -> Result<Attachment, OpError> {
        let signer = self.signer().await?;
        let url = |purpose| signer.url(&attachment.id, purpose);
        let mut shown = to_item(attachment, None);
        let descriptor = attachment.blob.is_none().then(|| AttachmentUploadDescriptor {
            url: url(LinkPurpose::Upload),
            method: UploadMethod::Put,
            headers: [("content-type".to_owned(), attachment.mime_type.clone())].into(),
        });
        match &mut shown {
            Attachment::File(file) => file.upload_descriptor = descriptor,
            Attachment::Image(image) => {
                image.upload_descriptor = descriptor;
                image.preview_url = url(LinkPurpose::Content);
            }
        }
        Ok(shown)
    }

    async fn signer(&self) -> Result<Signer<'_>, OpError> {
        let secret = self.app.store.attachment_secret().await?;
        Ok(Signer::new(&self.links, secret, &self.user.key, now()))
    }

    /// The most bytes that a file of this type may have. Which agent it is for is not known yet: it must be one that
    /// the user can reach.
    fn limit_for(&self, field: &str, mime_type: &str) -> Result<u64, OpError> {
        let limits = &self.generation.config.limits.attachments;
        let default = self.choose_agent(None)?;
        let others = self.generation.prompts.agents();
        let others = others.filter(|agent| !agent.front.when_tool_choice.is_empty());
        let allowances = others.chain([&default]).filter_map(|agent| Allowance::of(agent, limits));
        let taken = allowances.filter(|it| it.takes(mime_type)).map(|it| it.max_bytes).max();
        if let Some(limit) = taken {
            return Ok(limit);
        }
        match Allowance::of(&default, limits) {
            Some(allowance) => allowance.check_type(field, mime_type).map(|()| allowance.max_bytes),
            None => Err(none_taken(field)),
        }
    }

    /// Whether one more attachment can be taken.
    async fn check_place(&self) -> Result<(), OpError> {
        // Trying again would not help.
        if self.app.store.blobs().problem().is_some() {
            return Err(OpError::BadRequest(
                "attachments cannot be stored here: the server's log says why".to_owned(),
            ));
        }
        if self.rows().count_unused_attachments().await? < u64::from(MAX_UNUSED) {
            return Ok(());
        }
        Err(too_many())
    }
}

/// The second phase of an upload. `announced` is what the request says of its own length.
pub async fn upload(
    app: &App,
    link: &SignedLink,
    now: Timestamp,
    announced: Option<u64>,
    upload: Upload,
) -> Result<(), OpError> {
    let owner = link.verify(app, now).await?;
    let rows = app.store.of(&owner);
    let attachment = rows.load_attachment(&link.id).await.map_err(unknown)?;
    let done = || OpError::Conflict("this attachment is uploaded already".to_owned());
    if attachment.blob.is_some() {
        return Err(done());
    }
    if announced.is_some_and(|it| it > attachment.size) {
        return Err(longer_than_said(attachment.size));
    }
    let (blob, _) = store(app, upload, Expected::Exactly(attachment.size)).await?;
    match rows.finish_upload(&link.id, &blob).await {
        Ok(()) => Ok(()),
        Err(err) => {
            app.store.delete_blobs(&[blob]).await;
            // Another upload was first, or the attachment was deleted meanwhile.
            rows.load_attachment(&link.id).await.map_err(unknown)?;
            Err(match err {
                StoreError::NotFound => done(),
                err @ (StoreError::BadCursor
                | StoreError::Unavailable(_)
                | StoreError::Failed(_)) => err.into(),
            })
        }
    }
}

/// What an attachment holds.
pub async fn open_attachment(
    app: &App,
    link: &SignedLink,
    now: Timestamp,
) -> Result<(StoredAttachment, BlobReader), OpError> {
    let owner = link.verify(app, now).await?;
    let attachment = app.store.of(&owner).load_attachment(&link.id).await.map_err(unknown)?;
    let blob = attachment.blob.as_deref().ok_or(OpError::NotFound("attachment"))?;
    let reader = app.store.blobs().open_blob(blob).await.map_err(unknown)?;
    Ok((attachment, reader))
}

/// The attachment as it stands in an item; as it is stored, without links.
pub fn to_item(attachment: &StoredAttachment, thread_id: Option<ThreadId>) -> Attachment {
    let StoredAttachment { id, name, mime_type, size: _, blob: _, thread: _ } = attachment.clone();
    if media::is_image(&mime_type) {
        return Attachment::Image(ImageAttachment {
            id,
            name,
            mime_type,
            upload_descriptor: None,
            thread_id,
            preview_url: String::new(),
        });
    }
    Attachment::File(FileAttachment { id, name, mime_type, upload_descriptor: None, thread_id })
}

/// How many bytes an upload may have.
#[derive(Clone, Copy)]
enum Expected {
    Exactly(u64),
    AtMost(u64),
}

/// Stores the bytes as they come, and gives their key and number. What is cut, or lies about its length, leaves
/// nothing behind.
async fn store(
    app: &App,
    mut upload: Upload,
    expected: Expected,
) -> Result<(String, u64), OpError> {
    let key = app.store.new_blob_key().await?;
    let mut writer = app.store.blobs().write(&key).await?;
    let (Expected::Exactly(most) | Expected::AtMost(most)) = expected;
    let copied = async {
        let mut size = 0;
        while let Some(bytes) = upload.next().await {
            let bytes = bytes?;
            size += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            if size > most {
                return Err(match expected {
                    Expected::Exactly(size) => longer_than_said(size),
                    Expected::AtMost(limit) => too_large(limit),
                });
            }
            writer.write(bytes).await?;
        }
        match expected {
            Expected::Exactly(said) if size != said => Err(OpError::BadRequest(format!(
                "the upload ended after {size} of the {said} bytes that were announced"
            ))),
            Expected::Exactly(_) | Expected::AtMost(_) if size == 0 => Err(empty("file")),
            Expected::Exactly(_) | Expected::AtMost(_) => Ok(size),
        }
    };
    match copied.await {
        Ok(size) => {
            writer.finish().await?;
            Ok((key, size))
        }
        Err(err) => {
            writer.abort().await;
            Err(err)
        }
    }
}

fn read_type(field: &str, mime_type: &str, name: &str) -> Result<String, OpError> {
    media::type_of(mime_type, name)
        .ok_or_else(|| OpError::BadRequest(format!("`{field}`: is no type such as `image/png`")))
}

fn too_many() -> OpError {
    OpError::Conflict(format!(
        "{MAX_UNUSED} attachments wait for a message already: send some, or delete them"
    ))
}

fn none_taken(field: &str) -> OpError {
    OpError::BadRequest(format!("`{field}`: attachments are not taken here"))
}

fn empty(field: &str) -> OpError {
    OpError::BadRequest(format!("`{field}`: the file is empty"))
}

fn too_large(limit: u64) -> OpError {
    OpError::TooLarge(format!("the file is too large: at most {limit} bytes are taken"))
}

fn longer_than_said(size: u64) -> OpError {
    OpError::TooLarge(format!("the upload is longer than the {size} bytes that were announced"))
}

fn unknown(err: StoreError) -> OpError {
    match err {
        StoreError::NotFound => OpError::NotFound("attachment"),
        err @ (StoreError::BadCursor | StoreError::Unavailable(_) | StoreError::Failed(_)) => {
            err.into()
        }
    }
}
