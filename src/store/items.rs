use std::sync::LazyLock;

use anyhow::anyhow;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Record, StoreError, UserStore, attachments,
    connection::Connection,
    list::{self, PageQuery},
    query::{self, query},
    threads,
};
use crate::chatkit::{
    FeedbackKind, ItemId, Order, Page, ThreadId, ThreadItem, ThreadMetadata, UserMessageItem, now,
};

/// One that exists stays where it stands, and finished if it was.
const ADD: &str = "
    insert into items (thread, id, kind, hidden, pending, generation, json)
    select t.position, $3, $4, $5, $6, $7, $8 from threads t where t.id = $1 and t.owner = $2
    on conflict (id) do update set
        kind = excluded.kind,
        hidden = excluded.hidden,
        pending = items.pending * excluded.pending,
        generation = coalesce(excluded.generation, items.generation),
        json = excluded.json
    where items.thread = excluded.thread";

/// MySQL's words for the same have no `where`: it is tried, and where the id is taken, [`ADD_AGAIN_IN_MYSQL`].
const ADD_IN_MYSQL: &str = "
    insert into items (thread, id, kind, hidden, pending, generation, json)
    select t.position, $3, $4, $5, $6, $7, $8 from threads t where t.id = $1 and t.owner = $2
    on conflict (id) do nothing";

const ADD_AGAIN_IN_MYSQL: &str = "
    update items set
        kind = $4, hidden = $5, pending = pending * $6, generation = coalesce($7, generation), json = $8
    where id = $3 and thread = (select position from threads where id = $1 and owner = $2)";

pub const LOAD_ITEM: &str = "
    select i.json from items i join threads t on t.position = i.thread
    where t.id = $1 and t.owner = $2 and i.id = $3 and i.hidden = 0 and i.pending = 0";

const LAST_USER_MESSAGE: &str = "
    select i.json from items i join threads t on t.position = i.thread
    where t.id = $1 and t.owner = $2 and i.kind = 'user_message'
    order by i.position desc limit 1";

const SAVE_ITEM: &str = "
    update items set kind = $4, hidden = $5, json = $6
    where id = $3 and thread = (select position from threads where id = $1 and owner = $2)";

const DELETE_ITEM: &str = "
    delete from items
    where id = $3 and thread = (select position from threads where id = $1 and owner = $2)";

pub const FIND_POSITION: &str = "
    select i.thread, i.position from items i join threads t on t.position = i.thread
    where t.id = $1 and t.owner = $2 and i.id = $3 and i.hidden = 0 and i.pending = 0";

pub const DELETE_AFTER: &str = "delete from items where thread = $1 and position > $2";

const ADD_FEEDBACK: &str = "
    insert into feedback (item, kind, created_at)
    select i.position, $4, $5 from items i join threads t on t.position = i.thread
    where t.id = $1 and t.owner = $2 and i.id = $3 and i.hidden = 0 and i.pending = 0
    on conflict (item) do update set kind = excluded.kind, created_at = excluded.created_at";

// The limit is an expression because SQLite plans a query anew for every value of a bare parameter there.
pub static LIST_ITEMS: LazyLock<PageQuery> = LazyLock::new(|| {
    PageQuery::new(
        "select c.position, (
             select '[' || string_agg(p.json, ',' order by p.position {order}) || ']'
             from (
                 select i.json, i.position from items i
                 where i.thread = t.position and i.hidden = 0 and i.pending = 0
                   and i.position {beyond} coalesce(c.position, $4)
                 order by i.position {order} limit 0 + $5
             ) p
         ), t.data
         from threads t
         left join items c
             on c.id = $3 and c.thread = t.position and c.hidden = 0 and c.pending = 0
         where t.id = $1 and t.owner = $2",
        "select h.cursor_position, p.json, h.data
         from (
             select t.data, c.position as cursor_position from threads t
             left join items c
                 on c.id = $3 and c.thread = t.position and c.hidden = 0 and c.pending = 0
             where t.id = $1 and t.owner = $2
         ) h
         left join (
             select i.json, i.position from items i
             where i.thread = (select position from threads where id = $1 and owner = $2)
               and i.hidden = 0 and i.pending = 0
               and i.position {beyond} coalesce((select position from items where id = $3), $4)
             order by i.position {order} limit $5
         ) p on true
         order by p.position {order}",
    )
});

