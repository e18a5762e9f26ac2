use std::{
    fmt,
    fs::TryLockError,
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use anyhow::anyhow;
use sqlx::{
    ConnectOptions, Connection as _, Row, SqlSafeStr, Sqlite, SqliteConnection,
    error::DatabaseError,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
    query::Query,
    sqlite::{SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::{
    fs,
    sync::{MappedMutexGuard, Mutex, MutexGuard},
};
use tracing::{error, warn};

use super::{StoreError, recovery};

/// An open SQLite database. What is SQLite's own is in this file; the queries elsewhere are not.
///
/// Not a pool: a pool asks each connection whether it is alive whenever it comes back, and a read is
/// but one such question.
pub struct Database {
    /// None: in memory.
    file: Option<DatabaseFile>,
    writer: Slot,
    /// None where the writer reads as well.
    readers: Vec<Slot>,
    next: AtomicUsize,
    /// The writer may hold a transaction that nobody ended.
    unfinished: AtomicBool,
}

/// A connection that one at a time uses, for as long as nothing else is awaited than its queries.
pub type Connection<'a> = MappedMutexGuard<'a, SqliteConnection>;

/// None once it is closed.
type Slot = Mutex<Option<SqliteConnection>>;

/// Where the database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    Memory,
    File(PathBuf),
}

/// How a transaction begins that is going to write: one that reads first could not be upgraded while
/// another process writes.
pub const BEGIN: &str = "begin immediate";

const MIGRATIONS: &[(i64, &str, &str)] = &[
    (
        1,
        "threads, items, kv, secrets",
        include_str!("../../migrations/sqlite/0001_threads_items_kv_secrets.sql"),
    ),
    (2, "attachments", include_str!("../../migrations/sqlite/0002_attachments.sql")),
    (3, "waiting calls", include_str!("../../migrations/sqlite/0003_waiting_calls.sql")),
    (4, "sealed", include_str!("../../migrations/sqlite/0004_sealed.sql")),
];

const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

impl DatabaseUrl {
    /// Fails with what is wrong and what to do.
    pub fn parse(url: &str) -> Result<Self, String> {
        let remedy = "use `sqlite://kitfox.db` or `sqlite::memory:` as `url` in `[store]`";
        let Some((scheme, rest)) = url.split_once(':') else {
            return Err(format!("`{url}` is not the URL of a database: {remedy}"));
        };
        if scheme != "sqlite" {
            return Err(format!("`{scheme}:` is not a database that this version has: {remedy}"));
        }
        let path = rest.strip_prefix("//").unwrap_or(rest);
        match path {
            ":memory:" => Ok(Self::Memory),
            "" => Err(format!("`{url}` names no file: {remedy}")),
            path if path.contains('?') => Err(format!(
                "`{url}` has parameters, and none are known: leave out what begins with `?`"
            )),
            path => Ok(Self::File(path.into())),
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("sqlite::memory:"),
            Self::File(path) => write!(f, "sqlite://{}", path.display()),
        }
    }
}

impl Database {
    /// Opens the database, makes it if it is missing, migrates it, and mends what a crash left. Fails
    /// with what is wrong and what to do, without the path: it is told to clients.
    pub async fn open(url: &DatabaseUrl) -> Result<Self, String> {
        match url {
            DatabaseUrl::Memory => {
                let options = SqliteConnectOptions::new().in_memory(true).foreign_keys(true);
                Self::connect(&options, 0, None).await.map_err(|err| describe("the database", &err))
            }
            DatabaseUrl::File(path) => {
                let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
                let name = format!("`{name}`");
                let file = DatabaseFile::create(path).await.map_err(|err| {
                    format!("{name} cannot be opened: {err}: see that it is a file which the server may write")
                })?;
                let options = SqliteConnectOptions::new()
                    .filename(path)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Normal)
                    .busy_timeout(BUSY_TIMEOUT)
                    .foreign_keys(true);
                let readers = thread::available_parallelism().map_or(2, |it| it.get().clamp(2, 4));
                Self::connect(&options, readers, Some(file))
                    .await
                    .map_err(|err| describe(&name, &err))
            }
        }
    }

    async fn connect(
        options: &SqliteConnectOptions,
        readers: usize,
        file: Option<DatabaseFile>,
    ) -> anyhow::Result<Self> {
        // Never `optimize`: what SQLite learns while tables are small lets it scan them when they are large.
        let options = options.clone().disable_statement_logging();
        let mut writer = options.connect().await?;
        // `run` would not compile in a task that moves between threads.
        migrator().run_direct(None, &mut writer, false).await?;
        if file.as_ref().is_none_or(DatabaseFile::is_ours_alone) {
            recovery::finish_pending(&mut writer).await?;
        }
        let options = options.pragma("query_only", "on");
        let mut database = Self {
            file,
            writer: Slot::new(Some(writer)),
            readers: Vec::new(),
            next: AtomicUsize::new(0),
            unfinished: AtomicBool::new(false),
        };
        for _ in 0..readers {
            database.readers.push(Slot::new(Some(options.connect().await?)));
        }
        Ok(database)
    }

    /// For everything that only reads, in one query: two may see different states.
    pub async fn reader(&self) -> Result<Connection<'_>, StoreError> {
        if self.readers.is_empty() {
            return self.writer().await;
        }
        let reader = if let Some(free) = self.readers.iter().find_map(|it| it.try_lock().ok()) {
            free
        } else {
            let next = self.next.fetch_add(1, Ordering::Relaxed) % self.readers.len();
            self.readers[next].lock().await
        };
        MutexGuard::try_map(reader, Option::as_mut).map_err(|_| StoreError::closed())
    }

    /// For everything that writes.
    pub async fn writer(&self) -> Result<Connection<'_>, StoreError> {
        let mut connection = MutexGuard::try_map(self.writer.lock().await, Option::as_mut)
            .map_err(|_| StoreError::closed())?;
        if self.unfinished.load(Ordering::Relaxed) {
            // Fails where it came to its end after all.
            let _ = sqlx::query("rollback").execute(&mut *connection).await;
            self.unfinished.store(false, Ordering::Relaxed);
        }
        Ok(connection)
    }

    /// Executes statements that begin and commit a transaction, in one trip to the connection's thread: a trip
    /// costs more than a statement. They count all or none.
    pub async fn execute_together(
        &self,
        statements: Query<'_, Sqlite, SqliteArguments>,
    ) -> Result<(), StoreError> {
        let mut connection = self.writer().await?;
        // Until it is known that they committed, whatever becomes of us.
        self.unfinished.store(true, Ordering::Relaxed);
        let done = statements.execute(&mut *connection).await;
        if done.is_ok() {
            self.unfinished.store(false, Ordering::Relaxed);
        }
        done?;
        Ok(())
    }

    pub fn is_shared(&self) -> bool {
        self.file.as_ref().is_some_and(|file| !file.is_ours_alone())
    }

    /// Fails where the file was taken away, though SQLite would go on with what it has open.
    pub async fn check(&self) -> Result<(), StoreError> {
        if let Some(file) = &self.file {
            file.check().await.map_err(StoreError::Unavailable)?;
        }
        let query = "select 1 from secrets limit 1";
        sqlx::query(query).fetch_optional(&mut *self.reader().await?).await?;
        sqlx::query(query).fetch_optional(&mut *self.writer().await?).await?;
        Ok(())
    }

    pub async fn load_secret(&self, name: &str) -> Result<[u8; 32], StoreError> {
        let secret: [u8; 32] = rand::random();
        let mut connection = self.writer().await?;
        // Whoever comes second, from another process even, gets the first one's.
        let add = "insert into secrets (name, value) values ($1, $2) on conflict (name) do nothing";
        sqlx::query(add).bind(name).bind(secret.as_slice()).execute(&mut *connection).await?;
        let row = sqlx::query("select value from secrets where name = $1")
            .bind(name)
            .fetch_one(&mut *connection)
            .await?;
        row.try_get::<&[u8], _>(0)?.try_into().map_err(|_| {
            StoreError::Failed(anyhow!("the secret `{name}` in the database is not 32 bytes"))
        })
    }

    /// Waits for the queries that run.
    pub async fn close(&self) {
        // The writer last: the last one to leave tidies the file up.
        for slot in self.readers.iter().chain([&self.writer]) {
            let Some(connection) = slot.lock().await.take() else {
                continue;
            };
            if let Err(err) = connection.close().await {
                warn!("the store was closed with an error: {err}");
            }
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(err: sqlx::Error) -> Self {
        if err.as_database_error().is_some_and(is_busy) {
            return Self::Unavailable(
                "another process keeps the database busy: try again, or stop that process"
                    .to_owned(),
            );
        }
        if let Some(reason) = err.as_database_error().and_then(unusable) {
            error!("the database cannot be used: {reason}: {err}");
            return Self::Unavailable(reason.to_owned());
        }
        Self::Failed(err.into())
    }
}

/// What keeps every statement from working, and passes without us: then a request is refused before
/// anything is done, and can be sent again. By <https://www.sqlite.org/rescode.html>.
fn unusable(err: &dyn DatabaseError) -> Option<&'static str> {
    match primary_code(err)? {
        8 => Some("the database is read-only"),
        10 => Some("the database's disk fails"),
        13 => Some("the database's disk is full"),
        14 => Some("the database's file cannot be opened"),
        _ => None,
    }
}

