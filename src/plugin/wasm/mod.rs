//! Plugins as WebAssembly components: of our world, with the powers of a script, or of any other, whose functions are
//! tools.

mod bindings;
mod capture;
mod compile;
mod describe;
mod engine;
mod export;
mod fetch;
mod inspect;
mod load;
mod meter;
mod run;
mod state;
#[cfg(test)]
mod tests;
mod value;

use std::{path::Path, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;
use wasmtime::Store;

use self::{
    bindings::{Handler as Name, PluginPre},
    compile::Compiled,
    engine::machine,
    export::Export,
    run::{Printed, Work, run},
    state::{Caller, State},
};
use crate::{
    config::PluginLimits,
    load_error::LoadError,
    plugin::{
        CallError, HandlerId, Host, Manifest, Parameters, Plugin, PluginFiles, Registration,
        ctx::{HostCall, Identity},
        within::within,
    },
    tool::CallContext,
};

pub use self::{
    engine::cache_compiled_code,
    inspect::{Inspection, inspect},
};

/// A plugin whose handlers are components.
pub struct WasmPlugin {
    identity: Arc<Identity>,
    host: Arc<Host>,
    registration: Registration,
    handlers: Vec<Handler>,
    /// Held, so that the same file is not compiled again.
    _components: Vec<Arc<Compiled>>,
}

struct Handler {
    /// The component's, in the project.
    path: Arc<str>,
    /// Of a tool.
    parameters: Option<Parameters>,
    /// A tool's own limit, of all that it does and waits for.
    timeout: Option<Duration>,
    code: Code,
}

/// What a handler runs.
enum Code {
    /// `call` of our world, with this name.
    Call { pre: PluginPre<State>, name: Name },
    /// A function of another.
    Function(Arc<Export>),
}

/// Whether a plugin has a component, and so is ours.
pub fn has_components(files: &PluginFiles) -> bool {
    components(files).next().is_some()
}

/// Whether all its components are compiled. Where one is not, compiling begins beside everything else, and `ready` is
/// called once for each when it is done.
pub fn is_compiled(
    files: &PluginFiles,
    limits: &PluginLimits,
    ready: &Arc<dyn Fn() + Send + Sync>,
) -> bool {
    let mut all = true;
    for (_, bytes) in components(files) {
        let ready = ready.clone();
        all &= compile::is_compiled(bytes, limits.memory, move || ready());
    }
    all
}

/// Loads a component, or all those of a pack. What is not compiled yet is compiled now.
pub fn load(files: &PluginFiles, host: &Arc<Host>) -> Result<Arc<dyn Plugin>, Vec<LoadError>> {
    WasmPlugin::load(files, host).map(|it| Arc::new(it) as Arc<dyn Plugin>)
}

/// The components of a plugin by their paths in the project.
fn components(files: &PluginFiles) -> impl Iterator<Item = (String, &Arc<[u8]>)> {
    let is_pack = is_pack(files);
    let apart = ["data/", "locales/", "tests/"];
    files.files.iter().filter_map(move |(path, bytes)| {
        if !is_component(path) || (is_pack && apart.iter().any(|it| path.starts_with(it))) {
            return None;
        }
        let path = if is_pack { format!("{}/{path}", files.path) } else { files.path.clone() };
        Some((path, bytes))
    })
}

fn is_pack(files: &PluginFiles) -> bool {
    !is_component(&files.path)
}

fn is_component(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|it| it == "wasm")
}

impl WasmPlugin {
    /// Runs a handler on this thread, which is not one that serves requests.
    async fn run(
        self: Arc<Self>,
        id: HandlerId,
        argument: Value,
        context: CallContext,
        runtime: Handle,
    ) -> Result<Value, CallError> {
        let Some(handler) = self.handlers.get(id.0) else {
            return Err(CallError::Thrown("this handler does not exist".to_owned()));
        };
        let argument = match &handler.parameters {
            Some(parameters) => Value::Object(parameters.complete(argument)?),
            None => argument,
        };
        let limits = &self.host.config.limits.plugin;
        let call = Arc::new(HostCall::new(self.identity.clone(), self.host.clone(), context));
        let caller = Caller { call: call.clone(), runtime };
        let printed = Printed::default();
        let result = handler.code.run(&argument, limits, caller, &printed).await;
        call.finish_streams().await;
        self.log(&handler.path, &printed, result.as_ref().err());
        result
    }

