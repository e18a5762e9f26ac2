//! `ctx`, the same in every handler. Its members stand in the groups of the documentation, one file each.

mod attachment;
mod http;
mod kv;
mod member;
mod text;
mod thread;
mod who;
mod widget;
mod workflow;

use std::{ops::Deref, sync::Arc};

use rhai::{Dynamic, FuncRegistration, Module};
use serde_json::Value;
use tokio::runtime::Handle;

use super::{
    error::{Failure, fail},
    limits,
    value::{to_dynamic, to_json},
};
use crate::plugin::{
    CallError,
    ctx::{HostCall, find_member},
};

pub use self::{
    attachment::AttachmentHandle, http::Response, member::missing as missing_member,
    thread::ThreadHandle, widget::StreamHandle,
};

/// What a handler is called with. Clones share it, and it holds nothing that changes.
#[derive(Clone)]
pub struct Ctx(Arc<Call>);

/// One call of a handler. What its members do beyond conversion, they do as for components.
pub struct Call {
    pub host_call: HostCall,
    /// The runtime that does what scripts wait for.
    pub runtime: Handle,
}

/// The members of `ctx` that are functions of plain values.
const FORWARDED: [&str; 20] = [
    "ask",
    "call_tool",
    "cite",
    "client_tool",
    "effect",
    "env",
    "error",
    "hidden",
    "image",
    "model",
    "notice",
    "progress",
    "remove",
    "render",
    "replace",
    "respond",
    "say",
    "task",
    "update",
    "widget",
];

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
        let Call { host_call, runtime } = &*self.0;
        runtime.block_on(host_call.finish_streams());
    }
}

pub fn register(module: &mut Module) {
    member::register(module);
    who::register(module);
    attachment::register(module);
    thread::register(module);
    for name in FORWARDED {
        forward(module, name);
    }
    widget::register(module);
    workflow::register(module);
    kv::register(module);
    http::register(module);
    text::register(module);
}

/// Adds a member, with as many arguments as it takes.
fn forward(module: &mut Module, name: &'static str) {
    let most = find_member(name).map_or(0, |it| it.arguments);
    function(name).set_into_module(module, move |ctx: &mut Ctx| ctx.0.invoke(name, &[]));
    if most >= 1 {
        function(name)
            .set_into_module(module, move |ctx: &mut Ctx, a: Dynamic| ctx.0.invoke(name, &[a]));
    }
    if most >= 2 {
        function(name).set_into_module(module, move |ctx: &mut Ctx, a: Dynamic, b: Dynamic| {
            ctx.0.invoke(name, &[a, b])
        });
    }
    if most >= 3 {
        function(name)
            .set_into_module(module, move |ctx: &mut Ctx, a: Dynamic, b: Dynamic, c: Dynamic| {
                ctx.0.invoke(name, &[a, b, c])
            });
    }
    if most >= 4 {
        function(name).set_into_module(
            module,
            move |ctx: &mut Ctx, a: Dynamic, b: Dynamic, c: Dynamic, d: Dynamic| {
                ctx.0.invoke(name, &[a, b, c, d])
            },
        );
    }
}

impl Deref for Call {
    type Target = HostCall;

    fn deref(&self) -> &HostCall {
        &self.host_call
    }
}

impl Call {
    /// Calls a member as a component does, with a script's values.
    fn invoke(&self, name: &str, arguments: &[Dynamic]) -> Result<Dynamic, Failure> {
        let arguments = arguments.iter().map(to_json).collect::<Result<_, _>>().map_err(fail)?;
        Ok(to_dynamic(&self.invoke_json(name, arguments)?))
    }

    fn invoke_json(&self, name: &str, arguments: Vec<Value>) -> Result<Value, Failure> {
        let answer = self.host_call.invoke(name, arguments);
        match find_member(name) {
            Ok(member) if member.waits_apart => self.wait_apart(answer),
            Ok(_) | Err(_) => self.wait(answer),
        }
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
