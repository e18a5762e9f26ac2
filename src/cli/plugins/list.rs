use std::{collections::BTreeMap, process::ExitCode};

use serde_json::{Value, json};

use super::show::{show, show_name, show_pin, to_json};
use crate::{
    app::{App, Generation},
    cli::output::Output,
    load_error::LoadError,
    plugin::{Pin, is_changed},
};

/// Of what there is in plugins/, or should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    InForce,
    WaitsForApproval,
    ChangedSincePinned,
    Missing,
    Error,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::InForce => "in force",
            Self::WaitsForApproval => "waits for approval",
            Self::ChangedSincePinned => "changed since pinned",
            Self::Missing => "missing",
            Self::Error => "error",
        }
    }

    /// Why something is not in force.
    fn of(errors: &[&LoadError], pin: Option<(&str, &Pin)>) -> Self {
        let is_missing = pin.is_some_and(|(name, pin)| errors.contains(&&pin.missing(name)));
        if errors.iter().any(|err| is_changed(err)) {
            Self::ChangedSincePinned
        } else if is_missing {
            Self::Missing
        } else {
            Self::Error
        }
    }
}

pub fn run(app: &App, output: Output) -> ExitCode {
    let generation = app.generation();
    let mut list: BTreeMap<String, Value> = BTreeMap::new();
    for plugin in generation.plugins.values() {
        let manifest = plugin.manifest();
        let state = if manifest.approved { State::InForce } else { State::WaitsForApproval };
        let note = if manifest.approved { "" } else { state.name() };
        show_name(&manifest.name, manifest.version.as_deref(), note, &manifest.path, output);
        show(plugin.as_ref(), output);
        let pin = pin_of(&generation, &manifest.path);
        if let Some((_, pin)) = pin {
            show_pin(pin, output);
        }
        list.insert(manifest.path.clone(), with_pin(to_json(plugin.as_ref()), state, pin));
    }
    // What is not in force has no more than a place.
    for (path, errors) in broken(&generation) {
        if list.contains_key(&path) {
            continue;
        }
        let pin = pin_of(&generation, &path);
        let name = pin.map_or_else(|| name_of(&path), |(name, _)| name);
        let state = State::of(&errors, pin);
        show_name(name, None, state.name(), &path, output);
        if let Some((_, pin)) = pin {
            show_pin(pin, output);
        }
        list.insert(path.clone(), with_pin(json!({ "name": name, "path": path }), state, pin));
    }
    if list.is_empty() {
        output.line("there are no plugins: `kitfox new rhai hello` makes one");
    }
    output.problems(&generation.errors);
    let list: Vec<_> = list.into_values().collect();
    output.value(&json!({ "plugins": list, "errors": generation.errors }));
    ExitCode::SUCCESS
}

fn pin_of<'a>(generation: &'a Generation, path: &str) -> Option<(&'a str, &'a Pin)> {
    generation.lock.as_ref()?.find_path(path)
}

fn with_pin(mut value: Value, state: State, pin: Option<(&str, &Pin)>) -> Value {
    value["state"] = json!(state.name());
    if let Some((_, Pin { file: _, source, resolved, sha256, added, updated })) = pin {
        value["source"] = json!(source);
        value["resolved"] = json!(resolved);
        value["sha256"] = json!(sha256);
        value["added"] = json!(added);
        value["updated"] = json!(updated);
    }
    value
}

/// The files and packs in plugins/ that have errors.
fn broken(generation: &Generation) -> BTreeMap<String, Vec<&LoadError>> {
    let mut broken: BTreeMap<String, Vec<&LoadError>> = BTreeMap::new();
    for err in &generation.errors {
        let mut parts = err.file.split('/');
        if let (Some("plugins"), Some(name)) = (parts.next(), parts.next())
            && !name.ends_with(".widget")
        {
            broken.entry(format!("plugins/{name}")).or_default().push(err);
        }
    }
    broken
}

/// What a plugin is called where it does not say so.
fn name_of(path: &str) -> &str {
    let name = path.trim_start_matches("plugins/");
    name.strip_suffix(".rhai").or_else(|| name.strip_suffix(".wasm")).unwrap_or(name)
}
