use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, LazyLock, PoisonError, RwLock},
};

use sqlx::{
    AssertSqlSafe, ColumnIndex, Decode, Encode, MySql, Postgres, Row as _, SqlSafeStr, SqlStr,
    Sqlite, Type, mysql::MySqlRow, postgres::PgRow, sqlite::SqliteRow,
};

use super::{
    StoreError,
    connection::{Connection, Link},
    pool::within,
};

/// A statement and its arguments, for whichever database it is.
///
/// Its text is written once, as SQLite and PostgreSQL take it: `$1`, `on conflict (…) do nothing`, and `on conflict (…) do update
/// set x = excluded.x` without a `where`. MySQL's is made of it, see [`Translated`]. Names that MySQL reserves stand in double
/// quotes.
pub struct Query<'q> {
    sql: &'static str,
    mysql: Option<&'static str>,
    arguments: Vec<Argument<'q>>,
}

/// What a `$n` stands for.
pub enum Argument<'q> {
    Text(Option<Cow<'q, str>>),
    Integer(Option<i64>),
    Bytes(Option<&'q [u8]>),
}

/// A row of whichever database it is.
pub enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
    MySql(MySqlRow),
}

pub const fn query<'q>(sql: &'static str) -> Query<'q> {
    Query { sql, mysql: None, arguments: Vec::new() }
}

impl<'q> Query<'q> {
    /// Its text for MySQL and `MariaDB`, where one text does not serve all.
    #[must_use]
    pub const fn in_mysql(mut self, sql: &'static str) -> Self {
        self.mysql = Some(sql);
        self
    }

    #[must_use]
    pub fn bind(mut self, argument: impl Into<Argument<'q>>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Returns how many rows it added, changed or took away; a row that was found and is the same afterwards counts.
    pub async fn execute(&self, connection: &mut Connection<'_>) -> Result<u64, StoreError> {
        match &mut connection.link {
            Link::Sqlite(sqlite) => Ok(self.sqlite().execute(&mut **sqlite).await?.rows_affected()),
            Link::Postgres(lent) => {
                let done = within(lent.patience(), self.postgres().execute(lent.start())).await;
                Ok(lent.end(done)?.rows_affected())
            }
            Link::MySql(lent) => {
                let translated = self.translated();
                let query = self.mysql(&translated);
                let done = within(lent.patience(), query.execute(lent.start())).await;
                match lent.end(done) {
                    Err(sqlx::Error::Database(err))
                        if translated.keeps_existing && err.is_unique_violation() =>
                    {
                        Ok(0)
                    }
                    done => Ok(done?.rows_affected()),
                }
            }
        }
    }

    pub async fn fetch_optional(
        &self,
        connection: &mut Connection<'_>,
    ) -> Result<Option<Row>, StoreError> {
        Ok(match &mut connection.link {
            Link::Sqlite(sqlite) => {
                self.sqlite().fetch_optional(&mut **sqlite).await?.map(Row::Sqlite)
            }
            Link::Postgres(lent) => {
                let query = self.postgres();
                let row = within(lent.patience(), query.fetch_optional(lent.start())).await;
                lent.end(row)?.map(Row::Postgres)
            }
            Link::MySql(lent) => {
                let query = self.mysql(&self.translated());
                let row = within(lent.patience(), query.fetch_optional(lent.start())).await;
                lent.end(row)?.map(Row::MySql)
            }
        })
    }

    pub async fn fetch_all(&self, connection: &mut Connection<'_>) -> Result<Vec<Row>, StoreError> {
        Ok(match &mut connection.link {
            Link::Sqlite(sqlite) => {
                let rows = self.sqlite().fetch_all(&mut **sqlite).await?;
                rows.into_iter().map(Row::Sqlite).collect()
            }
            Link::Postgres(lent) => {
                let rows = within(lent.patience(), self.postgres().fetch_all(lent.start())).await;
                lent.end(rows)?.into_iter().map(Row::Postgres).collect()
            }
            Link::MySql(lent) => {
                let query = self.mysql(&self.translated());
                let rows = within(lent.patience(), query.fetch_all(lent.start())).await;
                lent.end(rows)?.into_iter().map(Row::MySql).collect()
            }
        })
    }

    #[cfg(test)]
    pub const fn sql(&self) -> &'static str {
        self.sql
    }

