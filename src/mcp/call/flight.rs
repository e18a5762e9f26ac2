use std::{sync::Arc, time::Duration};

use rmcp::{
    Peer, RoleClient,
    model::{CancelledNotificationParam, RequestId, ServerResult},
    service::{RequestHandle, ServiceError},
};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;

use crate::{
    mcp::{
        asking::{Asking, UnderWay},
        clean::clean_line,
        connection::Connection,
        fault::Fault,
        handler::{Step, Watched},
        identity::Identity,
        link::Use,
        server::Server,
    },
    tool::{CallContext, TurnRequest},
};

/// However often a call tells of its progress, it lasts no longer than so many of its timeouts.
const MOST_TIMEOUTS: u32 = 10;
/// The least time between two signs of progress that are shown.
const PROGRESS_PAUSE: Duration = Duration::from_millis(250);
pub const PROGRESS_CHARACTERS: usize = 200;

/// A call that was sent and has no answer. Dropped, it is cancelled at the server.
pub struct Flight {
    pub connection: Arc<Connection>,
    handle: RequestHandle<RoleClient>,
    watched: Watched,
    under_way: UnderWay,
    identity: Identity,
    guard: CancelGuard,
    /// Its connection stays, whatever becomes of the server's file.
    _server: Arc<Server>,
    _use: Use,
    timeout: Duration,
    begun: Instant,
    deadline: Instant,
    last: Instant,
    shown: Option<Instant>,
}

/// What a call comes to next.
pub enum Landing {
    Answer(Box<Result<ServerResult, ServiceError>>),
    /// It has no answer in its time.
    Late(Fault),
    /// The server asks the user something, and waits.
    Asks(Asking),
}

impl Flight {
    pub fn new(
        server: &Arc<Server>,
        connection: &Arc<Connection>,
        handle: RequestHandle<RoleClient>,
        identity: &Identity,
        r#use: Use,
    ) -> Self {
        let guard = CancelGuard {
            peer: connection.peer.clone(),
            tasks: server.target.hub.tasks.clone(),
            id: Some(handle.id.clone()),
        };
        let timeout = server.file().timeout;
        let begun = Instant::now();
        Self {
            watched: connection.progress.watch(&handle.progress_token),
            under_way: connection.calls.note(&handle.id),
            connection: connection.clone(),
            handle,
            identity: identity.clone(),
            guard,
            _server: server.clone(),
            _use: r#use,
            timeout,
            begun,
            deadline: begun + timeout,
            last: begun + timeout * MOST_TIMEOUTS,
            shown: None,
        }
    }

    /// Waits for what comes next, and shows how far the call is. Progress gives it more time.
    pub async fn land(&mut self, context: &CallContext) -> Landing {
        loop {
            tokio::select! {
                answer = &mut self.handle.rx => {
                    self.guard.id = None;
                    let answer = answer.unwrap_or(Err(ServiceError::TransportClosed));
                    return Landing::Answer(Box::new(answer));
                }
                () = sleep_until(self.deadline.min(self.last)) => {
                    let fault = Fault::Timeout(self.begun.elapsed().as_secs().max(1));
                    return Landing::Late(fault);
                }
                Some(asking) = self.under_way.asks.recv() => return Landing::Asks(asking),
                Some(step) = self.watched.steps.recv() => {
                    self.deadline = Instant::now() + self.timeout;
                    if self.shown.is_none_or(|it| it.elapsed() >= PROGRESS_PAUSE) {
                        self.shown = Some(Instant::now());
                        show(&step, &self.identity, context).await;
                    }
                }
            }
        }
    }

    /// The time that the user took is not the server's.
    pub fn go_on(&mut self, paused: Duration) {
        self.deadline = Instant::now() + self.timeout;
        self.begun += paused;
        self.last += paused;
    }
}

async fn show(step: &Step, identity: &Identity, context: &CallContext) {
    let text = match (&step.message, step.total) {
        (Some(message), _) => clean_line(&identity.scrub(message), PROGRESS_CHARACTERS),
        (None, Some(total)) if total > 0.0 => {
            format!("{:.0} %", (step.progress / total * 100.0).clamp(0.0, 100.0))
        }
        (None, _) => return,
    };
    if !text.is_empty() {
        // Where nobody watches, nothing is shown.
        let _ = context.ask(TurnRequest::Progress { icon: None, text }).await;
    }
}

/// Tells the server when nobody waits for its answer any more.
struct CancelGuard {
    peer: Peer<RoleClient>,
    tasks: TaskTracker,
    id: Option<RequestId>,
}

impl Drop for CancelGuard {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        let peer = self.peer.clone();
        self.tasks.spawn(async move {
            let reason = "nobody waits for it any more".to_owned();
            let params = CancelledNotificationParam::new(Some(id), Some(reason));
            let told = peer.notify_cancelled(params);
            // A server that reads nothing is told nothing.
            let _ = tokio::time::timeout(Duration::from_secs(5), told).await;
        });
    }
}