    /// What it printed, and why it was stopped, for whoever wrote it.
    fn log(&self, path: &str, printed: &Printed, err: Option<&CallError>) {
        let manifest = &self.identity.manifest;
        for (level, text) in [("info", printed.stdout.text()), ("warn", printed.stderr.text())] {
            for line in text.lines().filter(|it| !it.trim().is_empty()) {
                // Its only failure is a level that there is not.
                let _ = self.host.log(manifest, level, line);
            }
        }
        if let Some(CallError::Limit(message)) = err {
            tracing::warn!(plugin = %manifest.name, "{path} was stopped: {message}");
        }
    }
}

impl Code {
    async fn run(
        &self,
        argument: &Value,
        limits: &PluginLimits,
        caller: Caller,
        printed: &Printed,
    ) -> Result<Value, CallError> {
        match self {
            Self::Call { pre, name } => {
                let (pre, name, argument) = (pre.clone(), name.clone(), argument.to_string());
                let work: Work<_> = Box::new(move |store: &mut Store<State>| {
                    Box::pin(async move {
                        let plugin = pre.instantiate_async(&mut *store).await?;
                        plugin.call_call(store, &name, &argument).await
                    })
                });
                read_result(run(limits, Some(caller), printed, work).await?, limits)
            }
            Self::Function(export) => {
                let (function, arguments) = (export.clone(), export.read(argument)?);
                let work: Work<_> = Box::new(move |store: &mut Store<State>| {
                    Box::pin(async move { function.call(store, &arguments).await })
                });
                export.answer(&run(limits, Some(caller), printed, work).await?)
            }
        }
    }
}

/// What `call` returned.
fn read_result(result: Result<String, String>, limits: &PluginLimits) -> Result<Value, CallError> {
    let text = result.map_err(CallError::Thrown)?;
    if text.len() > limits.string_bytes {
        return Err(CallError::Limit(format!(
            "the result has {} bytes, more than {}, the limit: `string_bytes` in `[limits.plugin]`",
            text.len(),
            limits.string_bytes
        )));
    }
    serde_json::from_str(&text)
        .map_err(|err| CallError::Thrown(format!("the component's result is not JSON: {err}")))
}

impl Plugin for WasmPlugin {
    fn manifest(&self) -> &Manifest {
        &self.identity.manifest
    }

    fn registration(&self) -> &Registration {
        &self.registration
    }

    fn call(
        self: Arc<Self>,
        handler: HandlerId,
        argument: Value,
        context: CallContext,
    ) -> BoxFuture<'static, Result<Value, CallError>> {
        Box::pin(async move {
            self.identity.manifest.require_approval()?;
            let machine = machine().map_err(CallError::Thrown)?;
            let limits = &self.host.config.limits.plugin;
            let Some(permit) = machine.permit(limits.threads, limits.timeout).await else {
                return Err(CallError::Limit(format!(
                    "all {} places for components were busy all the time: `threads` in `[limits.plugin]`",
                    limits.threads
                )));
            };
            let cancelled = context.cancelled.clone();
            let timeout = self.handlers.get(handler.0).and_then(|it| it.timeout);
            let run = self.run(handler, argument, context, Handle::current());
            // Whoever stops waiting for the call stops it.
            let running = AbortOnDropHandle::new(machine.runtime.spawn(async move {
                let result = run.await;
                drop(permit);
                result
            }));
            let call = async {
                running.await.unwrap_or_else(|_| {
                    Err(CallError::Thrown("the engine for components failed".to_owned()))
                })
            };
            within(&cancelled, timeout, call).await
        })
    }
}
