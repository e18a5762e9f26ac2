use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{mcp::call::Waiting, store::Store};

/// What closing may take: a program that is to end is asked twice, and killed.
const CLOSE: Duration = Duration::from_secs(10);

/// What the MCP servers of all generations share: it lives as long as the process. Clones share it.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

pub struct Inner {
    /// Where programs run.
    pub project: PathBuf,
    pub store: Store,
    /// Connections, until the last of them is closed.
    pub tasks: TaskTracker,
    /// Cancelled when all connections are to close.
    pub closing: CancellationToken,
    /// Calls that servers hold until the user has answered.
    pub waiting: Waiting,
    changes: watch::Sender<u64>,
}

impl std::ops::Deref for Hub {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Hub {
    pub fn new(project: PathBuf, store: Store) -> Self {
        Self(Arc::new(Inner {
            project,
            store,
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            waiting: Waiting::default(),
            changes: watch::Sender::new(0),
        }))
    }

    /// Says when a server's state is another.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub fn tell_change(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Closes all connections and waits for it: no program is left.
    pub async fn close(&self) {
        self.closing.cancel();
        self.tasks.close();
        if tokio::time::timeout(CLOSE, self.tasks.wait()).await.is_err() {
            tracing::warn!("some MCP servers did not let go within {} s", CLOSE.as_secs());
        }
    }
}
