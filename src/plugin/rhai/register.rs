//! What a script calls while it loads, to offer something.

use std::{cell::RefCell, sync::Arc};

use rhai::{FnPtr, FuncRegistration, Map, Module, NativeCallContext, Position};
use serde_json::Value;

use super::{
    error::{Failure, at, fail},
    options::{Fault, Options},
    schema,
};
use crate::{
    config::RawPermissions,
    load_error::LoadError,
    plugin::{
        ActionKind, ActionSpec, AgentTool, ClientTool, Declaration, HookEvent, Parameters,
        Permissions, RouteSpec, registration::check_tool_name,
    },
    tool::{Approval, ToolSpec},
    user::Allow,
};

/// What the scripts of a plugin have registered.
#[derive(Default)]
pub struct Registered {
    /// By `plugin(#{…})`, and where.
    pub declaration: Option<(Declaration, Place)>,
    pub handlers: Vec<Handler>,
    pub agent_tools: Vec<AgentTool>,
    pub client_tools: Vec<ClientTool>,
    pub errors: Vec<LoadError>,
}

/// Where in the plugin's files.
#[derive(Clone)]
pub struct Place {
    pub file: String,
    pub position: Position,
}

impl Place {
    pub fn error(&self, fault: Fault) -> LoadError {
        at(&self.file, self.position, fault)
    }
}

pub struct Handler {
    pub kind: HandlerKind,
    pub closure: FnPtr,
    pub place: Place,
    /// Which of the plugin's scripts it is from.
    pub script: usize,
}

pub enum HandlerKind {
    Tool { spec: Arc<ToolSpec>, parameters: Parameters },
    Hook(HookEvent),
    Route(RouteSpec),
    Action(ActionSpec),
}

thread_local! {
    static LOADING: RefCell<Option<Loading>> = const { RefCell::new(None) };
}

struct Loading {
    registered: Registered,
    file: String,
    script: usize,
    is_pack: bool,
    /// How many imports are being evaluated: what they register, they register as scripts.
    imports: usize,
}

/// Runs a script's top level, and adds what it registers.
pub fn collect<R>(
    registered: &mut Registered,
    file: &str,
    script: usize,
    is_pack: bool,
    run: impl FnOnce() -> R,
) -> R {
    LOADING.set(Some(Loading {
        registered: std::mem::take(registered),
        file: file.to_owned(),
        script,
        is_pack,
        imports: 0,
    }));
    let result = run();
    if let Some(loading) = LOADING.take() {
        *registered = loading.registered;
    }
    result
}

/// Evaluates an import, whose registrations do not count.
pub fn importing<R>(evaluate: impl FnOnce() -> R) -> R {
    let count = |change: isize| {
        LOADING.with_borrow_mut(|loading| {
            if let Some(loading) = loading {
                loading.imports = loading.imports.saturating_add_signed(change);
            }
        });
    };
    count(1);
    let result = evaluate();
    count(-1);
    result
}

pub fn register(module: &mut Module) {
    let global = |name: &str| FuncRegistration::new(name).in_global_namespace();
    global("plugin").set_into_module(module, |context: NativeCallContext<'_>, map: Map| {
        record(&context, |loading, place| plugin(loading, place, map))
    });
    global("tool").set_into_module(module, |context: NativeCallContext<'_>, map: Map| {
        record(&context, |loading, place| tool(loading, place, map))
    });
    global("agent_tool").set_into_module(module, |context: NativeCallContext<'_>, map: Map| {
        record(&context, |loading, _| agent_tool(loading, map))
    });
    global("on").set_into_module(
        module,
        |context: NativeCallContext<'_>, event: &str, closure: FnPtr| {
            record(&context, |loading, place| on(loading, place, event, closure))
        },
    );
    global("route").set_into_module(
        module,
        |context: NativeCallContext<'_>, method: &str, path: &str, closure: FnPtr| {
            record(&context, |loading, place| {
                route(loading, place, method, path, Map::new(), closure)
            })
        },
    );
    global("route").set_into_module(
        module,
        |context: NativeCallContext<'_>, method: &str, path: &str, options: Map, closure: FnPtr| {
            record(&context, |loading, place| route(loading, place, method, path, options, closure))
        },
    );
    global("client_tool").set_into_module(module, |context: NativeCallContext<'_>, map: Map| {
        record(&context, |loading, _| client_tool(loading, map))
    });
    for kind in [ActionKind::Turn, ActionKind::Sync] {
        global(kind.function()).set_into_module(
            module,
            move |context: NativeCallContext<'_>, name: &str, closure: FnPtr| {
                record(&context, |loading, place| action(loading, place, kind, name, closure))
            },
        );
    }
}

