use crate::{
    chatkit::AttachmentId,
    plugin::{CallError, Host},
    store::{StoreError, StoredAttachment},
    tool::CallContext,
};

impl Host {
    /// What is known of an attachment of the caller's.
    pub async fn attachment(
        &self,
        context: &CallContext,
        id: &AttachmentId,
    ) -> Result<StoredAttachment, CallError> {
        let Some(user) = &context.request.user else {
            return Err(CallError::Thrown(
                "attachments are a user's, and there is none".to_owned(),
            ));
        };
        self.store.of(&user.key).load_attachment(id).await.map_err(|err| explain(&err))
    }

    /// The bytes of an attachment of the caller's; more than `most` are an error.
    pub async fn attachment_bytes(
        &self,
        context: &CallContext,
        id: &AttachmentId,
        most: usize,
    ) -> Result<Vec<u8>, CallError> {
        let StoredAttachment { name, size, blob, .. } = self.attachment(context, id).await?;
        if size > u64::try_from(most).unwrap_or(u64::MAX) {
            return Err(CallError::Thrown(format!(
                "`{name}` has {size} bytes, and a script takes at most {most} in this form \
                 (`[limits.plugin]`)"
            )));
        }
        let Some(blob) = blob else { return Err(explain(&StoreError::NotFound)) };
        let bytes = self.store.blobs().read(&blob, size).await.map_err(|err| explain(&err))?;
        Ok(bytes.to_vec())
    }
}

fn explain(err: &StoreError) -> CallError {
    CallError::Thrown(match err {
        StoreError::NotFound => "the attachment is not there any more".to_owned(),
        StoreError::BadCursor | StoreError::Unavailable(_) | StoreError::Failed(_) => {
            tracing::warn!("a plugin could not read an attachment: {err}");
            "the attachment cannot be read now".to_owned()
        }
    })
}
