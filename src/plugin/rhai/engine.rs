use std::sync::{Arc, LazyLock, OnceLock};

use rhai::{
    Dynamic, Engine, EvalAltResult, EvalContext, Module, Position, Token,
    packages::{Package, StandardPackage},
};

use super::{
    ctx::{self, Ctx},
    error::{Failure, fail},
    global, isolate, limits,
    options::nearest,
    register,
};
use crate::config::PluginLimits;

/// What all engines share: Rhai's own functions, and ours.
static STANDARD: LazyLock<Arc<Module>> =
    LazyLock::new(|| StandardPackage::new().as_shared_module());
static OURS: LazyLock<Arc<Module>> = LazyLock::new(|| {
    let mut module = Module::new();
    register::register(&mut module);
    ctx::register(&mut module);
    global::register(&mut module);
    module.build_index();
    module.into()
});

/// An engine for one plugin, under these limits. Engines are cheap, because they share their
/// functions. `steady` are the captured variables that nobody changes, known once its scripts are
/// parsed.
pub fn new(limits: &PluginLimits, steady: Arc<OnceLock<Vec<String>>>) -> Engine {
    let mut engine = raw();
    engine.register_global_module(STANDARD.clone());
    engine.register_global_module(OURS.clone());
    engine.set_strict_variables(true);

    engine.set_max_call_levels(limits.call_depth);
    engine.set_max_string_size(limits.string_bytes);
    engine.set_max_array_size(limits.entries);
    engine.set_max_map_size(limits.entries);
    engine.set_max_modules(64);
    engine.on_progress(|_| limits::tick());
    #[expect(deprecated, reason = "volatile, and so is our pinned version")]
    engine.on_var(move |name, _, context| variable(name, &steady, &context));
    #[expect(deprecated, reason = "volatile, and so is our pinned version")]
    engine.on_missing_function(missing);
    engine
}

/// An engine that parses, leniently, and runs nothing.
pub fn raw() -> Engine {
    let mut engine = Engine::new_raw();
    // The same in debug and release builds, for which Rhai's defaults differ.
    engine.set_max_expr_depths(64, 64);
    engine.disable_symbol("eval");
    #[expect(deprecated, reason = "volatile, and so is our pinned version")]
    engine.on_parse_token(|token, _, _| unreserve(token));
    engine
}

/// Lets the words that Rhai reserves, and does not use, be names of properties and keys.
fn unreserve(token: Token) -> Token {
    match token {
        Token::Reserved(word) if *word != "this" && rhai::is_valid_identifier(&word) => {
            Token::Identifier(word)
        }
        token => token,
    }
}

/// What a variable is where Rhai would do otherwise:
/// - `ctx`, and what nobody changes, is copied and never shared, so that a closure may use it inside a
///   call on it;
/// - a `fn` sees the constants of its file.
fn variable(
    name: &str,
    steady: &OnceLock<Vec<String>>,
    context: &EvalContext<'_, '_, '_, '_, '_, '_>,
) -> Result<Option<Dynamic>, Failure> {
    let scope = context.scope();
    limits::visit(scope, context.call_level())?;
    if let Some(value) = scope.get(name) {
        let is_steady = || {
            let names = steady.get();
            names.is_some_and(|it| it.binary_search_by(|it| it.as_str().cmp(name)).is_ok())
        };
        let is_copied =
            !value.is_shared() && (value.is::<Ctx>() || (is_steady() && isolate::is_data(value)));
        return Ok(is_copied.then(|| value.clone()));
    }
    let Some(constants) = &context.global_runtime_state().constants else { return Ok(None) };
    let value = constants.read().ok().and_then(|it| it.get(name).cloned());
    match value {
        None => Ok(None),
        Some(value) => isolate::unshared(&value).map(Some).ok_or_else(|| {
            fail(format!(
                "the constant `{name}` holds a closure with variables of its own: a `fn` cannot use it"
            ))
        }),
    }
}

/// A better text for what is missing on `ctx`.
fn missing(
    name: &str,
    args: &mut [&mut Dynamic],
    is_method: bool,
    _context: EvalContext<'_, '_, '_, '_, '_, '_>,
) -> Result<Option<Dynamic>, Failure> {
    match args.first() {
        Some(object) if is_method => match ctx::missing_member(object, name) {
            Some(message) => {
                Err(Box::new(EvalAltResult::ErrorRuntime(message.into(), Position::NONE)))
            }
            None => Ok(None),
        },
        Some(_) | None => Ok(None),
    }
}

/// What was probably meant, for a text.
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map(|near| format!(": did you mean `{near}`?")).unwrap_or_default()
}

/// The log of a plugin, for `print` and `debug`.
pub fn log_to(engine: &mut Engine, log: impl Fn(&str, &str) + Send + Sync + 'static) {
    let log = Arc::new(log);
    let debug = log.clone();
    engine.on_print(move |text| log("info", text));
    engine.on_debug(move |text, _, _| debug("debug", text));
}
