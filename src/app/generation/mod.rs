mod audience;
mod names;
mod pinned;
mod servers;

use std::{collections::BTreeMap, fmt::Write, path::Path, sync::Arc};

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::{
    app::files::ProjectFiles,
    config::{AuthMode, Config, Environment},
    credential::InPrompt,
    load_error::LoadError,
    mcp::{self, Hub, Servers},
    model::Models,
    oauth,
    plugin::{
        self, APPROVALS_FILE, ActionKind, Approvals, HandlerId, HookEvent, Host, Manifest, Plugin,
        PluginFiles, PluginLock, is_changed,
    },
    prompt::Prompts,
    store::Store,
    tool::ToolSet,
    widget::{WidgetTemplate, Widgets},
};

use self::{
    names::{admit, is_conflict},
    pinned::{load_lock, missing, refuse_changed},
    servers::{is_server, load_servers, settings_of},
};

/// All that a reload replaces: one immutable, validated set, kept by every turn that began with it.
#[derive(Clone)]
pub struct Generation {
    /// A hash of all files in force, so that replicas agree on it.
    pub id: Arc<str>,
    pub created_at: Timestamp,
    pub config: Arc<Config>,
    pub models: Arc<Models>,
    pub host: Arc<Host>,
    pub prompts: Prompts,
    /// Those directly in plugins/: everyone's.
    pub widgets: Arc<Widgets>,
    /// By name. Those that wait for the operator's approval are here too, and offer nothing.
    pub plugins: BTreeMap<String, Arc<dyn Plugin>>,
    /// Of the plugins; those of MCP servers differ from user to user ([`Self::offered_to`]).
    pub tools: Arc<ToolSet>,
    pub mcp: Servers,
    /// What of the configuration they are made with.
    server_settings: [u8; 32],
    /// What MCP servers say of how their tools are used, by their ids: to whom the tools are offered.
    pub server_instructions: Arc<[(String, String)]>,
    /// What plugins from elsewhere are held to. None: it cannot be told, and so there are no plugins.
    pub lock: Option<Arc<PluginLock>>,
    /// What is not in force, and why.
    pub errors: Vec<LoadError>,
    /// Whether something in it is not for everyone.
    is_gated: bool,
    /// What each part was made of, by its path.
    parts: Arc<BTreeMap<String, Part>>,
}

/// A file or pack, and what became of it.
#[derive(Clone)]
struct Part {
    /// Of the content that was last tried, in force or not.
    tried: [u8; 32],
    /// Of the content in force.
    in_force: Option<[u8; 32]>,
    /// In force, or about to be.
    plugin: Option<Loaded>,
    errors: Vec<LoadError>,
}

/// A plugin, and what it was made of: another configuration makes it anew.
#[derive(Clone)]
struct Loaded {
    plugin: Arc<dyn Plugin>,
    unit: PluginFiles,
}

