//! One turn, from its opening events to its last.
//!
//! A turn runs in a task of its own. It owns its thread while it runs, keeps the generation that it
//! began with, and sends every event through the sink: first the store, then the client. What tools
//! and hooks want of it arrives as requests on a channel, served between the steps.

mod agent;
mod approvals;
mod attachments;
mod background;
mod calls;
mod cover;
mod detached;
mod end;
mod hooks;
mod input;
mod output;
mod pairs;
mod requests;
mod result;
mod sink;
mod speak;
mod title;
mod trace;
mod waiting;
mod widgets;
mod workflow;

use std::{panic::AssertUnwindSafe, pin::Pin, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    app::{Admitted, App, EventLog, Generation, NearlyExceeded, Payer, StreamPermit, TurnGuard},
    chatkit::{
        NoticeLevel, StreamOptions, StructuredInputItem, Thread, ThreadItem, ThreadMetadata,
        ThreadStreamEvent, UserMessageItem,
    },
    config::Measure,
    context::RequestContext,
    credential::Seals,
    mcp::Caller,
    model::{ChosenModel, ModelError, Usage},
    plugin::{CallError, HandlerId, HookEvent, Plugin},
    prompt::Agent,
    store::Record,
    telemetry::{Place, RunningTurn, Traced, carry},
    tool::{CallContext, CallOrigin, Spent, TurnCall},
    user::UserKey,
};

use self::{
    approvals::Hops,
    cover::Cover,
    end::{Failure, TurnEnd},
    hooks::MessageOutcome,
    input::{Entry, Transcript},
    output::Output,
    sink::EventSink,
    trace::Trace,
    waiting::Waiting,
    widgets::OpenWidgets,
    workflow::Workflows,
};

pub use self::{
    agent::{Scope, tools},
    approvals::{Decided, Decision, find_status},
    detached::{call_approved_tool, call_handler, call_sync_action, call_tool, call_tool_for_mcp},
    result::cut,
};

/// Times that events wait for a slow client before its turn waits too.
const CLIENT_BUFFER: usize = 32;
/// Events of the model that are taken at once, when so many have come.
const READY_EVENTS: usize = 64;
/// Requests of handlers that wait for the turn.
const REQUEST_BUFFER: usize = 32;
/// How often the text in progress is kept.
const CHECKPOINT: Duration = Duration::from_secs(1);
/// How long a client that is slow may take for the error that ends its turn.
const LAST_WORD: Duration = Duration::from_secs(3);
/// How often a conversation that is too long for the model is shortened before the turn gives up.
const SHORTENINGS: usize = 4;

/// All that a turn begins with. What it answers is stored already.
pub struct Start {
    pub user: UserKey,
    pub context: Arc<RequestContext>,
    pub generation: Arc<Generation>,
    pub agent: Arc<Agent>,
    pub model: Result<ChosenModel, ModelError>,
    pub thread: ThreadMetadata,
    pub guard: TurnGuard,
    pub cause: Cause,
    /// The user message that is answered, or the thread's last one where something else is.
    pub message: Option<UserMessageItem>,
    /// Sent before anything else.
    pub opening: Vec<ThreadStreamEvent>,
    /// Whether the client may leave and read on later, whatever the agent says.
    pub resumable: bool,
}

/// What comes out of a turn. Whoever drops it has left.
pub struct Events {
    /// Those that come at once, together.
    pub receiver: mpsc::Receiver<Vec<ThreadStreamEvent>>,
    /// The number of the first, where the turn goes on without its client.
    pub first_number: Option<u64>,
}

/// What a turn is about.
pub enum Cause {
    /// The first message of a new thread.
    NewThread(UserMessageItem),
    /// A message; one that is answered again too.
    Message(UserMessageItem),
    /// An action of a widget: its handler runs, and after it the agent where the handler asks for it.
    Action { plugin: Arc<dyn Plugin>, handler: HandlerId, argument: Value },
    /// The user's answers to questions: the item as it is stored.
    Answers(StructuredInputItem),
    /// What the user decided on a call, as it is stored.
    Decided(Box<Decided>),
    /// The agent goes on with what the thread holds.
    Continue,
}

