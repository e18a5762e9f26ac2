use tracing::info;

use super::{StoreError, database::Database, items, query::query};
use crate::chatkit::{ItemId, ItemKind, SdkHiddenContextItem, ThreadId, ThreadItem, now};

/// What the model is told after an item that was cut.
const INTERRUPTED: &str = "The answer was interrupted. Stop responding to the prior request.";

/// But for what another process is at work on.
pub const PENDING: &str = "
    select i.id, i.json, t.id, t.owner from items i join threads t on t.position = i.thread
    where i.pending = 1
      and not exists (select 1 from turn_leases l where l.thread = i.thread and l.until > $1)
    order by i.position";

/// Finishes what was in progress when the process was killed: what there is of an answer stays, and
/// the next turn's model knows that it was cut.
pub async fn finish_pending(database: &Database) -> Result<(), StoreError> {
    let mut transaction = database.begin().await?;
    let pending = query(PENDING).bind(now().as_microsecond());
    let rows = pending.fetch_all(&mut transaction).await?;
    for row in &rows {
        let (item, json): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
        if is_blank(json) {
            let delete = query("delete from items where id = $1").bind(item);
            delete.execute(&mut transaction).await?;
            continue;
        }
        let finish = query("update items set pending = 0 where id = $1").bind(item);
        finish.execute(&mut transaction).await?;
        let thread = ThreadId::from(row.try_get::<&str>(2)?);
        let note = ThreadItem::SdkHiddenContext(SdkHiddenContextItem {
            id: ItemId::generate(ItemKind::HiddenContext),
            thread_id: thread.clone(),
            created_at: now(),
            content: INTERRUPTED.to_owned(),
        });
        let owner: &str = row.try_get(3)?;
        items::add(&mut transaction, owner, &thread, &(&note).try_into()?, None).await?;
    }
    transaction.commit().await?;
    if !rows.is_empty() {
        let items = rows.len();
        info!(items, "finished {items} items that an earlier process was cut off in");
    }
    Ok(())
}

/// An answer of which nothing came.
fn is_blank(json: &str) -> bool {
    match serde_json::from_str(json) {
        Ok(ThreadItem::AssistantMessage(message)) => message.text().trim().is_empty(),
        Ok(_) | Err(_) => false,
    }
}