/// What a generation is made of beside the files.
#[derive(Clone)]
pub struct Surroundings<'a> {
    pub project: &'a Path,
    pub environment: &'a Environment,
    pub store: &'a Store,
    pub mcp: &'a Hub,
    pub logins: &'a Arc<oauth::Shared>,
    /// In place of the configuration's, for tests.
    pub models: Option<Arc<Models>>,
    /// Called when a component is compiled that the generation was built without. None: it is waited for.
    pub compiled: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl Generation {
    /// Loads what changed, keeps what did not, and the last good version of what does not load. Fails
    /// only where there is no configuration to begin with.
    pub fn build(
        files: &ProjectFiles,
        previous: Option<&Self>,
        surroundings: &Surroundings<'_>,
    ) -> Result<Self, Vec<LoadError>> {
        let mut errors = files.errors.clone();
        let mut parts = BTreeMap::new();

        let host = load_host(files, previous, surroundings, &mut parts, &mut errors)?;
        let config = host.config.clone();
        let prompts = load_prompts(files, previous, &mut parts, &mut errors);
        let widgets = load_widgets(files, previous, &mut parts);
        let lock = load_lock(files, previous, &mut parts);
        let plugins = match &lock {
            Some(lock) => load_plugins(files, previous, &host, lock, surroundings, &mut parts),
            None => BTreeMap::new(),
        };
        errors.extend(lock.iter().flat_map(|lock| missing(files, lock)));
        let (plugins, tools) = admit(plugins, previous, &host, &mut parts);
        let server_settings = match previous {
            // What does not load is not in force.
            Some(previous) if Arc::ptr_eq(&previous.host, &host) => previous.server_settings,
            _ => settings_of(files),
        };
        let mcp = load_servers(files, previous, &host, server_settings, surroundings, &mut parts);
        for part in parts.values() {
            errors.extend(part.errors.iter().cloned());
        }
        errors.extend(prompts.check_models(&config.models));
        let waiting = plugins.values().map(|it| it.manifest()).filter(|it| !it.approved);
        errors.extend(waiting.map(Manifest::unapproved_error));
        errors.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        errors.dedup();
        let models = host.models.clone();
        let id = identify(&parts);
        let created_at = match previous {
            // The same files make the same generation.
            Some(previous) if previous.id == id => previous.created_at,
            _ => crate::chatkit::now(),
        };
        let is_gated = audience::is_gated(&config, &prompts, &tools, &mcp);
        Ok(Self {
            is_gated,
            id,
            created_at,
            config,
            models,
            host,
            prompts,
            widgets,
            plugins,
            tools: Arc::new(tools),
            mcp,
            server_settings,
            server_instructions: Arc::from([]),
            lock,
            errors,
            parts: Arc::new(parts),
        })
    }

    /// The handlers for this event, in the order of the plugins' names.
    pub fn hooks(&self, event: HookEvent) -> Vec<(Arc<dyn Plugin>, HandlerId)> {
        self.approved_plugins()
            .flat_map(|plugin| {
                let hooks = &plugin.registration().hooks;
                let hooks = hooks.iter().filter(move |(it, _)| *it == event);
                hooks.map(|(_, handler)| (plugin.clone(), *handler))
            })
            .collect()
    }

    /// The plugin that handles this action, if one does.
    pub fn find_action(
        &self,
        kind: ActionKind,
        r#type: &str,
    ) -> Option<(Arc<dyn Plugin>, HandlerId)> {
        self.approved_plugins().find_map(|plugin| {
            let mut actions = plugin.registration().actions.iter();
            let (_, handler) = actions.find(|(it, _)| it.kind == kind && it.r#type == r#type)?;
            Some((plugin.clone(), *handler))
        })
    }

    /// The same with other tools.
    #[cfg(test)]
    #[must_use]
    pub fn with_tools(&self, tools: ToolSet) -> Self {
        Self { tools: Arc::new(tools), ..self.clone() }
    }

    /// The credentials that some MCP server takes from the model, and what prompts show of them.
    pub fn in_prompt(&self) -> BTreeMap<String, InPrompt> {
        let mut all = BTreeMap::new();
        for server in self.mcp.0.values() {
            for (name, shown) in server.file().rules.in_prompt() {
                // What one server takes sealed is shown to no model.
                all.entry(name.to_owned()).and_modify(|it| *it = shown.min(*it)).or_insert(shown);
            }
        }
        all
    }

    /// Whether a component is still being compiled, so that the same files make another generation soon.
    pub fn is_compiling(&self) -> bool {
        self.errors.iter().any(is_compiling)
    }

    /// The paths of what it was made of: files, and packs by their folders.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.parts.keys().map(String::as_str)
    }

    /// The plugins that may run.
    pub fn approved_plugins(&self) -> impl Iterator<Item = &Arc<dyn Plugin>> {
        self.plugins.values().filter(|plugin| plugin.manifest().approved)
    }
}

/// What a host is made of.
const HOST_FILES: &[&str] = &["kitfox.toml", APPROVALS_FILE];

