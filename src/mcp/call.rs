use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use rmcp::{
    Peer, RoleClient,
    model::{CancelledNotificationParam, RequestId, ServerResult},
    service::{RequestHandle, ServiceError},
};
use serde_json::{Map, Value};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;

use crate::{
    chatkit::{Source, UrlSource},
    credential::{Connect, CredentialError, PassRules, Pending},
    mcp::{
        clean::clean_line,
        connection::Connection,
        fault::Fault,
        handler::Step,
        identity::Identity,
        result,
        server::{Caller, Server},
        tools::ListedTool,
    },
    tool::{CallContext, CallOrigin, ToolError, ToolProvider, TurnRequest},
};

/// However often a call tells of its progress, it lasts no longer than so many of its timeouts.
const MOST_TIMEOUTS: u32 = 10;
/// The least time between two signs of progress that are shown.
const PROGRESS_PAUSE: Duration = Duration::from_millis(250);
const PROGRESS_CHARACTERS: usize = 200;
/// Of one result.
const MOST_SOURCES: usize = 10;

/// A tool of an MCP server, as turns call it.
pub struct ServerTool {
    pub server: Arc<Server>,
    pub tool: Arc<ListedTool>,
}

impl ToolProvider for ServerTool {
    fn call(
        &self,
        _name: &str,
        arguments: Value,
        context: CallContext,
    ) -> BoxFuture<'static, Result<Value, ToolError>> {
        let (server, tool) = (self.server.clone(), self.tool.clone());
        Box::pin(async move { server.call(&tool, arguments, &context).await })
    }

    fn origin(&self) -> &str {
        &self.server.file().path
    }

    fn rules(&self) -> Option<&PassRules> {
        Some(&self.server.file().rules)
    }
}

impl Server {
    /// Calls a tool for whoever the context names. Who has to give something first is asked for it.
    pub async fn call(
        self: &Arc<Self>,
        tool: &ListedTool,
        arguments: Value,
        context: &CallContext,
    ) -> Result<Value, ToolError> {
        // A token that is not taken is refreshed, once.
        let mut tries = 2;
        loop {
            tries -= 1;
            match self.try_call(tool, arguments.clone(), context).await {
                Ok(value) => return Ok(value),
                Err(NoAnswer::Needed(connect)) => return Err(context.connect(connect).await),
                Err(NoAnswer::Rejected) if tries > 0 => (),
                Err(NoAnswer::Rejected) => {
                    let challenge = String::new();
                    return Err(self.explain(&Fault::NeedsLogin { challenge }));
                }
                Err(NoAnswer::Tool(err)) => return Err(err),
                Err(NoAnswer::NotSent) => return Err(self.explain(&Fault::Broken)),
                Err(NoAnswer::Fault(fault)) => return Err(self.explain(&fault)),
            }
        }
    }

    async fn try_call(
        self: &Arc<Self>,
        tool: &ListedTool,
        arguments: Value,
        context: &CallContext,
    ) -> Result<Value, NoAnswer> {
        let arguments = match arguments {
            Value::Object(arguments) => arguments,
            Value::Null => Map::new(),
            _ => {
                let message = "the arguments are not valid: /: they are no object";
                return Err(NoAnswer::Tool(ToolError::Failed(message.to_owned())));
            }
        };
        let arguments =
            tool.check(arguments).map_err(|err| NoAnswer::Tool(ToolError::Failed(err)))?;
        let thread = context.thread.as_ref().map(|it| &it.id);
        let caller = Caller { request: &context.request, thread };
        let pending = Pending {
            tool: &tool.name,
            schema: &tool.schema,
            arguments: &arguments,
            request: &context.request,
            thread,
            seals: &context.seals,
        };
        let outgoing = self.file().rules.prepare(pending).await?;
        let shown = outgoing.arguments().clone();
        let identity = Identity::of_call(outgoing)?;
        if tool.is_connect() {
            return Ok(Value::String(format!(
                "the user has connected `{}`: its tools can be used from the next answer on",
                self.file().id
            )));
        }
        let timeout = self.file().timeout;
        // What was not sent can be sent again, once.
        let mut tries = 2;
        loop {
            tries -= 1;
            // Anew each time: one that another made, and that is gone, is not made again for this caller.
            let link = self.link(caller, &identity);
            let _use = link.hold();
            let ready = tokio::time::timeout(timeout, link.ready(&identity)).await;
            let result = match ready.unwrap_or(Err(Fault::Timeout(timeout.as_secs()))) {
                Ok(connection) => {
                    let result = self.send(&connection, tool, &shown, &identity, context).await;
                    if let Err(NoAnswer::Fault(Fault::NotReached(_))) = &result {
                        // Nobody is there any more: it is made again when somebody is.
                        connection.close();
                    }
                    result
                }
                Err(_) if !link.is_of(&identity) => Err(NoAnswer::NotSent),
                Err(fault) => Err(NoAnswer::Fault(fault)),
            };
            match result {
                Ok(value) => {
                    cite(&value, context).await;
                    return Ok(value);
                }
                Err(NoAnswer::NotSent) if tries > 0 => link.lost().await,
                Err(NoAnswer::Fault(Fault::NeedsLogin { challenge })) => {
                    let rules = &self.file().rules;
                    if identity.reject(rules, &context.request, &challenge).await {
                        return Err(NoAnswer::Rejected);
                    }
                    return Err(NoAnswer::Fault(Fault::NeedsLogin { challenge }));
                }
                Err(err) => return Err(err),
            }
        }
    }