    /// For SQLite.
    pub fn sqlite(&self) -> sqlx::query::Query<'_, Sqlite, <Sqlite as sqlx::Database>::Arguments> {
        bound(self.sql, self.arguments.iter())
    }

    fn postgres(
        &self,
    ) -> sqlx::query::Query<'_, Postgres, <Postgres as sqlx::Database>::Arguments> {
        bound(self.sql, self.arguments.iter())
    }

    fn mysql(
        &self,
        translated: &Translated,
    ) -> sqlx::query::Query<'_, MySql, <MySql as sqlx::Database>::Arguments> {
        let arguments = translated.order.iter().map(|index| &self.arguments[*index]);
        // It is made of texts of ours alone.
        bound(AssertSqlSafe(Arc::clone(&translated.sql)), arguments)
    }

    fn translated(&self) -> Arc<Translated> {
        static TRANSLATED: LazyLock<RwLock<HashMap<&'static str, Arc<Translated>>>> =
            LazyLock::new(RwLock::default);
        let sql = self.mysql.unwrap_or(self.sql);
        let known = TRANSLATED.read().unwrap_or_else(PoisonError::into_inner).get(sql).cloned();
        known.unwrap_or_else(|| {
            let translated = Arc::new(Translated::of(sql));
            let mut all = TRANSLATED.write().unwrap_or_else(PoisonError::into_inner);
            all.insert(sql, Arc::clone(&translated));
            translated
        })
    }
}

fn bound<'q, D>(
    sql: impl SqlSafeStr,
    arguments: impl Iterator<Item = &'q Argument<'q>>,
) -> sqlx::query::Query<'q, D, D::Arguments>
where
    D: sqlx::Database,
    Option<&'q str>: Encode<'q, D> + Type<D>,
    Option<i64>: Encode<'q, D> + Type<D>,
    Option<&'q [u8]>: Encode<'q, D> + Type<D>,
{
    let sql: SqlStr = sql.into_sql_str();
    arguments.fold(sqlx::query(sql), |query, argument| match argument {
        Argument::Text(text) => query.bind(text.as_deref()),
        Argument::Integer(number) => query.bind(*number),
        Argument::Bytes(bytes) => query.bind(*bytes),
    })
}

/// What one type of Rust is read from in all three databases.
pub trait Readable<'r>:
    Decode<'r, Sqlite>
    + Type<Sqlite>
    + Decode<'r, Postgres>
    + Type<Postgres>
    + Decode<'r, MySql>
    + Type<MySql>
{
}

impl<'r, T> Readable<'r> for T where
    T: Decode<'r, Sqlite>
        + Type<Sqlite>
        + Decode<'r, Postgres>
        + Type<Postgres>
        + Decode<'r, MySql>
        + Type<MySql>
{
}

impl Row {
    /// The value of a column, by its number or name.
    pub fn try_get<'r, T: Readable<'r>>(
        &'r self,
        column: impl ColumnIndex<SqliteRow> + ColumnIndex<PgRow> + ColumnIndex<MySqlRow>,
    ) -> Result<T, StoreError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
            // MySQL keeps what must be the same byte by byte as bytes, and tells no text from them.
            Self::MySql(row) => row.try_get_unchecked(column)?,
        })
    }
}

/// A statement as MySQL and `MariaDB` take it.
#[derive(Debug, PartialEq, Eq)]
struct Translated {
    sql: Arc<str>,
    /// Which argument each `?` stands for.
    order: Vec<usize>,
    /// It changes nothing where its row is there already. `insert ignore` would ignore more than that.
    keeps_existing: bool,
}

