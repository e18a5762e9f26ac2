//! From the bytes of a file to what can be called.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, Weak, mpsc},
    thread,
};

use sha2::{Digest, Sha256};
use wasmtime::component::{
    Component, HasSelf, InstancePre, Linker, ResourceType, types::ComponentItem,
};

use super::{
    bindings::{Plugin, PluginPre},
    engine::machine,
    export::{Export, exports},
    run::{Printed, Work, run},
    state::State,
};
use crate::{config::PluginLimits, load_error::LoadError, plugin::declaration::Wrong};

/// A component, ready to be instantiated.
pub enum Compiled {
    /// Of our world, with what its `describe` said.
    Plugin { pre: PluginPre<State>, description: String },
    /// Of any other: its functions are tools.
    Functions { pre: InstancePre<State>, exports: Vec<Arc<Export>> },
}

/// Why a file is no component that can be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub message: String,
    pub remedy: Option<String>,
}

type Hash = [u8; 32];

/// What memory is counted in, in components.
const PAGE: u64 = 64 * 1024;

/// What is being compiled and what was, by content. What nobody has any more is forgotten.
static COMPILED: Mutex<BTreeMap<Hash, Entry>> = Mutex::new(BTreeMap::new());
static FINISHED: Condvar = Condvar::new();

enum Entry {
    Compiling,
    /// Nobody has asked for it yet.
    Finished(Result<Arc<Compiled>, Refusal>),
    Used(Weak<Compiled>),
}

/// Whether these bytes are compiled. Where they are not, it begins, and calls `ready` when it is done.
pub fn is_compiled(
    bytes: &Arc<[u8]>,
    memory: usize,
    ready: impl FnOnce() + Send + 'static,
) -> bool {
    let hash = Sha256::digest(bytes).into();
    {
        let mut compiled = lock();
        match compiled.get(&hash) {
            Some(Entry::Compiling) => return false,
            Some(Entry::Finished(_)) => return true,
            Some(Entry::Used(used)) if used.strong_count() > 0 => return true,
            Some(Entry::Used(_)) | None => compiled.insert(hash, Entry::Compiling),
        };
    }
    let bytes = bytes.clone();
    let work = move || {
        finish(hash, compile_safely(&bytes, memory));
        ready();
    };
    if thread::Builder::new().name("kitfox-compile".to_owned()).spawn(work).is_err() {
        lock().remove(&hash);
        return true;
    }
    false
}

/// What these bytes are; compiles them now where they are not, and waits where they are being compiled.
///
/// `memory` is what an instance may have.
pub fn compiled(bytes: &[u8], memory: usize) -> Result<Arc<Compiled>, Refusal> {
    let hash = Sha256::digest(bytes).into();
    let mut entries = lock();
    loop {
        match entries.get(&hash) {
            Some(Entry::Compiling) => {
                entries = FINISHED.wait(entries).unwrap_or_else(PoisonError::into_inner);
            }
            Some(Entry::Used(used)) => {
                if let Some(compiled) = used.upgrade() {
                    return Ok(compiled);
                }
                entries.remove(&hash);
            }
            Some(Entry::Finished(_)) => {
                let Some(Entry::Finished(result)) = entries.remove(&hash) else { continue };
                if let Ok(compiled) = &result {
                    entries.insert(hash, Entry::Used(Arc::downgrade(compiled)));
                }
                return result;
            }
            None => {
                entries.insert(hash, Entry::Compiling);
                drop(entries);
                finish(hash, compile_safely(bytes, memory));
                entries = lock();
            }
        }
    }
}

fn finish(hash: Hash, result: Result<Arc<Compiled>, Refusal>) {
    let mut compiled = lock();
    compiled.retain(|_, entry| !matches!(entry, Entry::Used(used) if used.strong_count() == 0));
    compiled.insert(hash, Entry::Finished(result));
    FINISHED.notify_all();
}

fn lock() -> std::sync::MutexGuard<'static, BTreeMap<Hash, Entry>> {
    COMPILED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The bytes are a stranger's: a fault of the compiler is an error of theirs.
