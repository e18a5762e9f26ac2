use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::OwnedMutexGuard;

use crate::chatkit::ThreadId;

/// Lets one at a time into a thread, in the order in which they came.
#[derive(Default)]
pub struct Turnstile(Mutex<HashMap<ThreadId, Weak<tokio::sync::Mutex<()>>>>);

impl Turnstile {
    /// Waits until all who came before have dropped what they got.
    pub async fn enter(&self, thread: &ThreadId) -> OwnedMutexGuard<()> {
        let queue = {
            let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            queues.retain(|_, queue| queue.strong_count() > 0);
            queues.get(thread).and_then(Weak::upgrade).unwrap_or_else(|| {
                let queue = Arc::default();
                queues.insert(thread.clone(), Arc::downgrade(&queue));
                queue
            })
        };
        queue.lock_owned().await
    }
}
