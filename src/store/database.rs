use anyhow::anyhow;
use sqlx::{MySqlConnection, PgConnection};

use super::{
    Role, StoreError,
    connection::{Connection, Link},
    pool::PoolLimits,
    query::{Query, Row, query},
    recovery,
    server::ServerDatabase,
    sqlite::SqliteDatabase,
    url::DatabaseUrl,
};

/// An open database of one of the kinds that there are.
pub enum Database {
    Sqlite(SqliteDatabase),
    Postgres(ServerDatabase<PgConnection>),
    MySql(ServerDatabase<MySqlConnection>),
}

/// How often a read is tried whose connection is lost, and a write that the database undid.
const TRIES: usize = 3;

impl Database {
    /// Opens the database, makes its tables if they are missing, migrates it, and mends what a crash left. Fails with what
    /// is wrong and what to do, without an address or path: it is told to clients.
    pub async fn open(url: &DatabaseUrl, limits: &PoolLimits, role: Role) -> Result<Self, String> {
        let database = match url {
            DatabaseUrl::Memory => Self::Sqlite(SqliteDatabase::open_memory().await?),
            DatabaseUrl::File(path) => Self::Sqlite(SqliteDatabase::open(path, role).await?),
            DatabaseUrl::Postgres(_, options) => Self::Postgres(
                ServerDatabase::open((**options).clone(), limits.clone(), role).await?,
            ),
            DatabaseUrl::MySql(_, options) => {
                Self::MySql(ServerDatabase::open((**options).clone(), limits.clone(), role).await?)
            }
        };
        let mend = async {
            if role == Role::Server && database.is_alone() {
                recovery::finish_pending(&database).await?;
            }
            match &database {
                Self::Sqlite(_) => (),
                Self::Postgres(server) => server.share().await?,
                Self::MySql(server) => server.share().await?,
            }
            Ok::<_, StoreError>(())
        };
        match mend.await {
            Ok(()) => Ok(database),
            Err(err) => {
                database.close().await;
                let err: &dyn std::error::Error = match &err {
                    StoreError::Failed(err) => err.as_ref(),
                    err => err,
                };
                Err(format!("the database cannot be used: {err}"))
            }
        }
    }

    /// A query within a transaction that changes what it reads: `locking` keeps others from it, which SQLite's transactions do by
    /// themselves.
    pub const fn for_update<'q>(&self, sql: &'static str, locking: &'static str) -> Query<'q> {
        match self {
            Self::Sqlite(_) => query(sql),
            Self::Postgres(_) | Self::MySql(_) => query(locking),
        }
    }

