//! What clients can ask for. The ChatKit operation `threads.create` is `ops::threads::create`.

mod actions;
mod approvals;
mod attachments;
mod client_tools;
mod items;
mod limits;
mod links;
mod mcp;
mod options;
mod routes;
mod running;
mod structured_input;
mod threads;
mod transcribe;

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use serde_json::Value;
use tracing::warn;

use crate::{
    app::{App, Busy, Exceeded, Generation},
    chatkit::{Attachment, Operation, Request, ThreadMetadata},
    config::document::one_line,
    context::RequestContext,
    plugin::HookEvent,
    store::StoreError,
    turn,
    user::User,
};

pub use self::{
    attachments::{Upload, open_attachment, upload},
    links::{LinkPurpose, Links, SignedLink, Signer},
    mcp::{call_mcp_tool, find_mcp_tool, mcp_tools},
    options::options,
    routes::{RouteBody, RouteRequest, RouteResponse, call_route, find_route},
    running::{attach, stop},
};

/// How long a message waits for a turn that is being cancelled.
const PATIENCE: Duration = Duration::from_secs(3);

/// What an operation answers with.
pub enum Answer {
    /// A finished JSON body.
    Json(Vec<u8>),
    /// The events of a streaming operation, in order.
    Stream(turn::Events),
}

/// What the client of an answer can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// It reads the answer once: where it leaves, it has stopped it, unless the agent says otherwise.
    Once,
    /// It may leave and read on later.
    Resuming,
}

/// Why an operation was refused, before anything was streamed or stored. The texts are for the client.
#[derive(Debug, thiserror::Error)]
pub enum OpError {
    /// Unknown and not yours are the same answer.
    #[error("{0} not found")]
    NotFound(&'static str),
    #[error("{0}")]
    BadRequest(String),
    #[error("{0}")]
    TooLarge(String),
    /// What was asked for was there once.
    #[error("{0}")]
    Gone(String),
    #[error("{0}")]
    Conflict(String),
    /// The caller may not do that, whatever it sends.
    #[error("{0}")]
    Forbidden(String),
    /// Its caller, or those whom it belongs to, had enough for now.
    #[error("{0}")]
    Limited(Exceeded),
    /// The server cannot serve now: its store is away, or it is stopping.
    #[error("{0}")]
    Unavailable(String),
    #[error("internal error")]
    Failed(#[source] anyhow::Error),
}

impl From<StoreError> for OpError {
    fn from(err: StoreError) -> Self {
        match err {
            StoreError::NotFound => Self::NotFound("thread or item"),
            StoreError::BadCursor => Self::BadRequest(
                "`params.after`: is not a cursor of this list: begin again without it".to_owned(),
            ),
            // Why is for the operator, who finds it in the log and at /readyz.
            StoreError::Unavailable(_) => {
                Self::Unavailable("the store is not available: try again soon".to_owned())
            }
            StoreError::Failed(err) => Self::Failed(err),
        }
    }
}

impl From<Exceeded> for OpError {
    fn from(err: Exceeded) -> Self {
        Self::Limited(err)
    }
}

impl From<Busy> for OpError {
    fn from(err: Busy) -> Self {
        Self::Conflict(err.to_string())
    }
}

/// One ChatKit request: who asks, with what, and the generation that answers.
struct Caller<'a> {
    app: &'a App,
    user: &'a User,
    generation: Arc<Generation>,
    context: Arc<RequestContext>,
    links: Links,
    client: Client,
}

/// A ChatKit request, whole.
pub async fn chatkit(
    app: &App,
    user: User,
    request: Request,
    context: RequestContext,
    links: Links,
    client: Client,
) -> Result<Answer, OpError> {
    let generation = app.generation().seen_by(Some(&user));
    let caller = Caller { app, user: &user, generation, context: Arc::new(context), links, client };
    match request.operation {
        Operation::ThreadsCreate(params) => caller.create_thread(params.input).await,
        Operation::ThreadsAddUserMessage(params) => {
            caller.add_user_message(params.thread_id, params.input).await
        }
        Operation::ThreadsRetryAfterItem(params) => {
            caller.retry_after_item(params.thread_id, params.item_id).await
        }
        Operation::ThreadsGetById(params) => caller.get_thread(&params.thread_id).await,
        Operation::ThreadsList(params) => caller.list_threads(params).await,
        Operation::ThreadsUpdate(params) => caller.update_thread(params).await,
        Operation::ThreadsDelete(params) => caller.delete_thread(&params.thread_id).await,
        Operation::ItemsList(params) => caller.list_items(params).await,
        Operation::ItemsFeedback(params) => caller.feedback(params).await,
        Operation::ThreadsAddClientToolOutput(params) => {
            caller.add_client_tool_output(params).await
        }
        Operation::ThreadsAddStructuredInput(params) => caller.add_structured_input(params).await,
        Operation::ThreadsCustomAction(params) => caller.custom_action(params).await,
        Operation::ThreadsSyncCustomAction(params) => caller.sync_custom_action(params).await,
        Operation::AttachmentsCreate(params) => caller.create_attachment(params).await,
        Operation::AttachmentsDelete(params) => {
            caller.delete_attachment(&params.attachment_id).await
        }
        Operation::InputTranscribe(params) => caller.transcribe(params).await,
    }
}

/// An attachment that comes in one piece with its name and type.
pub async fn upload_directly(
    app: &App,
    user: User,
    context: RequestContext,
    links: Links,
    (name, mime_type): (&str, &str),
    upload: Upload,
) -> Result<Attachment, OpError> {
    let generation = app.generation().seen_by(Some(&user));
    let context = Arc::new(context);
    let caller = Caller { app, user: &user, generation, context, links, client: Client::Once };
    caller.upload_directly(name, mime_type, upload).await
}

/// Why a user has no agent to talk to.
fn no_agent(app: &App, default: &str) -> OpError {
    if app.generation().prompts.find(default).is_some() {
        return OpError::Forbidden(
            "this chat is not for you: its agent is for other roles".to_owned(),
        );
    }
    OpError::Unavailable(format!("there is no agent: prompts/{default}.md is missing"))
}

impl Caller<'_> {
    /// Runs the hooks of an operation that is no turn. What they throw is logged: the operation is done.
    async fn run_hooks(&self, event: HookEvent, argument: Value, thread: Option<&ThreadMetadata>) {
        for (plugin, handler) in self.generation.hooks(event) {
            let name = plugin.manifest().name.clone();
            let call = turn::call_handler(
                self.app,
                &self.generation,
                plugin,
                handler,
                argument.clone(),
                self.context.clone(),
                thread.cloned(),
            );
            if let Err(err) = call.await {
                let err = one_line(&err.to_string());
                warn!(plugin = %name, "a hook of plugin `{name}` failed: {err}");
            }
        }
    }
}

fn json(value: &impl Serialize) -> Result<Answer, OpError> {
    let body = serde_json::to_vec(value).map_err(|err| OpError::Failed(err.into()))?;
    Ok(Answer::Json(body))
}

/// The size of a page: none and zero mean the default, as in the reference.
fn page_size(limit: Option<i64>) -> Result<usize, OpError> {
    match limit {
        None | Some(0) => Ok(DEFAULT_PAGE),
        Some(limit) if limit < 0 => {
            Err(OpError::BadRequest(format!("`params.limit`: {limit} is less than 0")))
        }
        Some(limit) => Ok(usize::try_from(limit).map_or(MAX_PAGE, |limit| limit.min(MAX_PAGE))),
    }
}

const DEFAULT_PAGE: usize = 20;
const MAX_PAGE: usize = 500;
