//! Scripts: parsed, run once, and what is kept of them for the calls.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, OnceLock, PoisonError, RwLock},
};

use rhai::{
    AST, ASTFlags, Dynamic, Engine, EvalAltResult, FnPtr, GlobalRuntimeState, ImmutableString,
    Module, ModuleResolver, ParseError, Position, Scope, Stmt,
};
use tokio_util::sync::CancellationToken;

use super::{
    capture, engine,
    error::{Failure, at, parse_error, run_error},
    isolate, limits,
    options::Fault,
    register::{Registered, collect, importing},
};
use crate::{config::PluginLimits, load_error::LoadError, plugin::CallError};

/// A script after its top level ran.
pub struct Script {
    /// `plugins/hello.rhai`
    pub file: String,
    /// What its functions see: each other, the imports, and the constants.
    pub global: GlobalRuntimeState,
    ast: AST,
}

impl Script {
    /// How many arguments this closure takes beside those it has captured. None: it is not of this file.
    pub fn arity(&self, closure: &FnPtr) -> Option<usize> {
        let captured = closure.curry().len();
        let named = self.ast.iter_fn_def().filter(|it| it.name == closure.fn_name());
        named.filter_map(|it| it.params.len().checked_sub(captured)).min()
    }
}

/// A pack's scripts, for running and importing.
#[derive(Clone)]
pub struct Sources(Arc<Inner>);

struct Inner {
    /// `plugins/cat-lounge/`, or for a single file the empty string.
    prefix: String,
    /// By path below the prefix.
    texts: BTreeMap<String, Arc<str>>,
    parsed: OnceLock<BTreeMap<String, AST>>,
    /// What was imported already.
    modules: Mutex<HashMap<String, Arc<Module>>>,
}

impl Sources {
    pub fn new(prefix: String, texts: BTreeMap<String, Arc<str>>) -> Self {
        let (parsed, modules) = (OnceLock::new(), Mutex::default());
        Self(Arc::new(Inner { prefix, texts, parsed, modules }))
    }

    /// Parses all scripts.
    pub fn parse(&self, engine: &Engine) -> Result<&BTreeMap<String, AST>, Vec<LoadError>> {
        let mut parsed = BTreeMap::new();
        let mut errors = Vec::new();
        for (path, text) in &self.0.texts {
            let file = format!("{}{path}", self.0.prefix);
            match compile(engine, &file, text) {
                Ok(ast) => {
                    if let Some(position) = capture::find_curry(&ast) {
                        let fault = Fault::new("`curry` is not available")
                            .remedy("write a closure, `|x| f.call(1, x)`");
                        errors.push(at(&file, position, fault));
                    }
                    parsed.insert(path.clone(), ast);
                }
                Err((err, constants)) => errors.push(parse_error(&file, text, &constants, &err)),
            }
        }
        if errors.is_empty() { Ok(self.0.parsed.get_or_init(|| parsed)) } else { Err(errors) }
    }

    /// Runs a script's top level, and adds what it registers.
    pub fn run(
        &self,
        engine: &Engine,
        (path, ast): (&str, &AST),
        number: usize,
        limits: &PluginLimits,
        registered: &mut Registered,
    ) -> Result<Script, LoadError> {
        let file = format!("{}{path}", self.0.prefix);
        let mut scope = Scope::new();
        let is_pack = !self.0.prefix.is_empty();
        let (result, failure) = limits::metered(limits, &CancellationToken::new(), || {
            collect(registered, &file, number, is_pack, || {
                engine.run_ast_with_scope(&mut scope, ast)
            })
        });
        if let Err(err) = result {
            return Err(load_failure(&file, limits, &err, failure));
        }

        let mut global = engine.new_global_runtime_state();
        global.lib.push(ast.shared_lib().clone());
        global.source = Some(file.as_str().into());
        global.constants = Some(Arc::new(RwLock::new(constants(&scope))));
        for (name, import) in imports(ast) {
            if let Ok(module) = self.resolve(engine, Some(&file), &import, Position::NONE) {
                global.push_import(name, module);
            }
        }
        Ok(Script { file, global, ast: ast.clone() })
    }

    /// The path of the file that `import "{path}"` in `source` means.
    fn find(&self, source: Option<&str>, path: &str) -> Option<&str> {
        let below = source.and_then(|it| it.strip_prefix(&self.0.prefix)).unwrap_or_default();
        let folder = below.rsplit_once('/').map_or("", |(folder, _)| folder);
        let candidates = [join(folder, path), join("", path)];
        let with_endings =
            candidates.into_iter().flatten().flat_map(|it| [format!("{it}.rhai"), it]);
        with_endings
            .filter_map(|it| self.0.texts.get_key_value(&it))
            .map(|(it, _)| it.as_str())
            .next()
    }
}

