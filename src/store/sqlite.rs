use std::{
    fs::TryLockError,
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use sqlx::{
    ConnectOptions, Connection as _, Sqlite, SqliteConnection,
    query::Query,
    sqlite::{SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::{
    fs,
    sync::{MappedMutexGuard, Mutex, MutexGuard},
};
use tracing::warn;

use super::{Dialect, Role, StoreError, migrations};

/// An open SQLite database. What is SQLite's own is in this file.
///
/// Not a pool: a pool asks each connection whether it is alive whenever it comes back, and a read is
/// but one such question.
pub struct SqliteDatabase {
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

/// How a transaction begins that is going to write: one that reads first could not be upgraded while
/// another process writes.
pub const BEGIN: &str = "begin immediate";

const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

impl SqliteDatabase {
    /// In memory.
    pub async fn open_memory() -> Result<Self, String> {
        let options = SqliteConnectOptions::new().in_memory(true).foreign_keys(true);
        let opened = Self::connect(&options, 0, None).await;
        opened.map_err(|err| migrations::describe("the database", &err))
    }

    /// Opens the database, makes it if it is missing, and migrates it. Fails with what is wrong and what to do, without the
    /// path: it is told to clients.
    pub async fn open(path: &Path, role: Role) -> Result<Self, String> {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let name = format!("`{name}`");
        let file = DatabaseFile::create(path, role).await.map_err(|err| {
            format!(
                "{name} cannot be opened: {err}: see that it is a file which the server may write"
            )
        })?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true);
        let readers = thread::available_parallelism().map_or(2, |it| it.get().clamp(2, 4));
        let opened = Self::connect(&options, readers, Some(file)).await;
        opened.map_err(|err| migrations::describe(&name, &err))
    }

    async fn connect(
        options: &SqliteConnectOptions,
        readers: usize,
        file: Option<DatabaseFile>,
    ) -> anyhow::Result<Self> {
        // Never `optimize`: what SQLite learns while tables are small lets it scan them when they are large.
        let options = options.clone().disable_statement_logging();
        let mut writer = options.connect().await?;
        migrations::run(&mut writer, Dialect::Sqlite).await?;
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

    /// How many connections are idle, and how many at work.
    pub fn connections(&self) -> (usize, usize) {
        let slots = self.readers.iter().chain([&self.writer]);
        let (idle, busy): (Vec<_>, Vec<_>) = slots.partition(|it| it.try_lock().is_ok());
        (idle.len(), busy.len())
    }

    /// Whether no other process had the database open already. What is pending may be its own work then.
    pub fn is_alone(&self) -> bool {
        self.file.as_ref().is_none_or(|file| file.lock.is_some())
    }

    /// Fails where the file was taken away, though SQLite would go on with what it has open.
    pub async fn check(&self) -> Result<(), StoreError> {
        match &self.file {
            Some(file) => file.check().await.map_err(StoreError::Unavailable),
            None => Ok(()),
        }
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

/// The file of a database, as it was when it was opened.
struct DatabaseFile {
    path: PathBuf,
    identity: Identity,
    /// Beside the file, and locked by the first server that has the database open. None for others.
    lock: Option<std::fs::File>,
}

impl DatabaseFile {
    /// Makes the file, for nobody else to read, and its folder, if they are missing.
    async fn create(path: &Path, role: Role) -> io::Result<Self> {
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
        let lock = match role {
            Role::Server => lock(path, options).await?,
            Role::Guest => None,
        };
        Ok(Self { path: path.to_owned(), identity: identity(&metadata), lock })
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

/// Takes the lock of a database's file, unless another process has it.
async fn lock(path: &Path, mut options: fs::OpenOptions) -> io::Result<Option<std::fs::File>> {
    let lock = path.with_added_extension("lock");
    let lock = options.write(true).create(true).truncate(false).open(lock).await?;
    let lock = lock.into_std().await;
    Ok(match lock.try_lock() {
        Err(TryLockError::WouldBlock) => None,
        // Where there are no locks, there is one server.
        Ok(()) | Err(TryLockError::Error(_)) => Some(lock),
    })
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
