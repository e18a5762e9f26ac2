use std::sync::LazyLock;

use serde_json::{Map, Value};
use sqlx::{Connection, Row, SqliteConnection};

use super::{
    Record, StoreError, UserStore, attachments, items, list, list::PageQuery, sqlite::BEGIN,
};
use crate::chatkit::{Order, Page, ThreadId, ThreadMetadata};

// As for the limit of `LIST_ITEMS`.
pub static LIST_THREADS: LazyLock<PageQuery> = LazyLock::new(|| {
    PageQuery::new(
        "select c.position, (
             select '[' || string_agg(p.data, ',' order by p.created_at {order}, p.position {order}) || ']'
             from (
                 select t.data, t.created_at, t.position from threads t
                 where t.owner = $1
                   and (t.created_at, t.position)
                       {beyond} (coalesce(c.created_at, $3), coalesce(c.position, $3))
                 order by t.created_at {order}, t.position {order} limit 0 + $4
             ) p
         )
         from (select 1) one left join threads c on c.id = $2 and c.owner = $1",
    )
});

const ADD: &str =
    "insert into threads (id, owner, created_at, data, page) values ($1, $2, $3, $4, '{}')";

/// The thread and its first record, as one trip to the database.
const ADD_WITH_RECORD: &str = "
    begin immediate;
    insert into threads (id, owner, created_at, data, page) values ($1, $2, $3, $4, '{}');
    insert into items (thread, id, kind, hidden, pending, json)
    select t.position, $5, $6, $7, 0, $8 from threads t where t.id = $1 and t.owner = $2;
    commit";