/// `SQLITE_BUSY`, the lowest byte of <https://www.sqlite.org/rescode.html>.
fn is_busy(err: &dyn DatabaseError) -> bool {
    primary_code(err) == Some(5)
}

fn primary_code(err: &dyn DatabaseError) -> Option<u32> {
    err.code()?.parse::<u32>().ok().map(|code| code & 0xff)
}

fn migrator() -> Migrator {
    let migrations = MIGRATIONS.iter().map(|&(version, description, sql)| {
        let kind = MigrationType::Simple;
        Migration::new(version, description.into(), kind, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.collect())
}

fn describe(name: &str, err: &anyhow::Error) -> String {
    match err.downcast_ref() {
        Some(MigrateError::VersionMissing(_) | MigrateError::VersionMismatch(_)) => {
            format!(
                "{name} was made by another version of Kitfox: use that version, or another file"
            )
        }
        Some(_) | None => format!("{name} cannot be opened: {}", err.root_cause()),
    }
}

/// The file of a database, as it was when it was opened.
struct DatabaseFile {
    path: PathBuf,
    identity: Identity,
    /// Beside the file, and locked by the first process that has the database open. None for others.
    lock: Option<std::fs::File>,
}

impl DatabaseFile {
    /// Makes the file, for nobody else to read, and its folder, if they are missing.
    async fn create(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).await?;
        }
        let mut options = fs::OpenOptions::new();
        #[cfg(unix)]
        options.mode(0o600);
        // Never one that exists: closing it again would let go of the locks that another connection in this process has
        // on it, see <https://www.sqlite.org/howtocorrupt.html>.
        match options.clone().write(true).create_new(true).open(path).await {
            Ok(_) => (),
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => (),
            Err(err) => return Err(err),
        }
        let metadata = fs::metadata(path).await?;
        if metadata.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let lock = path.with_added_extension("lock");
        let lock = options.write(true).create(true).truncate(false).open(lock).await?;
        let lock = lock.into_std().await;
        let lock = match lock.try_lock() {
            Err(TryLockError::WouldBlock) => None,
            // Where there are no locks, there is one server.
            Ok(()) | Err(TryLockError::Error(_)) => Some(lock),
        };
        Ok(Self { path: path.to_owned(), identity: identity(&metadata), lock })
    }

    /// Whether no other process had the database open already. What is pending may be its own work then.
    const fn is_ours_alone(&self) -> bool {
        self.lock.is_some()
    }

    async fn check(&self) -> Result<(), String> {
        match fs::metadata(&self.path).await {
            Ok(metadata) if identity(&metadata) == self.identity => Ok(()),
            Ok(_) | Err(_) => {
                let name = self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy();
                Err(format!(
                    "`{name}` was deleted or replaced while in use: put it back, or restart the server"
                ))
            }
        }
    }
}

/// What a file keeps when it is renamed, and a new one of the same name does not have.
type Identity = (u64, u64);

#[cfg(unix)]
fn identity(metadata: &std::fs::Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;

    (metadata.dev(), metadata.ino())
}

#[cfg(not(unix))]
fn identity(_: &std::fs::Metadata) -> Identity {
    (0, 0)
}