/// Configuration and approvals, and the host made of them; the previous one where nothing changed, so that
/// connections and plugins stay.
fn load_host(
    files: &ProjectFiles,
    previous: Option<&Generation>,
    surroundings: &Surroundings<'_>,
    parts: &mut BTreeMap<String, Part>,
    errors: &mut Vec<LoadError>,
) -> Result<Arc<Host>, Vec<LoadError>> {
    let mut hasher = Sha256::new();
    for name in HOST_FILES {
        hasher.update([u8::from(files.files.contains_key(*name))]);
        if let Some(file) = files.files.get(*name) {
            hasher.update(file.hash);
        }
    }
    let hash: [u8; 32] = hasher.finalize().into();
    let key = "kitfox.toml".to_owned();
    if let Some(previous) = previous
        && let Some(part) = previous.parts.get(&key).filter(|part| part.tried == hash)
    {
        parts.insert(key, part.clone());
        return Ok(previous.host.clone());
    }
    match build_host(files, surroundings) {
        Ok((host, warnings)) => {
            if let Some(previous) = previous {
                for setting in previous.config.needs_restart(&host.config) {
                    tracing::warn!("a change of `{setting}` in kitfox.toml waits for a restart");
                }
            }
            let part = Part { tried: hash, in_force: Some(hash), plugin: None, errors: warnings };
            parts.insert(key, part);
            Ok(host)
        }
        Err(problems) => {
            let Some(previous) = previous else {
                errors.extend(problems);
                return Err(std::mem::take(errors));
            };
            let in_force = previous.parts.get(&key).and_then(|part| part.in_force);
            let part = Part { tried: hash, in_force, plugin: None, errors: problems };
            parts.insert(key, part);
            Ok(previous.host.clone())
        }
    }
}

fn build_host(
    files: &ProjectFiles,
    surroundings: &Surroundings<'_>,
) -> Result<(Arc<Host>, Vec<LoadError>), Vec<LoadError>> {
    // What is left out must not count as absent: the defaults may allow what the file does not.
    let is_left_out = |err: &&LoadError| HOST_FILES.contains(&err.file.as_str());
    let mut left_out = files.errors.iter().filter(is_left_out);
    if let Some(err) = left_out.find(|err| !files.files.contains_key(&err.file)) {
        return Err(vec![err.clone()]);
    }
    let text = |name: &str| files.text(name).transpose().map_err(|err| vec![err]);
    let config = text("kitfox.toml")?;
    let config = Config::parse(config.as_deref(), surroundings.environment, surroundings.project)?;
    let approvals = match text("approvals.toml")? {
        Some(text) => Approvals::parse(&text)?,
        None => Approvals::default(),
    };
    let (models, mut warnings) = if let Some(models) = &surroundings.models {
        (models.clone(), Vec::new())
    } else {
        let (models, warnings) = Models::new(&config, surroundings.project);
        (Arc::new(models), warnings)
    };
    let store = surroundings.store.clone();
    let host = Host::new(Arc::new(config), models, store, approvals, surroundings.logins);
    warnings.extend(host.credentials.problem());
    if host.config.auth.modes.contains(&AuthMode::Oidc)
        && let Err(err) = surroundings.logins.vault().keys().check()
    {
        warnings.push(LoadError::new("kitfox.toml", err.to_string()));
    }
    warnings.extend(host.errors().iter().cloned());
    warnings.extend(mcp::address_rules(&host.config).1);
    Ok((Arc::new(host), warnings))
}