/// Pairs of a kind and a record, as one JSON array.
pub const LOAD_HISTORY: &str = "
    select (
        select '[' || string_agg('[\"' || i.kind || '\",' || i.json || ']', ',' order by i.position) || ']'
        from items i
        where i.thread = t.position and i.pending = 0 and i.position >= coalesce((
            select v.position from items v
            where v.thread = t.position and v.hidden = 0 and v.pending = 0
              and v.position <= coalesce((
                  select u.position from items u
                  where u.thread = t.position and u.kind = 'user_message'
                  order by u.position desc limit 1
              ), v.position)
            order by v.position desc limit 1 offset $3
        ), 0)
    )
    from threads t where t.id = $1 and t.owner = $2";

const LOAD_HISTORY_IN_MYSQL: &str = "
    select '[\"' || p.kind || '\",' || p.json || ']'
    from (select position from threads where id = $1 and owner = $2) t
    left join (
        select i.kind, i.json, i.position from items i
        where i.thread = (select position from threads where id = $1 and owner = $2)
          and i.pending = 0 and i.position >= coalesce((
            select v.position from items v
            where v.thread = (select position from threads where id = $1)
              and v.hidden = 0 and v.pending = 0
              and v.position <= coalesce((
                  select u.position from items u
                  where u.thread = (select position from threads where id = $1)
                    and u.kind = 'user_message'
                  order by u.position desc limit 1
              ), 9223372036854775807)
            order by v.position desc limit 1 offset $3
        ), 0)
    ) p on true
    order by p.position";

