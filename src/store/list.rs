use std::borrow::Cow;

use serde::de::DeserializeOwned;

use super::{
    StoreError,
    query::{Query, Row, query},
};
use crate::chatkit::{Order, Page};

/// A query of a page by key, in both orders.
///
/// It gives one row: the position of the cursor, and the entries as one JSON array. A row per entry
/// would cost a hop between threads for each. MySQL cannot do that, and gives a row for each entry.
pub struct PageQuery {
    ascending: Texts,
    descending: Texts,
}

struct Texts {
    sql: String,
    mysql: String,
}

impl PageQuery {
    /// The texts have `{beyond}` where a position is compared with the cursor's, and `{order}` where it is sorted by.
    pub fn new(sql: &str, mysql: &str) -> Self {
        let texts = |beyond, order| {
            let [sql, mysql] =
                [sql, mysql].map(|it| it.replace("{beyond}", beyond).replace("{order}", order));
            Texts { sql, mysql }
        };
        Self { ascending: texts(">", "asc"), descending: texts("<", "desc") }
    }

    pub fn query<'q>(&'static self, order: Order) -> Query<'q> {
        let texts = match order {
            Order::Asc => &self.ascending,
            Order::Desc => &self.descending,
        };
        query(&texts.sql).in_mysql(&texts.mysql)
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

/// The page that the rows of a [`PageQuery`] are. `id` is the id of an entry.
pub fn page<T: DeserializeOwned>(
    rows: &[Row],
    after: Option<&str>,
    limit: usize,
    id: impl Fn(&T) -> Result<String, StoreError>,
) -> Result<Page<T>, StoreError> {
    let cursor: Option<i64> = rows.first().ok_or(StoreError::NotFound)?.try_get(0)?;
    if after.is_some() && cursor.is_none() {
        return Err(StoreError::BadCursor);
    }
    let mut data: Vec<T> = entries(array(rows, 1)?.as_deref())?;
    let has_more = data.len() > limit;
    data.truncate(limit);
    let after = match data.last() {
        Some(last) if has_more => Some(id(last)?),
        Some(_) | None => None,
    };
    Ok(Page { data, has_more, after })
}

/// The JSON array that a column holds: in one row, or, of MySQL, an entry in each row that has one.
pub fn array(rows: &[Row], column: usize) -> Result<Option<Cow<'_, str>>, StoreError> {
    let row = match rows {
        [Row::MySql(_), ..] => {
            let mut array = String::from("[");
            for row in rows {
                let Some(entry) = row.try_get::<Option<&str>>(column)? else { continue };
                if array.len() > 1 {
                    array.push(',');
                }
                array.push_str(entry);
            }
            array.push(']');
            return Ok(Some(Cow::Owned(array)));
        }
        [row, ..] => row,
        [] => return Ok(None),
    };
    Ok(row.try_get::<Option<&str>>(column)?.map(Cow::Borrowed))
}

/// What an aggregated JSON array holds; there is none where there are no rows.
pub fn entries<'a, T: serde::Deserialize<'a>>(json: Option<&'a str>) -> Result<Vec<T>, StoreError> {
    json.map_or_else(|| Ok(Vec::new()), |json| Ok(serde_json::from_str(json)?))
}
