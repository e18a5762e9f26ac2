//! Plugins: scripts (and components) that give the agent tools, hooks and routes.

mod approval;
mod assets;
mod ctx;
mod declaration;
mod digest;
mod fields;
mod host;
mod http;
mod joined;
mod lock;
mod manifest;
mod parameters;
mod permission;
mod questions;
mod registration;
mod rhai;
#[cfg(test)]
mod tests;
mod toml_file;
mod wasm;
mod within;

use std::{collections::BTreeMap, sync::Arc};

use futures::future::BoxFuture;
use serde_json::Value;

use crate::{
    config::PluginLimits,
    load_error::LoadError,
    tool::{CallContext, Tool, ToolError, ToolProvider, ToolSpec, TurnRequest},
};

use self::joined::Joined;

pub use self::{
    approval::{APPROVALS_FILE, Approvals},
    assets::Assets,
    declaration::{Declaration, check_name},
    digest::ContentDigest,
    host::{Host, HttpBody, HttpRequest, HttpResponse, Scope},
    http::Redirects,
    lock::{LOCK_FILE, Pin, PluginLock, is_changed},
    manifest::Manifest,
    parameters::Parameters,
    permission::{Need, Permissions},
    questions::read_questions,
    registration::{
        ActionKind, ActionSpec, AgentTool, ClientTool, HookEvent, Registration, RouteSpec,
    },
    wasm::{Inspection, cache_compiled_code, inspect},
};

/// The files of one plugin, as they were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginFiles {
    /// `plugins/hello.rhai`, or the folder of a pack: `plugins/cat-lounge`.
    pub path: String,
    /// The default name: the file's without its ending, or the folder's.
    pub name: String,
    /// By path below the pack's folder; one entry for a single file.
    pub files: BTreeMap<String, Arc<[u8]>>,
}

/// A loaded plugin, whatever it is written in.
// A trait because scripts and components are called alike.
pub trait Plugin: Send + Sync {
    fn manifest(&self) -> &Manifest;

    fn registration(&self) -> &Registration;

    /// Runs a handler with its argument: the tool's arguments, the event, or the request.
    fn call(
        self: Arc<Self>,
        handler: HandlerId,
        argument: Value,
        context: CallContext,
    ) -> BoxFuture<'static, Result<Value, CallError>>;
}

/// A handler of a plugin, in the order of registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandlerId(pub usize);

/// Why a handler has no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// `throw "…"`: news for the model where it was a tool, for the log elsewhere. Runtime errors of the
    /// script are this too, with their place in the script.
    #[error("{0}")]
    Thrown(String),
    /// `throw #{ message, retry }`, or `ctx.error(…)`: for the user.
    #[error("{message}")]
    User { message: String, retry: bool },
    /// A limit of time, operations or memory.
    #[error("{0}")]
    Limit(String),
    /// It ended the turn as it wished, and has no result.
    #[error("the handler ended the turn")]
    Ended,
    #[error("the turn was cancelled")]
    Cancelled,
}

/// Loads one plugin under the call limits: parses it, runs what registers, checks what it asks for.
pub fn load(files: &PluginFiles, host: &Arc<Host>) -> Result<Arc<dyn Plugin>, Vec<LoadError>> {
    let has_scripts = files.files.keys().any(|path| rhai::is_script(path));
    match (has_scripts, wasm::has_components(files)) {
        (_, false) => rhai::load(files, host),
        (false, true) => wasm::load(files, host),
        (true, true) => {
            let joined = Joined::new(rhai::load(files, host)?, wasm::load(files, host)?)?;
            Ok(Arc::new(joined))
        }
    }
}

/// Whether a plugin can be loaded without being compiled first. Where it cannot, its components begin to be compiled
/// beside everything else, and `ready` is called as each is done.
pub fn is_compiled(
    files: &PluginFiles,
    limits: &PluginLimits,
    ready: &Arc<dyn Fn() + Send + Sync>,
) -> bool {
    wasm::is_compiled(files, limits, ready)
}

