use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    chatkit::{
        FileSource, IconName, ItemId, NoticeLevel, Source, StatusIndicator, StructuredInput,
        StructuredInputItem, ThreadMetadata, ThreadStatus, UrlSource, UserMessageItem, Widget,
    },
    context::RequestContext,
    credential::{Connect, CredentialError, PassRules, Seals},
    user::Allow,
    widget::Widgets,
};

/// What the model, the operator and the turn know of a tool.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ToolSpec {
    /// As in prompts, globs and approvals: `get_weather`, `SERVER__TOOL`.
    pub name: String,
    pub description: String,
    /// A JSON Schema of `type: object`.
    pub parameters: Value,
    /// Sentences that call for it, with `{argument}` in place of values: the demo model follows them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
    /// The turn ends after it, unless it failed.
    pub stop: bool,
    /// False: no other call runs beside it.
    pub parallel: bool,
    pub approval: Approval,
    /// MCP's hints (`readOnlyHint`, `destructiveHint`, …).
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub annotations: Map<String, Value>,
    /// None: the limit of whoever provides it.
    #[serde(skip)]
    pub timeout: Option<Duration>,
    /// Offered at `/mcp` too.
    pub mcp: bool,
    /// The MCP server that it is a tool of; None: a plugin's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<Arc<str>>,
    /// Who may have it called.
    #[serde(skip)]
    pub allow: Allow,
}

impl ToolSpec {
    /// A tool about which there is nothing special.
    pub fn new(name: String, description: String, parameters: Value) -> Self {
        Self {
            name,
            description,
            parameters,
            examples: Vec::new(),
            stop: false,
            parallel: true,
            approval: Approval::Never,
            annotations: Map::new(),
            timeout: None,
            mcp: false,
            server: None,
            allow: Allow::default(),
        }
    }

    /// Whether the user is asked before each call of it.
    pub fn needs_approval(&self) -> bool {
        match self.approval {
            Approval::Never => false,
            Approval::Destructive => self.is_destructive(),
            Approval::Always => true,
        }
    }

    /// As MCP's defaults say: what is not known to be harmless is not.
    pub fn is_destructive(&self) -> bool {
        !self.is_read_only() && self.hint("destructiveHint").unwrap_or(true)
    }

    pub fn is_read_only(&self) -> bool {
        self.hint("readOnlyHint").unwrap_or(false)
    }

    fn hint(&self, name: &str) -> Option<bool> {
        self.annotations.get(name).and_then(Value::as_bool)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Approval {
    #[default]
    Never,
    Destructive,
    Always,
}

/// Somebody who runs tools: a plugin, an MCP server, another agent.
// A trait because there are several, and the turn must not know which.
pub trait ToolProvider: Send + Sync {
    /// Runs the tool `name` (its spec's name) with arguments that its schema admitted.
    fn call(
        &self,
        name: &str,
        arguments: Value,
        context: CallContext,
    ) -> BoxFuture<'static, Result<Value, ToolError>>;

    /// Goes on with a call that asked the user by [`TurnRequest::Input`], for the user who answered: what this gives is
    /// the call's result. It may ask again.
    fn resume(
        &self,
        name: &str,
        _arguments: Value,
        _answered: Answered,
        _context: CallContext,
    ) -> BoxFuture<'static, Result<Value, ToolError>> {
        let err = ToolError::Failed(format!("`{name}` cannot go on with what the user answered"));
        Box::pin(std::future::ready(Err(err)))
    }

    /// Lets go of what a call keeps that asked the user: they wrote on instead of answering.
    fn abandon(&self, _state: &Value) {}

    /// Shown to the operator, e.g. `plugins/weather.rhai`.
    fn origin(&self) -> &str;

    /// How it is passed credentials; None where it is passed none.
    fn rules(&self) -> Option<&PassRules> {
        None
    }
}

/// What the user answered to what a call asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// As the call gave it.
    pub state: Value,
    pub reply: Reply,
}

/// What the user made of what a call asked them.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// All questions with their answers, or skipped.
    Answers(StructuredInputItem),
    /// They were where they were to go, as they say.
    Visited,
    /// They will not go there.
    Declined,
}

/// What a call asks the user before it can go on.
#[derive(Debug)]
pub struct Inquiry {
    /// The tool that is called.
    pub tool: String,
    pub wanted: Wanted,
    /// Kept as it is until the user has replied.
    pub state: Value,
    /// Told once the user is asked; dropped where the turn ends before.
    pub shown: Option<oneshot::Sender<()>>,
}

/// What a call wants of the user.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted {
    Answers(Vec<StructuredInput>),
    Visit(Visit),
}

