use std::sync::Arc;

use futures::{StreamExt, stream::FuturesUnordered};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    app::{App, Generation},
    chatkit::ThreadMetadata,
    context::RequestContext,
    plugin::{CallError, HandlerId, Plugin},
    store::Record,
    tool::{CallContext, ToolError, TurnCall, TurnRequest},
    turn::{
        calls,
        requests::{self, NESTED_CALLS},
    },
};

/// Runs a handler outside of a turn: a route, or the hook of an operation that is no turn. With a
/// `thread` it may change that thread; what speaks to a chat is a clear error.
pub async fn call_handler(
    app: &App,
    generation: &Arc<Generation>,
    plugin: Arc<dyn Plugin>,
    handler: HandlerId,
    argument: Value,
    request: Arc<RequestContext>,
    thread: Option<ThreadMetadata>,
) -> Result<Value, CallError> {
    let (detached, context, requests) = Detached::new(app, generation, request, thread);
    let call = plugin.call(handler, argument, context);
    detached.drive(requests, call).await
}

/// Calls a tool outside of a turn.
pub async fn call_tool(
    app: &App,
    generation: &Arc<Generation>,
    name: &str,
    arguments: Value,
    request: Arc<RequestContext>,
) -> Result<Value, ToolError> {
    let (detached, context, requests) = Detached::new(app, generation, request, None);
    let call = calls::call(generation, None, name, arguments, context);
    detached.drive(requests, call).await
}

/// What serves handlers where there is no turn.
struct Detached {
    app: App,
    generation: Arc<Generation>,
    request: Arc<RequestContext>,
    thread: Option<ThreadMetadata>,
    requests: mpsc::Sender<TurnCall>,
    cancelled: CancellationToken,
}

impl Detached {
    fn new(
        app: &App,
        generation: &Arc<Generation>,
        request: Arc<RequestContext>,
        thread: Option<ThreadMetadata>,
    ) -> (Self, CallContext, mpsc::Receiver<TurnCall>) {
        let (sender, requests) = mpsc::channel(super::REQUEST_BUFFER);
        let detached = Self {
            app: app.clone(),
            generation: generation.clone(),
            request,
            thread,
            requests: sender,
            // Whoever waits gets time to end when the server stops.
            cancelled: CancellationToken::new(),
        };
        let context = detached.context();
        (detached, context, requests)
    }

    fn context(&self) -> CallContext {
        CallContext {
            request: self.request.clone(),
            thread: self.thread.clone().map(Arc::new),
            item: None,
            agent: None,
            call_id: None,
            turn: self.requests.clone(),
            cancelled: self.cancelled.clone(),
        }
    }

    async fn drive<T>(
        mut self,
        mut requests: mpsc::Receiver<TurnCall>,
        call: impl Future<Output = T>,
    ) -> T {
        // Whoever waits for the handler may leave: then it is to stop.
        let _stop = self.cancelled.clone().drop_guard();
        let mut call = std::pin::pin!(call);
        let mut nested = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                Some(TurnCall { request, reply }) = requests.recv() => {
                    // A handler that was stopped waits for no answer.
                    let (name, arguments) = match *request {
                        TurnRequest::CallTool { name, arguments } => (name, arguments),
                        request => {
                            let _ = reply.send(self.serve(request).await);
                            continue;
                        }
                    };
                    if nested.len() >= NESTED_CALLS {
                        let _ = reply.send(Err(requests::too_many_calls()));
                        continue;
                    }
                    let call = calls::call(&self.generation, None, &name, arguments, self.context());
                    nested.push(async move {
                        let _ = reply.send(call.await);
                    });
                }
                Some(()) = nested.next() => (),
                out = &mut call => return out,
            }
        }
    }

    async fn serve(&mut self, request: TurnRequest) -> Result<Value, ToolError> {
        let member = match request {
            TurnRequest::UpdateThread(patch) => {
                let (thread, user) = self.thread("thread")?;
                let rows = self.app.store.of(&user.key);
                let thread = requests::update_thread(&rows, &thread.id, patch)
                    .await
                    .map_err(|err| ToolError::Failed(err.to_string()))?;
                self.thread = Some(thread.clone());
                return Ok(json!(thread));
            }
            TurnRequest::LoadThread => return Ok(json!(self.thread("thread")?.0)),
            TurnRequest::Hidden { text } => {
                let (thread, user) = self.thread("hidden")?;
                let record = Record::Item(requests::hidden(&thread, text));
                self.app
                    .store
                    .of(&user.key)
                    .add_records(&thread.id, &[record], Some(&self.generation.id))
                    .await
                    .map_err(|err| ToolError::Failed(err.to_string()))?;
                return Ok(Value::Null);
            }
            TurnRequest::Error { message, retry } => {
                return Err(ToolError::Turn { message, retry });
            }
            TurnRequest::Say { .. } => "say",
            TurnRequest::Progress { .. } => "progress",
            TurnRequest::Notice { .. } => "notice",
            TurnRequest::Effect { .. } => "effect",
            TurnRequest::Image { .. } => "image",
            TurnRequest::Cite { .. } => "cite",
            TurnRequest::Task { .. } => "task",
            TurnRequest::BeginWorkflow { .. }
            | TurnRequest::WorkflowTask { .. }
            | TurnRequest::EndWorkflow { .. } => "workflow",
            TurnRequest::RunAgent { .. } => "agent_tool",
            TurnRequest::Respond => {
                let message = "`respond` outside of a turn is not available in this version";
                return Err(ToolError::Failed(message.to_owned()));
            }
            TurnRequest::CallTool { .. } => "call_tool",
        };
        Err(ToolError::Failed(format!(
            "`{member}` speaks to a chat, and none is open here: use it in a tool or hook of a turn"
        )))
    }

    /// The thread and its owner, or an error that names the member of `ctx` that needs them.
    fn thread(&self, member: &str) -> Result<(ThreadMetadata, &crate::user::User), ToolError> {
        match (&self.thread, &self.request.user) {
            (Some(thread), Some(user)) => Ok((thread.clone(), user)),
            _ => {
                Err(ToolError::Failed(format!("`{member}` needs a thread, and there is none here")))
            }
        }
    }
}
