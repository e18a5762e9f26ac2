//! What lasts: threads, items, feedback, attachments, and what plugins keep. Every query is here.
//!
//! A user's rows are reachable only through [`Store::of`]: forgetting the owner does not compile.

mod approvals;
mod attachments;
mod blobs;
mod connection;
mod database;
mod errors;
mod items;
mod kv;
mod limits;
mod list;
mod logins;
mod migrations;
mod mysql;
mod pool;
mod postgres;
mod query;
mod recovery;
mod retention;
mod sealed;
mod server;
mod sqlite;
#[cfg(test)]
pub mod tests;
mod threads;
mod transfer;
mod url;
mod users;

use std::{
    collections::BTreeSet,
    mem,
    sync::{Arc, PoisonError, RwLock, Weak},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::OnceCell;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::{
    chatkit::{ItemId, ThreadItem},
    config::StoreConfig,
    user::UserKey,
};

pub use self::{
    approvals::Settled,
    attachments::StoredAttachment,
    blobs::{BlobReader, BlobWriter, Blobs},
    kv::{KvScope, KvStore},
    limits::{LimitKey, LimitStore},
    logins::Login,
    migrations::MigrationState,
    sealed::{Ciphertext, Resealable, Sealed, SealedKind},
    transfer::{FORMAT, Header, Imported, ItemLine, Line, Selection, ThreadLine, VERSION},
    users::{Forgotten, KeptValue, SealedName},
};
use self::{database::Database, pool::PoolLimits, url::DatabaseUrl};

/// The database. Clones share it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    blobs: Blobs,
}

/// The rows of one user.
pub struct UserStore<'a> {
    store: &'a Store,
    user: &'a UserKey,
}

/// What a thread holds, in its order: what the chat UI knows as items, and what only the model sees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    Item(ThreadItem),
    /// A server tool's call and its output, hidden from clients, so that the next turn's model input is the same
    /// conversation.
    ToolCall(ToolCallRecord),
    /// What plugins made of a user's message, hidden from clients.
    MessageNote(MessageNote),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCallRecord {
    pub id: ItemId,
    /// The same for all calls of one response of the model.
    pub response: String,
    pub call_id: String,
    pub name: String,
    /// As the model wrote them.
    pub arguments: String,
    /// As the model was told.
    pub output: String,
    /// Images that came with it, as `data:` URLs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// The client tool call whose output is the output of this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ItemId>,
    /// Where the user is asked before it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Box<CallApproval>>,
    /// Where it asks the user before it can go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Box<CallInput>>,
    /// The turn was to end after it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stopped: bool,
    /// The MCP servers whose results had come in this turn by then.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub servers: BTreeSet<Arc<str>>,
}

impl ToolCallRecord {
    /// The item that the user is to decide on, or to answer, before it goes on.
    pub fn waits_for(&self) -> Option<&ItemId> {
        let approval = self.approval.as_ref().filter(|it| it.state == ApprovalState::Pending);
        let input = self.input.as_ref().filter(|it| it.is_open);
        approval.map(|it| &it.card).or_else(|| input?.items.last())
    }
}

/// What a call asked the user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallInput {
    /// The structured inputs, the last one last.
    pub items: Vec<ItemId>,
    /// The last one is not answered.
    pub is_open: bool,
    /// Of the tool and the arguments that were asked for.
    pub digest: String,
    /// What its provider goes on with once the last one is answered.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub state: Value,
}

/// What the user was asked before a call, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallApproval {
    /// The widget that asks.
    pub card: ItemId,
    /// Of the tool and the arguments that the card shows.
    pub digest: String,
    pub state: ApprovalState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalState {
    Pending,
    Approved,
    Denied,
    /// The user wrote on instead of deciding.
    Passed,
    /// What the card showed is not what would run any more.
    Void,
}

/// What plugins made of a user's message, for its turn and all later ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageNote {
    pub id: ItemId,
    /// The message.
    pub item_id: ItemId,
    /// Shown instead of the message's own text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The model never sees the message.
    pub rejected: bool,
    /// For the prompt's template, while the message is answered.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub vars: Map<String, Value>,
}