thread_local! {
    /// The files that are being imported, each by the one before it.
    static IMPORTING: RefCell<Vec<String>> = RefCell::default();
}

impl ModuleResolver for Sources {
    fn resolve(
        &self,
        engine: &Engine,
        source: Option<&str>,
        path: &str,
        position: Position,
    ) -> Result<Arc<Module>, Failure> {
        let Some(path) = self.find(source, path) else {
            return Err(EvalAltResult::ErrorModuleNotFound(path.to_owned(), position).into());
        };
        let known = || self.0.modules.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = known().get(path).cloned() {
            return Ok(module);
        }
        let file = format!("{}{path}", self.0.prefix);
        let wrap = |err: Failure| -> Failure {
            EvalAltResult::ErrorInModule(file.clone(), err, position).into()
        };
        let Some(ast) = self.0.parsed.get().and_then(|it| it.get(path)) else {
            return Err(EvalAltResult::ErrorModuleNotFound(path.to_owned(), position).into());
        };
        if IMPORTING.with_borrow(|it| it.iter().any(|it| it == path)) {
            let message = format!("`{path}` imports itself, directly or through others");
            return Err(EvalAltResult::ErrorRuntime(message.into(), position).into());
        }
        IMPORTING.with_borrow_mut(|it| it.push(path.to_owned()));
        let module = importing(|| Module::eval_ast_as_new(Scope::new(), ast, engine));
        IMPORTING.with_borrow_mut(Vec::pop);
        let module: Arc<Module> = module.map_err(wrap)?.into();
        if let Some((name, _)) = module.iter_var().find(|(_, it)| isolate::unshared(it).is_none()) {
            let message = format!(
                "`{path}` exports `{name}`, which holds a closure with variables of its own: export a `fn`"
            );
            return Err(EvalAltResult::ErrorRuntime(message.into(), position).into());
        }
        known().insert(path.to_owned(), module.clone());
        Ok(module)
    }
}

/// Parses twice: first to learn the constants, which a `fn` may use although Rhai does not know of them.
fn compile(engine: &Engine, file: &str, text: &str) -> Result<AST, (ParseError, Vec<String>)> {
    let lenient = engine::raw().compile(text).map_err(|err| (err, Vec::new()))?;
    let mut scope = Scope::new();
    let mut names = Vec::new();
    for statement in lenient.statements() {
        if let Stmt::Var(definition, flags, _) = statement
            && flags.intersects(ASTFlags::CONSTANT)
        {
            scope.push(definition.0.name.as_str(), ());
            names.push(definition.0.name.to_string());
        }
    }
    // A function's name is a value, as in `run: look_up`.
    for function in lenient.iter_fn_def() {
        scope.push(function.name.as_str(), ());
    }
    let mut ast = engine.compile_with_scope(&scope, text).map_err(|err| (err, names))?;
    ast.set_source(file);
    Ok(ast)
}

fn constants(scope: &Scope<'_>) -> BTreeMap<ImmutableString, Dynamic> {
    scope
        .iter_raw()
        .filter(|(_, is_constant, _)| *is_constant)
        .map(|(name, _, value)| (name.into(), value.flatten_clone()))
        .collect()
}

/// The names and paths of what is imported at the top level.
fn imports(ast: &AST) -> Vec<(String, String)> {
    let mut imports = Vec::new();
    for statement in ast.statements() {
        if let Stmt::Import(import, _) = statement
            && let (path, name) = &**import
            && !name.name.is_empty()
            && let Some(path) = path.get_literal_value(None).and_then(|it| it.into_string().ok())
        {
            imports.push((name.name.to_string(), path));
        }
    }
    imports
}

fn load_failure(
    file: &str,
    limits: &PluginLimits,
    err: &EvalAltResult,
    failure: Option<CallError>,
) -> LoadError {
    let origin = super::error::Origin::of(err);
    match failure.or_else(|| limits::exceeded(limits, origin.err)) {
        Some(failure) => at(
            origin.file.unwrap_or(file),
            origin.position,
            Fault::new(format!("loading was stopped: {failure}"))
                .remedy("do the work in a handler, and only register at the top"),
        ),
        None => run_error(file, err),
    }
}

/// `folder/path` without dots. None: it leads out.
fn join(folder: &str, path: &str) -> Option<String> {
    let mut segments: Vec<&str> = folder.split('/').filter(|it| !it.is_empty()).collect();
    for segment in path.split('/') {
        match segment {
            "" | "." => (),
            ".." => {
                segments.pop()?;
            }
            segment => segments.push(segment),
        }
    }
    Some(segments.join("/"))
}