/// Adds to what is being loaded. What is wrong is noted, so that the rest of the file is checked too.
fn record(
    context: &NativeCallContext<'_>,
    add: impl FnOnce(&mut Loading, Place) -> Result<(), Fault>,
) -> Result<(), Failure> {
    LOADING.with_borrow_mut(|loading| {
        let Some(loading) = loading else {
            return Err(fail(format!(
                "`{}` counts while a script loads only: call it at the top of the script, not in \
                 a handler",
                context.fn_name()
            )));
        };
        if loading.imports > 0 {
            return Ok(());
        }
        let file = context.call_source().unwrap_or(&loading.file).to_owned();
        let place = Place { file, position: context.call_position() };
        if let Err(fault) = add(loading, place.clone()) {
            loading.registered.errors.push(place.error(fault));
        }
        Ok(())
    })
}

fn plugin(loading: &mut Loading, place: Place, map: Map) -> Result<(), Fault> {
    if loading.is_pack {
        return Err(Fault::new("`plugin` is for a single file, and this is a pack")
            .remedy("state name and permissions in its plugin.toml"));
    }
    if loading.registered.declaration.is_some() {
        return Err(Fault::new("`plugin` is called twice").remedy("join the two maps"));
    }
    let known = ["name", "version", "description", "kitfox", "permissions", "allow"];
    let mut options = Options::new("plugin", map, &known)?;
    let name = options.string("name")?;
    let permissions = options.map("permissions")?.unwrap_or_default();
    let declaration = Declaration {
        name,
        version: options.string("version")?,
        description: options.string("description")?,
        kitfox: options.string("kitfox")?,
        permissions: read_permissions(permissions)?,
        allow: read_allow(&mut options)?,
    };
    loading.registered.declaration = Some((declaration, place));
    Ok(())
}

fn read_permissions(map: Map) -> Result<Permissions, Fault> {
    let known = ["http", "credentials", "knowledge", "env", "model", "tools", "public"];
    let mut options = Options::new("permissions", map, &known)?;
    let written = RawPermissions {
        http: options.strings("http")?,
        credentials: options.strings("credentials")?,
        knowledge: options.strings("knowledge")?,
        env: options.strings("env")?,
        model: options.boolean("model")?,
        tools: options.strings("tools")?,
        public: options.boolean("public")?,
    };
    Permissions::parse(&written).map_err(Fault::new)
}

fn tool(loading: &mut Loading, place: Place, map: Map) -> Result<(), Fault> {
    let known = [
        "name",
        "description",
        "parameters",
        "examples",
        "run",
        "stop",
        "approval",
        "annotations",
        "timeout",
        "parallel",
        "mcp",
        "allow",
    ];
    let mut options = Options::new("tool", map, &known)?;
    let name = options.required("name", Options::string)?;
    check_new_tool(loading, &name)?;
    let description = options.required("description", Options::string)?;
    let closure = options.required("run", Options::closure)?;
    let parameters = schema::read("tool", options.any("parameters"))?;
    let approval = match options.string("approval")?.as_deref() {
        None | Some("never") => Approval::Never,
        Some("destructive") => Approval::Destructive,
        Some("always") => Approval::Always,
        Some(other) => {
            return Err(Fault::new(format!("`{other}` is no `approval`"))
                .remedy("write `never`, `destructive` or `always`"));
        }
    };
    let spec = ToolSpec {
        name,
        description,
        parameters: parameters.schema.clone(),
        examples: options.strings("examples")?.unwrap_or_default(),
        stop: options.boolean("stop")?.unwrap_or_default(),
        parallel: options.boolean("parallel")?.unwrap_or(true),
        approval,
        annotations: read_annotations(&mut options)?,
        timeout: options.seconds("timeout")?,
        mcp: options.boolean("mcp")?.unwrap_or_default(),
        server: None,
        allow: read_allow(&mut options)?,
    };
    loading.registered.handlers.push(Handler {
        kind: HandlerKind::Tool { spec: Arc::new(spec), parameters },
        closure,
        place,
        script: loading.script,
    });
    Ok(())
}

fn read_allow(options: &mut Options<'_>) -> Result<Allow, Fault> {
    match options.strings("allow")? {
        Some(words) => Allow::parse(&words).map_err(Fault::new),
        None => Ok(Allow::default()),
    }
}