/// The tools of a plugin as the turn calls them.
pub fn tools(plugin: &Arc<dyn Plugin>) -> Vec<Tool> {
    let registration = plugin.registration();
    let allow = &plugin.manifest().allow;
    let gated = |spec: &Arc<ToolSpec>| {
        if allow.is_everyone() {
            return spec.clone();
        }
        let spec = ToolSpec::clone(spec);
        Arc::new(ToolSpec { allow: spec.allow.clone().and(allow), ..spec })
    };
    let own = registration.tools.iter().map(|(spec, handler)| Tool {
        spec: gated(spec),
        provider: Arc::new(PluginTool { plugin: plugin.clone(), handler: *handler }),
    });
    let agents = registration.agent_tools.iter().map(|tool| Tool {
        spec: gated(&tool.spec),
        provider: Arc::new(AgentToolProvider { plugin: plugin.clone(), tool: tool.clone() }),
    });
    let clients = registration.client_tools.iter().map(|tool| Tool {
        spec: gated(&tool.spec),
        provider: Arc::new(ClientToolProvider { plugin: plugin.clone(), tool: tool.clone() }),
    });
    own.chain(agents).chain(clients).collect()
}

/// A tool that is a handler of a plugin.
struct PluginTool {
    plugin: Arc<dyn Plugin>,
    handler: HandlerId,
}

impl ToolProvider for PluginTool {
    fn call(
        &self,
        _name: &str,
        arguments: Value,
        context: CallContext,
    ) -> BoxFuture<'static, Result<Value, ToolError>> {
        let result = self.plugin.clone().call(self.handler, arguments, context);
        Box::pin(async move { result.await.map_err(ToolError::from) })
    }

    fn origin(&self) -> &str {
        &self.plugin.manifest().path
    }
}

/// A tool that is another agent.
struct AgentToolProvider {
    plugin: Arc<dyn Plugin>,
    tool: AgentTool,
}

impl ToolProvider for AgentToolProvider {
    fn call(
        &self,
        _name: &str,
        arguments: Value,
        context: CallContext,
    ) -> BoxFuture<'static, Result<Value, ToolError>> {
        let AgentTool { agent, stop, .. } = self.tool.clone();
        Box::pin(async move {
            let Some(input) = arguments.get("input").and_then(Value::as_str) else {
                return Err(ToolError::Failed(
                    "the arguments are not valid: /input: a string is required".to_owned(),
                ));
            };
            let input = input.to_owned();
            context.ask(TurnRequest::RunAgent { agent, input, stop }).await
        })
    }

    fn origin(&self) -> &str {
        &self.plugin.manifest().path
    }
}

/// A tool that the user's page runs: what it answers comes with another request.
struct ClientToolProvider {
    plugin: Arc<dyn Plugin>,
    tool: ClientTool,
}

impl ToolProvider for ClientToolProvider {
    fn call(
        &self,
        name: &str,
        arguments: Value,
        context: CallContext,
    ) -> BoxFuture<'static, Result<Value, ToolError>> {
        let name = name.to_owned();
        let ClientTool { parameters, progress, .. } = self.tool.clone();
        Box::pin(async move {
            let arguments = parameters.complete(arguments).map_err(ToolError::Failed)?;
            context.ask(TurnRequest::ClientTool { name, arguments, progress }).await
        })
    }

    fn origin(&self) -> &str {
        &self.plugin.manifest().path
    }
}

/// What is wrong with what a plugin asked for is thrown, and it may go on.
impl From<String> for CallError {
    fn from(message: String) -> Self {
        Self::Thrown(message)
    }
}

impl From<CallError> for ToolError {
    fn from(err: CallError) -> Self {
        match err {
            CallError::Thrown(message) | CallError::Limit(message) => Self::Failed(message),
            CallError::User { message, retry } => Self::Turn { message, retry },
            CallError::Ended => Self::Ended,
            CallError::Cancelled => Self::Cancelled,
        }
    }
}