    /// For everything that only reads, in one query: two may see different states.
    pub async fn reader(&self) -> Result<Connection<'_>, StoreError> {
        Ok(Connection::new(match self {
            Self::Sqlite(sqlite) => Link::Sqlite(sqlite.reader().await?),
            Self::Postgres(server) => Link::Postgres(server.lend().await?),
            Self::MySql(server) => Link::MySql(server.lend().await?),
        }))
    }

    /// For everything that writes.
    pub async fn writer(&self) -> Result<Connection<'_>, StoreError> {
        Ok(Connection::new(match self {
            Self::Sqlite(sqlite) => Link::Sqlite(sqlite.writer().await?),
            Self::Postgres(server) => Link::Postgres(server.lend().await?),
            Self::MySql(server) => Link::MySql(server.lend().await?),
        }))
    }

    /// A transaction that is going to write. It is to be committed.
    pub async fn begin(&self) -> Result<Connection<'_>, StoreError> {
        let mut connection = self.writer().await?;
        connection.begin().await?;
        Ok(connection)
    }

    pub async fn fetch_optional(&self, query: Query<'_>) -> Result<Option<Row>, StoreError> {
        self.again(|| async { query.fetch_optional(&mut self.reader().await?).await }).await
    }

    pub async fn fetch_one(&self, query: Query<'_>) -> Result<Row, StoreError> {
        let row = self.fetch_optional(query).await?;
        row.ok_or_else(|| StoreError::Failed(anyhow!("there is no row where there is always one")))
    }

    pub async fn fetch_all(&self, query: Query<'_>) -> Result<Vec<Row>, StoreError> {
        self.again(|| async { query.fetch_all(&mut self.reader().await?).await }).await
    }

    /// For [`list::array`]: all that there is comes in one row, or, of MySQL, in several.
    ///
    /// [`list::array`]: super::list::array
    pub async fn fetch_list(&self, query: Query<'_>) -> Result<Vec<Row>, StoreError> {
        match self {
            Self::Sqlite(_) | Self::Postgres(_) => {
                Ok(self.fetch_optional(query).await?.into_iter().collect())
            }
            Self::MySql(_) => self.fetch_all(query).await,
        }
    }

    /// One write, a transaction by itself. Returns how many rows it added, changed or took away.
    pub async fn execute(&self, query: Query<'_>) -> Result<u64, StoreError> {
        for _ in 1..TRIES {
            match query.execute(&mut self.writer().await?).await {
                Err(err) if err.is_deadlock() => (),
                done => return done,
            }
        }
        query.execute(&mut self.writer().await?).await
    }

    /// Does again what does no harm when it is done twice, where the connection was lost in the middle of it, and where the
    /// database ended a deadlock.
    pub async fn again<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        work: impl Fn() -> F,
    ) -> Result<T, StoreError> {
        for _ in 1..TRIES {
            match work().await {
                Err(err) if err.is_in_doubt() || err.is_deadlock() => (),
                done => return done,
            }
        }
        work().await
    }

    /// Whether no other process has the database open.
    pub fn is_alone(&self) -> bool {
        match self {
            Self::Sqlite(sqlite) => sqlite.is_alone(),
            Self::Postgres(server) => server.is_alone(),
            Self::MySql(server) => server.is_alone(),
        }
    }

    /// Whether another process has the database open that must not be there beside us.
    pub fn is_taken(&self) -> bool {
        match self {
            Self::Sqlite(sqlite) => !sqlite.is_alone(),
            Self::Postgres(server) => server.is_taken(),
            Self::MySql(server) => server.is_taken(),
        }
    }

    /// How many connections are idle, and how many at work.
    pub fn connections(&self) -> (usize, usize) {
        match self {
            Self::Sqlite(sqlite) => sqlite.connections(),
            Self::Postgres(server) => server.connections(),
            Self::MySql(server) => server.connections(),
        }
    }

    pub async fn check(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.check().await?,
            Self::Postgres(server) => server.check().await?,
            Self::MySql(server) => server.check().await?,
        }
        let query = query("select 1 from secrets limit 1");
        query.fetch_optional(&mut self.reader().await?).await?;
        if let Self::Sqlite(_) = self {
            query.fetch_optional(&mut self.writer().await?).await?;
        }
        Ok(())
    }

    pub async fn load_secret(&self, name: &str) -> Result<[u8; 32], StoreError> {
        let secret: [u8; 32] = rand::random();
        // Whoever comes second, from another process even, gets the first one's.
        let add = "insert into secrets (name, value) values ($1, $2) on conflict (name) do nothing";
        self.execute(query(add).bind(name).bind(secret.as_slice())).await?;
        let load = query("select value from secrets where name = $1").bind(name);
        let row = load.fetch_optional(&mut self.writer().await?).await?;
        let row = row.ok_or_else(|| StoreError::Failed(anyhow!("the secret `{name}` is gone")))?;
        row.try_get::<&[u8]>(0)?.try_into().map_err(|_| {
            StoreError::Failed(anyhow!("the secret `{name}` in the database is not 32 bytes"))
        })
    }

    /// Sees that other processes know that we are there.
    pub async fn keep_place(&self) {
        match self {
            Self::Sqlite(_) => (),
            Self::Postgres(server) => server.keep_place().await,
            Self::MySql(server) => server.keep_place().await,
        }
    }

    /// Waits for the queries that run.
    pub async fn close(&self) {
        match self {
            Self::Sqlite(sqlite) => sqlite.close().await,
            Self::Postgres(server) => server.close().await,
            Self::MySql(server) => server.close().await,
        }
    }
}
