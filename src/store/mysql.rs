use sqlx::{AssertSqlSafe, Error, MySqlConnection, Row};

use super::{
    Dialect,
    pool::{PoolLimits, Server},
    server::{Peer, Place},
};

/// Seconds that it may take until the server notices that a killed process has gone.
const LEAVING: i64 = 1;

impl Server for MySqlConnection {
    async fn set_up(&mut self, limits: &PoolLimits) -> Result<(), Error> {
        let version: String =
            sqlx::query("select version()").fetch_one(&mut *self).await?.try_get_unchecked(0)?;
        let seconds = limits.statement_timeout.as_secs().max(1);
        let timeout = if version.contains("MariaDB") {
            format!("max_statement_time = {seconds}")
        } else {
            format!("max_execution_time = {}", limits.statement_timeout.as_millis())
        };
        // Names that are reserved stand in double quotes, as elsewhere; what is too long is refused, not cut.
        let sql = format!(
            "set sql_mode = concat(@@sql_mode, ',ANSI_QUOTES,STRICT_ALL_TABLES'), {timeout}, innodb_lock_wait_timeout = {seconds};
             set session transaction isolation level read committed"
        );
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(self).await?;
        Ok(())
    }
}

impl Peer for MySqlConnection {
    const DIALECT: Dialect = Dialect::MySql;
    const TAKES_SEVERAL: bool = false;

    async fn lock_migrations(&mut self) -> Result<(), Error> {
        get_lock(self, "migrations", 3600).await.and_then(|is_ours| {
            if is_ours { Ok(()) } else { Err(Error::Io(std::io::ErrorKind::TimedOut.into())) }
        })
    }

    async fn take_place(&mut self) -> Result<Place, Error> {
        let is_ours = get_lock(self, "server", LEAVING).await?;
        Ok(if is_ours { Place::Alone } else { Place::Shared })
    }

    async fn share_place(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// Takes a lock of this database, which ends with the connection. Names of locks are the whole server's, and short.
async fn get_lock(
    connection: &mut MySqlConnection,
    name: &'static str,
    seconds: i64,
) -> Result<bool, Error> {
    let sql = "select get_lock(concat('kitfox ', ?, ' ', left(sha2(database(), 256), 32)), ?)";
    let row = sqlx::query(sql).bind(name).bind(seconds).fetch_one(connection).await?;
    Ok(row.try_get_unchecked::<Option<i64>, _>(0)? == Some(1))
}