fn load_prompts(
    files: &ProjectFiles,
    previous: Option<&Generation>,
    parts: &mut BTreeMap<String, Part>,
    errors: &mut Vec<LoadError>,
) -> Prompts {
    let mut texts = BTreeMap::new();
    let mut tried = BTreeMap::new();
    for (name, file) in files.below("prompts") {
        let path = format!("prompts/{name}");
        if Path::new(name).extension().is_none_or(|it| it != "md") {
            continue;
        }
        tried.insert(path.clone(), file.hash);
        // Reading has seen to it that it is UTF-8.
        if let Some(Ok(text)) = files.text(&path) {
            texts.insert(name.to_owned(), text);
        }
    }
    let unchanged = previous.filter(|previous| {
        let before = previous.parts.iter().filter(|(path, _)| path.starts_with("prompts/"));
        before.map(|(path, part)| (path, &part.tried)).eq(tried.iter())
    });
    if let Some(previous) = unchanged {
        for (path, part) in previous.parts.iter() {
            if path.starts_with("prompts/") {
                parts.insert(path.clone(), part.clone());
            }
        }
        return previous.prompts.clone();
    }
    let (prompts, problems) = Prompts::load(&texts, previous.map(|it| &it.prompts));
    for (path, hash) in tried {
        let errors: Vec<_> = problems.iter().filter(|err| err.file == path).cloned().collect();
        let in_force = if errors.is_empty() {
            Some(hash)
        } else {
            previous.and_then(|it| it.parts.get(&path)).and_then(|part| part.in_force)
        };
        parts.insert(path, Part { tried: hash, in_force, plugin: None, errors });
    }
    errors.extend(problems.into_iter().filter(|err| !parts.contains_key(&err.file)));
    prompts
}

/// Compiles the widgets that changed, by the names of their files.
fn load_widgets(
    files: &ProjectFiles,
    previous: Option<&Generation>,
    parts: &mut BTreeMap<String, Part>,
) -> Arc<Widgets> {
    let mut widgets = Widgets::default();
    for (path, file) in files.below("plugins") {
        let Some(name) = path.strip_suffix(".widget").filter(|it| !it.contains('/')) else {
            continue;
        };
        let path = format!("plugins/{path}");
        let before = previous.and_then(|it| it.parts.get(&path));
        let last_good = previous.and_then(|it| it.widgets.find(name)).cloned();
        let (part, widget) = match before.filter(|part| part.tried == file.hash) {
            Some(part) => (part.clone(), last_good),
            None => match load_widget(files, &path) {
                Ok(widget) => {
                    let in_force = Some(file.hash);
                    let errors = Vec::new();
                    (Part { tried: file.hash, in_force, plugin: None, errors }, Some(widget))
                }
                Err(err) => {
                    let in_force = before.and_then(|part| part.in_force);
                    let errors = vec![err];
                    (Part { tried: file.hash, in_force, plugin: None, errors }, last_good)
                }
            },
        };
        widgets.0.extend(widget.map(|it| (name.to_owned(), it)));
        parts.insert(path, part);
    }
    Arc::new(widgets)
}

fn load_widget(files: &ProjectFiles, path: &str) -> Result<Arc<WidgetTemplate>, LoadError> {
    let text = files.text(path).unwrap_or_else(|| Ok(Arc::from("")))?;
    WidgetTemplate::parse(path, &text).map(Arc::new)
}

/// Loads the plugins that changed, by their paths.
fn load_plugins(
    files: &ProjectFiles,
    previous: Option<&Generation>,
    host: &Arc<Host>,
    lock: &PluginLock,
    surroundings: &Surroundings<'_>,
    parts: &mut BTreeMap<String, Part>,
) -> BTreeMap<String, Arc<dyn Plugin>> {
    let mut plugins = BTreeMap::new();
    for unit in units(files) {
        let hash = hash(&unit);
        let path = unit.path.clone();
        let before = previous.and_then(|it| it.parts.get(&path));
        let same_host = previous.is_some_and(|it| Arc::ptr_eq(&it.host, host));
        // What was refused for a name in use is tried again: the name may be free now. So is what was being compiled,
        // and what was not as plugins.lock had it.
        let is_passing = |err| is_conflict(err) || is_compiling(err) || is_changed(err);
        let unchanged = before
            .filter(|part| same_host && part.tried == hash && !part.errors.iter().any(is_passing));
        let part = if let Some(err) = refuse_changed(files, lock, &path) {
            last_good(previous, &path, host).refused(hash, vec![err])
        } else if let Some(part) = unchanged {
            part.clone()
        } else if surroundings
            .compiled
            .as_ref()
            .is_some_and(|it| !plugin::is_compiled(&unit, &host.config.limits.plugin, it))
        {
            last_good(previous, &path, host).refused(hash, vec![compiling(&path)])
        } else {
            match plugin::load(&unit, host) {
                Ok(plugin) => Part {
                    tried: hash,
                    in_force: Some(hash),
                    plugin: Some(Loaded { plugin, unit }),
                    errors: Vec::new(),
                },
                Err(errors) => last_good(previous, &path, host).refused(hash, errors),
            }
        };
        if let Some(loaded) = &part.plugin {
            plugins.insert(path.clone(), loaded.plugin.clone());
        }
        parts.insert(path, part);
    }
    plugins
}