fn compile_safely(bytes: &[u8], memory: usize) -> Result<Arc<Compiled>, Refusal> {
    match catch_unwind(AssertUnwindSafe(|| compile(bytes, memory))) {
        Ok(result) => result.map(Arc::new),
        Err(_) => Err(refuse("the compiler failed on it")),
    }
}

fn compile(bytes: &[u8], memory: usize) -> Result<Compiled, Refusal> {
    check_kind(bytes)?;
    let machine = machine().map_err(refuse)?;
    let component = machine.compile(|| Component::new(&machine.engine, bytes)).map_err(|err| {
        let text = one_line(&err);
        if text.contains("exceeds the limit") || text.contains("exceeds the configured") {
            return refuse(format!("it is larger than a plugin may be: {}", err.root_cause()));
        }
        refuse(format!("it is no valid component: {text}"))
            .remedy("build it again: the file may be cut off")
    })?;
    let pages = component.resources_required().and_then(|it| it.max_initial_memory_size);
    let least = pages.unwrap_or_default().saturating_mul(PAGE);
    if least > memory as u64 {
        return Err(refuse(format!(
            "it begins with {} MiB of memory, and may have {} MiB",
            least >> 20,
            memory >> 20
        ))
        .remedy("build it with less to begin with, or raise `memory` in `[limits.plugin]`"));
    }
    let linker = link(&component)?;
    let pre = linker.instantiate_pre(&component).map_err(|err| {
        refuse(format!("it does not fit what Kitfox offers: {}", one_line(&err)))
            .remedy("build it with plugins/kitfox.wit of this version and WASI 0.2")
    })?;
    let has = |name| component.get_export_index(None, name).is_some();
    if !(has("describe") && has("call")) {
        let exports = exports(&pre, &machine.engine);
        if exports.is_empty() {
            return Err(refuse("it exports no function").remedy(
                "export functions, which become tools, or the world `kitfox:plugin/plugin`",
            ));
        }
        return Ok(Compiled::Functions { pre, exports });
    }
    let pre = PluginPre::new(pre).map_err(|err| {
        refuse(format!("it is no plugin of this version: {}", one_line(&err)))
            .remedy("build it with plugins/kitfox.wit of this version")
    })?;
    let description = describe(pre.clone(), memory)?;
    Ok(Compiled::Plugin { pre, description })
}

/// Tells components from what is often taken for one.
fn check_kind(bytes: &[u8]) -> Result<(), Refusal> {
    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
    const MODULE: &[u8] = b"\0asm\x01\0\0\0";
    if bytes.starts_with(COMPONENT) {
        return Ok(());
    }
    if !bytes.starts_with(MODULE) {
        return Err(refuse("it is no WebAssembly").remedy("put a component there"));
    }
    let mentions = |word: &[u8]| bytes.windows(word.len()).any(|it| it == word);
    if mentions(b"extism:host/env") {
        return Err(refuse("it is a plugin for Extism, and no component")
            .remedy("build it for the world `kitfox:plugin/plugin`, see `kitfox new wasm`"));
    }
    let remedy = if mentions(b"wasi_snapshot_preview1") {
        "build it for the target `wasm32-wasip2`, or make it a component with `wasm-tools component new \
         --adapt wasi_snapshot_preview1.wasm`"
    } else {
        "make it a component with `wasm-tools component new`, or build it for the target `wasm32-wasip2`"
    };
    Err(refuse("it is a core module, and no component").remedy(remedy))
}

/// Our host functions, a small WASI, and a denial of the rest of it, so that ordinary components link.
fn link(component: &Component) -> Result<Linker<State>, Refusal> {
    let machine = machine().map_err(refuse)?;
    let mut linker = base_linker()?;
    for (name, item) in component.component_type().imports(&machine.engine) {
        if name.starts_with("kitfox:plugin/") || is_offered(name) {
            continue;
        }
        if !name.starts_with("wasi:") {
            return Err(refuse(format!("it imports `{name}`, which Kitfox does not offer"))
                .remedy(
                    "join it with a component that offers it (`wac plug`), or build it without",
                ));
        }
        let ComponentItem::ComponentInstance(instance) = item.ty else { continue };
        deny(&mut linker, &machine.engine, name, &instance).map_err(|err| {
            refuse(format!("`{name}` cannot be denied to it: {}", one_line(&err)))
        })?;
    }
    Ok(linker)
}