impl UserStore<'_> {
    /// Adds records at the end of the thread. One that exists already (a checkpoint) is replaced
    /// where it stands and counts as finished. `generation` made them, if a generation did. Their attachments
    /// belong to the thread from then on.
    pub async fn add_records(
        &self,
        thread: &ThreadId,
        records: &[Record],
        generation: Option<&str>,
    ) -> Result<(), StoreError> {
        let owner = self.user.as_str();
        let database = self.store.database()?;
        if attachments::of_records(records).next().is_some() {
            let mut transaction = database.begin().await?;
            for record in records {
                add(&mut transaction, owner, thread, &record.try_into()?, generation).await?;
            }
            attachments::claim(&mut transaction, owner, thread, records).await?;
            return transaction.commit().await;
        }
        if let [record] = records {
            // One statement is a transaction by itself.
            let row = record.try_into()?;
            return self.add(thread, &row, generation).await;
        }
        let work = || async {
            let mut transaction = database.begin().await?;
            for record in records {
                add(&mut transaction, owner, thread, &record.try_into()?, generation).await?;
            }
            transaction.commit().await
        };
        database.again(work).await
    }

    /// Keeps the state of an item that is in progress, so that a crash loses a second and not an
    /// answer. It is in no list until it is added, or until the store is opened again.
    pub async fn checkpoint(
        &self,
        thread: &ThreadId,
        item: &ThreadItem,
        generation: Option<&str>,
    ) -> Result<(), StoreError> {
        let row = Row { pending: true, ..item.try_into()? };
        self.add(thread, &row, generation).await
    }

    async fn add(
        &self,
        thread: &ThreadId,
        row: &Row<'_>,
        generation: Option<&str>,
    ) -> Result<(), StoreError> {
        let owner = self.user.as_str();
        let database = self.store.database()?;
        let work =
            || async { add(&mut database.writer().await?, owner, thread, row, generation).await };
        database.again(work).await
    }

    /// A visible item.
    pub async fn load_item(
        &self,
        thread: &ThreadId,
        item: &ItemId,
    ) -> Result<ThreadItem, StoreError> {
        let query =
            query(LOAD_ITEM).bind(thread.as_str()).bind(self.user.as_str()).bind(item.as_str());
        let row = self.store.database()?.fetch_optional(query).await?;
        Ok(serde_json::from_str(row.ok_or(StoreError::NotFound)?.try_get(0)?)?)
    }

    /// What the user said last in the thread, if anything.
    pub async fn find_last_user_message(
        &self,
        thread: &ThreadId,
    ) -> Result<Option<UserMessageItem>, StoreError> {
        let query = query(LAST_USER_MESSAGE).bind(thread.as_str()).bind(self.user.as_str());
        let row = self.store.database()?.fetch_optional(query).await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(serde_json::from_str(row.try_get(0)?)?))
    }

    /// Replaces an item where it stands.
    pub async fn save_item(&self, thread: &ThreadId, item: &ThreadItem) -> Result<(), StoreError> {
        let row = Row::try_from(item)?;
        let owner = self.user.as_str();
        let database = self.store.database()?;
        let work = || async { save(&mut database.writer().await?, owner, thread, &row).await };
        database.again(work).await
    }

    /// Replaces an item where it stands, and deletes others: all of it or nothing.
    pub async fn save_item_and_delete(
        &self,
        thread: &ThreadId,
        item: &ThreadItem,
        others: &[ItemId],
    ) -> Result<(), StoreError> {
        let row = Row::try_from(item)?;
        let owner = self.user.as_str();
        let database = self.store.database()?;
        let work = || async {
            let mut transaction = database.begin().await?;
            save(&mut transaction, owner, thread, &row).await?;
            for other in others {
                let delete = query(DELETE_ITEM).bind(thread.as_str()).bind(owner);
                delete.bind(other.as_str()).execute(&mut transaction).await?;
            }
            transaction.commit().await
        };
        database.again(work).await
    }

    pub async fn delete_item(&self, thread: &ThreadId, item: &ItemId) -> Result<(), StoreError> {
        let query =
            query(DELETE_ITEM).bind(thread.as_str()).bind(self.user.as_str()).bind(item.as_str());
        threads::found(self.store.database()?.execute(query).await?)
    }

    /// Deletes all records after this item, hidden ones and checkpoints too.
    pub async fn delete_after(&self, thread: &ThreadId, item: &ItemId) -> Result<(), StoreError> {
        let database = self.store.database()?;
        let find =
            query(FIND_POSITION).bind(thread.as_str()).bind(self.user.as_str()).bind(item.as_str());
        let row = database.fetch_optional(find).await?.ok_or(StoreError::NotFound)?;
        let (thread, position): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        database.execute(query(DELETE_AFTER).bind(thread).bind(position)).await?;
        Ok(())
    }

    /// A page of the visible, finished items as the JSON that clients get. `limit` is at least 1.
    pub async fn list_items(
        &self,
        thread: &ThreadId,
        limit: usize,
        after: Option<&ItemId>,
        order: Order,
    ) -> Result<Page<Box<RawValue>>, StoreError> {
        let after = after.map(ItemId::as_str);
        let rows = self.query_items(thread, limit, after, order).await?;
        list::page::<Box<RawValue>>(&rows, after, limit, |item| id_of(item))
    }

    /// The thread with the first page of its visible, finished items.
    pub async fn load_thread_with_items(
        &self,
        thread: &ThreadId,
        limit: usize,
        order: Order,
    ) -> Result<(ThreadMetadata, Page<Box<RawValue>>), StoreError> {
        let rows = self.query_items(thread, limit, None, order).await?;
        let first = rows.first().ok_or(StoreError::NotFound)?;
        let thread = serde_json::from_str(first.try_get(2)?)?;
        Ok((thread, list::page::<Box<RawValue>>(&rows, None, limit, |item| id_of(item))?))
    }

    async fn query_items(
        &self,
        thread: &ThreadId,
        limit: usize,
        after: Option<&str>,
        order: Order,
    ) -> Result<Vec<query::Row>, StoreError> {
        let query = LIST_ITEMS
            .query(order)
            .bind(thread.as_str())
            .bind(self.user.as_str())
            .bind(after)
            .bind(list::beginning(order))
            .bind(list::one_more(limit));
        self.store.database()?.fetch_list(query).await
    }

    /// The last records in their order, hidden ones included: back to the user's last message, and on from it to
    /// the `visible`th visible item, itself counted. `visible` is at least 1.
    pub async fn load_history(
        &self,
        thread: &ThreadId,
        visible: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let query = query(LOAD_HISTORY)
            .in_mysql(LOAD_HISTORY_IN_MYSQL)
            .bind(thread.as_str())
            .bind(self.user.as_str())
            .bind(i64::try_from(visible.saturating_sub(1)).unwrap_or(i64::MAX));
        let rows = self.store.database()?.fetch_list(query).await?;
        if rows.is_empty() {
            return Err(StoreError::NotFound);
        }
        let entries = list::array(&rows, 0)?;
        let mut records = Vec::new();
        for (kind, json) in list::entries::<(&str, &RawValue)>(entries.as_deref())? {
            records.push(read(kind, json.get())?);
        }
        Ok(records)
    }

    /// Keeps the user's feedback on these items, which must all be visible items of the thread.
    pub async fn add_feedback(
        &self,
        thread: &ThreadId,
        items: &[ItemId],
        kind: FeedbackKind,
    ) -> Result<(), StoreError> {
        let kind = match kind {
            FeedbackKind::Positive => "positive",
            FeedbackKind::Negative => "negative",
        };
        let database = self.store.database()?;
        let mut transaction = database.begin().await?;
        threads::require(&mut transaction, self.user.as_str(), thread).await?;
        for item in items {
            let query = query(ADD_FEEDBACK)
                .bind(thread.as_str())
                .bind(self.user.as_str())
                .bind(item.as_str())
                .bind(kind)
                .bind(now().as_microsecond());
            threads::found(query.execute(&mut transaction).await?)?;
        }
        transaction.commit().await
    }
}