/// A page that the user is to open by themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    /// Who asks for it.
    pub server: String,
    pub message: String,
    pub url: String,
    /// Where it leads, with its port where that is not the usual one.
    pub host: String,
}

/// A tool and who runs it.
#[derive(Clone)]
pub struct Tool {
    pub spec: Arc<ToolSpec>,
    pub provider: Arc<dyn ToolProvider>,
}

/// All tools of a generation, by name.
#[derive(Clone, Default)]
pub struct ToolSet(pub BTreeMap<String, Tool>);

/// Why a call has no result. Its text is for the model: no paths, no internals.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// What the tool itself said, or what keeps it from running.
    #[error("{0}")]
    Failed(String),
    /// The tool ended the turn with this error for the user.
    #[error("{message}")]
    Turn { message: String, retry: bool },
    /// The tool ended the turn as it wished, and has no result.
    #[error("the tool ended the turn")]
    Ended,
    /// The turn was cancelled meanwhile.
    #[error("the turn was cancelled")]
    Cancelled,
}

impl From<CredentialError> for ToolError {
    fn from(err: CredentialError) -> Self {
        Self::Failed(err.to_string())
    }
}

/// Where a handler (a tool, hook, action or route) is called from, and how it talks to whoever runs it.
#[derive(Clone)]
pub struct CallContext {
    pub request: Arc<RequestContext>,
    /// None where there is no thread: `kitfox call`, `/mcp`, most routes.
    pub thread: Option<Arc<ThreadMetadata>>,
    /// The user message that is being answered; the thread's last one where something else is.
    pub item: Option<Arc<UserMessageItem>>,
    /// The id of the agent that is at work (its file's name without `.md`).
    pub agent: Option<Arc<str>>,
    pub origin: CallOrigin,
    /// Everyone's widgets, of the generation that is at work.
    pub widgets: Arc<Widgets>,
    /// Who serves [`TurnRequest`]s: the turn, or where there is none, somebody who refuses what needs one.
    pub turn: mpsc::Sender<TurnCall>,
    /// The turn's credentials: what stands for them in prompts and arguments, and which were used.
    pub seals: Arc<Seals>,
    /// What the turn has cost so far.
    pub spent: Spent,
    pub cancelled: CancellationToken,
}

/// The tokens that models took and gave for somebody. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Spent(Arc<AtomicU64>);

impl Spent {
    pub fn add(&self, tokens: u64) {
        self.0.fetch_add(tokens, Ordering::Relaxed);
    }

