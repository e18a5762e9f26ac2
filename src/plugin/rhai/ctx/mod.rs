//! `ctx`, the same in every handler. Its members stand in the groups of the documentation, one file each.

mod ask;
mod attachment;
mod http;
mod kv;
mod member;
mod outside;
mod say;
mod task;
mod text;
mod thread;
mod who;
mod widget;
mod workflow;

use std::sync::Arc;

use rhai::{Dynamic, FuncRegistration, Module};
use serde_json::Value;
use tokio::runtime::Handle;

use super::{
    assets::Assets,
    error::{Failure, fail},
    limits,
};
use crate::{
    plugin::{CallError, Host, Manifest},
    tool::{CallContext, ToolError, TurnRequest},
};

pub use self::{
    attachment::AttachmentHandle, http::Response, member::missing as missing_member,
    thread::ThreadHandle, widget::Streams,
};

/// What a handler is called with. Clones share it, and it holds nothing that changes.
#[derive(Clone)]
pub struct Ctx(Arc<Call>);

/// One call of a handler.
pub struct Call {
    pub plugin: Arc<Identity>,
    pub host: Arc<Host>,
    pub context: CallContext,
    /// The runtime that does what scripts wait for.
    pub runtime: Handle,
    /// The widgets that it has begun.
    pub streams: Streams,
}

/// What a plugin's host functions need to know of it.
pub struct Identity {
    pub manifest: Manifest,
    pub assets: Assets,
}

impl Ctx {
    pub fn new(call: Call) -> Self {
        Self(Arc::new(call))
    }

    /// The event of an `attachment` hook.
    pub fn attachment(&self, event: &Value) -> Dynamic {
        Dynamic::from(AttachmentHandle::new(&self.0, event))
    }

    /// Leaves nothing open, once the handler has returned.
    pub fn finish(&self) {
        self.0.finish_streams();
    }
}

pub fn register(module: &mut Module) {
    member::register(module);
    who::register(module);
    attachment::register(module);
    thread::register(module);
    say::register(module);
    ask::register(module);
    widget::register(module);
    workflow::register(module);
    kv::register(module);
    http::register(module);
    outside::register(module);
    text::register(module);
}

impl Call {
    /// Asks the turn on behalf of `ctx.{member}`.
    fn ask(&self, member: &str, request: TurnRequest) -> Result<Value, Failure> {
        self.require_thread(member)?;
        let answer = limits::wait_apart(&self.runtime, self.context.ask(request));
        match answer.map_err(limits::stop)? {
            Ok(answer) => Ok(answer),
            Err(ToolError::Failed(message)) => Err(fail(message)),
            Err(ToolError::Turn { message, retry }) => {
                Err(limits::stop(CallError::User { message, retry }))
            }
            Err(ToolError::Ended) => Err(limits::stop(CallError::Ended)),
            Err(ToolError::Cancelled) => Err(limits::stop(CallError::Cancelled)),
        }
    }

    fn require_thread(&self, member: &str) -> Result<(), Failure> {
        if self.context.thread.is_some() {
            return Ok(());
        }
        Err(fail(format!(
            "`ctx.{member}` needs a thread, and there is none: `kitfox call`, /mcp and most routes \
             have none"
        )))
    }

    /// Waits for the host on the script's own time.
    fn wait<T>(&self, answer: impl Future<Output = Result<T, CallError>>) -> Result<T, Failure> {
        limits::wait(&self.runtime, answer).and_then(|it| it).map_err(catchable)
    }

    /// Waits for what has a limit of its own.
    fn wait_apart<T>(
        &self,
        answer: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, Failure> {
        limits::wait_apart(&self.runtime, answer).and_then(|it| it).map_err(catchable)
    }
}

/// What a script may catch, and what ends it.
#[expect(clippy::unnecessary_box_returns, reason = "Rhai's results hold its errors boxed")]
fn catchable(err: CallError) -> Failure {
    match err {
        CallError::Thrown(message) => fail(message),
        CallError::User { .. } | CallError::Limit(_) | CallError::Ended | CallError::Cancelled => {
            limits::stop(err)
        }
    }
}

/// Adds a property of `ctx`.
fn getter(
    module: &mut Module,
    name: &str,
    get: impl Fn(&Call) -> Result<Dynamic, Failure> + Send + Sync + 'static,
) {
    let get = move |ctx: &mut Ctx| get(&ctx.0);
    FuncRegistration::new_getter(name).set_into_module(module, get);
}

/// A function that scripts see without a prefix.
fn function(name: &str) -> FuncRegistration {
    FuncRegistration::new(name).in_global_namespace().with_volatility(true)
}
