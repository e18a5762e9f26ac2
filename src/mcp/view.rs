use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use tokio::{sync::watch, time::timeout};

use crate::mcp::{connection::Connection, fault::Fault, tools::Listed};

/// However often a server says that its tools changed, they are not listed more often.
const DEBOUNCE: Duration = Duration::from_secs(1);
/// How long a list stays good, where the server tells of changes, and where it does not.
const FRESH: Duration = Duration::from_hours(1);
const FRESH_UNTOLD: Duration = Duration::from_mins(5);
const LEAST_FRESH: Duration = Duration::from_secs(30);
const UNUSED: Duration = Duration::from_mins(30);

/// The tools of a server as one caller knows them.
pub struct View {
    inner: Mutex<Inner>,
    /// Whether they are being listed.
    listing: watch::Sender<bool>,
}

struct Inner {
    listing: Option<Arc<Listing>>,
    fault: Option<Fault>,
    used: Instant,
    /// Listing has taken longer than anybody waits: nobody waits any more, until it is done well.
    is_slow: bool,
}

/// What a server listed.
pub struct Listing {
    pub listed: Listed,
    /// The tools that are not as they were when they were listed first.
    pub changed: Vec<String>,
    /// What the server says of how they are used, to whom they were listed.
    pub instructions: Option<String>,
    connection: Weak<Connection>,
    seen_changes: u64,
    at: Instant,
    fresh_for: Duration,
}

impl Listing {
    pub fn new(
        listed: Listed,
        changed: Vec<String>,
        instructions: Option<String>,
        connection: &Arc<Connection>,
        seen_changes: u64,
        fresh_for: Option<Duration>,
    ) -> Self {
        let usual = if connection.info.tells_changes { FRESH } else { FRESH_UNTOLD };
        Self {
            listed,
            changed,
            instructions,
            connection: Arc::downgrade(connection),
            seen_changes,
            at: Instant::now(),
            fresh_for: fresh_for.map_or(usual, |it| it.clamp(LEAST_FRESH, FRESH)),
        }
    }

    fn is_fresh(&self) -> bool {
        let age = self.at.elapsed();
        let Some(connection) = self.connection.upgrade() else { return false };
        age < DEBOUNCE || (age < self.fresh_for && connection.changes.count() == self.seen_changes)
    }
}

impl View {
    pub fn listing(&self) -> Option<Arc<Listing>> {
        self.lock().listing.clone()
    }

    /// Why the last try to list failed.
    pub fn fault(&self) -> Option<Fault> {
        self.lock().fault.clone()
    }

    pub fn is_fresh(&self) -> bool {
        let mut inner = self.lock();
        inner.used = Instant::now();
        inner.listing.as_ref().is_some_and(|it| it.is_fresh())
    }

    pub fn is_unused(&self) -> bool {
        self.lock().used.elapsed() >= UNUSED
    }

    /// Whether the caller is the one to list.
    pub fn begin(&self) -> bool {
        self.listing.send_if_modified(|is_listing| !std::mem::replace(is_listing, true))
    }

    pub fn set(&self, result: Result<Arc<Listing>, Fault>) {
        {
            let mut inner = self.lock();
            match result {
                Ok(listing) => {
                    (inner.listing, inner.fault, inner.is_slow) = (Some(listing), None, false);
                }
                Err(fault) => inner.fault = Some(fault),
            }
        }
        self.listing.send_replace(false);
    }

    /// Waits until they are listed, if not for longer than that.
    pub async fn wait(&self, patience: Duration) {
        if self.lock().is_slow {
            return;
        }
        let mut listing = self.listing.subscribe();
        if timeout(patience, listing.wait_for(|is_listing| !is_listing)).await.is_err() {
            self.lock().is_slow = true;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for View {
    fn default() -> Self {
        Self {
            inner: Mutex::new(Inner {
                listing: None,
                fault: None,
                used: Instant::now(),
                is_slow: false,
            }),
            listing: watch::Sender::new(false),
        }
    }
}
