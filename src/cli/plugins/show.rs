use serde_json::{Value, json};

use crate::{
    cli::output::{Output, bold, dim, plain},
    plugin::{Pin, Plugin},
};

/// What a plugin offers and asks for, below a line that the caller has printed.
pub fn show(plugin: &dyn Plugin, output: Output) {
    let manifest = plugin.manifest();
    let registration = plugin.registration();
    let line = |text: String| output.line(format!("    {}", plain(&text)));
    let list = |what: &str, names: Vec<&str>| {
        if !names.is_empty() {
            line(format!("{what}: {}", names.join(", ")));
        }
    };
    if let Some(description) = &manifest.description {
        line(description.clone());
    }
    list("tools", registration.tools.iter().map(|(it, _)| it.name.as_str()).collect());
    let agents = registration.agent_tools.iter();
    list("agents as tools", agents.map(|it| it.spec.name.as_str()).collect());
    let clients = registration.client_tools.iter();
    list("tools of the page", clients.map(|it| it.spec.name.as_str()).collect());
    if !registration.hooks.is_empty() {
        line(format!("hooks: {}", registration.hooks.len()));
    }
    for route in routes(plugin) {
        line(route);
    }
    line(format!("asks for {}", manifest.requested));
}

/// Where a plugin from elsewhere comes from.
pub fn show_pin(pin: &Pin, output: Output) {
    let resolved = match &pin.resolved {
        Some(resolved) => format!(", {}", plain(resolved)),
        None => String::new(),
    };
    output.line(format!("    from {}{resolved}", plain(&pin.source)));
    output.line(dim(&format!("    sha256 {}", pin.sha256)));
}

/// The first line about a plugin.
pub fn show_name(name: &str, version: Option<&str>, state: &str, path: &str, output: Output) {
    let version = version.map(|it| format!(" {}", plain(it))).unwrap_or_default();
    let state = if state.is_empty() { String::new() } else { format!(" ({state})") };
    output.line(format!("{}{version}{state} {}", bold(&plain(name)), dim(&plain(path))));
}

/// The same for programs.
pub fn to_json(plugin: &dyn Plugin) -> Value {
    let manifest = plugin.manifest();
    let registration = plugin.registration();
    let tools: Vec<_> = registration.tools.iter().map(|(spec, _)| &spec.name).collect();
    let agent_tools: Vec<_> = registration.agent_tools.iter().map(|it| &it.spec.name).collect();
    let client_tools: Vec<_> = registration.client_tools.iter().map(|it| &it.spec.name).collect();
    json!({
        "name": manifest.name, "path": manifest.path, "version": manifest.version,
        "description": manifest.description, "approved": manifest.approved,
        "permissions": manifest.permissions, "requested": manifest.requested,
        "tools": tools, "agent_tools": agent_tools, "client_tools": client_tools,
        "routes": routes(plugin),
    })
}

fn routes(plugin: &dyn Plugin) -> Vec<String> {
    let name = &plugin.manifest().name;
    let routes = plugin.registration().routes.iter();
    routes.map(|(route, _)| format!("{} /x/{name}{}", route.method, route.path)).collect()
}
