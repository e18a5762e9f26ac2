//! Plugins in Rhai: scripts, alone or as packs.

mod capture;
mod ctx;
mod engine;
mod error;
mod global;
mod isolate;
mod limits;
mod options;
mod pool;
mod register;
mod schema;
mod script;
#[cfg(test)]
mod tests;
mod value;

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures::future::BoxFuture;
use rhai::{Dynamic, Engine, EvalAltResult, FnPtr, Map, NativeCallContext, Position};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use self::{
    ctx::{Call, Ctx},
    error::{Failure, Origin, explain, thrown_text},
    options::Fault,
    pool::PoolError,
    register::{Handler, HandlerKind, Place, Registered},
    script::{Script, Sources},
};
use crate::{
    load_error::LoadError,
    plugin::{
        Assets, CallError, Declaration, HandlerId, HookEvent, Host, Manifest, Plugin, PluginFiles,
        Registration,
        ctx::{HostCall, Identity},
        within::within,
    },
    tool::CallContext,
};

/// A plugin whose handlers are closures of its scripts.
pub struct RhaiPlugin {
    identity: Arc<Identity>,
    host: Arc<Host>,
    registration: Registration,
    engine: Engine,
    scripts: Vec<Script>,
    handlers: Vec<Prepared>,
}

/// A handler that is known to be callable.
struct Prepared {
    handler: Handler,
    /// How many arguments it takes: the argument, then `ctx`.
    arity: usize,
}

/// Loads a single script, or a pack with all its scripts.
pub fn load(files: &PluginFiles, host: &Arc<Host>) -> Result<Arc<dyn Plugin>, Vec<LoadError>> {
    let loaded = pool::run_now(|| RhaiPlugin::load(files, host));
    match loaded {
        Ok(plugin) => Ok(Arc::new(plugin?)),
        Err(PoolError::Full | PoolError::Failed) => {
            Err(vec![LoadError::new(&files.path, "the script engine failed while loading this")])
        }
    }
}

impl RhaiPlugin {
    fn load(files: &PluginFiles, host: &Arc<Host>) -> Result<Self, Vec<LoadError>> {
        let limits = &host.config.limits.plugin;
        let is_pack = !is_script(&files.path);
        let assets = Assets::load(files, is_pack)?;
        let sources = read_sources(files, is_pack)?;

        let steady = Arc::new(OnceLock::new());
        let mut engine = engine::new(limits, steady.clone());
        engine.set_module_resolver(sources.clone());
        let manifest = Arc::new(OnceLock::new());
        log_of(&mut engine, host.clone(), manifest.clone(), &files.name);

        let parsed = sources.parse(&engine)?;
        steady.get_or_init(|| capture::steady(parsed.values()));
        let mut registered = Registered::default();
        let mut errors = Vec::new();
        let mut scripts = Vec::new();
        for (number, (path, ast)) in parsed.iter().enumerate() {
            match sources.run(&engine, (path, ast), number, limits, &mut registered) {
                Ok(script) => scripts.push(script),
                Err(err) => errors.push(err),
            }
        }
        errors.append(&mut registered.errors);
        // What fails in an import fails in each file that imports it.
        errors.dedup();
        if !errors.is_empty() {
            return Err(errors);
        }

        let manifest_in_force = decide(files, host, is_pack, registered.declaration.take())?;
        // It is set here only.
        let _ = manifest.set(manifest_in_force.clone());
        let (handlers, errors): (Vec<_>, Vec<_>) = registered
            .handlers
            .drain(..)
            .map(|handler| prepare(handler, &scripts, &manifest_in_force, is_pack))
            .partition(Result::is_ok);
        let errors: Vec<_> = errors.into_iter().filter_map(Result::err).collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        let handlers: Vec<_> = handlers.into_iter().filter_map(Result::ok).collect();
        let registration = if manifest_in_force.approved {
            offer(&handlers, registered)
        } else {
            Registration::default()
        };
        let identity = Arc::new(Identity { manifest: manifest_in_force, assets });
        Ok(Self { identity, host: host.clone(), registration, engine, scripts, handlers })
    }