/// Runs the turn on the task tracker and gives its events.
pub fn start(app: &App, start: Start) -> Events {
    let (client, receiver) = mpsc::channel(CLIENT_BUFFER);
    let log = (start.resumable || !start.agent.front.allow_cancel).then(|| start.guard.open_log());
    let first_number = log.map(|log| log.next_number());
    let log = log.cloned();
    let span = tracing::info_span!("turn", thread = %start.thread.id);
    let app_of_turn = app.clone();
    let task = async move {
        let traced = trace(&start);
        traced.run(run(app_of_turn, start, client, log, &traced)).await;
    };
    app.tasks.spawn(carry(task.instrument(span)));
    Events { receiver, first_number }
}

/// A turn as the conventions for traces have it.
fn trace(start: &Start) -> Traced {
    let agent = &start.agent.id;
    let traced = Traced::begin(format!("invoke_agent {agent}"), Place::Internal);
    if traced.is_recording() {
        traced.set("gen_ai.operation.name", "invoke_agent");
        traced.set("gen_ai.agent.name", agent.clone());
        traced.set("gen_ai.conversation.id", start.thread.id.to_string());
        traced.set("kitfox.generation", start.generation.id.clone());
    }
    traced
}

/// A running turn.
struct Turn {
    app: App,
    context: Arc<RequestContext>,
    generation: Arc<Generation>,
    agent: Arc<Agent>,
    model: Result<ChosenModel, ModelError>,
    thread: ThreadMetadata,
    message: Option<Arc<UserMessageItem>>,
    /// The tool that the model has to call first.
    tool_choice: Option<String>,
    respond: Respond,
    sink: EventSink,
    transcript: Transcript,
    output: Output,
    seals: Arc<Seals>,
    workflows: Workflows,
    waiting: Waiting,
    hops: Hops,
    widgets: OpenWidgets,
    vars: Map<String, Value>,
    usage: Usage,
    /// By all models, those of other agents and of plugins too.
    spent: Spent,
    watch: RunningTurn,
    /// The visible items of this turn, for its hooks.
    items: Vec<ThreadItem>,
    /// What handlers hid while calls ran: told to the model after the calls' results.
    hidden: Vec<Record>,
    /// Calls of one response run: nothing may come between them and their results.
    calls_running: bool,
    thread_changed: bool,
    /// The answer is whole; what follows is about it.
    answered: bool,
    requests: mpsc::Receiver<TurnCall>,
    /// What handlers have asked for so far.
    requested: usize,
    request_sender: mpsc::Sender<TurnCall>,
    /// Calls that handlers made of other tools and agents.
    nested: FuturesUnordered<BoxFuture<'static, ()>>,
    title: Option<BoxFuture<'static, Option<String>>>,
    /// None where nobody may look.
    trace: Option<Box<Trace>>,
    checkpoint: Pin<Box<tokio::time::Interval>>,
    cancelled: CancellationToken,
}

/// Whether the agent answers once the handler that runs has returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Respond {
    Anyway,
    IfAsked,
    Asked,
}

async fn run(
    app: App,
    start: Start,
    client: mpsc::Sender<Vec<ThreadStreamEvent>>,
    log: Option<Arc<EventLog>>,
    traced: &Traced,
) {
    let Start {
        user,
        context,
        generation,
        agent,
        model,
        thread,
        mut guard,
        cause,
        message,
        opening,
        ..
    } = start;
    let Admitted { permit, near } = std::mem::take(&mut guard.admitted);
    let (request_sender, requests) = mpsc::channel(REQUEST_BUFFER);
    let partial_images = agent
        .front
        .hosted
        .iter()
        .find_map(|tool| tool.get("partial_images").and_then(Value::as_u64))
        .unwrap_or_default();
    let mut checkpoint = Box::pin(tokio::time::interval(CHECKPOINT));
    checkpoint.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let seals = Arc::new(Seals::new(Some(user.clone()), Some(thread.id.clone())));
    let sink = EventSink {
        store: app.store.clone(),
        user,
        thread: thread.id.clone(),
        generation: generation.id.clone(),
        client,
        cancelled: guard.cancelled.clone(),
        log,
        pending: Vec::new(),
        unsaved: false,
        outgoing: Vec::new(),
        cover: Cover::new(seals.clone()),
    };
    let mut turn = Turn {
        context,
        agent,
        model,
        message: message.map(Arc::new),
        tool_choice: None,
        respond: Respond::Anyway,
        sink,
        transcript: Transcript { seals: seals.clone(), ..Transcript::default() },
        output: Output::new(thread.id.clone(), partial_images),
        thread,
        generation,
        seals,
        workflows: Workflows::default(),
        waiting: Waiting::default(),
        hops: Hops::default(),
        widgets: OpenWidgets::default(),
        vars: Map::new(),
        usage: Usage::default(),
        spent: Spent::default(),
        watch: RunningTurn::begin(),
        items: Vec::new(),
        hidden: Vec::new(),
        calls_running: false,
        thread_changed: false,
        answered: false,
        requests,
        requested: 0,
        request_sender,
        nested: FuturesUnordered::new(),
        title: None,
        trace: None,
        checkpoint,
        cancelled: guard.cancelled.clone(),
        app,
    };
    turn.begin_trace(&cause);
    let time = turn.generation.config.limits.turn_time;
    let result = AssertUnwindSafe(tokio::time::timeout(time, turn.run(opening, near, cause)));
    let end = match result.catch_unwind().await {
        Ok(Ok(Ok(()))) => None,
        Ok(Ok(Err(end))) => Some(end),
        Ok(Err(_)) => Some(TurnEnd::Failed(Failure::Time(time))),
        Err(_) => Some(TurnEnd::Failed(Failure::Panicked)),
    };
    turn.watch_end(end.as_ref(), traced);
    // Handlers that still run for this turn stop now, whatever its end.
    guard.cancelled.cancel();
    turn.trace_end(end.as_ref());
    Box::pin(turn.finish(end)).await;
    turn.seals.close();
    turn.pay(permit).await;
    // The thread is free before the client learns that the stream has ended.
    drop(guard);
}

