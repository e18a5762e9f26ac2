//! From the files of a plugin to what it offers.

use std::sync::Arc;

use super::{
    Code, Handler, WasmPlugin,
    bindings::{Handler as Name, PluginPre},
    compile::{Compiled, Refusal, compiled, refuse},
    components,
    describe::{Described, Registered},
    export::{Export, short, tool_names},
    is_pack,
    state::State,
};
use crate::{
    load_error::LoadError,
    plugin::{
        ActionKind, Assets, Declaration, HandlerId, Host, Manifest, Parameters, PluginFiles,
        Registration, ctx::Identity, registration::check_tool_name,
    },
    tool::ToolSpec,
};

impl WasmPlugin {
    pub fn load(files: &PluginFiles, host: &Arc<Host>) -> Result<Self, Vec<LoadError>> {
        let is_pack = is_pack(files);
        let assets = Assets::load(files, is_pack)?;
        let mut declaration =
            if is_pack { Declaration::of_pack(files)? } else { Declaration::default() };
        let mut parts = Vec::new();
        let mut errors = Vec::new();
        for (path, bytes) in components(files) {
            match read(bytes, is_pack, host.config.limits.plugin.memory) {
                Ok(part) => parts.push((path, part)),
                Err(refusal) => errors.push(refusal.at(&path)),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        if let (false, Some((_, (_, described)))) = (is_pack, parts.first_mut()) {
            declaration = std::mem::take(&mut described.declaration);
        }
        let manifest = Manifest::decide(declaration, files, &host.config.plugins, &host.approvals)
            .map_err(|err| vec![err])?;

        let mut registration = Registration::default();
        let mut handlers = Vec::new();
        let mut all = Vec::new();
        for (path, (compiled, described)) in parts {
            let (offered, own) = offer(&manifest.name, &path, &compiled, described)
                .map_err(|refusal| vec![refusal.at(&path)])?;
            check_public(&offered, &manifest, &path).map_err(|err| vec![err])?;
            registration.join(offered, handlers.len());
            handlers.extend(own);
            all.push(compiled);
        }
        registration.check().map_err(|err| vec![LoadError::new(&files.path, err)])?;
        if !manifest.approved {
            registration = Registration::default();
        }
        let identity = Arc::new(Identity { manifest, assets });
        Ok(Self { identity, host: host.clone(), registration, handlers, _components: all })
    }
}

fn read(bytes: &[u8], is_pack: bool, memory: usize) -> Result<(Arc<Compiled>, Described), Refusal> {
    let compiled = compiled(bytes, memory)?;
    let described = match &*compiled {
        Compiled::Plugin { description, .. } => Described::parse(description, is_pack)?,
        Compiled::Functions { .. } => Described::default(),
    };
    Ok((compiled, described))
}

/// What a component offers in a plugin of this name, and what runs when it is called.
fn offer(
    plugin: &str,
    path: &str,
    compiled: &Compiled,
    described: Described,
) -> Result<(Registration, Vec<Handler>), Refusal> {
    let path: Arc<str> = path.into();
    match compiled {
        Compiled::Plugin { pre, .. } => {
            let handlers = described.handlers.into_iter().map(|it| Handler::of(it, &path, pre));
            Ok((described.registration, handlers.collect()))
        }
        Compiled::Functions { exports, .. } => {
            let mut registration = Registration::default();
            let mut handlers = Vec::new();
            for (export, name) in exports.iter().zip(tool_names(plugin, exports)) {
                let (spec, parameters) = tool_of(export, name)?;
                registration.tools.push((Arc::new(spec), HandlerId(handlers.len())));
                handlers.push(Handler {
                    path: path.clone(),
                    parameters: Some(parameters),
                    timeout: None,
                    code: Code::Function(export.clone()),
                });
            }
            Ok((registration, handlers))
        }
    }
}

/// The tools that the functions of a component are, for a plugin of this name.
pub fn tools_of(plugin: &str, exports: &[Arc<Export>]) -> Result<Vec<ToolSpec>, Refusal> {
    let names = tool_names(plugin, exports);
    let specs = exports.iter().zip(names).map(|(export, name)| tool_of(export, name));
    specs.map(|it| it.map(|(spec, _)| spec)).collect()
}

fn tool_of(export: &Export, name: String) -> Result<(ToolSpec, Parameters), Refusal> {
    check_tool_name(&name)?;
    let parameters = Parameters::new(export.schema()).map_err(refuse)?;
    let signature = export.signature();
    let description = match &export.interface {
        None => format!("The function `{signature}`."),
        Some(interface) => format!("The function `{signature}` of `{}`.", short(interface)),
    };
    Ok((ToolSpec::new(name, description, parameters.schema.clone()), parameters))
}

impl Handler {
    fn of(registered: Registered, path: &Arc<str>, pre: &PluginPre<State>) -> Self {
        let (name, parameters, timeout) = match registered {
            Registered::Tool { spec, parameters } => {
                (Name::Tool(spec.name.clone()), Some(parameters), spec.timeout)
            }
            Registered::Hook(event) => (Name::Hook(event.name().to_owned()), None, None),
            Registered::Action(action) => match action.kind {
                ActionKind::Turn => (Name::Action(action.r#type), None, None),
                ActionKind::Sync => (Name::SyncAction(action.r#type), None, None),
            },
            Registered::Route(route) => {
                (Name::Route(format!("{} {}", route.method, route.path)), None, None)
            }
        };
        let code = Code::Call { pre: pre.clone(), name };
        Self { path: path.clone(), parameters, timeout, code }
    }
}

fn check_public(
    registration: &Registration,
    manifest: &Manifest,
    path: &str,
) -> Result<(), LoadError> {
    if manifest.permissions.public || registration.routes.iter().all(|(it, _)| !it.public) {
        return Ok(());
    }
    let name = &manifest.name;
    let remedy = if manifest.requested.public {
        format!("grant `public` under `[plugins.{name}] permissions` in kitfox.toml")
    } else {
        format!("state the permission `public` in {}", manifest.permissions_file())
    };
    let message = format!("the plugin `{name}` may not have public routes");
    Err(LoadError::new(path, message).remedy(remedy))
}
