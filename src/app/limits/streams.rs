use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use uuid::Uuid;

use crate::{
    chatkit::now,
    config::Measure,
    store::{LimitKey, Store, StoreError},
};

/// A process that says nothing for so long runs nothing any more, in seconds.
const LEASE: i64 = 60;

/// The turns that run here, by whose they are.
pub struct Streams {
    /// Where in the store this process counts.
    measure: String,
    running: Arc<Mutex<HashMap<String, i64>>>,
}

/// A place among the turns that run at one time.
#[derive(Debug)]
pub struct StreamPermit {
    running: Arc<Mutex<HashMap<String, i64>>>,
    subjects: Vec<String>,
}

impl Default for Streams {
    fn default() -> Self {
        let process = Uuid::new_v4().simple();
        Self { measure: format!("{}:{process}", Measure::Streams.name()), running: Arc::default() }
    }
}

impl Streams {
    /// One that holds no place yet.
    pub fn permit(&self) -> StreamPermit {
        StreamPermit { running: self.running.clone(), subjects: Vec::new() }
    }

    /// Takes a place, and says how many there are then, in all processes.
    pub async fn enter(
        &self,
        store: &Store,
        permit: &mut StreamPermit,
        subject: String,
    ) -> Result<u64, StoreError> {
        let here = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            let here = running.entry(subject.clone()).or_default();
            *here += 1;
            *here
        };
        permit.subjects.push(subject.clone());
        let all = self.tell(store, &subject, here).await?;
        Ok(u64::try_from(all).unwrap_or_default())
    }

    /// Gives the places back that the permit holds.
    pub async fn leave(&self, store: &Store, mut permit: StreamPermit) {
        for subject in std::mem::take(&mut permit.subjects) {
            let here = {
                let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
                let here = running.entry(subject.clone()).or_default();
                *here -= 1;
                *here
            };
            // Where this fails, it is told again.
            let _ = self.tell(store, &subject, here).await;
        }
    }

    /// Tells the store once more of all that run here, and of what has ended.
    pub async fn renew(&self, store: &Store) {
        let all: Vec<(String, i64)> = {
            let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.iter().map(|(subject, here)| (subject.clone(), *here)).collect()
        };
        for (subject, here) in all {
            // Another try follows before the lease ends.
            let is_told = self.tell(store, &subject, here).await.is_ok();
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            if is_told && here == 0 && running.get(&subject) == Some(&0) {
                running.remove(&subject);
            }
        }
    }

    /// Nothing runs here any more.
    pub async fn close(&self, store: &Store) {
        let subjects: Vec<String> = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.drain().map(|(subject, _)| subject).collect()
        };
        for subject in subjects {
            // Else its lease ends.
            let _ = self.tell(store, &subject, 0).await;
        }
    }

    async fn tell(&self, store: &Store, subject: &str, here: i64) -> Result<i64, StoreError> {
        let now = now().as_second();
        let key = LimitKey { subject, measure: &self.measure, since: 0, until: now + LEASE };
        store.limits().set(key, here, Measure::Streams.name(), now).await
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        for subject in &self.subjects {
            if let Some(here) = running.get_mut(subject) {
                *here -= 1;
            }
        }
    }
}