impl Turn {
    async fn run(
        &mut self,
        opening: Vec<ThreadStreamEvent>,
        near: Vec<NearlyExceeded>,
        cause: Cause,
    ) -> Result<(), TurnEnd> {
        let allow_cancel = self.agent.front.allow_cancel;
        for event in opening {
            Box::pin(self.sink.send_stored(event)).await?;
        }
        let stream_options = StreamOptions { allow_cancel };
        self.sink.send_stored(ThreadStreamEvent::StreamOptions { stream_options }).await?;
        for limit in near {
            let (level, message) = (NoticeLevel::Warning, limit.message());
            let notice = ThreadStreamEvent::Notice { level, message, title: None };
            self.sink.send_stored(notice).await?;
        }
        Box::pin(self.take_offers()).await?;
        match self.act_on(cause).await {
            Ok(()) | Err(TurnEnd::Ended) => (),
            Err(end) => return Err(end),
        }
        Box::pin(self.close_workflow()).await?;
        self.answered = true;
        Box::pin(self.await_title()).await?;
        let event = self.summary(&Value::Null);
        match Box::pin(self.run_hooks(HookEvent::TurnDone, event)).await {
            Ok(_) | Err(TurnEnd::Ended) => (),
            Err(end) => return Err(end),
        }
        Box::pin(self.close_workflow()).await?;
        // Below all that hooks show. What answers it may come at once: the turn is to end now.
        Box::pin(self.show_waiting()).await?;
        self.flush_thread().await
    }

    /// Counts what it cost, and gives its place back.
    fn pay(&self, permit: Option<StreamPermit>) -> impl Future<Output = ()> + use<> {
        let (app, generation) = (self.app.clone(), self.generation.clone());
        let (context, tokens) = (self.context.clone(), self.spent.tokens());
        async move {
            if let Some(user) = &context.user {
                app.organisations.note(&app.store, &generation.config.retention, user).await;
            }
            let limits = &generation.config.limits;
            let payer = Payer::of(context.user.as_ref(), context.address);
            app.limiter.spend(limits, &payer, Measure::TokensPerDay, tokens).await;
            if let Some(permit) = permit {
                app.limiter.leave(permit).await;
            }
        }
    }

    /// Takes the tools that MCP servers offer this user, for the whole turn.
    async fn take_offers(&mut self) -> Result<(), TurnEnd> {
        if self.generation.mcp.0.is_empty() {
            return Ok(());
        }
        let generation = self.generation.clone();
        let (request, thread) = (self.context.clone(), self.thread.id.clone());
        let offered = async move {
            generation.offered_to(Caller { request: &request, thread: Some(&thread) }).await
        };
        self.generation = self.drive(offered).await?;
        Ok(())
    }