    async fn send(
        &self,
        connection: &Arc<Connection>,
        tool: &ListedTool,
        arguments: &Map<String, Value>,
        identity: &Identity,
        context: &CallContext,
    ) -> Result<Value, NoAnswer> {
        if connection.peer.is_transport_closed() {
            return Err(NoAnswer::NotSent);
        }
        let handle = connection
            .send(&tool.name, arguments.clone(), identity)
            .await
            .map_err(|_| NoAnswer::NotSent)?;
        let tasks = &self.target.hub.tasks;
        let mut guard = CancelGuard {
            peer: connection.peer.clone(),
            tasks: tasks.clone(),
            id: Some(handle.id.clone()),
        };
        let timeout = self.file().timeout;
        let result = wait(handle, connection, timeout, identity, context).await;
        match result {
            Ok(Ok(answer)) => {
                guard.id = None;
                let max = self.file().max_result_bytes;
                result::read(answer, max).map_err(NoAnswer::Tool)
            }
            Ok(Err(err)) => {
                guard.id = None;
                Err(NoAnswer::Fault(Fault::of_call(&err)))
            }
            Err(fault) => Err(NoAnswer::Fault(fault)),
        }
    }

    /// What the model is told of a call that came to nothing.
    fn explain(&self, fault: &Fault) -> ToolError {
        let id = &self.file().id;
        ToolError::Failed(match fault {
            Fault::Refused(message) => message.clone(),
            Fault::Broken => format!(
                "the connection to the server `{id}` broke: the call may have been carried out, or not"
            ),
            Fault::Timeout(seconds) => {
                format!("the server `{id}` did not answer within {seconds} s")
            }
            Fault::NeedsLogin { .. } => {
                format!(
                    "the server `{id}` wants the user to log in, or does not take their credentials; where it knows \
                     OAuth, the operator adds `[oauth]` to its file"
                )
            }
            Fault::NotReached(_)
            | Fault::Status(_)
            | Fault::OldTransport
            | Fault::Ended(_)
            | Fault::Other(_) => format!("the server `{id}` is not available: {fault}"),
        })
    }
}

/// Why a call has no value.
enum NoAnswer {
    NotSent,
    Fault(Fault),
    /// The user has to give something first.
    Needed(Connect),
    /// The server did not take the user's token, of which note was taken.
    Rejected,
    /// The tool said so.
    Tool(ToolError),
}

impl From<CredentialError> for NoAnswer {
    fn from(err: CredentialError) -> Self {
        match err {
            CredentialError::Needed(connect) => Self::Needed(connect),
            CredentialError::Missing { .. }
            | CredentialError::Unusable { .. }
            | CredentialError::Refused(_) => Self::Tool(err.into()),
        }
    }
}

/// Waits for the answer, and shows how far the call is. Progress gives it more time.
async fn wait(
    mut handle: RequestHandle<RoleClient>,
    connection: &Connection,
    timeout: Duration,
    identity: &Identity,
    context: &CallContext,
) -> Result<Result<ServerResult, ServiceError>, Fault> {
    let mut watched = connection.progress.watch(&handle.progress_token);
    let begun = Instant::now();
    let last = begun + timeout * MOST_TIMEOUTS;
    let mut deadline = begun + timeout;
    let mut shown = None;
    loop {
        tokio::select! {
            answer = &mut handle.rx => {
                return Ok(answer.unwrap_or(Err(ServiceError::TransportClosed)));
            }
            () = sleep_until(deadline.min(last)) => {
                return Err(Fault::Timeout(begun.elapsed().as_secs().max(1)));
            }
            Some(step) = watched.steps.recv() => {
                deadline = Instant::now() + timeout;
                if shown.is_none_or(|it: Instant| it.elapsed() >= PROGRESS_PAUSE) {
                    shown = Some(Instant::now());
                    show(&step, identity, context).await;
                }
            }
        }
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

/// Shows where the model's answer comes from: the links of a result that it called for.
async fn cite(value: &Value, context: &CallContext) {
    if !matches!(context.origin, CallOrigin::Model { .. }) {
        return;
    }
    let parts = value["content"].as_array().map(Vec::as_slice).unwrap_or_default();
    let links = parts.iter().filter(|it| it["type"] == "resource_link");
    for link in links.take(MOST_SOURCES) {
        let Some(url) = link["uri"].as_str().filter(|it| is_web(it)) else { continue };
        let title = link["title"].as_str().or_else(|| link["name"].as_str()).unwrap_or(url);
        let source = UrlSource {
            title: clean_line(title, PROGRESS_CHARACTERS),
            url: url.to_owned(),
            ..UrlSource::default()
        };
        let cite = TurnRequest::Cite { source: Source::Url(source), index: None };
        // Where nobody reads, nothing is shown.
        let _ = context.ask(cite).await;
    }
}

fn is_web(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
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
