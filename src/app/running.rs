use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::chatkit::ThreadId;

/// The turns that run, at most one a thread.
#[derive(Default)]
pub struct RunningTurns {
    turns: Arc<Mutex<HashMap<ThreadId, RunningTurn>>>,
}

struct RunningTurn {
    cancelled: CancellationToken,
    /// Closed when the turn has ended.
    ended: watch::Receiver<()>,
}

/// Holds a thread for one turn; dropping it lets the next one in.
pub struct TurnGuard {
    thread: ThreadId,
    turns: Arc<Mutex<HashMap<ThreadId, RunningTurn>>>,
    /// Cancelled when the turn is to end: its client left, its thread was deleted, or the server stops.
    pub cancelled: CancellationToken,
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
                        let turn = RunningTurn { cancelled: cancelled.clone(), ended: receiver };
                        turns.insert(thread.clone(), turn);
                        return Ok(TurnGuard {
                            thread: thread.clone(),
                            turns: self.turns.clone(),
                            cancelled,
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

    /// Cancels the turn of this thread, if one runs, and waits for its end up to `patience`.
    pub async fn cancel(&self, thread: &ThreadId, patience: Duration) {
        let ended = {
            let turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.get(thread).map(|turn| {
                turn.cancelled.cancel();
                turn.ended.clone()
            })
        };
        if let Some(mut ended) = ended {
            // Both outcomes mean that there is nothing more to wait for.
            let _ = tokio::time::timeout(patience, ended.changed()).await;
        }
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

impl Drop for TurnGuard {
    fn drop(&mut self) {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.remove(&self.thread);
    }
}
