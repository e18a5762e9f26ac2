//! Who has which name: of plugins, tools and actions, each has one holder.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    load_error::LoadError,
    plugin::{self, ActionKind, ActionSpec, Host, Plugin},
    tool::ToolSet,
};

use super::{Generation, LastGood, Part, last_good};

/// Sorts out who may have which name. What is in force keeps its names; a newcomer that wants one of
/// them is refused, and newcomers that want the same are refused both.
pub fn admit(
    plugins: BTreeMap<String, Arc<dyn Plugin>>,
    previous: Option<&Generation>,
    host: &Arc<Host>,
    parts: &mut BTreeMap<String, Part>,
) -> (BTreeMap<String, Arc<dyn Plugin>>, ToolSet) {
    let mut holders: BTreeMap<Name, String> = BTreeMap::new();
    for (path, plugin) in &plugins {
        let before = previous.and_then(|it| in_force_at(it, path)).map(names).unwrap_or_default();
        let kept = names(plugin).into_iter().filter(|name| before.contains(name));
        holders.extend(kept.map(|name| (name, path.clone())));
    }
    let mut wanted: BTreeMap<Name, Vec<String>> = BTreeMap::new();
    for (path, plugin) in &plugins {
        for name in names(plugin) {
            wanted.entry(name).or_default().push(path.clone());
        }
    }
    let mut admitted: Vec<Arc<dyn Plugin>> = Vec::new();
    for (path, plugin) in plugins {
        let rivals: Vec<(Name, String)> = names(&plugin)
            .into_iter()
            .filter_map(|name| {
                let rival = match holders.get(&name) {
                    Some(holder) => Some(holder).filter(|holder| **holder != path),
                    None => wanted.get(&name)?.iter().find(|it| **it != path),
                };
                let rival = rival?.clone();
                Some((name, rival))
            })
            .collect();
        if rivals.is_empty() {
            admitted.push(plugin);
            continue;
        }
        let mut before = last_good(previous, &path, host);
        // Its last version may hold a name that another one has by now.
        let is_free = |name: &Name| holders.get(name).is_none_or(|holder| *holder == path);
        if before.plugin.as_ref().is_some_and(|it| !names(&it.plugin).iter().all(is_free)) {
            before = LastGood::default();
        }
        admitted.extend(before.plugin.as_ref().map(|it| it.plugin.clone()));
        if let Some(part) = parts.get_mut(&path) {
            let mut errors = std::mem::take(&mut part.errors);
            errors.extend(rivals.iter().map(|(name, rival)| conflict(name, &path, rival)));
            *part = before.refused(part.tried, errors);
        }
    }
    let mut plugins = BTreeMap::new();
    let mut tools = ToolSet::default();
    for plugin in admitted {
        if plugin.manifest().approved {
            for tool in plugin::tools(&plugin) {
                tools.0.insert(tool.spec.name.clone(), tool);
            }
        }
        plugins.insert(plugin.manifest().name.clone(), plugin);
    }
    (plugins, tools)
}

/// The version of the plugin at `path` that was in force.
fn in_force_at<'a>(previous: &'a Generation, path: &str) -> Option<&'a Arc<dyn Plugin>> {
    previous.plugins.values().find(|plugin| plugin.manifest().path == path)
}

/// A name that only one plugin may have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Plugin(String),
    Tool(String),
    Action(ActionSpec),
}

fn names(plugin: &Arc<dyn Plugin>) -> BTreeSet<Name> {
    let registration = plugin.registration();
    let tools = registration.tools.iter().map(|(spec, _)| spec);
    let agent_tools = registration.agent_tools.iter().map(|tool| &tool.spec);
    let client_tools = registration.client_tools.iter().map(|tool| &tool.spec);
    let tools =
        tools.chain(agent_tools).chain(client_tools).map(|spec| Name::Tool(spec.name.clone()));
    let actions = registration.actions.iter().map(|(action, _)| Name::Action(action.clone()));
    tools.chain(actions).chain([Name::Plugin(plugin.manifest().name.clone())]).collect()
}

const CONFLICT: &str = "is offered by";

fn conflict(name: &Name, path: &str, rival: &str) -> LoadError {
    let (kind, name) = match name {
        Name::Plugin(name) => ("the plugin name", name),
        Name::Tool(name) => ("the tool", name),
        Name::Action(action) => match action.kind {
            ActionKind::Turn => ("the action", &action.r#type),
            ActionKind::Sync => ("the sync action", &action.r#type),
        },
    };
    LoadError::new(path, format!("{kind} `{name}` {CONFLICT} {rival} as well"))
        .remedy("rename it in one of the two files")
}

pub fn is_conflict(err: &LoadError) -> bool {
    err.message.contains(CONFLICT)
}