impl UserStore<'_> {
    /// Adds a thread and its first records in one transaction. [`StoreError::NotFound`] where they use an
    /// attachment that cannot be used.
    pub async fn add_thread(
        &self,
        thread: &ThreadMetadata,
        records: &[Record],
    ) -> Result<(), StoreError> {
        let database = self.store.database()?;
        if let [record] = records
            && attachments::of_records(records).next().is_none()
        {
            let row = items::Row::try_from(record)?;
            let insert = sqlx::query(ADD_WITH_RECORD)
                .bind(thread.id.as_str())
                .bind(self.user.as_str())
                .bind(thread.created_at.as_microsecond())
                .bind(serde_json::to_string(thread)?)
                .bind(row.id.as_str())
                .bind(row.kind)
                .bind(i64::from(row.hidden))
                .bind(row.json);
            return database.execute_together(insert).await;
        }
        let mut connection = database.writer().await?;
        let mut transaction = connection.begin_with(BEGIN).await?;
        sqlx::query(ADD)
            .bind(thread.id.as_str())
            .bind(self.user.as_str())
            .bind(thread.created_at.as_microsecond())
            .bind(serde_json::to_string(thread)?)
            .execute(&mut *transaction)
            .await?;
        for record in records {
            items::add(&mut transaction, self.user.as_str(), &thread.id, record.try_into()?, None)
                .await?;
        }
        attachments::claim(&mut transaction, self.user.as_str(), &thread.id, records).await?;
        transaction.commit().await?;
        Ok(())
    }

    pub async fn load_thread(&self, thread: &ThreadId) -> Result<ThreadMetadata, StoreError> {
        let database = self.store.database()?;
        let row = sqlx::query("select data from threads where id = $1 and owner = $2")
            .bind(thread.as_str())
            .bind(self.user.as_str())
            .fetch_optional(&mut *database.reader().await?)
            .await?
            .ok_or(StoreError::NotFound)?;
        Ok(serde_json::from_str(row.try_get(0)?)?)
    }

    /// Changes title, status, metadata or image domains of the thread as it is now, and returns it. Nobody
    /// else's change can be lost.
    pub async fn update_thread(
        &self,
        thread: &ThreadId,
        change: impl FnOnce(&mut ThreadMetadata),
    ) -> Result<ThreadMetadata, StoreError> {
        let database = self.store.database()?;
        let mut connection = database.writer().await?;
        let mut transaction = connection.begin_with(BEGIN).await?;
        let row = sqlx::query("select data from threads where id = $1 and owner = $2")
            .bind(thread.as_str())
            .bind(self.user.as_str())
            .fetch_optional(&mut *transaction)
            .await?
            .ok_or(StoreError::NotFound)?;
        let mut changed: ThreadMetadata = serde_json::from_str(row.try_get(0)?)?;
        change(&mut changed);
        sqlx::query("update threads set data = $3 where id = $1 and owner = $2")
            .bind(thread.as_str())
            .bind(self.user.as_str())
            .bind(serde_json::to_string(&changed)?)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(changed)
    }

    /// A page of the user's threads by creation. `limit` is at least 1.
    pub async fn list_threads(
        &self,
        limit: usize,
        after: Option<&ThreadId>,
        order: Order,
    ) -> Result<Page<ThreadMetadata>, StoreError> {
        let after = after.map(ThreadId::as_str);
        let database = self.store.database()?;
        let row = sqlx::query(LIST_THREADS.sql(order))
            .bind(self.user.as_str())
            .bind(after)
            .bind(list::beginning(order))
            .bind(list::one_more(limit))
            .fetch_one(&mut *database.reader().await?)
            .await?;
        list::page(&row, after, limit, |thread: &ThreadMetadata| Ok(thread.id.to_string()))
    }

    /// Deletes the thread with all that belongs to it (`kv.thread` and attachments too). Returns the keys of the
    /// attachments' bytes, which are left to the caller.
    pub async fn delete_thread(&self, thread: &ThreadId) -> Result<Vec<String>, StoreError> {
        let database = self.store.database()?;
        let mut connection = database.writer().await?;
        let mut transaction = connection.begin_with(BEGIN).await?;
        let owner = self.user.as_str();
        let blobs = attachments::blobs_of_thread(&mut transaction, owner, thread).await?;
        let done = sqlx::query("delete from threads where id = $1 and owner = $2")
            .bind(thread.as_str())
            .bind(owner)
            .execute(&mut *transaction)
            .await?;
        found(done.rows_affected())?;
        transaction.commit().await?;
        Ok(blobs)
    }

    /// The page context that a turn of the thread was given last, an empty map if none ever was.
    pub async fn load_page_context(
        &self,
        thread: &ThreadId,
    ) -> Result<Map<String, Value>, StoreError> {
        let database = self.store.database()?;
        let row = sqlx::query("select page from threads where id = $1 and owner = $2")
            .bind(thread.as_str())
            .bind(self.user.as_str())
            .fetch_optional(&mut *database.reader().await?)
            .await?
            .ok_or(StoreError::NotFound)?;
        Ok(serde_json::from_str(row.try_get(0)?)?)
    }

    pub async fn save_page_context(
        &self,
        thread: &ThreadId,
        page: &Map<String, Value>,
    ) -> Result<(), StoreError> {
        let database = self.store.database()?;
        let done = sqlx::query("update threads set page = $3 where id = $1 and owner = $2")
            .bind(thread.as_str())
            .bind(self.user.as_str())
            .bind(serde_json::to_string(page)?)
            .execute(&mut *database.writer().await?)
            .await?;
        found(done.rows_affected())
    }
}

/// Fails if the thread is not this user's.
pub async fn require(
    connection: &mut SqliteConnection,
    owner: &str,
    thread: &ThreadId,
) -> Result<(), StoreError> {
    sqlx::query("select 1 from threads where id = $1 and owner = $2")
        .bind(thread.as_str())
        .bind(owner)
        .fetch_optional(connection)
        .await?
        .map(|_| ())
        .ok_or(StoreError::NotFound)
}

/// Fails if no row was concerned.
pub const fn found(rows: u64) -> Result<(), StoreError> {
    if rows == 0 { Err(StoreError::NotFound) } else { Ok(()) }
}
