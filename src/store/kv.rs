use serde_json::Value;

use super::{Store, StoreError, connection::Connection, query::query};
use crate::{chatkit::ThreadId, user::UserKey};

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
const SET: &str = "
    insert into kv (plugin, scope, name, value, thread)
    select $1, $2, $3, $4, (select position from threads where id = $5) from (select 1) one
    where $5 is null or exists (select 1 from threads where id = $5)
    on conflict (plugin, scope, name) do update set value = excluded.value";

const ADD: &str = "
    insert into kv (plugin, scope, name, value, thread)
    select $1, $2, $3, $4, (select position from threads where id = $5) from (select 1) one
    where $5 is null or exists (select 1 from threads where id = $5)
    on conflict (plugin, scope, name) do nothing";

const SWAP: &str = "
    update kv set value = $4 where plugin = $1 and scope = $2 and name = $3 and value = $5";

const DELETE: &str = "delete from kv where plugin = $1 and scope = $2 and name = $3";

pub const LIST: &str = "
    select name from kv where plugin = $1 and scope = $2 and name >= $3 order by name";

pub const LIST_BELOW: &str = "
    select name from kv where plugin = $1 and scope = $2 and name >= $3 and name < $4 order by name";

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
        let query = query(LOAD).bind(plugin).bind(scope.column()).bind(key);
        let row = self.store.database()?.fetch_optional(query).await?;
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
        let work = || async {
            let mut connection = database.writer().await?;
            add(&mut connection, SET, plugin, scope, key, value).await
        };
        database.again(work).await?;
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
            return add(&mut connection, ADD, plugin, scope, key, new).await;
        };
        let query = query(SWAP)
            .bind(plugin)
            .bind(scope.column())
            .bind(key)
            .bind(new.to_string())
            .bind(old.to_string());
        let rows = query.execute(&mut connection).await?;
        applied(&mut connection, scope, rows).await
    }

    pub async fn delete(&self, plugin: &str, scope: &KvScope, key: &str) -> Result<(), StoreError> {
        let database = self.store.database()?;
        let mut connection = database.writer().await?;
        let query = query(DELETE).bind(plugin).bind(scope.column()).bind(key);
        let rows = query.execute(&mut connection).await?;
        applied(&mut connection, scope, rows).await?;
        Ok(())
    }

    /// The keys that begin with `prefix`, sorted.
    pub async fn list(
        &self,
        plugin: &str,
        scope: &KvScope,
        prefix: &str,
    ) -> Result<Vec<String>, StoreError> {
        let all = |sql| query(sql).bind(plugin).bind(scope.column()).bind(prefix);
        let query = match after_prefix(prefix) {
            Some(end) => all(LIST_BELOW).bind(end),
            None => all(LIST),
        };
        let rows = self.store.database()?.fetch_all(query).await?;
        rows.iter().map(|row| row.try_get(0)).collect()
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
    connection: &mut Connection<'_>,
    sql: &'static str,
    plugin: &str,
    scope: &KvScope,
    key: &str,
    value: &Value,
) -> Result<bool, StoreError> {
    let query = query(sql)
        .bind(plugin)
        .bind(scope.column())
        .bind(key)
        .bind(value.to_string())
        .bind(scope.thread());
    let rows = query.execute(connection).await?;
    applied(connection, scope, rows).await
}

/// What comes after all that begins with `prefix`; None: nothing does.
fn after_prefix(prefix: &str) -> Option<String> {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        let mut next = last..=char::MAX;
        next.next();
        if let Some(next) = next.next() {
            end.push(next);
            return Some(end);
        }
    }
    None
}

/// Whether a write found what it was for. Fails if that is because the thread is missing.
async fn applied(
    connection: &mut Connection<'_>,
    scope: &KvScope,
    rows: u64,
) -> Result<bool, StoreError> {
    if rows > 0 {
        return Ok(true);
    }
    let Some(thread) = scope.thread() else {
        return Ok(false);
    };
    let query = query("select 1 from threads where id = $1").bind(thread);
    query.fetch_optional(connection).await?.map(|_| false).ok_or(StoreError::NotFound)
}

#[cfg(test)]
mod tests {
    use super::after_prefix;

    #[test]
    fn what_begins_with_a_prefix_ends_before_the_next_one() {
        for (prefix, end) in [
            ("", None),
            ("a", Some("b")),
            ("a\u{d7ff}", Some("a\u{e000}")),
            ("a\u{10ffff}", Some("b")),
            ("\u{10ffff}", None),
        ] {
            assert_eq!(after_prefix(prefix).as_deref(), end, "{prefix:?}");
        }
    }
}
