use jiff::Timestamp;

use super::{Store, StoreError, UserStore, query::query};
use crate::{chatkit::AttachmentId, store::StoredAttachment, user::UserKey};

/// What was taken away of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Forgotten {
    pub threads: u64,
    pub attachments: u64,
    /// Values that plugins kept.
    pub values: u64,
    /// Credentials and logins.
    pub sealed: u64,
}

/// A value that a plugin keeps for a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptValue {
    pub plugin: String,
    pub name: String,
    /// JSON.
    pub value: String,
}

/// Something that is sealed, without what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedName {
    pub kind: String,
    pub name: String,
    pub updated_at: Timestamp,
}

const OWNERS: &str = "select owner from threads union select owner from attachments \
     union select owner from sealed union select scope from kv where scope like 'user:%'";
const BLOBS: &str = "select blob from attachments where owner = $1 and blob is not null";
const ATTACHMENTS: &str = "select a.id, a.name, a.mime_type, a.size, a.blob, t.id \
     from attachments a left join threads t on t.position = a.thread where a.owner = $1";
const DELETE_THREADS: &str = "delete from threads where owner = $1";
const DELETE_ATTACHMENTS: &str = "delete from attachments where owner = $1";
const DELETE_VALUES: &str = "delete from kv where scope = $1";
const DELETE_SEALED: &str = "delete from sealed where owner = $1";
const DELETE_LOGINS: &str = "delete from logins where owner = $1";
const DELETE_COUNTS: &str = "delete from limit_counts where subject = $1";
const DELETE_ORG: &str = "delete from organisations where subject = $1";
const VALUES: &str = "select plugin, name, value from kv where scope = $1";
const SEALED: &str = "select kind, name, updated_at from sealed where owner = $1";

impl Store {
    /// All users of whom something is kept and whose id is `id`, as prompts see it, or whose key it is.
    pub async fn find_users(&self, id: &str) -> Result<Vec<UserKey>, StoreError> {
        let rows = self.database()?.fetch_all(query(OWNERS)).await?;
        let mut users = Vec::new();
        for row in rows {
            let owner: String = row.try_get(0)?;
            let key = UserKey::from_stored(owner.strip_prefix("user:").unwrap_or(&owner));
            if key.as_str() == id || key.subject() == id {
                users.push(key);
            }
        }
        users.sort();
        users.dedup();
        Ok(users)
    }
}

impl UserStore<'_> {
    /// Takes away all that is kept of the user, at once, and gives what it was and where the bytes of their attachments
    /// are, which stay for now.
    pub async fn forget(&self) -> Result<(Forgotten, Vec<String>), StoreError> {
        let owner = self.user.as_str();
        let database = self.store.database()?;
        let mut transaction = database.begin().await?;
        let mut blobs = Vec::new();
        for row in query(BLOBS).bind(owner).fetch_all(&mut transaction).await? {
            blobs.push(row.try_get(0)?);
        }
        let mut counts = [0; 7];
        let subject = self.user.pseudonym();
        let scope = self.scope();
        let statements = [
            (DELETE_ATTACHMENTS, owner),
            (DELETE_THREADS, owner),
            (DELETE_VALUES, scope.as_str()),
            (DELETE_SEALED, owner),
            (DELETE_LOGINS, owner),
            (DELETE_COUNTS, subject.as_str()),
            (DELETE_ORG, subject.as_str()),
        ];
        for (count, (sql, whose)) in counts.iter_mut().zip(statements) {
            *count = query(sql).bind(whose).execute(&mut transaction).await?;
        }
        transaction.commit().await?;
        let [attachments, threads, values, sealed, logins, _, _] = counts;
        Ok((Forgotten { threads, attachments, values, sealed: sealed + logins }, blobs))
    }

    pub async fn all_attachments(&self) -> Result<Vec<StoredAttachment>, StoreError> {
        let find = query(ATTACHMENTS).bind(self.user.as_str());
        let rows = self.store.database()?.fetch_all(find).await?;
        let mut attachments = Vec::with_capacity(rows.len());
        for row in rows {
            let thread: Option<String> = row.try_get(5)?;
            attachments.push(StoredAttachment {
                id: AttachmentId::from(row.try_get::<String>(0)?),
                name: row.try_get(1)?,
                mime_type: row.try_get(2)?,
                size: u64::try_from(row.try_get::<i64>(3)?).unwrap_or_default(),
                blob: row.try_get(4)?,
                thread: thread.map(Into::into),
            });
        }
        Ok(attachments)
    }

    pub async fn all_values(&self) -> Result<Vec<KeptValue>, StoreError> {
        let find = query(VALUES).bind(self.scope());
        let rows = self.store.database()?.fetch_all(find).await?;
        let mut values = Vec::with_capacity(rows.len());
        for row in rows {
            let (plugin, name, value) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            values.push(KeptValue { plugin, name, value });
        }
        Ok(values)
    }

    pub async fn all_sealed(&self) -> Result<Vec<SealedName>, StoreError> {
        let find = query(SEALED).bind(self.user.as_str());
        let rows = self.store.database()?.fetch_all(find).await?;
        let mut sealed = Vec::with_capacity(rows.len());
        for row in rows {
            let updated_at = Timestamp::from_microsecond(row.try_get(2)?);
            sealed.push(SealedName {
                kind: row.try_get(0)?,
                name: row.try_get(1)?,
                updated_at: updated_at.unwrap_or(Timestamp::UNIX_EPOCH),
            });
        }
        Ok(sealed)
    }

    /// Of what plugins keep for the user.
    fn scope(&self) -> String {
        format!("user:{}", self.user.as_str())
    }
}