/// The database's own language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    Postgres,
    /// `MariaDB`'s too.
    MySql,
}

/// What for a database is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// To serve from it: other processes are told, and what a crash left is mended.
    Server,
    /// By a command, beside a server or without one.
    Guest,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Unknown, or another user's: the same answer.
    #[error("not found")]
    NotFound,
    /// The cursor is not of this list.
    #[error("the cursor is not of this list")]
    BadCursor,
    /// The database cannot be opened (yet).
    #[error("the store is not available: {0}")]
    Unavailable(String),
    #[error("the store failed")]
    Failed(#[source] anyhow::Error),
}

impl Store {
    /// Opens the database of `url` (`sqlite://path`, `sqlite::memory:`, `postgres://…`, `mysql://…`) to serve from it, see
    /// [`Self::connect`].
    pub async fn open(url: &str, tasks: &TaskTracker) -> Self {
        Self::connect(&StoreConfig::of_url(url), Role::Server, tasks).await
    }

    /// Opens the database, and runs the migrations. Where that fails the store is there all the same, unavailable, and tries
    /// again in the background until it succeeds.
    pub async fn connect(config: &StoreConfig, role: Role, tasks: &TaskTracker) -> Self {
        let url = match DatabaseUrl::parse(&config.url, config.password.as_ref()) {
            Ok(url) => url,
            Err(problem) => {
                error!("the store is not available: {problem}");
                return Self::new(State::Unavailable(problem));
            }
        };
        let limits = PoolLimits::of(config);
        match Database::open(&url, &limits, role).await {
            Ok(database) => {
                let store = Self::new(State::Open(Arc::new(database)));
                if url.is_server() && role == Role::Server {
                    tasks.spawn(keep_place(Arc::downgrade(&store.inner), tasks.clone()));
                }
                store
            }
            Err(problem) => {
                warn!(%url, "the store at {url} is not available, it is tried again every second: {problem}");
                let store = Self::new(State::Unavailable(problem));
                let opening = Opening { url, limits, role, tasks: tasks.clone() };
                tasks.spawn(reopen(Arc::downgrade(&store.inner), opening));
                store
            }
        }
    }

    /// Migrates the database, and says what steps it has taken.
    pub async fn migrate(config: &StoreConfig) -> Result<Vec<MigrationState>, StoreError> {
        let url = parse(config)?;
        let limits = PoolLimits::of(config);
        let opened = Database::open(&url, &limits, Role::Guest).await;
        let database = opened.map_err(StoreError::Unavailable)?;
        database.close().await;
        Self::list_migrations(config).await
    }

    /// The steps that the database has taken or is to take; it is left as it is.
    pub async fn list_migrations(config: &StoreConfig) -> Result<Vec<MigrationState>, StoreError> {
        migrations::list_of(&parse(config)?, &PoolLimits::of(config)).await
    }

    /// Where a database is, as it may be shown: without a password. Fails with what is wrong and what to do.
    pub fn show_url(config: &StoreConfig) -> Result<String, StoreError> {
        parse(config).map(|url| url.to_string())
    }

    fn new(state: State) -> Self {
        let inner = Inner { state: RwLock::new(state), attachment_secret: OnceCell::new() };
        Self { inner: Arc::new(inner), blobs: Blobs::none() }
    }

    /// The same, with a place for the bytes of attachments.
    #[must_use]
    pub fn with_blobs(self, blobs: Blobs) -> Self {
        Self { blobs, ..self }
    }

    /// The bytes of attachments.
    pub const fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// Whether another process serves from the database, which cannot be shared.
    pub fn is_taken(&self) -> bool {
        self.database().is_ok_and(|it| it.is_taken())
    }

    /// Connections to the database: how many are idle, and how many at work.
    pub fn connections(&self) -> (usize, usize) {
        self.database().map(|it| it.connections()).unwrap_or_default()
    }

