use std::sync::Arc;

use futures::{StreamExt, stream::FuturesUnordered};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    app::{App, Generation, Payer},
    chatkit::{ThreadItem, ThreadMetadata},
    config::Measure,
    context::RequestContext,
    credential::Seals,
    mcp::Caller,
    plugin::{CallError, HandlerId, Plugin},
    store::Record,
    tool::{CallContext, CallOrigin, Spent, ToolError, TurnCall, TurnRequest, WidgetRequest},
    turn::{
        approvals::Hops,
        background::{self, Held},
        calls::{self, Consent, Gate},
        requests::{self, NESTED_CALLS},
        waiting::only_the_agent_asks,
        widgets,
    },
};

/// Runs a handler outside of a turn: a route, or the hook of an operation that is no turn. With a
/// `thread` it may change that thread, and have its agent respond there afterwards, in the background; what
/// speaks to a chat is a clear error.
pub async fn call_handler(
    app: &App,
    generation: &Arc<Generation>,
    plugin: Arc<dyn Plugin>,
    handler: HandlerId,
    argument: Value,
    request: Arc<RequestContext>,
    thread: Option<ThreadMetadata>,
) -> Result<Value, CallError> {
    let (mut detached, context, requests) = Detached::new(app, generation, request, thread);
    let call = plugin.call(handler, argument, context);
    let answer = detached.drive(requests, call).await?;
    detached.respond().await;
    Ok(answer)
}

/// Runs the handler of a sync action in its thread, and gives the item that it changed last.
pub async fn call_sync_action(
    app: &App,
    generation: &Arc<Generation>,
    plugin: Arc<dyn Plugin>,
    handler: HandlerId,
    argument: Value,
    request: Arc<RequestContext>,
    thread: ThreadMetadata,
) -> Result<Option<ThreadItem>, CallError> {
    let (mut detached, context, requests) = Detached::new(app, generation, request, Some(thread));
    let call = plugin.call(handler, argument, context);
    detached.drive(requests, call).await?;
    detached.respond().await;
    Ok(detached.changed)
}

/// Calls a tool outside of a turn. One that needs the user's approval is refused.
pub async fn call_tool(
    app: &App,
    generation: &Arc<Generation>,
    name: &str,
    arguments: Value,
    request: Arc<RequestContext>,
) -> Result<Value, ToolError> {
    call_tool_with(Consent::Missing, app, generation, name, arguments, request).await
}

/// The same where the user approves of it.
pub async fn call_approved_tool(
    app: &App,
    generation: &Arc<Generation>,
    name: &str,
    arguments: Value,
    request: Arc<RequestContext>,
) -> Result<Value, ToolError> {
    call_tool_with(Consent::Given, app, generation, name, arguments, request).await
}

async fn call_tool_with(
    consent: Consent,
    app: &App,
    generation: &Arc<Generation>,
    name: &str,
    arguments: Value,
    request: Arc<RequestContext>,
) -> Result<Value, ToolError> {
    let generation = &generation.offered_to(Caller { request: &request, thread: None }).await;
    let (mut detached, context, requests) = Detached::new(app, generation, request, None);
    let gate = Gate { hops: Hops::default(), consent };
    let call = calls::call(generation, None, name, arguments, context, gate);
    detached.drive(requests, call).await
}

/// Calls a tool for an MCP client. What it says of its progress goes to `progress`, if anybody is there.
pub async fn call_tool_for_mcp(
    app: &App,
    generation: &Arc<Generation>,
    name: &str,
    arguments: Value,
    request: Arc<RequestContext>,
    progress: mpsc::Sender<String>,
) -> Result<Value, ToolError> {
    let (mut detached, _, requests) = Detached::new(app, generation, request, None);
    detached.progress = Some(progress);
    let gate = Gate { hops: Hops::default(), consent: Consent::Missing };
    let call = calls::call(generation, None, name, arguments, detached.context(), gate);
    detached.drive(requests, call).await
}

/// What serves handlers where there is no turn.
struct Detached {
    app: App,
    generation: Arc<Generation>,
    request: Arc<RequestContext>,
    thread: Option<ThreadMetadata>,
    /// The thread, for its agent to respond in when the handler has returned.
    held: Option<Held>,
    requests: mpsc::Sender<TurnCall>,
    seals: Arc<Seals>,
    /// What its models cost.
    spent: Spent,
    cancelled: CancellationToken,
    /// The item that a handler changed last.
    changed: Option<ThreadItem>,
    /// Who is told of progress, where an MCP client calls.
    progress: Option<mpsc::Sender<String>>,
}

impl Detached {
    fn new(
        app: &App,
        generation: &Arc<Generation>,
        request: Arc<RequestContext>,
        thread: Option<ThreadMetadata>,
    ) -> (Self, CallContext, mpsc::Receiver<TurnCall>) {
        let (sender, requests) = mpsc::channel(super::REQUEST_BUFFER);
        let user = request.user.as_ref().map(|it| it.key.clone());
        let seals = Seals::new(user, thread.as_ref().map(|it| it.id.clone()));
        let detached = Self {
            app: app.clone(),
            generation: generation.clone(),
            request,
            thread,
            held: None,
            requests: sender,
            seals: Arc::new(seals),
            spent: Spent::default(),
            // Whoever waits gets time to end when the server stops.
            cancelled: CancellationToken::new(),
            changed: None,
            progress: None,
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
            origin: match self.progress {
                Some(_) => CallOrigin::Mcp,
                None => CallOrigin::Handler,
            },
            widgets: self.generation.widgets.clone(),
            turn: self.requests.clone(),
            seals: self.seals.clone(),
            spent: self.spent.clone(),
            cancelled: self.cancelled.clone(),
        }
    }

