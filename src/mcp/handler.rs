use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use rmcp::{
    ClientHandler, RoleClient,
    model::{
        ClientCapabilities, ClientConfig, Implementation, ProgressNotificationParam, ProgressToken,
        ProtocolVersion,
    },
    service::NotificationContext,
};
use tokio::sync::{Notify, mpsc};

/// What a server tells us beside answers.
#[derive(Clone)]
pub struct Handler {
    pub version: ProtocolVersion,
    pub progress: Arc<Progress>,
    pub changes: Arc<Changes>,
}

/// Who waits for the progress of which call.
#[derive(Default)]
pub struct Progress(Mutex<BTreeMap<String, mpsc::Sender<Step>>>);

/// How far a call is.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub progress: f64,
    pub total: Option<f64>,
    pub message: Option<String>,
}

/// How often a server's list of tools has changed.
#[derive(Default)]
pub struct Changes {
    count: AtomicU64,
    told: Notify,
}

/// One who waits for a call's progress, until it is dropped.
pub struct Watched<'a> {
    progress: &'a Progress,
    token: String,
    pub steps: mpsc::Receiver<Step>,
}

impl Progress {
    pub fn watch(&self, token: &ProgressToken) -> Watched<'_> {
        let (sender, steps) = mpsc::channel(1);
        let token = key(token);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(token.clone(), sender);
        Watched { progress: self, token, steps }
    }

    fn tell(&self, token: &ProgressToken, step: Step) {
        let watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = watched.get(&key(token)) {
            // One that waits stands for this one too.
            let _ = sender.try_send(step);
        }
    }
}

fn key(token: &ProgressToken) -> String {
    token.0.to_string()
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        let mut watched = self.progress.0.lock().unwrap_or_else(PoisonError::into_inner);
        watched.remove(&self.token);
    }
}

impl Changes {
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    pub fn tell(&self) {
        self.count.fetch_add(1, Ordering::AcqRel);
        self.told.notify_one();
    }

    /// Waits for the next change; many at once are one.
    pub async fn next(&self) {
        self.told.notified().await;
    }
}

impl ClientHandler for Handler {
    fn get_info(&self) -> ClientConfig {
        let client = Implementation::new("kitfox", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(ClientCapabilities::default(), client)
            .with_protocol_version(self.version.clone())
    }

    async fn on_progress(
        &self,
        params: ProgressNotificationParam,
        _context: NotificationContext<RoleClient>,
    ) {
        let ProgressNotificationParam { progress, total, message, .. } = params;
        self.progress.tell(&params.progress_token, Step { progress, total, message });
    }

    async fn on_tool_list_changed(&self, _context: NotificationContext<RoleClient>) {
        self.changes.tell();
    }
}
