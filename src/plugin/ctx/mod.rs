//! `ctx` for components: its members by their names in scripts, JSON in and JSON out. What they do beyond that is the
//! host's, the turn's and the readers' here, which scripts use too.

mod arguments;
mod kv;
mod outside;
mod say;
mod task;
mod text;
mod thread;
mod who;
mod widget;
mod workflow;

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::{Value, json};

use self::{arguments::Arguments, widget::Stream};
use crate::{
    plugin::{Assets, CallError, Host, Manifest, read_questions, toml_file::nearest},
    tool::{CallContext, CallOrigin, ToolError, TurnRequest},
};

pub use self::{outside::read_http_request, who::message};

/// What a plugin's host functions need to know of it.
pub struct Identity {
    pub manifest: Manifest,
    pub assets: Assets,
}

/// One call of a handler: who calls, and what it may reach.
pub struct HostCall {
    pub plugin: Arc<Identity>,
    pub host: Arc<Host>,
    pub context: CallContext,
    /// The widgets that it has begun.
    streams: Mutex<Vec<Stream>>,
}

/// A member of `ctx`.
pub struct Member {
    /// As in scripts; `kv.get` stands for `kv.user.get` and its siblings.
    pub name: &'static str,
    /// How many arguments it takes at most.
    pub arguments: usize,
    /// Whether waiting for it has a limit of its own, and so does not count as the plugin's time.
    pub waits_apart: bool,
}

const fn member(name: &'static str, arguments: usize) -> Member {
    Member { name, arguments, waits_apart: false }
}

const fn apart(name: &'static str, arguments: usize) -> Member {
    Member { name, arguments, waits_apart: true }
}

/// All that [`HostCall::invoke`] knows.
pub const MEMBERS: &[Member] = &[
    member("agent", 0),
    apart("ask", 1),
    apart("call_tool", 2),
    apart("cite", 2),
    apart("client_tool", 2),
    member("data", 1),
    apart("effect", 2),
    member("env", 1),
    member("error", 2),
    apart("hidden", 1),
    apart("http.delete", 2),
    apart("http.get", 2),
    apart("http.post", 2),
    apart("http.put", 2),
    apart("http.request", 3),
    apart("image", 1),
    member("item", 0),
    member("kv.compare_and_set", 3),
    member("kv.delete", 1),
    member("kv.get", 1),
    member("kv.list", 1),
    member("kv.set", 2),
    member("locale", 0),
    member("log", 2),
    member("metadata", 0),
    apart("model", 1),
    apart("notice", 3),
    member("now", 0),
    member("page", 0),
    apart("progress", 2),
    member("random", 0),
    apart("remove", 1),
    member("render", 2),
    apart("replace", 4),
    member("request", 0),
    apart("respond", 0),
    apart("say", 1),
    member("selected_text", 0),
    apart("stream_widget", 3),
    apart("stream_widget.done", 1),
    apart("stream_widget.update", 2),
    member("t", 2),
    apart("task", 1),
    apart("thread", 0),
    apart("thread.set", 1),
    apart("update", 3),
    member("user", 0),
    apart("widget", 3),
    apart("workflow", 1),
    apart("workflow.done", 2),
    apart("workflow.task", 2),
    apart("workflow.update", 3),
];

/// The member of this name.
pub fn find_member(name: &str) -> Result<&'static Member, String> {
    let plain = kv::split(name).map(|(_, function)| format!("kv.{function}"));
    let plain = plain.as_deref().unwrap_or(name);
    let is_whole = !name.starts_with("kv.") || plain != name;
    if let Some(member) = MEMBERS.iter().find(|it| it.name == plain && is_whole) {
        return Ok(member);
    }
    let names: Vec<_> = MEMBERS.iter().map(|it| it.name).collect();
    let remedy = match nearest(name, &names) {
        Some(near) if near.starts_with("kv.") => {
            format!(": write `{}`", near.replacen("kv.", "kv.user.", 1))
        }
        Some(near) => format!(": did you mean `{near}`?"),
        None => String::new(),
    };
    Err(format!("`ctx` has no `{name}`{remedy}"))
}

impl HostCall {
    pub fn new(plugin: Arc<Identity>, host: Arc<Host>, context: CallContext) -> Self {
        Self { plugin, host, context, streams: Mutex::default() }
    }

