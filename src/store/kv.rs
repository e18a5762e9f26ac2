use futures::TryStreamExt;
use serde_json::Value;
use sqlx::{Row, SqliteConnection};

use crate::{
    chatkit::ThreadId,
    store::{Store, StoreError},
    user::UserKey,
};

/// Values that plugins keep, apart per plugin and scope.
pub struct KvStore<'a> {
    store: &'a Store,
}

/// Whose values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvScope {
    /// Goes with its thread.
    Thread(ThreadId),
    User(UserKey),
    /// All users of one organisation; None: all users without one.
    All {
        org: Option<String>,
    },
}

const LOAD: &str = "select value from kv where plugin = $1 and scope = $2 and name = $3";

/// Adds nothing where the thread is missing that the value goes with.
const ADD: &str = "
    insert into kv (plugin, scope, name, value, thread)
    select $1, $2, $3, $4, (select position from threads where id = $5)
    where $5 is null or exists (select 1 from threads where id = $5)
    on conflict (plugin, scope, name) do update set value = excluded.value where $6 = 1";

const SWAP: &str = "
    update kv set value = $4 where plugin = $1 and scope = $2 and name = $3 and value = $5";

const DELETE: &str = "delete from kv where plugin = $1 and scope = $2 and name = $3";

pub const LIST: &str = "
    select name from kv where plugin = $1 and scope = $2 and name >= $3 order by name";

/// What becomes of a value that is there already.
#[derive(Clone, Copy)]
enum Existing {
    Keep = 0,
    Replace = 1,
}

impl Store {
    /// What plugins keep.
    pub const fn kv(&self) -> KvStore<'_> {
        KvStore { store: self }
    }
}

impl KvStore<'_> {
    pub async fn get(
        &self,
        plugin: &str,
        scope: &KvScope,
        key: &str,
    ) -> Result<Option<Value>, StoreError> {
        let database = self.store.database()?;
        let row = sqlx::query(LOAD)
            .bind(plugin)
            .bind(scope.column())
            .bind(key)
            .fetch_optional(&mut *database.reader().await?)
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        Ok(Some(serde_json::from_str(row.try_get(0)?)?))
    }

    pub async fn set(
        &self,
        plugin: &str,
        scope: &KvScope,
        key: &str,
        value: &Value,
    ) -> Result<(), StoreError> {
        let database = self.store.database()?;
        let mut connection = database.writer().await?;
        add(&mut connection, plugin, scope, key, value, Existing::Replace).await?;
        Ok(())
    }

    /// Stores `new` only if the value still is `old` (None: absent); says whether it did.
    pub async fn compare_and_set(
        &self,
        plugin: &str,
        scope: &KvScope,
        key: &str,
        old: Option<&Value>,
        new: &Value,
    ) -> Result<bool, StoreError> {
        let database = self.store.database()?;
        let mut connection = database.writer().await?;
        let Some(old) = old else {
            return add(&mut connection, plugin, scope, key, new, Existing::Keep).await;
        };
        let done = sqlx::query(SWAP)
            .bind(plugin)
            .bind(scope.column())
            .bind(key)
            .bind(new.to_string())
            .bind(old.to_string())
            .execute(&mut *connection)
            .await?;
        applied(&mut connection, scope, done.rows_affected()).await
    }

    pub async fn delete(&self, plugin: &str, scope: &KvScope, key: &str) -> Result<(), StoreError> {
        let database = self.store.database()?;
        let mut connection = database.writer().await?;
        let done = sqlx::query(DELETE)
            .bind(plugin)
            .bind(scope.column())
            .bind(key)
            .execute(&mut *connection)
            .await?;
        applied(&mut connection, scope, done.rows_affected()).await?;
        Ok(())
    }

    /// The keys that begin with `prefix`, sorted.
    pub async fn list(
        &self,
        plugin: &str,
        scope: &KvScope,
        prefix: &str,
    ) -> Result<Vec<String>, StoreError> {
        let database = self.store.database()?;
        let mut connection = database.reader().await?;
        let mut rows = sqlx::query(LIST)
            .bind(plugin)
            .bind(scope.column())
            .bind(prefix)
            .fetch(&mut *connection);
        let mut keys = Vec::new();
        while let Some(row) = rows.try_next().await? {
            let key: String = row.try_get(0)?;
            // They are sorted: none follows.
            if !key.starts_with(prefix) {
                break;
            }
            keys.push(key);
        }
        Ok(keys)
    }
}

impl KvScope {
    fn column(&self) -> String {
        match self {
            Self::Thread(thread) => format!("thread:{thread}"),
            Self::User(user) => format!("user:{}", user.as_str()),
            Self::All { org: None } => "all".to_owned(),
            Self::All { org: Some(org) } => format!("org:{org}"),
        }
    }

    fn thread(&self) -> Option<&str> {
        match self {
            Self::Thread(thread) => Some(thread.as_str()),
            Self::User(_) | Self::All { .. } => None,
        }
    }
}

async fn add(
    connection: &mut SqliteConnection,
    plugin: &str,
    scope: &KvScope,
    key: &str,
    value: &Value,
    existing: Existing,
) -> Result<bool, StoreError> {
    let done = sqlx::query(ADD)
        .bind(plugin)
        .bind(scope.column())
        .bind(key)
        .bind(value.to_string())
        .bind(scope.thread())
        .bind(existing as i64)
        .execute(&mut *connection)
        .await?;
    applied(connection, scope, done.rows_affected()).await
}

/// Whether a write found what it was for. Fails if that is because the thread is missing.
async fn applied(
    connection: &mut SqliteConnection,
    scope: &KvScope,
    rows: u64,
) -> Result<bool, StoreError> {
    if rows > 0 {
        return Ok(true);
    }
    let Some(thread) = scope.thread() else {
        return Ok(false);
    };
    sqlx::query("select 1 from threads where id = $1")
        .bind(thread)
        .fetch_optional(connection)
        .await?
        .map(|_| false)
        .ok_or(StoreError::NotFound)
}
