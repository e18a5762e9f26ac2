//! Calls that a server holds while the user makes up their mind.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    chatkit::ThreadId,
    mcp::{asking::Answer, call::flight::Flight, hub::Hub},
    user::UserKey,
};

/// Of one user, and of all.
const MOST_OF_USER: usize = 8;
const MOST: usize = 256;

/// Those of this process, by what their questions are kept with.
#[derive(Default)]
pub struct Waiting(Mutex<BTreeMap<String, Waits>>);

/// Whose answer a call waits for: nobody else's is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub user: Option<UserKey>,
    pub thread: Option<ThreadId>,
}

struct Waits {
    flight: Flight,
    reply: Answer,
    asked: Asked,
    since: Instant,
    _over: DropGuard,
}

impl Waiting {
    /// Whether another call of this user may wait.
    pub fn has_room(&self, asked: &Asked) -> bool {
        let waiting = self.lock();
        let of_user = waiting.values().filter(|it| it.asked.user == asked.user).count();
        waiting.len() < MOST && of_user < MOST_OF_USER
    }

    /// Takes the call that waits for an answer of theirs. None: it waits no more.
    pub fn take(&self, id: &str, asked: &Asked) -> Option<(Flight, Answer)> {
        let mut waiting = self.lock();
        if waiting.get(id).is_none_or(|it| it.asked != *asked) {
            return None;
        }
        let Waits { mut flight, reply, since, .. } = waiting.remove(id)?;
        flight.go_on(since.elapsed());
        Some((flight, reply))
    }

    /// Cancels a call at its server.
    pub fn forget(&self, id: &str) {
        let waits = self.lock().remove(id);
        drop(waits);
    }

    /// The same with all that wait in a thread.
    pub fn forget_thread(&self, user: &UserKey, thread: &ThreadId) {
        let is_there = |it: &Waits| {
            it.asked.user.as_ref() == Some(user) && it.asked.thread.as_ref() == Some(thread)
        };
        let gone: Vec<_> = self.lock().extract_if(.., |_, it| is_there(it)).collect();
        drop(gone);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Waits>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hub {
    /// Keeps a call whose server waits for the user, for so long at most; it is cancelled when that is over, when the turn
    /// ends before the user is asked, and when the process ends.
    pub fn keep(
        &self,
        id: String,
        (flight, reply): (Flight, Answer),
        asked: Asked,
        shown: oneshot::Receiver<()>,
        limit: Duration,
    ) {
        let gone = CancellationToken::new();
        let over = gone.clone().drop_guard();
        let waits = Waits { flight, reply, asked, since: Instant::now(), _over: over };
        self.waiting.lock().insert(id.clone(), waits);
        let hub = self.clone();
        self.tasks.spawn(async move {
            let over = async {
                if shown.await.is_ok() {
                    tokio::time::sleep(limit).await;
                }
            };
            tokio::select! {
                () = over => (),
                () = gone.cancelled() => return,
                () = hub.closing.cancelled() => (),
            }
            hub.waiting.forget(&id);
        });
    }
}