/// The version of a plugin that was in force, under the configuration of now: what the operator forbids is
/// forbidden to old versions too.
#[derive(Default)]
struct LastGood {
    hash: Option<[u8; 32]>,
    plugin: Option<Loaded>,
}

impl LastGood {
    /// What becomes of a file whose new content, `tried`, is refused.
    fn refused(self, tried: [u8; 32], errors: Vec<LoadError>) -> Part {
        Part { tried, in_force: self.hash, plugin: self.plugin, errors }
    }
}

fn last_good(previous: Option<&Generation>, path: &str, host: &Arc<Host>) -> LastGood {
    let find = || {
        let previous = previous?;
        let part = previous.parts.get(path)?;
        let Loaded { plugin, unit } = part.plugin.clone()?;
        let plugin = if Arc::ptr_eq(&previous.host, host) {
            plugin
        } else {
            plugin::load(&unit, host).ok()?
        };
        Some(LastGood { hash: part.in_force, plugin: Some(Loaded { plugin, unit }) })
    };
    find().unwrap_or_default()
}

/// The plugins of the project: each script and each component by itself, each folder a pack.
fn units(files: &ProjectFiles) -> Vec<PluginFiles> {
    let mut units: BTreeMap<String, PluginFiles> = BTreeMap::new();
    for (path, file) in files.below("plugins").filter(|(path, _)| !is_server(path)) {
        let (name, inner) = match path.split_once('/') {
            Some((pack, inner)) => (pack, inner),
            None => match path.strip_suffix(".rhai").or_else(|| path.strip_suffix(".wasm")) {
                Some(name) => (name, path),
                // Widgets are no plugins.
                None => continue,
            },
        };
        let unit_path = format!("plugins/{}", if path.contains('/') { name } else { path });
        let unit = units.entry(unit_path.clone()).or_insert_with(|| PluginFiles {
            path: unit_path,
            name: name.to_owned(),
            files: BTreeMap::new(),
        });
        unit.files.insert(inner.to_owned(), file.content.clone());
    }
    units.into_values().collect()
}

fn hash(unit: &PluginFiles) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for (path, content) in &unit.files {
        hasher.update(Sha256::digest(path));
        hasher.update(Sha256::digest(content));
    }
    hasher.finalize().into()
}

const COMPILING: &str = "it is being compiled";

fn compiling(path: &str) -> LoadError {
    LoadError::new(path, COMPILING).remedy("it is in force as soon as that is done")
}

fn is_compiling(err: &LoadError) -> bool {
    err.message == COMPILING
}

/// The same files in force give the same id, wherever they are.
fn identify(parts: &BTreeMap<String, Part>) -> Arc<str> {
    let mut hasher = Sha256::new();
    for (path, part) in parts {
        if let Some(hash) = part.in_force {
            hasher.update(Sha256::digest(path));
            hasher.update(hash);
        }
    }
    let digest = hasher.finalize();
    let mut id = String::with_capacity(12);
    for byte in &digest[..6] {
        // Writing to a text cannot fail.
        let _ = write!(id, "{byte:02x}");
    }
    id.into()
}