    /// Calls a member of `ctx`.
    pub async fn invoke(&self, name: &str, arguments: Vec<Value>) -> Result<Value, CallError> {
        let member = find_member(name)?;
        let mut arguments = Arguments::new(name, arguments, member.arguments)?;
        let arguments = &mut arguments;
        let request = &self.context.request;
        match member.name {
            "user" => Ok(to_json(&request.user)),
            "page" => Ok(to_json(&request.page)),
            "selected_text" => Ok(to_json(&request.selected_text)),
            "metadata" => Ok(to_json(&request.metadata)),
            "request" => Ok(to_json(&request.request)),
            "locale" => Ok(to_json(&request.request.locale)),
            "agent" => Ok(to_json(&self.context.agent)),
            "item" => self.item().await,

            "thread" => self.thread().await,
            "thread.set" => self.set_thread(thread::read_patch(arguments)?).await,

            "error" => self.end(arguments),
            "respond" => self.ask(name, TurnRequest::Respond).await,
            "say" | "progress" | "notice" | "effect" | "hidden" | "image" | "cite" | "task" => {
                let request = say::read(name, arguments)?;
                self.ask(name, request).await
            }
            "ask" => {
                let questions = read_questions(&arguments.any())?;
                self.ask(name, TurnRequest::Ask { questions }).await
            }
            "client_tool" => {
                let tool = arguments.text("the name of a tool of the page")?;
                let arguments = arguments.map("the arguments")?;
                let request = TurnRequest::ClientTool { name: tool, arguments, progress: None };
                self.ask(name, request).await
            }
            "widget"
            | "stream_widget"
            | "stream_widget.update"
            | "stream_widget.done"
            | "replace"
            | "update"
            | "remove"
            | "render" => self.widget(name, arguments).await,
            "workflow" | "workflow.task" | "workflow.update" | "workflow.done" => {
                let request = workflow::read(name, arguments)?;
                let answer = self.ask(name, request).await?;
                workflow::check(name, answer)
            }
            "kv.get" | "kv.set" | "kv.delete" | "kv.list" | "kv.compare_and_set" => {
                self.kv(name, arguments).await
            }
            "http.get" | "http.post" | "http.put" | "http.delete" | "http.request" => {
                self.http(name, arguments).await
            }
            "model" => {
                let question = arguments.any();
                self.host.model(&self.plugin.manifest, &self.context, question).await
            }
            "call_tool" => self.call_tool(arguments).await,
            "env" => {
                let name = arguments.text("the name of a variable")?;
                self.host.env(&self.plugin.manifest, &name).map(Value::String)
            }
            "data" => text::data(&self.plugin.assets, &arguments.text("a path")?),
            "t" => Ok(self.translate(arguments)?),
            "log" => {
                let level = arguments.text("a level")?;
                let message = text::shown(&arguments.any());
                self.host.log(&self.plugin.manifest, &level, &message)?;
                Ok(Value::Null)
            }
            "now" => Ok(crate::chatkit::now().to_string().into()),
            "random" => Ok(json!(rand::random::<f64>())),
            // A test sees to it that there is none.
            other => Err(CallError::Thrown(format!("`ctx.{other}` does nothing"))),
        }
    }

    /// Asks the turn on behalf of `ctx.{member}`.
    async fn ask(&self, member: &str, request: TurnRequest) -> Result<Value, CallError> {
        let followed = self.context.origin == CallOrigin::Mcp && member == "progress";
        if !followed {
            self.require_thread(member)?;
        }
        let answer = tokio::select! {
            biased;
            () = self.context.cancelled.cancelled() => return Err(CallError::Cancelled),
            answer = self.context.ask(request) => answer,
        };
        answer.map_err(|err| match err {
            ToolError::Failed(message) => CallError::Thrown(message),
            ToolError::Turn { message, retry } => CallError::User { message, retry },
            ToolError::Ended => CallError::Ended,
            ToolError::Cancelled => CallError::Cancelled,
        })
    }

    /// Fails where there is no thread, which `ctx.{member}` needs.
    pub fn require_thread(&self, member: &str) -> Result<(), CallError> {
        if self.context.thread.is_some() {
            return Ok(());
        }
        Err(CallError::Thrown(needs_thread(member)))
    }

    fn streams(&self) -> std::sync::MutexGuard<'_, Vec<Stream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn needs_thread(member: &str) -> String {
    format!(
        "`ctx.{member}` needs a thread, and there is none: `kitfox call`, /mcp and most routes have none"
    )
}

fn to_json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}