fn read_annotations(options: &mut Options<'_>) -> Result<serde_json::Map<String, Value>, Fault> {
    let hints = ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"];
    let map = options.map("annotations")?.unwrap_or_default();
    let known: Vec<&str> = ["title"].into_iter().chain(hints).collect();
    let mut options = Options::new("annotations", map, &known)?;
    let mut annotations = serde_json::Map::new();
    if let Some(title) = options.string("title")? {
        annotations.insert("title".to_owned(), title.into());
    }
    for hint in hints {
        if let Some(value) = options.boolean(hint)? {
            annotations.insert(hint.to_owned(), value.into());
        }
    }
    Ok(annotations)
}

fn agent_tool(loading: &mut Loading, map: Map) -> Result<(), Fault> {
    let known = ["name", "agent", "description", "stop", "allow"];
    let mut options = Options::new("agent_tool", map, &known)?;
    let name = options.required("name", Options::string)?;
    check_new_tool(loading, &name)?;
    let agent = options.required("agent", Options::string)?;
    let stop = options.boolean("stop")?.unwrap_or_default();
    let description = options.required("description", Options::string)?;
    let allow = read_allow(&mut options)?;
    let tool = AgentTool::new(name, description, agent, stop, allow);
    loading.registered.agent_tools.push(tool);
    Ok(())
}

fn client_tool(loading: &mut Loading, map: Map) -> Result<(), Fault> {
    let known = ["name", "description", "parameters", "progress", "examples", "allow"];
    let mut options = Options::new("client_tool", map, &known)?;
    let name = options.required("name", Options::string)?;
    check_new_tool(loading, &name)?;
    let description = options.required("description", Options::string)?;
    let parameters = schema::read("client_tool", options.any("parameters"))?;
    let spec = ToolSpec {
        examples: options.strings("examples")?.unwrap_or_default(),
        allow: read_allow(&mut options)?,
        ..ToolSpec::new(name, description, parameters.schema.clone())
    };
    let progress = options.string("progress")?;
    loading.registered.client_tools.push(ClientTool {
        spec: Arc::new(spec),
        parameters: Arc::new(parameters),
        progress,
    });
    Ok(())
}

fn on(loading: &mut Loading, place: Place, event: &str, closure: FnPtr) -> Result<(), Fault> {
    let found = HookEvent::find(event)?;
    let kind = HandlerKind::Hook(found);
    loading.registered.handlers.push(Handler { kind, closure, place, script: loading.script });
    Ok(())
}

fn action(
    loading: &mut Loading,
    place: Place,
    kind: ActionKind,
    name: &str,
    closure: FnPtr,
) -> Result<(), Fault> {
    let function = kind.function();
    let spec = ActionSpec::new(kind, name)?;
    let is_same = |it: &Handler| matches!(&it.kind, HandlerKind::Action(other) if *other == spec);
    if loading.registered.handlers.iter().any(is_same) {
        return Err(Fault::new(format!("the {function} `{name}` is there already"))
            .remedy("give one of the two another type, or remove it"));
    }
    let kind = HandlerKind::Action(spec);
    loading.registered.handlers.push(Handler { kind, closure, place, script: loading.script });
    Ok(())
}

fn route(
    loading: &mut Loading,
    place: Place,
    method: &str,
    path: &str,
    options: Map,
    closure: FnPtr,
) -> Result<(), Fault> {
    let mut options = Options::new("route", options, &["public"])?;
    let public = options.boolean("public")?.unwrap_or_default();
    let spec = RouteSpec::new(method, path, public)?;
    let is_same = |it: &Handler| {
        matches!(&it.kind, HandlerKind::Route(other)
            if other.answers_as(&spec))
    };
    if loading.registered.handlers.iter().any(is_same) {
        return Err(Fault::new(format!("the route `{} {path}` is there already", spec.method))
            .remedy("give it another path, or remove one of the two"));
    }
    let kind = HandlerKind::Route(spec);
    loading.registered.handlers.push(Handler { kind, closure, place, script: loading.script });
    Ok(())
}

fn check_new_tool(loading: &Loading, name: &str) -> Result<(), Fault> {
    check_tool_name(name)?;
    let tools = loading.registered.handlers.iter().filter_map(|it| match &it.kind {
        HandlerKind::Tool { spec, .. } => Some(&spec.name),
        HandlerKind::Hook(_) | HandlerKind::Route(_) | HandlerKind::Action(_) => None,
    });
    let agents = loading.registered.agent_tools.iter().map(|it| &it.spec.name);
    let clients = loading.registered.client_tools.iter().map(|it| &it.spec.name);
    if tools.chain(agents).chain(clients).any(|it| it == name) {
        return Err(Fault::new(format!("the tool `{name}` is there already"))
            .remedy("give one of the two another name"));
    }
    Ok(())
}