impl Translated {
    fn of(sql: &str) -> Self {
        let (sql, keeps_existing) = without_conflict(sql);
        let mut text = String::with_capacity(sql.len());
        let mut order = Vec::new();
        let mut rest = sql.as_str();
        while let Some(start) = rest.find('$') {
            let digits = rest[start + 1..].bytes().take_while(u8::is_ascii_digit).count();
            text.push_str(&rest[..start]);
            match rest[start + 1..start + 1 + digits].parse::<usize>() {
                Ok(number) => {
                    order.push(number - 1);
                    text.push('?');
                }
                Err(_) => text.push('$'),
            }
            rest = &rest[start + 1 + digits..];
        }
        text.push_str(rest);
        Self { sql: text.into(), order, keeps_existing }
    }
}

/// The statement with MySQL's words for what becomes of a row that is there already.
fn without_conflict(sql: &str) -> (String, bool) {
    let Some((before, clause)) = sql.split_once("on conflict (") else {
        return (sql.to_owned(), false);
    };
    let action = clause.split_once(')').map_or("", |(_, action)| action.trim());
    let Some(changes) = action.strip_prefix("do update set") else {
        return (before.trim_end().to_owned(), true);
    };
    let mut text = format!("{before}on duplicate key update");
    let mut rest = changes;
    while let Some((before, after)) = rest.split_once("excluded.") {
        let end = after.find(|it: char| !it.is_alphanumeric() && it != '_').unwrap_or(after.len());
        text.push_str(before);
        text.push_str("values(");
        text.push_str(&after[..end]);
        text.push(')');
        rest = &after[end..];
    }
    text.push_str(rest);
    (text, false)
}

impl<'q> From<&'q str> for Argument<'q> {
    fn from(text: &'q str) -> Self {
        Self::Text(Some(Cow::Borrowed(text)))
    }
}

impl<'q> From<&'q String> for Argument<'q> {
    fn from(text: &'q String) -> Self {
        text.as_str().into()
    }
}

impl From<String> for Argument<'_> {
    fn from(text: String) -> Self {
        Self::Text(Some(Cow::Owned(text)))
    }
}

impl<'q> From<Option<&'q str>> for Argument<'q> {
    fn from(text: Option<&'q str>) -> Self {
        Self::Text(text.map(Cow::Borrowed))
    }
}

impl<'q> From<&'q Option<String>> for Argument<'q> {
    fn from(text: &'q Option<String>) -> Self {
        text.as_deref().into()
    }
}

impl From<i64> for Argument<'_> {
    fn from(number: i64) -> Self {
        Self::Integer(Some(number))
    }
}

impl From<u32> for Argument<'_> {
    fn from(number: u32) -> Self {
        i64::from(number).into()
    }
}

impl From<Option<i64>> for Argument<'_> {
    fn from(number: Option<i64>) -> Self {
        Self::Integer(number)
    }
}

impl<'q> From<&'q [u8]> for Argument<'q> {
    fn from(bytes: &'q [u8]) -> Self {
        Self::Bytes(Some(bytes))
    }
}

impl<'q> From<&'q Vec<u8>> for Argument<'q> {
    fn from(bytes: &'q Vec<u8>) -> Self {
        bytes.as_slice().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sql: &str, expected: &str, order: &[usize]) {
        let translated = Translated::of(sql);
        assert_eq!((&*translated.sql, &*translated.order), (expected, order));
    }

    #[test]
    fn numbered_arguments_are_given_to_mysql_where_they_stand() {
        check("select 1", "select 1", &[]);
        check("a = $2 and b = $1 or c = $12", "a = ? and b = ? or c = ?", &[1, 0, 11]);
        check("select $1, '$'", "select ?, '$'", &[0]);
    }

    #[test]
    fn what_becomes_of_a_row_that_is_there_is_said_in_mysqls_words() {
        check(
            "insert into t (a, b) values ($1, $2) on conflict (a) do update set\n b = excluded.b, c = null",
            "insert into t (a, b) values (?, ?) on duplicate key update\n b = values(b), c = null",
            &[0, 1],
        );
        let keeping = Translated::of("insert into t values ($1) on conflict (a, b) do nothing");
        assert!(keeping.keeps_existing);
        assert_eq!(&*keeping.sql, "insert into t values (?)");
    }
}
