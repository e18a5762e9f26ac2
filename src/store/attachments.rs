use std::{collections::HashSet, fmt::Write};

use futures::TryStreamExt;
use hmac::{Hmac, Mac};
use jiff::Timestamp;
use sha2::Sha256;
use tracing::{info, warn};
use uuid::Uuid;

use super::{
    Record, Store, StoreError, UserStore,
    connection::Connection,
    query::{Row, query},
    threads::found,
};
use crate::{
    chatkit::{Attachment, AttachmentId, ThreadId, ThreadItem, now},
    user::UserKey,
};

/// What is known of a file that a user gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAttachment {
    pub id: AttachmentId,
    pub name: String,
    pub mime_type: String,
    /// In bytes.
    pub size: u64,
    /// The key of its bytes in [`super::Blobs`]; None while it waits for its upload.
    pub blob: Option<String>,
    /// Once a message uses it.
    pub thread: Option<ThreadId>,
}

// MySQL reserves the name `blob`.
const ADD: &str = r#"
    insert into attachments (id, owner, name, mime_type, size, "blob", created_at, metadata)
    select $1, $2, $3, $4, $5, $6, $7, '{}' from (select 1) one
    where (select count(*) from attachments where owner = $2 and thread is null) < $8"#;

const LOAD: &str = r#"
    select a.id, a.name, a.mime_type, a.size, a."blob", t.id
    from attachments a left join threads t on t.position = a.thread
    where a.id = $1 and a.owner = $2"#;

const COUNT_UNUSED: &str = "select count(*) from attachments where owner = $1 and thread is null";

const FINISH: &str = r#"
    update attachments set "blob" = $3 where id = $1 and owner = $2 and "blob" is null"#;

const CLAIM: &str = r#"
    update attachments set thread = (select position from threads where id = $3 and owner = $2)
    where id = $1 and owner = $2 and "blob" is not null and thread is null"#;

const BLOBS_OF_THREAD: &str = r#"
    select a."blob" from attachments a join threads t on t.position = a.thread
    where t.id = $1 and t.owner = $2 and a."blob" is not null"#;

impl UserStore<'_> {
    /// Adds an attachment, unless the user has `most` that no message uses; false then.
    pub async fn add_attachment(
        &self,
        attachment: &StoredAttachment,
        most: u32,
    ) -> Result<bool, StoreError> {
        let database = self.store.database()?;
        let query = query(ADD)
            .bind(attachment.id.as_str())
            .bind(self.user.as_str())
            .bind(&attachment.name)
            .bind(&attachment.mime_type)
            .bind(i64::try_from(attachment.size).unwrap_or(i64::MAX))
            .bind(&attachment.blob)
            .bind(now().as_microsecond())
            .bind(most);
        let done = database.execute(query).await?;
        Ok(done > 0)
    }

    pub async fn load_attachment(&self, id: &AttachmentId) -> Result<StoredAttachment, StoreError> {
        let database = self.store.database()?;
        let query = query(LOAD).bind(id.as_str()).bind(self.user.as_str());
        let row = database.fetch_optional(query).await?.ok_or(StoreError::NotFound)?;
        read(&row)
    }

    /// How many attachments of the user no message uses.
    pub async fn count_unused_attachments(&self) -> Result<u64, StoreError> {
        let database = self.store.database()?;
        let query = query(COUNT_UNUSED).bind(self.user.as_str());
        let row = database.fetch_one(query).await?;
        Ok(u64::try_from(row.try_get::<i64>(0)?).unwrap_or_default())
    }

    /// Keeps where the bytes are. [`StoreError::NotFound`] where another upload was first.
    pub async fn finish_upload(&self, id: &AttachmentId, blob: &str) -> Result<(), StoreError> {
        let database = self.store.database()?;
        let query = query(FINISH).bind(id.as_str()).bind(self.user.as_str()).bind(blob);
        let done = database.execute(query).await?;
        found(done)
    }

    /// Returns the key of its bytes, which are left to the caller.
    pub async fn delete_attachment(&self, id: &AttachmentId) -> Result<Option<String>, StoreError> {
        let database = self.store.database()?;
        let mut transaction = database.begin().await?;
        let load = database.for_update(
            r#"select "blob" from attachments where id = $1 and owner = $2"#,
            r#"select "blob" from attachments where id = $1 and owner = $2 for update"#,
        );
        let load = load.bind(id.as_str()).bind(self.user.as_str());
        let row = load.fetch_optional(&mut transaction).await?.ok_or(StoreError::NotFound)?;
        let delete = query("delete from attachments where id = $1 and owner = $2");
        delete.bind(id.as_str()).bind(self.user.as_str()).execute(&mut transaction).await?;
        transaction.commit().await?;
        row.try_get(0)
    }
}