fn base_linker() -> Result<Linker<State>, Refusal> {
    static BASE: OnceLock<Result<Linker<State>, String>> = OnceLock::new();
    let base = BASE.get_or_init(|| {
        let mut linker = Linker::new(&machine()?.engine);
        Plugin::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)
            .and_then(|()| wasmtime_wasi::p2::add_to_linker_async(&mut linker))
            .and_then(|()| wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker))
            .map_err(|err| format!("the engine for components cannot start: {err:#}"))?;
        Ok(linker)
    });
    base.clone().map_err(refuse)
}

/// The part of WASI that there is, of the version that there is.
pub fn is_offered(name: &str) -> bool {
    const OFFERED: &[&str] = &[
        "cli/",
        "clocks/",
        "filesystem/",
        "http/outgoing-handler@",
        "http/types@",
        "io/",
        "random/",
        "sockets/",
    ];
    let Some(interface) = name.strip_prefix("wasi:") else { return false };
    OFFERED.iter().any(|it| interface.starts_with(it)) && name.contains("@0.2.")
}

/// Has each function of an interface fail when it is called.
fn deny(
    linker: &mut Linker<State>,
    engine: &wasmtime::Engine,
    name: &str,
    interface: &wasmtime::component::types::ComponentInstance,
) -> wasmtime::Result<()> {
    let mut instance = linker.instance(name)?;
    for (item, definition) in interface.exports(engine) {
        match definition.ty {
            ComponentItem::ComponentFunc(_) => {
                let denied = format!("`{name}` is not for plugins: use the interface `host`");
                instance
                    .func_new(item, move |_, _, _, _| Err(wasmtime::Error::msg(denied.clone())))?;
            }
            ComponentItem::Resource(_) => {
                instance.resource(item, ResourceType::host::<()>(), |_, _| Ok(()))?;
            }
            // What else there is has nothing to call.
            _ => (),
        }
    }
    Ok(())
}

/// What a plugin says of itself, while it is loaded: without `ctx`, within the usual limits.
fn describe(pre: PluginPre<State>, memory: usize) -> Result<String, Refusal> {
    let machine = machine().map_err(refuse)?;
    let (sender, answer) = mpsc::channel();
    machine.runtime.spawn(async move {
        let printed = Printed::default();
        let limits = PluginLimits { memory, ..PluginLimits::default() };
        let work: Work<String> = Box::new(move |store: &mut wasmtime::Store<State>| {
            Box::pin(async move {
                let plugin = pre.instantiate_async(&mut *store).await?;
                plugin.call_describe(store).await
            })
        });
        let result = run(&limits, None, &printed, work).await;
        // Nobody waits for it where the process ends.
        let _ = sender.send((result, printed));
    });
    match answer.recv() {
        Ok((Ok(description), _)) => Ok(description),
        Ok((Err(err), printed)) => {
            let complaint = printed.stderr.text();
            let last = complaint.lines().rev().find(|it| !it.trim().is_empty());
            let more = last.map(|it| format!(" ({})", it.trim())).unwrap_or_default();
            Err(refuse(format!("its `describe` failed: {err}{more}")))
        }
        Err(_) => Err(refuse("its `describe` failed")),
    }
}

impl Refusal {
    /// As the error of the file at `path`.
    pub fn at(self, path: &str) -> LoadError {
        let err = LoadError::new(path, self.message);
        match self.remedy {
            Some(remedy) => err.remedy(remedy),
            None => err,
        }
    }

    fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl From<Wrong> for Refusal {
    fn from(Wrong { message, remedy }: Wrong) -> Self {
        refuse(message).remedy(remedy)
    }
}

pub fn refuse(message: impl Into<String>) -> Refusal {
    Refusal { message: message.into(), remedy: None }
}

/// An error with its causes, as one line.
fn one_line(err: &wasmtime::Error) -> String {
    let text = format!("{err:#}");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
