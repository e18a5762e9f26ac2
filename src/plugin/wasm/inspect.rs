use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    compile::{Compiled, compiled, is_offered},
    describe::Described,
    engine::machine,
    load::tools_of,
};
use crate::{
    config::PluginLimits,
    load_error::LoadError,
    plugin::{Declaration, HandlerId, Registration},
};

/// What a file holds, for people.
pub struct Inspection {
    /// Whether it is of our world: else its functions are tools.
    pub is_plugin: bool,
    pub declaration: Declaration,
    pub registration: Registration,
    /// What it imports, and whether a plugin has it: what it has not fails when it is called.
    pub imports: Vec<(String, bool)>,
}

/// Compiles a component and looks into it; `name` is the plugin's where it does not say so itself.
pub fn inspect(file: &str, name: &str, bytes: &[u8]) -> Result<Inspection, LoadError> {
    let compiled =
        compiled(bytes, PluginLimits::default().memory).map_err(|refusal| refusal.at(file))?;
    let (is_plugin, component, described) = match &*compiled {
        Compiled::Plugin { pre, description } => {
            let described = Described::parse(description, false).map_err(|it| it.at(file))?;
            (true, pre.instance_pre().component(), described)
        }
        Compiled::Functions { pre, exports } => {
            let mut described = Described::default();
            let tools = tools_of(name, exports).map_err(|it| it.at(file))?;
            let tools = tools.into_iter().map(Arc::new).zip((0..).map(HandlerId));
            described.registration.tools.extend(tools);
            (false, pre.component(), described)
        }
    };
    let machine = machine().map_err(|err| LoadError::new(file, err))?;
    let imports = component.component_type();
    let imports = imports
        .imports(&machine.engine)
        .map(|(name, _)| (name.to_owned(), name.starts_with("kitfox:plugin/") || is_offered(name)));
    let imports = imports.collect();
    let Described { declaration, registration, .. } = described;
    Ok(Inspection { is_plugin, declaration, registration, imports })
}

impl Inspection {
    pub fn to_json(&self) -> Value {
        let Self { is_plugin, declaration, registration, imports } = self;
        let tools: Vec<_> = registration.tools.iter().map(|(spec, _)| spec).collect();
        let agent_tools: Vec<_> = registration.agent_tools.iter().map(|it| &it.spec).collect();
        let client_tools: Vec<_> = registration.client_tools.iter().map(|it| &it.spec).collect();
        let hooks: Vec<_> = registration.hooks.iter().map(|(event, _)| event.name()).collect();
        let actions: Vec<_> = registration.actions.iter().map(|(it, _)| &it.r#type).collect();
        let routes: Vec<_> = registration
            .routes
            .iter()
            .map(|(it, _)| format!("{} {}", it.method, it.path))
            .collect();
        let imports: Vec<_> = imports
            .iter()
            .map(|(name, offered)| json!({ "name": name, "offered": offered }))
            .collect();
        json!({
            "world": if *is_plugin { "kitfox:plugin/plugin" } else { "another" },
            "name": declaration.name, "version": declaration.version,
            "description": declaration.description, "permissions": declaration.permissions,
            "tools": tools, "agent_tools": agent_tools, "client_tools": client_tools, "hooks": hooks,
            "actions": actions, "routes": routes, "imports": imports,
        })
    }
}
