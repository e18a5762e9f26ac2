use serde::de::DeserializeOwned;
use sqlx::{Row, sqlite::SqliteRow};

use super::StoreError;
use crate::chatkit::{Order, Page};

/// A query of a page by key, in both orders.
///
/// It gives one row: the position of the cursor, and the entries as one JSON array. A row per entry
/// would cost a hop between threads for each.
pub struct PageQuery {
    ascending: String,
    descending: String,
}

impl PageQuery {
    /// `sql` has `{beyond}` where a position is compared with the cursor's, and `{order}` where it is sorted by.
    pub fn new(sql: &str) -> Self {
        Self {
            ascending: sql.replace("{beyond}", ">").replace("{order}", "asc"),
            descending: sql.replace("{beyond}", "<").replace("{order}", "desc"),
        }
    }

    pub fn sql(&self, order: Order) -> &str {
        match order {
            Order::Asc => &self.ascending,
            Order::Desc => &self.descending,
        }
    }
}

/// The cursor of a page that has none: before everything.
pub const fn beginning(order: Order) -> i64 {
    match order {
        Order::Asc => i64::MIN,
        Order::Desc => i64::MAX,
    }
}

/// How many entries tell whether there are more than `limit`.
pub fn one_more(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1)
}

/// The page that the row of a [`PageQuery`] is. `id` is the id of an entry.
pub fn page<T: DeserializeOwned>(
    row: &SqliteRow,
    after: Option<&str>,
    limit: usize,
    id: impl Fn(&T) -> Result<String, StoreError>,
) -> Result<Page<T>, StoreError> {
    let cursor: Option<i64> = row.try_get(0)?;
    if after.is_some() && cursor.is_none() {
        return Err(StoreError::BadCursor);
    }
    let mut data: Vec<T> = entries(row.try_get(1)?)?;
    let has_more = data.len() > limit;
    data.truncate(limit);
    let after = match data.last() {
        Some(last) if has_more => Some(id(last)?),
        Some(_) | None => None,
    };
    Ok(Page { data, has_more, after })
}

/// What an aggregated JSON array holds; there is none where there are no rows.
pub fn entries<'a, T: serde::Deserialize<'a>>(json: Option<&'a str>) -> Result<Vec<T>, StoreError> {
    json.map_or_else(|| Ok(Vec::new()), |json| Ok(serde_json::from_str(json)?))
}
