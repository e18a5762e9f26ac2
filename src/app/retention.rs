//! Threads that are older than the operator wants to keep.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::SignedDuration;
use tracing::{info, warn};

use crate::{
    app::App,
    chatkit::now,
    config::RetentionConfig,
    store::{Store, StoreError},
    user::{User, UserKey},
};

/// Of which organisation users are, as this process last told the store.
#[derive(Default)]
pub struct Organisations(Mutex<HashMap<UserKey, String>>);

/// Users whose organisation is remembered before all are forgotten again.
const MANY: usize = 50_000;

impl Organisations {
    /// Notes it where that matters and is news.
    pub async fn note(&self, store: &Store, retention: &RetentionConfig, user: &User) {
        if retention.orgs.is_empty() {
            return;
        }
        let org = user.org.as_deref().unwrap_or_default();
        {
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if known.get(&user.key).is_some_and(|it| it == org) {
                return;
            }
            if known.len() > MANY {
                known.clear();
            }
            known.insert(user.key.clone(), org.to_owned());
        }
        if let Err(err) = store.of(&user.key).save_org(org).await {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&user.key);
            warn!("an organisation was not noted: {err}");
        }
    }
}

/// Takes the threads away in which nothing has happened for longer than they are kept.
pub async fn sweep(app: &App) -> Result<(), StoreError> {
    let retention = app.generation().config.retention.clone();
    if retention.threads.is_none() && retention.orgs.is_empty() {
        return Ok(());
    }
    let mut count = 0_u64;
    for owner in app.store.owners_of_threads().await? {
        let rows = app.store.of(&owner);
        let org = if retention.orgs.is_empty() { None } else { rows.find_org().await? };
        let Some(age) = retention.of(org.as_deref()) else { continue };
        let age = SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX);
        let Ok(time) = now().checked_sub(age) else { continue };
        for thread in rows.threads_at_rest(time).await? {
            app.running.cancel(&thread, Duration::from_secs(3)).await;
            match rows.delete_thread(&thread).await {
                Ok(blobs) => app.store.delete_blobs(&blobs).await,
                // Its owner was first.
                Err(StoreError::NotFound) => continue,
                Err(err) => return Err(err),
            }
            count += 1;
        }
    }
    if count > 0 {
        info!(count, "took away {count} threads that were kept for as long as [retention] says");
    }
    Ok(())
}