    /// Runs a handler on this thread, which is one of the pool's.
    fn run(
        &self,
        id: HandlerId,
        argument: Value,
        context: CallContext,
        runtime: Handle,
        cancelled: &CancellationToken,
    ) -> Result<Value, CallError> {
        let Some(Prepared { handler, arity }) = self.handlers.get(id.0) else {
            return Err(CallError::Thrown("this handler does not exist".to_owned()));
        };
        let ctx = Ctx::new(Call {
            host_call: HostCall::new(self.identity.clone(), self.host.clone(), context),
            runtime,
        });
        let argument = match &handler.kind {
            HandlerKind::Hook(HookEvent::Attachment) => ctx.attachment(&argument),
            HandlerKind::Tool { parameters, .. } => {
                schema::admit(parameters, argument).map_err(CallError::Thrown)?
            }
            HandlerKind::Hook(_) | HandlerKind::Route(_) | HandlerKind::Action(_) => {
                value::to_dynamic(&argument)
            }
        };
        let mut arguments = vec![argument, Dynamic::from(ctx.clone())];
        arguments.truncate(*arity);

        let script = &self.scripts[handler.script];
        let closure = isolate::copy(&handler.closure);
        let limits = &self.host.config.limits.plugin;
        let (result, failure) = limits::metered(limits, cancelled, || -> Result<_, Failure> {
            let result = self.enter(script, &closure, arguments)?;
            self.engine.ensure_data_size_within_limits(&result)?;
            Ok(value::to_json(&result))
        });
        ctx.finish();
        match (result, failure) {
            (_, Some(failure)) => Err(failure),
            (Ok(Ok(json)), None) => Ok(json),
            (Ok(Err(message)), None) => {
                Err(CallError::Thrown(format!("{}: the result: {message}", script.file)))
            }
            (Err(err), None) => self.explain(handler, &err),
        }
    }

    fn enter(
        &self,
        script: &Script,
        closure: &FnPtr,
        arguments: Vec<Dynamic>,
    ) -> Result<Dynamic, Failure> {
        let name = closure.fn_name();
        let context = (&self.engine, name, None, &script.global, Position::NONE);
        closure.call_raw(&NativeCallContext::from(context), None, arguments)
    }

    /// What a failure means for who called.
    fn explain(&self, handler: &Handler, err: &EvalAltResult) -> Result<Value, CallError> {
        let origin = Origin::of(err);
        if let Some(failure) = limits::exceeded(&self.host.config.limits.plugin, origin.err) {
            return Err(failure);
        }
        let place = origin.place(&self.scripts[handler.script].file);
        let is_tool = matches!(handler.kind, HandlerKind::Tool { .. });
        match origin.err {
            EvalAltResult::Exit(value, _) => value::to_json(value)
                .map_err(|err| CallError::Thrown(format!("{place}: the result: {err}"))),
            // What the author wrote for the model stays as it is.
            EvalAltResult::ErrorRuntime(value, _) if is_tool => {
                Err(CallError::Thrown(thrown_text(value)))
            }
            EvalAltResult::ErrorRuntime(value, _) => Err(match for_user(value) {
                Some(failure) => failure,
                None => CallError::Thrown(format!("{place}: {}", thrown_text(value))),
            }),
            err => Err(CallError::Thrown(format!("{place}: {}", explain(err).into_text()))),
        }
    }
}

impl Plugin for RhaiPlugin {
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
            // Whoever stops waiting for the call stops it.
            let cancelled = context.cancelled.child_token();
            let _stop = cancelled.clone().drop_guard();
            let limits = self.host.config.limits.plugin.clone();
            let timeout = self.timeout(handler);
            let runtime = Handle::current();
            let outer = context.cancelled.clone();
            let script = pool::run(limits.threads, limits.timeout, move || {
                self.run(handler, argument, context, runtime, &cancelled)
            });
            let call = async {
                match script.await {
                    Ok(result) => result,
                    Err(PoolError::Full) => Err(CallError::Limit(format!(
                        "all {} threads for scripts were busy all the time: `threads` in `[limits.plugin]`",
                        limits.threads
                    ))),
                    Err(PoolError::Failed) => {
                        Err(CallError::Thrown("the script engine failed".to_owned()))
                    }
                }
            };
            within(&outer, timeout, call).await
        })
    }
}

impl RhaiPlugin {
    /// A tool's own limit, of all that it does and waits for.
    fn timeout(&self, handler: HandlerId) -> Option<Duration> {
        match &self.handlers.get(handler.0)?.handler.kind {
            HandlerKind::Tool { spec, .. } => spec.timeout,
            HandlerKind::Hook(_) | HandlerKind::Route(_) | HandlerKind::Action(_) => None,
        }
    }
}

/// `throw #{ message, retry }`
fn for_user(value: &Dynamic) -> Option<CallError> {
    let map = value.read_lock::<Map>()?;
    let message = map.get("message")?.to_string();
    let retry = map.get("retry").and_then(|it| it.as_bool().ok()).unwrap_or_default();
    Some(CallError::User { message, retry })
}