    async fn drive<T>(
        &mut self,
        mut requests: mpsc::Receiver<TurnCall>,
        call: impl Future<Output = T>,
    ) -> T {
        // Whoever waits for the handler may leave: then it is to stop.
        let _stop = self.cancelled.clone().drop_guard();
        let mut call = std::pin::pin!(call);
        let mut nested = FuturesUnordered::new();
        let out = loop {
            tokio::select! {
                biased;
                Some(TurnCall { request, reply, .. }) = requests.recv() => {
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
                    // There is no model that results could have misled.
                    let gate = Gate { hops: Hops::default(), consent: Consent::Missing };
                    let (generation, context) = (self.generation.clone(), self.context());
                    nested.push(async move {
                        let thread = context.thread.as_ref().map(|it| &it.id);
                        let caller = Caller { request: &context.request, thread };
                        let generation = generation.offered_to(caller).await;
                        let call = calls::call(&generation, None, &name, arguments, context, gate);
                        let _ = reply.send(call.await);
                    });
                }
                Some(()) = nested.next() => (),
                out = &mut call => break out,
            }
        };
        self.pay().await;
        out
    }

    /// Counts what models cost that the handler asked.
    async fn pay(&self) {
        let limits = &self.generation.config.limits;
        let payer = Payer::of(self.request.user.as_ref(), self.request.address);
        let tokens = self.spent.tokens();
        self.app.limiter.spend(limits, &payer, Measure::TokensPerDay, tokens).await;
    }

    /// Has the agent respond, where the handler that has returned wants it to.
    async fn respond(&mut self) {
        if let Some(held) = self.held.take() {
            held.respond(&self.app, &self.generation, &self.request).await;
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
            TurnRequest::Widget(WidgetRequest::Replace { item, widget, copy_text }) => {
                let (thread, user) = self.thread("replace")?;
                let rows = self.app.store.of(&user.key);
                let item =
                    widgets::change_apart(&rows, &thread.id, &item, widget, copy_text).await?;
                return Ok(json!(self.changed.insert(item)));
            }
            TurnRequest::Widget(WidgetRequest::Update { item, widget }) => {
                let (thread, user) = self.thread("update")?;
                let rows = self.app.store.of(&user.key);
                let item = widgets::change_apart(&rows, &thread.id, &item, widget, None).await?;
                return Ok(json!(self.changed.insert(item)));
            }
            TurnRequest::RemoveItem(item) => {
                let (thread, user) = self.thread("remove")?;
                let rows = self.app.store.of(&user.key);
                widgets::remove_apart(&rows, &thread.id, &item).await?;
                if self.changed.as_ref().is_some_and(|it| *it.id() == item) {
                    self.changed = None;
                }
                return Ok(Value::Null);
            }
            TurnRequest::Error { message, retry } => {
                return Err(ToolError::Turn { message, retry });
            }
            TurnRequest::Connect(connect) => return Err(ToolError::Failed(connect.to_string())),
            TurnRequest::Progress { icon: _, text } => match &self.progress {
                Some(progress) => {
                    // A client that does not ask for it misses nothing.
                    let _ = progress.send(text).await;
                    return Ok(Value::Null);
                }
                None => "progress",
            },
            TurnRequest::Widget(WidgetRequest::Show { .. }) => "widget",
            TurnRequest::Widget(
                WidgetRequest::Begin { .. }
                | WidgetRequest::Stream { .. }
                | WidgetRequest::End { .. },
            ) => "stream_widget",
            TurnRequest::Say { .. } => "say",
            TurnRequest::Notice { .. } => "notice",
            TurnRequest::Effect { .. } => "effect",
            TurnRequest::Image { .. } => "image",
            TurnRequest::Cite { .. } => "cite",
            TurnRequest::Task(_) => "task",
            TurnRequest::BeginWorkflow { .. }
            | TurnRequest::WorkflowTask { .. }
            | TurnRequest::EndWorkflow { .. } => "workflow",
            TurnRequest::RunAgent { .. } => "agent_tool",
            TurnRequest::Respond => {
                let (thread, user) = self.thread("respond")?;
                if self.held.is_none() {
                    let held = background::hold(&self.app, &user.key, &thread.id)
                        .await
                        .map_err(|err| ToolError::Failed(format!("`respond`: {err}")))?;
                    self.held = Some(held);
                }
                return Ok(Value::Null);
            }
            TurnRequest::CallTool { .. } => "call_tool",
            TurnRequest::ClientTool { .. } => "client_tool",
            TurnRequest::Ask { .. } => "ask",
            TurnRequest::Input(inquiry) => {
                return Err(ToolError::Failed(only_the_agent_asks(&inquiry.tool)));
            }
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