    async fn act_on(&mut self, cause: Cause) -> Result<(), TurnEnd> {
        Box::pin(self.seal()).await?;
        match cause {
            Cause::NewThread(message) => {
                let item = ThreadItem::UserMessage(message.clone());
                self.transcript.entries = vec![Entry::Record(Record::Item(item))];
                let event = json!({ "thread": self.thread });
                let created = Box::pin(self.run_all_hooks(HookEvent::ThreadCreated, event)).await?;
                // Whoever looks over messages does so whatever the turn ends with.
                if Box::pin(self.admit_message(&message)).await? == MessageOutcome::Rejected {
                    return Ok(());
                }
                if created.ended {
                    return Err(TurnEnd::Ended);
                }
                self.title = self.begin_title(&message);
                self.tool_choice = self.forced_tool();
            }
            Cause::Message(message) => {
                Box::pin(self.pass_waiting_calls()).await?;
                Box::pin(self.load_transcript()).await?;
                // One that is answered again passes the hooks again: what they made of it went with its answer.
                if Box::pin(self.admit_message(&message)).await? == MessageOutcome::Rejected {
                    return Ok(());
                }
                self.tool_choice = self.forced_tool();
            }
            Cause::Action { plugin, handler, argument } => {
                self.respond = Respond::IfAsked;
                Box::pin(self.run_action(plugin, handler, argument)).await?;
                if std::mem::replace(&mut self.respond, Respond::Anyway) == Respond::IfAsked {
                    return Ok(());
                }
                // With what the handler did.
                Box::pin(self.load_transcript()).await?;
            }
            Cause::Answers(item) => {
                Box::pin(self.load_transcript()).await?;
                let replaced = ThreadItem::StructuredInput(item.clone());
                self.sink.send_stored(ThreadStreamEvent::ItemReplaced { item: replaced }).await?;
                match Box::pin(self.act_on_answers(&item)).await? {
                    Some(true) => (),
                    Some(false) => return Ok(()),
                    None => {
                        Box::pin(self.run_answer_hooks(&item)).await?;
                        // What the user has yet to decide on comes first.
                        if self.has_waiting_calls().await? {
                            return Ok(());
                        }
                    }
                }
            }
            Cause::Decided(decided) => {
                if !Box::pin(self.act_on_decision(*decided)).await? {
                    return Ok(());
                }
            }
            Cause::Continue => Box::pin(self.load_transcript()).await?,
        }
        Box::pin(self.explain_tags()).await?;
        Box::pin(self.show_attachments()).await?;
        self.answer().await
    }

    /// Runs the handler of an action.
    async fn run_action(
        &mut self,
        plugin: Arc<dyn Plugin>,
        handler: HandlerId,
        argument: Value,
    ) -> Result<(), TurnEnd> {
        let name = plugin.manifest().name.clone();
        let call = plugin.call(handler, argument, self.call_context());
        match self.drive(call).await? {
            Ok(_) => Ok(()),
            Err(CallError::Ended) => Err(TurnEnd::Ended),
            Err(CallError::User { message, retry }) => {
                Err(TurnEnd::Failed(Failure::User { message, retry }))
            }
            Err(CallError::Cancelled) => Err(TurnEnd::Cancelled),
            Err(err @ (CallError::Thrown(_) | CallError::Limit(_))) => {
                let message = format!("an action of plugin `{name}`: {err}");
                Err(TurnEnd::Failed(Failure::Action(message)))
            }
        }
    }

    /// Makes what stands for the user's credentials in this turn.
    async fn seal(&mut self) -> Result<(), TurnEnd> {
        let names = self.generation.in_prompt();
        if names.is_empty() {
            return Ok(());
        }
        let (seals, context) = (self.seals.clone(), self.context.clone());
        let credentials = self.generation.host.credentials.clone();
        // A source may be slow: the turn can be cancelled meanwhile.
        self.drive(async move { seals.seal(&names, &credentials, &context).await }).await
    }

    async fn load_transcript(&mut self) -> Result<(), TurnEnd> {
        let visible = self.agent.front.history.items.max(1);
        let records = self.sink.rows().load_history(&self.thread.id, visible).await?;
        self.transcript.entries = records.into_iter().map(Entry::Record).collect();
        self.vars = self.transcript.vars();
        self.hops = self.hops_so_far();
        Ok(())
    }

    /// The loop: the model speaks, its calls run, it speaks again, until it calls nothing more.
    async fn answer(&mut self) -> Result<(), TurnEnd> {
        let rounds = self.generation.config.limits.rounds;
        for round in 0..rounds {
            let calls = self.ask_model(round).await?;
            if calls.is_empty() || Box::pin(self.run_calls(calls)).await? {
                return Ok(());
            }
        }
        Err(TurnEnd::Failed(Failure::Rounds(rounds)))
    }

