use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    app::{Admitted, EventLog},
    chatkit::ThreadId,
};

/// The turns that run, at most one a thread.
#[derive(Default)]
pub struct RunningTurns {
    turns: Arc<Mutex<HashMap<ThreadId, RunningTurn>>>,
}

struct RunningTurn {
    cancelled: CancellationToken,
    /// Closed when the turn has ended.
    ended: watch::Receiver<()>,
    /// Its events, where it goes on without its client.
    log: Arc<OnceLock<Arc<EventLog>>>,
}

/// What runs on a thread.
pub enum Running {
    Nothing,
    /// A turn that ends when its client leaves.
    WithItsClient,
    /// A turn that goes on without its client, and its events.
    Logged(Arc<EventLog>),
}

/// Holds a thread for one turn; dropping it lets the next one in.
pub struct TurnGuard {
    thread: ThreadId,
    turns: Arc<Mutex<HashMap<ThreadId, RunningTurn>>>,
    /// Cancelled when the turn is to end: its client left, its thread was deleted, or the server stops.
    pub cancelled: CancellationToken,
    /// What it was let in with.
    pub admitted: Admitted,
    log: Arc<OnceLock<Arc<EventLog>>>,
    _ended: watch::Sender<()>,
}

/// Another turn runs on the thread.
#[derive(Debug, thiserror::Error)]
#[error("another turn is running on this thread: wait for it to end, or stop it")]
pub struct Busy;

impl RunningTurns {
    /// Holds the thread for a turn. Waits up to `patience` for one that is being cancelled.
    pub async fn begin(&self, thread: &ThreadId, patience: Duration) -> Result<TurnGuard, Busy> {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let mut ended = {
                let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
                match turns.get(thread) {
                    None => {
                        let (sender, receiver) = watch::channel(());
                        let cancelled = CancellationToken::new();
                        let log = Arc::default();
                        let turn = RunningTurn {
                            cancelled: cancelled.clone(),
                            ended: receiver,
                            log: Arc::clone(&log),
                        };
                        turns.insert(thread.clone(), turn);
                        return Ok(TurnGuard {
                            thread: thread.clone(),
                            turns: self.turns.clone(),
                            cancelled,
                            admitted: Admitted::default(),
                            log,
                            _ended: sender,
                        });
                    }
                    Some(turn) if turn.cancelled.is_cancelled() => turn.ended.clone(),
                    Some(_) => return Err(Busy),
                }
            };
            // It ends with an error, because the sender is dropped: that is the news.
            match tokio::time::timeout_at(deadline, ended.changed()).await {
                Ok(_) => (),
                Err(_) => return Err(Busy),
            }
        }
    }

    /// What runs on this thread now.
    pub fn find(&self, thread: &ThreadId) -> Running {
        let turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        match turns.get(thread) {
            None => Running::Nothing,
            Some(turn) => match turn.log.get() {
                None => Running::WithItsClient,
                Some(log) => Running::Logged(log.clone()),
            },
        }
    }

    /// Cancels the turn of this thread and waits for its end up to `patience`. Whether there was one.
    pub async fn cancel(&self, thread: &ThreadId, patience: Duration) -> bool {
        let ended = {
            let turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.get(thread).map(|turn| {
                turn.cancelled.cancel();
                turn.ended.clone()
            })
        };
        let Some(mut ended) = ended else { return false };
        // Both outcomes mean that there is nothing more to wait for.
        let _ = tokio::time::timeout(patience, ended.changed()).await;
        true
    }

    /// Waits for the end of the turn that runs on this thread, if one does, up to `patience`.
    pub async fn wait(&self, thread: &ThreadId, patience: Duration) {
        let ended = {
            let turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.get(thread).map(|turn| turn.ended.clone())
        };
        if let Some(mut ended) = ended {
            // Both outcomes mean that there is nothing more to wait for.
            let _ = tokio::time::timeout(patience, ended.changed()).await;
        }
    }

    /// Waits until no turn runs.
    pub async fn idle(&self) {
        loop {
            let ended = {
                let turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
                turns.values().next().map(|turn| turn.ended.clone())
            };
            let Some(mut ended) = ended else { return };
            // It ends with an error, because the sender is dropped: that is the news.
            let _ = ended.changed().await;
        }
    }

    /// How many turns run.
    pub fn len(&self) -> usize {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether no turn runs.
    pub fn is_empty(&self) -> bool {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Cancels all turns.
    pub fn cancel_all(&self) {
        let turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        for turn in turns.values() {
            turn.cancelled.cancel();
        }
    }
}

impl TurnGuard {
    /// Keeps the turn's events for those who read them later: it does not end with its client.
    pub fn open_log(&self) -> &Arc<EventLog> {
        self.log.get_or_init(Arc::default)
    }
}

impl Drop for TurnGuard {
    fn drop(&mut self) {
        if let Some(log) = self.log.get() {
            log.end();
        }
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.remove(&self.thread);
    }
}