impl Store {
    /// Whose attachment it is: for links, which prove that they were made for that user.
    pub async fn find_attachment_owner(
        &self,
        id: &AttachmentId,
    ) -> Result<Option<UserKey>, StoreError> {
        let database = self.database()?;
        let query = query("select owner from attachments where id = $1").bind(id.as_str());
        let row = database.fetch_optional(query).await?;
        row.map(|row| Ok(UserKey::from_stored(row.try_get(0)?))).transpose()
    }

    /// For signing the links of attachments.
    pub async fn attachment_secret(&self) -> Result<&[u8; 32], StoreError> {
        self.inner.attachment_secret.get_or_try_init(|| self.load_secret("attachments")).await
    }

    /// A key for the bytes of an attachment, never used before.
    pub async fn new_blob_key(&self) -> Result<String, StoreError> {
        Ok(format!("{}/{}", self.blob_folder().await?, Uuid::now_v7().simple()))
    }

    /// Deletes the attachments that were made before `time` and that no message uses, and bytes of as long ago that no
    /// attachment has.
    pub async fn sweep_attachments(&self, time: Timestamp) -> Result<(), StoreError> {
        let database = self.database()?;
        let mut transaction = database.begin().await?;
        let unused = database.for_update(
            r#"select "blob" from attachments where thread is null and created_at < $1"#,
            r#"select "blob" from attachments where thread is null and created_at < $1 for update"#,
        );
        let unused = unused.bind(time.as_microsecond());
        let rows = unused.fetch_all(&mut transaction).await?;
        let delete = query("delete from attachments where thread is null and created_at < $1");
        delete.bind(time.as_microsecond()).execute(&mut transaction).await?;
        transaction.commit().await?;
        let mut blobs = HashSet::new();
        for row in &rows {
            blobs.extend(row.try_get::<Option<String>>(0)?);
        }
        let mut keys = self.blobs.list(&self.blob_folder().await?, time).await?;
        while let Some(key) = keys.try_next().await? {
            if !blobs.contains(&key) && !self.has_blob(&key).await? {
                blobs.insert(key);
            }
        }
        self.delete_blobs(&blobs).await;
        if !rows.is_empty() || !blobs.is_empty() {
            let (rows, blobs) = (rows.len(), blobs.len());
            info!(
                rows,
                blobs, "took away {rows} attachments that no message uses and {blobs} files"
            );
        }
        Ok(())
    }

    /// What cannot be deleted now is swept later.
    pub async fn delete_blobs(&self, keys: impl IntoIterator<Item = &String>) {
        for key in keys {
            if let Err(err) = self.blobs.delete(key).await {
                warn!("the bytes of a deleted attachment stay for now: {err}");
            }
        }
    }

    async fn has_blob(&self, key: &str) -> Result<bool, StoreError> {
        let database = self.database()?;
        let query = query(r#"select 1 from attachments where "blob" = $1"#).bind(key);
        let row = database.fetch_optional(query).await?;
        Ok(row.is_some())
    }

    /// This database's own: another one that is given the same place must not take its bytes for orphans.
    async fn blob_folder(&self) -> Result<String, StoreError> {
        let secret = self.attachment_secret().await?;
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("any length of key will do");
        mac.update(b"folder");
        let mut name = String::new();
        for byte in &mac.finalize().into_bytes()[..8] {
            let _ = write!(name, "{byte:02x}");
        }
        Ok(name)
    }
}

/// Binds the attachments of these records to their thread. [`StoreError::NotFound`] where one is not this
/// user's, not uploaded, or used already.
pub async fn claim(
    connection: &mut Connection<'_>,
    owner: &str,
    thread: &ThreadId,
    records: &[Record],
) -> Result<(), StoreError> {
    for attachment in of_records(records) {
        let query = query(CLAIM).bind(attachment.id().as_str()).bind(owner).bind(thread.as_str());
        found(query.execute(connection).await?)?;
    }
    Ok(())
}

/// The attachments that records use.
pub fn of_records(records: &[Record]) -> impl Iterator<Item = &Attachment> {
    records.iter().flat_map(|record| match record {
        Record::Item(ThreadItem::UserMessage(message)) => &message.attachments[..],
        Record::Item(_) | Record::ToolCall(_) | Record::MessageNote(_) => &[],
    })
}

/// Where the bytes of a thread's attachments are.
pub async fn blobs_of_thread(
    connection: &mut Connection<'_>,
    owner: &str,
    thread: &ThreadId,
) -> Result<Vec<String>, StoreError> {
    let query = query(BLOBS_OF_THREAD).bind(thread.as_str()).bind(owner);
    let rows = query.fetch_all(connection).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

fn read(row: &Row) -> Result<StoredAttachment, StoreError> {
    let thread: Option<&str> = row.try_get(5)?;
    Ok(StoredAttachment {
        id: AttachmentId::from(row.try_get::<&str>(0)?),
        name: row.try_get(1)?,
        mime_type: row.try_get(2)?,
        size: u64::try_from(row.try_get::<i64>(3)?).unwrap_or_default(),
        blob: row.try_get(4)?,
        thread: thread.map(ThreadId::from),
    })
}