    /// Nothing that is shown as work stays open when the work is done.
    async fn close_workflow(&mut self) -> Result<(), TurnEnd> {
        self.end_workflows().await?;
        for item in self.widgets.end_all() {
            self.send_shown(ThreadStreamEvent::ItemDone { item }).await?;
        }
        match self.output.close_workflow() {
            Some(event) => self.send(event).await,
            None => Ok(()),
        }
    }

    async fn end_workflows(&mut self) -> Result<(), TurnEnd> {
        for item in self.workflows.end_all() {
            self.send_shown(ThreadStreamEvent::ItemDone { item }).await?;
        }
        Ok(())
    }

    /// Sends an event of the model's, and keeps its item for what the model is told next.
    async fn send(&mut self, event: ThreadStreamEvent) -> Result<(), TurnEnd> {
        if let ThreadStreamEvent::ItemDone { item } = &event {
            self.transcript.entries.push(Entry::Record(Record::Item(item.clone())));
        }
        self.send_shown(event).await
    }

    /// Sends an event of a handler's, and tells of a changed thread after it. As in the reference, the model
    /// learns of what a handler shows from the next turn on, and of the call from its result.
    async fn send_shown(&mut self, event: ThreadStreamEvent) -> Result<(), TurnEnd> {
        let item = match &event {
            ThreadStreamEvent::ItemDone { item } => Some(item.clone()),
            ThreadStreamEvent::ThreadCreated { .. }
            | ThreadStreamEvent::ThreadUpdated { .. }
            | ThreadStreamEvent::ItemAdded { .. }
            | ThreadStreamEvent::ItemUpdated { .. }
            | ThreadStreamEvent::ItemRemoved { .. }
            | ThreadStreamEvent::ItemReplaced { .. }
            | ThreadStreamEvent::StreamOptions { .. }
            | ThreadStreamEvent::ProgressUpdate { .. }
            | ThreadStreamEvent::ClientEffect { .. }
            | ThreadStreamEvent::Error { .. }
            | ThreadStreamEvent::Notice { .. } => None,
        };
        self.sink.send(event).await?;
        self.items.extend(item);
        self.flush_thread().await
    }

    /// Tells the client of a changed thread: after the event that follows the change, once.
    async fn flush_thread(&mut self) -> Result<(), TurnEnd> {
        if !std::mem::take(&mut self.thread_changed) {
            return Ok(());
        }
        let thread = Thread::new(&self.thread, crate::chatkit::Page::empty());
        self.sink.send(ThreadStreamEvent::ThreadUpdated { thread }).await
    }

    /// What handlers of this turn see of it.
    fn call_context(&self) -> CallContext {
        CallContext {
            request: self.context.clone(),
            thread: Some(Arc::new(self.thread.clone())),
            item: self.message.clone(),
            agent: Some(Arc::from(self.agent.id.as_str())),
            origin: CallOrigin::Handler,
            widgets: self.generation.widgets.clone(),
            turn: self.request_sender.clone(),
            seals: self.seals.clone(),
            spent: self.spent.clone(),
            cancelled: self.cancelled.child_token(),
        }
    }

    /// Runs a future of this turn while its requests are served, until it ends or the turn does.
    async fn drive<T>(&mut self, future: impl Future<Output = T>) -> Result<T, TurnEnd> {
        let mut future = std::pin::pin!(future);
        loop {
            tokio::select! {
                biased;
                () = self.cancelled.cancelled() => return Err(TurnEnd::Cancelled),
                () = self.sink.client_left() => return Err(TurnEnd::Cancelled),
                Some(call) = self.requests.recv() => self.serve(call).await?,
                Some(()) = self.nested.next() => (),
                _ = self.checkpoint.tick() => self.sink.checkpoint().await?,
                out = &mut future => {
                    // What it asked for last may still be on its way.
                    while let Ok(call) = self.requests.try_recv() {
                        self.serve(call).await?;
                    }
                    return Ok(out);
                }
            }
        }
    }

    fn summary(&self, error: &Value) -> Value {
        json!({
            "items": self.items.iter().cloned().chain(self.waiting.items()).collect::<Vec<_>>(),
            "usage": {
                "input_tokens": self.usage.input_tokens,
                "output_tokens": self.usage.output_tokens,
            },
            "error": error,
        })
    }
}
