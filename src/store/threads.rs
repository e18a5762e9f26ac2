use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::{
    Record, StoreError, UserStore, attachments,
    connection::Connection,
    database::Database,
    items,
    list::{self, PageQuery},
    query::query,
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
        "select h.cursor_position, p.data
         from (select (select position from threads where id = $2 and owner = $1) as cursor_position) h
         left join (
             select t.data, t.created_at, t.position from threads t
             where t.owner = $1
               and t.created_at {beyond}= coalesce((select created_at from threads where id = $2), $3)
               and (t.created_at {beyond} coalesce((select created_at from threads where id = $2), $3)
                   or t.position {beyond} coalesce((select position from threads where id = $2), $3))
             order by t.created_at {order}, t.position {order} limit $4
         ) p on true
         order by p.created_at {order}, p.position {order}",
    )
});

const ADD: &str =
    "insert into threads (id, owner, created_at, data, page) values ($1, $2, $3, $4, '{}')";

/// The thread and its first record, as one trip to SQLite.
const ADD_WITH_RECORD: &str = "
    begin immediate;
    insert into threads (id, owner, created_at, data, page) values ($1, $2, $3, $4, '{}');
    insert into items (thread, id, kind, hidden, pending, json)
    select t.position, $5, $6, $7, 0, $8 from threads t where t.id = $1 and t.owner = $2;
    commit";

/// The same in PostgreSQL, where one statement does both.
const ADD_WITH_RECORD_IN_POSTGRES: &str = "
    with t as (
        insert into threads (id, owner, created_at, data, page) values ($1, $2, $3, $4, '{}')
        returning position
    )
    insert into items (thread, id, kind, hidden, pending, json)
    select t.position, $5, $6, $7, 0, $8 from t";