    pub fn tokens(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Whose call a handler answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum CallOrigin {
    /// No model's: it is a hook, an action or a route.
    #[default]
    Handler,
    /// The one of the turn's model that has this id.
    Model { call_id: Arc<str> },
    /// One of an agent that is itself a tool: it cannot wait for the user.
    Agent,
    /// That of an MCP client, which has no chat but may follow the call's progress.
    Mcp,
}

impl CallContext {
    /// Has the user give what the call needs, and says how it ends meanwhile.
    pub async fn connect(&self, connect: Connect) -> ToolError {
        match self.ask(TurnRequest::Connect(connect)).await {
            Ok(_) => ToolError::Ended,
            Err(err) => err,
        }
    }

    /// Asks the turn and waits for its answer.
    pub async fn ask(&self, request: TurnRequest) -> Result<Value, ToolError> {
        let (reply, answer) = oneshot::channel();
        let request = Box::new(request);
        let call = TurnCall { request, origin: self.origin.clone(), reply };
        self.turn.send(call).await.map_err(|_| ToolError::Cancelled)?;
        answer.await.map_err(|_| ToolError::Cancelled)?
    }
}

/// A request to the turn and where its answer goes.
#[derive(Debug)]
pub struct TurnCall {
    /// Boxed: a channel has room for many, from its beginning.
    pub request: Box<TurnRequest>,
    /// Of the handler that asks.
    pub origin: CallOrigin,
    pub reply: oneshot::Sender<Result<Value, ToolError>>,
}

/// What a handler may ask of its turn. Where no answer is named it is null.
#[derive(Debug)]
pub enum TurnRequest {
    /// One finished message; answers with the item.
    Say {
        markdown: String,
    },
    Progress {
        icon: Option<IconName>,
        text: String,
    },
    Notice {
        level: NoticeLevel,
        message: String,
        title: Option<String>,
    },
    Effect {
        name: String,
        data: Map<String, Value>,
    },
    /// Stored and told to the model, never shown.
    Hidden {
        text: String,
    },
    /// Shows an image; answers with the item.
    Image {
        url: String,
    },
    /// An annotation on what is said next; `index` in code points.
    Cite {
        source: Source,
        index: Option<u64>,
    },
    /// Ends the turn with an error for the user.
    Error {
        message: String,
        retry: bool,
    },
    /// A task of its own; answers with the item.
    Task(TaskPatch),
    /// Begins a workflow, which is shown with its first task; answers with its id.
    BeginWorkflow {
        title: Option<String>,
        icon: Option<IconName>,
        expanded: bool,
    },
    /// Adds a task to a workflow, or changes the one at `index`; answers with its index.
    WorkflowTask {
        workflow: ItemId,
        index: Option<usize>,
        task: TaskPatch,
    },
    /// Ends a workflow; what is None stays as it began. Answers with the item.
    EndWorkflow {
        workflow: ItemId,
        title: Option<String>,
        icon: Option<IconName>,
        expanded: Option<bool>,
    },
    /// Shows or changes a widget.
    Widget(WidgetRequest),
    /// Takes an item that is no user's message away.
    RemoveItem(ItemId),
    /// Answers with the thread's new state, as [`ThreadMetadata`].
    UpdateThread(ThreadPatch),
    /// The thread as it is now, as [`ThreadMetadata`].
    LoadThread,
    /// Runs another tool through the gates of a model's call; answers with its result.
    CallTool {
        name: String,
        arguments: Value,
    },
    /// Runs the agent `agent` on `input`; answers with its final text.
    RunAgent {
        agent: String,
        input: String,
        stop: bool,
    },
    /// Runs the thread's agent, once the handler has returned.
    Respond,
    /// Has the page run a tool, and ends the turn: answers with [`ToolError::Ended`].
    ClientTool {
        name: String,
        arguments: Map<String, Value>,
        /// Shown while the page is at work.
        progress: Option<String>,
    },
    /// Asks the user, and ends the turn: answers with [`ToolError::Ended`].
    Ask {
        questions: Vec<StructuredInput>,
    },
    /// Shows the user where they give what a call needs, and ends the turn: answers with [`ToolError::Ended`]. The call
    /// waits for them.
    Connect(Connect),
    /// Asks the user what a call of the model's needs before it can go on, and ends the turn: answers with
    /// [`ToolError::Ended`]. With the answers its provider goes on: see [`ToolProvider::resume`].
    Input(Inquiry),
}

impl TurnRequest {
    /// Whether the thread is longer for it.
    pub const fn shows_an_item(&self) -> bool {
        matches!(
            self,
            Self::Say { .. }
                | Self::Hidden { .. }
                | Self::Image { .. }
                | Self::Task(_)
                | Self::BeginWorkflow { .. }
                | Self::Ask { .. }
                | Self::Input(_)
                | Self::Widget(WidgetRequest::Show { .. } | WidgetRequest::Begin { .. })
        )
    }
}

/// What a handler may ask of its turn for a widget. Where no answer is named it is null.
#[derive(Debug)]
pub enum WidgetRequest {
    /// A finished one; answers with the item.
    Show { widget: Widget, copy_text: Option<String> },
    /// One that changes as long as its handler runs; answers with the item's id.
    Begin { widget: Widget, copy_text: Option<String> },
    /// The next state of one that was begun.
    Stream { item: ItemId, widget: Widget },
    /// Finishes one that was begun; answers with the item, or with null where it was finished before.
    End { item: ItemId },
    /// Puts another in its place; a `copy_text` that is None stays. Answers with the item.
    Replace { item: ItemId, widget: Widget, copy_text: Option<String> },
    /// The next state of a finished one; answers with the item.
    Update { item: ItemId, widget: Widget },
}

/// A task of a workflow, or changes of one; what is None stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TaskPatch {
    /// What it is from its beginning.
    pub kind: TaskKind,
    pub title: Option<String>,
    pub content: Option<String>,
    pub icon: Option<IconName>,
    pub status: Option<StatusIndicator>,
    /// Of a search: what its title names.
    pub query: Option<String>,
    pub queries: Option<Vec<String>>,
    pub sources: Option<TaskSources>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TaskKind {
    #[default]
    Custom,
    Thought,
    WebSearch,
    File,
    Image,
}

/// What a search found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TaskSources {
    pub pages: Vec<UrlSource>,
    pub files: Vec<FileSource>,
}

/// Changes of a thread; what is None stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ThreadPatch {
    /// `Some(None)` takes the title away.
    pub title: Option<Option<String>>,
    pub metadata: Option<Map<String, Value>>,
    pub allowed_image_domains: Option<Option<Vec<String>>>,
    pub status: Option<ThreadStatus>,
}