/// Whether a file is a script.
pub fn is_script(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, ending)| ending == "rhai")
}

fn read_sources(files: &PluginFiles, is_pack: bool) -> Result<Sources, Vec<LoadError>> {
    let prefix = if is_pack { format!("{}/", files.path) } else { String::new() };
    let mut texts = BTreeMap::new();
    let mut errors = Vec::new();
    let apart = ["data/", "locales/", "tests/"];
    for (path, bytes) in &files.files {
        if !is_script(path) || apart.iter().any(|it| is_pack && path.starts_with(it)) {
            continue;
        }
        let path = if is_pack { path.clone() } else { files.path.clone() };
        match std::str::from_utf8(bytes) {
            Ok(text) => {
                texts.insert(path, Arc::from(text));
            }
            Err(_) => errors.push(
                LoadError::new(format!("{prefix}{path}"), "this is not UTF-8")
                    .remedy("save the file as UTF-8"),
            ),
        }
    }
    if errors.is_empty() { Ok(Sources::new(prefix, texts)) } else { Err(errors) }
}

/// Who the plugin is and what it may do.
fn decide(
    files: &PluginFiles,
    host: &Host,
    is_pack: bool,
    declared: Option<(Declaration, Place)>,
) -> Result<Manifest, Vec<LoadError>> {
    let (declaration, place) = match declared {
        Some((declaration, place)) => (declaration, Some(place)),
        None if is_pack => (Declaration::of_pack(files)?, None),
        None => (Declaration::default(), None),
    };
    Manifest::decide(declaration, files, &host.config.plugins, &host.approvals).map_err(|err| {
        let position = place.filter(|it| it.file == err.file).map(|it| it.position);
        vec![match position.and_then(|it| Some((it.line()?, it.position()))) {
            Some((line, column)) if err.line.is_none() => err.at(line, column),
            Some(_) | None => err,
        }]
    })
}

/// Sends `print` and `debug` to the plugin's log.
fn log_of(engine: &mut Engine, host: Arc<Host>, manifest: Arc<OnceLock<Manifest>>, name: &str) {
    let name = name.to_owned();
    engine::log_to(engine, move |level, text| {
        let Some(manifest) = manifest.get() else {
            tracing::info!(plugin = %name, "plugin {name} says while it loads: {text}");
            return;
        };
        // Its only failure is a level that there is not.
        let _ = host.log(manifest, level, text);
    });
}

fn prepare(
    handler: Handler,
    scripts: &[Script],
    manifest: &Manifest,
    is_pack: bool,
) -> Result<Prepared, LoadError> {
    let Some(arity) = scripts[handler.script].arity(&handler.closure) else {
        return Err(handler.place.error(
            Fault::new("the handler is not a closure of this file")
                .remedy("write it here, `|args, ctx| …`, and call imported functions in it"),
        ));
    };
    if arity > 2 {
        return Err(handler.place.error(
            Fault::new(format!("the handler takes {arity} arguments, and is given two"))
                .remedy("write `|args, ctx| …`"),
        ));
    }
    if !handler.closure.iter_curry().all(isolate::is_small) {
        return Err(handler.place.error(
            Fault::new("the handler captures too much, or what nests too deeply")
                .remedy("keep less in it"),
        ));
    }
    if let HandlerKind::Route(route) = &handler.kind
        && route.public
        && !manifest.permissions.public
    {
        let fault =
            Fault::new(format!("the plugin `{}` may not have public routes", manifest.name));
        return Err(handler.place.error(if manifest.requested.public {
            fault.remedy(format!(
                "grant `public` under `[plugins.{}] permissions` in kitfox.toml",
                manifest.name
            ))
        } else if is_pack {
            fault.remedy("add `public = true` under `[permissions]` in its plugin.toml")
        } else {
            fault.remedy("add `permissions: #{ public: true }` to `plugin(#{…})`")
        }));
    }
    Ok(Prepared { handler, arity })
}

fn offer(handlers: &[Prepared], registered: Registered) -> Registration {
    let mut registration = Registration {
        agent_tools: registered.agent_tools,
        client_tools: registered.client_tools,
        ..Registration::default()
    };
    for (index, Prepared { handler, .. }) in handlers.iter().enumerate() {
        let id = HandlerId(index);
        match &handler.kind {
            HandlerKind::Tool { spec, .. } => registration.tools.push((spec.clone(), id)),
            HandlerKind::Hook(event) => registration.hooks.push((*event, id)),
            HandlerKind::Route(route) => registration.routes.push((route.clone(), id)),
            HandlerKind::Action(action) => registration.actions.push((action.clone(), id)),
        }
    }
    registration
}