    /// Why it cannot be used, if so.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.database()?.check().await
    }

    pub const fn of<'a>(&'a self, user: &'a UserKey) -> UserStore<'a> {
        UserStore { store: self, user }
    }

    /// A secret of this installation, made at first use: for signing cookies and hashing session ids.
    pub async fn load_secret(&self, name: &str) -> Result<[u8; 32], StoreError> {
        self.database()?.load_secret(name).await
    }

    /// Waits for what is being written, and closes.
    pub async fn close(&self) {
        match self.inner.replace(State::Closed) {
            State::Open(database) => database.close().await,
            State::Unavailable(_) | State::Closed => (),
        }
    }

    fn database(&self) -> Result<Arc<Database>, StoreError> {
        match &*self.inner.state.read().unwrap_or_else(PoisonError::into_inner) {
            State::Open(database) => Ok(Arc::clone(database)),
            State::Unavailable(problem) => Err(StoreError::Unavailable(problem.clone())),
            State::Closed => Err(StoreError::closed()),
        }
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(err: serde_json::Error) -> Self {
        Self::Failed(err.into())
    }
}

struct Inner {
    state: RwLock<State>,
    attachment_secret: OnceCell<[u8; 32]>,
}

enum State {
    Open(Arc<Database>),
    /// Why.
    Unavailable(String),
    Closed,
}

impl Inner {
    /// Returns what was before. Closed stays closed.
    fn replace(&self, next: State) -> State {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        match *state {
            State::Open(_) | State::Unavailable(_) => mem::replace(&mut state, next),
            State::Closed => State::Closed,
        }
    }
}

impl PoolLimits {
    const fn of(config: &StoreConfig) -> Self {
        Self {
            size: config.pool,
            connect_timeout: config.connect_timeout,
            acquire_timeout: config.acquire_timeout,
            statement_timeout: config.statement_timeout,
        }
    }
}

fn parse(config: &StoreConfig) -> Result<DatabaseUrl, StoreError> {
    DatabaseUrl::parse(&config.url, config.password.as_ref()).map_err(StoreError::Unavailable)
}

const RETRY: Duration = Duration::from_secs(1);
/// In how many of these the lock is looked at that others know us by.
const KEEP: u32 = 10;

/// What a database is opened with.
struct Opening {
    url: DatabaseUrl,
    limits: PoolLimits,
    role: Role,
    tasks: TaskTracker,
}

/// Sees that other processes know that we are there, for as long as we are.
async fn keep_place(store: Weak<Inner>, tasks: TaskTracker) {
    for round in 1_u32.. {
        tokio::time::sleep(RETRY).await;
        let Some(store) = store.upgrade().filter(|_| !tasks.is_closed()) else { return };
        if round.is_multiple_of(KEEP) {
            let database = match &*store.state.read().unwrap_or_else(PoisonError::into_inner) {
                State::Open(database) => Arc::clone(database),
                State::Unavailable(_) | State::Closed => return,
            };
            database.keep_place().await;
        }
    }
}

/// Tries until the database is open, nobody needs it any more, or the server stops.
async fn reopen(store: Weak<Inner>, opening: Opening) {
    let Opening { url, limits, role, tasks } = opening;
    loop {
        tokio::time::sleep(RETRY).await;
        if tasks.is_closed() || store.strong_count() == 0 {
            return;
        }
        let opened = Database::open(&url, &limits, role).await;
        let Some(store) = store.upgrade() else {
            return;
        };
        match opened {
            Ok(database) => {
                if let State::Unavailable(_) = store.replace(State::Open(Arc::new(database))) {
                    info!(%url, "the store at {url} is available now");
                }
                if url.is_server() && role == Role::Server {
                    tasks.spawn(keep_place(Arc::downgrade(&store), tasks.clone()));
                }
                return;
            }
            Err(problem) => match store.replace(State::Unavailable(problem.clone())) {
                State::Unavailable(before) if before == problem => (),
                State::Unavailable(_) | State::Open(_) => {
                    warn!(%url, "the store at {url} is not available: {problem}");
                }
                State::Closed => return,
            },
        }
    }
}
