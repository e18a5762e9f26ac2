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
        ClientCapabilities, ClientConfig, CustomNotification, CustomRequest, CustomResult,
        ElicitRequestParams, ElicitResult, ElicitationCapability, ErrorCode, ErrorData,
        FormElicitationCapability, Implementation, ProgressNotificationParam, ProgressToken,
        ProtocolVersion, UrlElicitationCapability,
    },
    service::{InboundStreamOrigin, NotificationContext, RequestContext},
};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};

use crate::mcp::{asking::Calls, elicitation::cancelled};

/// As it is called where the library does not understand what it asks for.
const ELICIT: &str = "elicitation/create";
const ELICITED: &str = "notifications/elicitation/complete";

/// What a server tells us beside answers.
#[derive(Clone)]
pub struct Handler {
    pub version: ProtocolVersion,
    pub progress: Arc<Progress>,
    pub changes: Arc<Changes>,
    pub calls: Arc<Calls>,
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
pub struct Watched {
    progress: Arc<Progress>,
    token: String,
    pub steps: mpsc::Receiver<Step>,
}

impl Progress {
    pub fn watch(self: &Arc<Self>, token: &ProgressToken) -> Watched {
        let (sender, steps) = mpsc::channel(1);
        let token = key(token);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(token.clone(), sender);
        Watched { progress: self.clone(), token, steps }
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

impl Drop for Watched {
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
        let elicitation = ElicitationCapability::new()
            .with_form(FormElicitationCapability::new())
            .with_url(UrlElicitationCapability::new());
        let mut capabilities = ClientCapabilities::default();
        capabilities.elicitation = Some(elicitation);
        ClientConfig::new(capabilities, client).with_protocol_version(self.version.clone())
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let result = self.elicit(json!(request), &context).await?;
        serde_json::from_value(result)
            .map_err(|err| ErrorData::internal_error(err.to_string(), None))
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        context: RequestContext<RoleClient>,
    ) -> Result<CustomResult, ErrorData> {
        if request.method != ELICIT {
            return Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, request.method, None));
        }
        let params = request.params.unwrap_or_default();
        self.elicit(params, &context).await.map(CustomResult::new)
    }

    async fn on_custom_notification(
        &self,
        notification: CustomNotification,
        _context: NotificationContext<RoleClient>,
    ) {
        let params = notification.params.unwrap_or_default();
        if notification.method == ELICITED
            && let Some(id) = params["elicitationId"].as_str()
        {
            self.calls.note_done(id);
        }
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

impl Handler {
    /// Has whoever waits for the call that a server asks in find out, and gives the `ElicitResult`.
    async fn elicit(
        &self,
        params: Value,
        context: &RequestContext<RoleClient>,
    ) -> Result<Value, ErrorData> {
        let call = match context.extensions.get::<InboundStreamOrigin>() {
            Some(InboundStreamOrigin::OutboundRequest(id)) => Some(id),
            Some(InboundStreamOrigin::Unassociated) | None => None,
        };
        tokio::select! {
            result = self.calls.ask(call, params) => result,
            () = context.ct.cancelled() => Ok(cancelled("the server does not want it any more")),
        }
    }
}