/// A record as it is stored.
pub struct Row<'a> {
    pub id: &'a ItemId,
    pub kind: &'static str,
    pub hidden: bool,
    pub pending: bool,
    pub json: String,
}

const TOOL_CALL: &str = "tool_call";
/// A tool call that waits for the user.
const WAITING_CALL: &str = "waiting_call";
const MESSAGE_NOTE: &str = "message_note";

impl<'a> TryFrom<&'a Record> for Row<'a> {
    type Error = StoreError;

    fn try_from(record: &'a Record) -> Result<Self, StoreError> {
        match record {
            Record::Item(item) => item.try_into(),
            Record::ToolCall(call) => Ok(Self {
                id: &call.id,
                kind: if call.waits_for().is_some() { WAITING_CALL } else { TOOL_CALL },
                hidden: true,
                pending: false,
                json: serde_json::to_string(call)?,
            }),
            Record::MessageNote(note) => Ok(Self {
                id: &note.id,
                kind: MESSAGE_NOTE,
                hidden: true,
                pending: false,
                json: serde_json::to_string(note)?,
            }),
        }
    }
}

impl<'a> TryFrom<&'a ThreadItem> for Row<'a> {
    type Error = StoreError;

    fn try_from(item: &'a ThreadItem) -> Result<Self, StoreError> {
        let kind = match item {
            ThreadItem::UserMessage(_) => "user_message",
            ThreadItem::AssistantMessage(_) => "assistant_message",
            ThreadItem::ClientToolCall(_) => "client_tool_call",
            ThreadItem::Widget(_) => "widget",
            ThreadItem::GeneratedImage(_) => "generated_image",
            ThreadItem::StructuredInput(_) => "structured_input",
            ThreadItem::Workflow(_) => "workflow",
            ThreadItem::Task(_) => "task",
            ThreadItem::HiddenContextItem(_) => "hidden_context_item",
            ThreadItem::SdkHiddenContext(_) => "sdk_hidden_context",
            ThreadItem::EndOfTurn(_) => "end_of_turn",
        };
        Ok(Self {
            id: item.id(),
            kind,
            hidden: item.is_hidden(),
            pending: false,
            json: serde_json::to_string(item)?,
        })
    }
}

/// The record that a row holds.
pub fn read(kind: &str, json: &str) -> Result<Record, StoreError> {
    Ok(match kind {
        TOOL_CALL | WAITING_CALL => Record::ToolCall(serde_json::from_str(json)?),
        MESSAGE_NOTE => Record::MessageNote(serde_json::from_str(json)?),
        _ => Record::Item(serde_json::from_str(json)?),
    })
}

/// Adds a record at the end of the thread, or replaces it where it stands.
pub async fn add(
    connection: &mut Connection<'_>,
    owner: &str,
    thread: &ThreadId,
    row: &Row<'_>,
    generation: Option<&str>,
) -> Result<(), StoreError> {
    let query = |sql| {
        query(sql)
            .bind(thread.as_str())
            .bind(owner)
            .bind(row.id.as_str())
            .bind(row.kind)
            .bind(i64::from(row.hidden))
            .bind(i64::from(row.pending))
            .bind(generation)
            .bind(&row.json)
    };
    let mut rows = query(ADD).in_mysql(ADD_IN_MYSQL).execute(connection).await?;
    if rows == 0 && connection.is_mysql() {
        rows = query(ADD_AGAIN_IN_MYSQL).execute(connection).await?;
    }
    if rows == 0 {
        threads::require(connection, owner, thread).await?;
        return Err(StoreError::Failed(anyhow!("the item `{}` is in another thread", row.id)));
    }
    Ok(())
}

/// Replaces an item where it stands.
pub async fn save(
    connection: &mut Connection<'_>,
    owner: &str,
    thread: &ThreadId,
    row: &Row<'_>,
) -> Result<(), StoreError> {
    let query = query(SAVE_ITEM)
        .bind(thread.as_str())
        .bind(owner)
        .bind(row.id.as_str())
        .bind(row.kind)
        .bind(i64::from(row.hidden))
        .bind(&row.json);
    threads::found(query.execute(connection).await?)
}

fn id_of(item: &RawValue) -> Result<String, StoreError> {
    #[derive(Deserialize)]
    struct Identified {
        id: String,
    }

    let item: Identified = serde_json::from_str(item.get())?;
    Ok(item.id)
}
