//! What lasts: threads, items, feedback, attachments, and what plugins keep. Every query is here.
//!
//! A user's rows are reachable only through [`Store::of`]: forgetting the owner does not compile.

mod approvals;
mod attachments;
mod blobs;
mod items;
mod kv;
mod list;
mod recovery;
mod sealed;
mod sqlite;
#[cfg(test)]
mod tests;
mod threads;

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
    user::UserKey,
};

use self::sqlite::{Database, DatabaseUrl};
pub use self::{
    approvals::Settled,
    attachments::StoredAttachment,
    blobs::{BlobReader, BlobWriter, Blobs},
    kv::{KvScope, KvStore},
    sealed::{Ciphertext, Resealable, Sealed, SealedKind},
};

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
    /// Opens the database of `url` (`sqlite://path`, `sqlite::memory:`), and runs the migrations. Where that fails the store
    /// is there all the same, unavailable, and tries again in the background until it succeeds.
    pub async fn open(url: &str, tasks: &TaskTracker) -> Self {
        let url = match DatabaseUrl::parse(url) {
            Ok(url) => url,
            Err(problem) => {
                error!("the store is not available: {problem}");
                return Self::new(State::Unavailable(problem));
            }
        };
        match Database::open(&url).await {
            Ok(database) => Self::new(State::Open(Arc::new(database))),
            Err(problem) => {
                warn!(%url, "the store at {url} is not available, it is tried again every second: {problem}");
                let store = Self::new(State::Unavailable(problem));
                tasks.spawn(reopen(Arc::downgrade(&store.inner), url, tasks.clone()));
                store
            }
        }
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

    /// Whether another process had the database open before this one.
    pub fn is_shared(&self) -> bool {
        self.database().is_ok_and(|it| it.is_shared())
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

impl StoreError {
    fn closed() -> Self {
        Self::Unavailable("it is closed".to_owned())
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

const RETRY: Duration = Duration::from_secs(1);

/// Tries until the database is open, nobody needs it any more, or the server stops.
async fn reopen(store: Weak<Inner>, url: DatabaseUrl, tasks: TaskTracker) {
    loop {
        tokio::time::sleep(RETRY).await;
        if tasks.is_closed() || store.strong_count() == 0 {
            return;
        }
        let opened = Database::open(&url).await;
        let Some(store) = store.upgrade() else {
            return;
        };
        match opened {
            Ok(database) => {
                if let State::Unavailable(_) = store.replace(State::Open(Arc::new(database))) {
                    info!(%url, "the store at {url} is available now");
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
