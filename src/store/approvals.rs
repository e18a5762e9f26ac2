use super::{Record, StoreError, ToolCallRecord, UserStore, items, list, query::query};
use crate::chatkit::{ThreadId, ThreadItem};

/// One JSON array.
pub const WAITING_CALLS: &str = "
    select (
        select '[' || string_agg(i.json, ',' order by i.position) || ']'
        from items i where i.thread = t.position and i.kind = 'waiting_call'
    )
    from threads t where t.id = $1 and t.owner = $2";

const WAITING_CALLS_IN_MYSQL: &str = "
    select i.json from threads t
    left join items i on i.thread = t.position and i.kind = 'waiting_call'
    where t.id = $1 and t.owner = $2 order by i.position";

const SETTLE_CALL: &str = "
    update items set kind = $4, json = $5
    where id = $3 and kind = 'waiting_call'
      and thread = (select position from threads where id = $1 and owner = $2)";

/// A call that waits no longer, and the item that it waited for, where that changes with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    pub call: ToolCallRecord,
    pub item: Option<ThreadItem>,
}

impl UserStore<'_> {
    /// The calls of the thread that wait for the user, in their order.
    pub async fn load_waiting_calls(
        &self,
        thread: &ThreadId,
    ) -> Result<Vec<ToolCallRecord>, StoreError> {
        let query = query(WAITING_CALLS)
            .in_mysql(WAITING_CALLS_IN_MYSQL)
            .bind(thread.as_str())
            .bind(self.user.as_str());
        let rows = self.store.database()?.fetch_list(query).await?;
        if rows.is_empty() {
            return Err(StoreError::NotFound);
        }
        list::entries(list::array(&rows, 0)?.as_deref())
    }

    /// Keeps what became of calls, and of what they waited for, where they stand. False, and nothing is kept, where one
    /// of them is settled already: whoever settles a call has it alone.
    pub async fn settle_calls(
        &self,
        thread: &ThreadId,
        settled: &[Settled],
    ) -> Result<bool, StoreError> {
        let owner = self.user.as_str();
        let database = self.store.database()?;
        let mut transaction = database.begin().await?;
        for Settled { call, item } in settled {
            let record = Record::ToolCall(call.clone());
            let row = items::Row::try_from(&record)?;
            let query = query(SETTLE_CALL)
                .bind(thread.as_str())
                .bind(owner)
                .bind(row.id.as_str())
                .bind(row.kind)
                .bind(&row.json);
            if query.execute(&mut transaction).await? == 0 {
                transaction.rollback().await?;
                return Ok(false);
            }
            if let Some(item) = item {
                match items::save(&mut transaction, owner, thread, &item.try_into()?).await {
                    // It was taken away meanwhile.
                    Ok(()) | Err(StoreError::NotFound) => (),
                    Err(err) => return Err(err),
                }
            }
        }
        transaction.commit().await?;
        Ok(true)
    }
}