impl UserStore<'_> {
    /// Adds a thread and its first records in one transaction. [`StoreError::NotFound`] where they use an
    /// attachment that cannot be used.
    pub async fn add_thread(
        &self,
        thread: &ThreadMetadata,
        records: &[Record],
    ) -> Result<(), StoreError> {
        let database = self.store.database()?;
        match self.try_add_thread(&database, thread, records).await {
            Err(err) if err.is_in_doubt() || err.is_deadlock() => (),
            done => return done,
        }
        match self.try_add_thread(&database, thread, records).await {
            // Ids are made up: it was us, before the connection was lost.
            Err(err) if err.is_duplicate() && self.load_thread(&thread.id).await.is_ok() => Ok(()),
            done => done,
        }
    }

    async fn try_add_thread(
        &self,
        database: &Database,
        thread: &ThreadMetadata,
        records: &[Record],
    ) -> Result<(), StoreError> {
        let data = serde_json::to_string(thread)?;
        let add = |sql| {
            query(sql)
                .bind(thread.id.as_str())
                .bind(self.user.as_str())
                .bind(thread.created_at.as_microsecond())
                .bind(&data)
        };
        if let [record] = records
            && attachments::of_records(records).next().is_none()
        {
            let row = items::Row::try_from(record)?;
            let together = |sql| {
                add(sql)
                    .bind(row.id.as_str())
                    .bind(row.kind)
                    .bind(i64::from(row.hidden))
                    .bind(&row.json)
            };
            match database {
                Database::Sqlite(sqlite) => {
                    return sqlite.execute_together(together(ADD_WITH_RECORD).sqlite()).await;
                }
                Database::Postgres(_) => {
                    let query = together(ADD_WITH_RECORD_IN_POSTGRES);
                    query.execute(&mut database.writer().await?).await?;
                    return Ok(());
                }
                Database::MySql(_) => (),
            }
        }
        let mut transaction = database.begin().await?;
        add(ADD).execute(&mut transaction).await?;
        for record in records {
            let row = record.try_into()?;
            items::add(&mut transaction, self.user.as_str(), &thread.id, &row, None).await?;
        }
        attachments::claim(&mut transaction, self.user.as_str(), &thread.id, records).await?;
        transaction.commit().await
    }

    pub async fn load_thread(&self, thread: &ThreadId) -> Result<ThreadMetadata, StoreError> {
        let query = query("select data from threads where id = $1 and owner = $2")
            .bind(thread.as_str())
            .bind(self.user.as_str());
        let row = self.store.database()?.fetch_optional(query).await?;
        Ok(serde_json::from_str(row.ok_or(StoreError::NotFound)?.try_get(0)?)?)
    }

    /// Changes title, status, metadata or image domains of the thread as it is now, and returns it. Nobody
    /// else's change can be lost.
    pub async fn update_thread(
        &self,
        thread: &ThreadId,
        change: impl FnOnce(&mut ThreadMetadata),
    ) -> Result<ThreadMetadata, StoreError> {
        let database = self.store.database()?;
        let mut transaction = database.begin().await?;
        let load = database.for_update(
            "select data from threads where id = $1 and owner = $2",
            "select data from threads where id = $1 and owner = $2 for update",
        );
        let load = load.bind(thread.as_str()).bind(self.user.as_str());
        let row = load.fetch_optional(&mut transaction).await?.ok_or(StoreError::NotFound)?;
        let mut changed: ThreadMetadata = serde_json::from_str(row.try_get(0)?)?;
        change(&mut changed);
        query("update threads set data = $3 where id = $1 and owner = $2")
            .bind(thread.as_str())
            .bind(self.user.as_str())
            .bind(serde_json::to_string(&changed)?)
            .execute(&mut transaction)
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
        let query = LIST_THREADS
            .query(order)
            .bind(self.user.as_str())
            .bind(after)
            .bind(list::beginning(order))
            .bind(list::one_more(limit));
        let rows = self.store.database()?.fetch_list(query).await?;
        list::page(&rows, after, limit, |thread: &ThreadMetadata| Ok(thread.id.to_string()))
    }

    /// Deletes the thread with all that belongs to it (`kv.thread` and attachments too). Returns the keys of the
    /// attachments' bytes, which are left to the caller.
    pub async fn delete_thread(&self, thread: &ThreadId) -> Result<Vec<String>, StoreError> {
        let database = self.store.database()?;
        let mut transaction = database.begin().await?;
        let owner = self.user.as_str();
        let blobs = attachments::blobs_of_thread(&mut transaction, owner, thread).await?;
        let delete = query("delete from threads where id = $1 and owner = $2");
        let delete = delete.bind(thread.as_str()).bind(owner);
        found(delete.execute(&mut transaction).await?)?;
        transaction.commit().await?;
        Ok(blobs)
    }

    /// The page context that a turn of the thread was given last, an empty map if none ever was.
    pub async fn load_page_context(
        &self,
        thread: &ThreadId,
    ) -> Result<Map<String, Value>, StoreError> {
        let query = query("select page from threads where id = $1 and owner = $2")
            .bind(thread.as_str())
            .bind(self.user.as_str());
        let row = self.store.database()?.fetch_optional(query).await?;
        Ok(serde_json::from_str(row.ok_or(StoreError::NotFound)?.try_get(0)?)?)
    }

    pub async fn save_page_context(
        &self,
        thread: &ThreadId,
        page: &Map<String, Value>,
    ) -> Result<(), StoreError> {
        let query = query("update threads set page = $3 where id = $1 and owner = $2")
            .bind(thread.as_str())
            .bind(self.user.as_str())
            .bind(serde_json::to_string(page)?);
        found(self.store.database()?.execute(query).await?)
    }
}

/// Fails if the thread is not this user's.
pub async fn require(
    connection: &mut Connection<'_>,
    owner: &str,
    thread: &ThreadId,
) -> Result<(), StoreError> {
    let query = query("select 1 from threads where id = $1 and owner = $2");
    let row = query.bind(thread.as_str()).bind(owner).fetch_optional(connection).await?;
    row.map(|_| ()).ok_or(StoreError::NotFound)
}

/// Fails if no row was concerned.
pub const fn found(rows: u64) -> Result<(), StoreError> {
    if rows == 0 { Err(StoreError::NotFound) } else { Ok(()) }
}
