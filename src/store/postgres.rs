use std::time::Duration;

use sqlx::{AssertSqlSafe, Error, PgConnection, Row};

use super::{
    Dialect,
    pool::{PoolLimits, Server},
    server::{Peer, Place},
};

/// What is ours among the locks of a database: each schema has one of its own.
const PLACE: &str =
    "hashtextextended('kitfox server ' || current_database() || '.' || current_schema(), 0)";

/// How long it may take until the server notices that a killed process has gone.
const LEAVING: usize = 5;
const PAUSE: Duration = Duration::from_millis(100);

impl Server for PgConnection {
    async fn set_up(&mut self, limits: &PoolLimits) -> Result<(), Error> {
        let timeout = limits.statement_timeout.as_millis();
        let sql = format!(
            "set statement_timeout = {timeout};
             set idle_in_transaction_session_timeout = {timeout};
             set session characteristics as transaction isolation level read committed;
             set jit = off"
        );
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(self).await?;
        Ok(())
    }
}

impl Peer for PgConnection {
    const DIALECT: Dialect = Dialect::Postgres;
    const TAKES_SEVERAL: bool = true;

    async fn lock_migrations(&mut self) -> Result<(), Error> {
        // Migrations lock by themselves. That their table is there already is no news.
        sqlx::raw_sql("set client_min_messages = warning").execute(self).await?;
        Ok(())
    }

    async fn take_place(&mut self) -> Result<Place, Error> {
        for _ in 0..LEAVING {
            let sql = format!("select pg_try_advisory_lock({PLACE})");
            let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut *self).await?;
            if row.try_get(0)? {
                return Ok(Place::Alone);
            }
            tokio::time::sleep(PAUSE).await;
        }
        // Waits for one that is alone to let others in.
        let sql = format!("select pg_advisory_lock_shared({PLACE})");
        sqlx::query(AssertSqlSafe(sql)).execute(self).await?;
        Ok(Place::Shared)
    }

    async fn share_place(&mut self) -> Result<(), Error> {
        let sql =
            format!("select pg_advisory_lock_shared({PLACE}); select pg_advisory_unlock({PLACE})");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(self).await?;
        Ok(())
    }
}
