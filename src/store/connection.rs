use sqlx::{Database, MySql, MySqlConnection, PgConnection, Postgres, SqlSafeStr, Sqlite};
use sqlx_core::transaction::TransactionManager;

use super::{
    StoreError,
    pool::{Lent, within},
    sqlite,
};

/// A connection to the database, for one operation at a time. A transaction that is not committed when it is dropped is rolled
/// back.
pub struct Connection<'a> {
    pub link: Link<'a>,
    is_in_transaction: bool,
}

pub enum Link<'a> {
    Sqlite(sqlite::Connection<'a>),
    Postgres(Lent<'a, PgConnection>),
    MySql(Lent<'a, MySqlConnection>),
}

impl<'a> Connection<'a> {
    pub const fn new(link: Link<'a>) -> Self {
        Self { link, is_in_transaction: false }
    }

    pub const fn is_mysql(&self) -> bool {
        matches!(self.link, Link::MySql(_))
    }

    /// Begins a transaction that is going to write.
    pub async fn begin(&mut self) -> Result<(), StoreError> {
        match &mut self.link {
            Link::Sqlite(sqlite) => {
                Begun::<Sqlite>::begin(sqlite, Some(sqlite::BEGIN.into_sql_str())).await?;
            }
            Link::Postgres(lent) => {
                let begun =
                    within(lent.patience(), Begun::<Postgres>::begin(lent.start(), None)).await;
                lent.end(begun)?;
            }
            Link::MySql(lent) => {
                let begun =
                    within(lent.patience(), Begun::<MySql>::begin(lent.start(), None)).await;
                lent.end(begun)?;
            }
        }
        self.is_in_transaction = true;
        Ok(())
    }

    pub async fn commit(mut self) -> Result<(), StoreError> {
        match &mut self.link {
            Link::Sqlite(sqlite) => Begun::<Sqlite>::commit(sqlite).await?,
            Link::Postgres(lent) => {
                let done = within(lent.patience(), Begun::<Postgres>::commit(lent.start())).await;
                lent.end(done)?;
            }
            Link::MySql(lent) => {
                let done = within(lent.patience(), Begun::<MySql>::commit(lent.start())).await;
                lent.end(done)?;
            }
        }
        self.is_in_transaction = false;
        Ok(())
    }

    pub async fn rollback(mut self) -> Result<(), StoreError> {
        match &mut self.link {
            Link::Sqlite(sqlite) => Begun::<Sqlite>::rollback(sqlite).await?,
            Link::Postgres(lent) => {
                let done = within(lent.patience(), Begun::<Postgres>::rollback(lent.start())).await;
                lent.end(done)?;
            }
            Link::MySql(lent) => {
                let done = within(lent.patience(), Begun::<MySql>::rollback(lent.start())).await;
                lent.end(done)?;
            }
        }
        self.is_in_transaction = false;
        Ok(())
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        if !self.is_in_transaction {
            return;
        }
        match &mut self.link {
            Link::Sqlite(sqlite) => Begun::<Sqlite>::start_rollback(sqlite),
            Link::Postgres(lent) => lent.roll_back_later(),
            Link::MySql(lent) => lent.roll_back_later(),
        }
    }
}

type Begun<D> = <D as Database>::TransactionManager;
