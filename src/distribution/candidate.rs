use std::sync::Arc;

use anyhow::{anyhow, bail};

use crate::{
    app::App,
    chatkit::now,
    distribution::{Content, Existing, Package, Source, fetch},
    load_error::LoadError,
    plugin::{self, ContentDigest, LOCK_FILE, Permissions, Pin, Plugin, PluginLock, check_name},
};

/// A plugin that was fetched and loads in this project, but is not in it.
pub struct Candidate {
    pub name: String,
    pub content: Content,
    /// What it is to be held to.
    pub pin: Pin,
    pub existing: Existing,
    pub plugin: Arc<dyn Plugin>,
    /// What a component imports and no plugin has: it fails where it is called.
    pub denied: Vec<String>,
    /// The version of now, where there is one.
    pub before: Option<Before>,
}

/// The version of a plugin that is to be replaced.
pub struct Before {
    /// As it was fetched.
    pub sha256: ContentDigest,
    /// Whether its file is another one by now.
    pub is_changed: bool,
    /// None: it was not in force, so nobody can say what it asks for.
    pub permissions: Option<Permissions>,
}

impl Candidate {
    /// Whether it may do what the version of now may not.
    pub fn asks_for_more(&self) -> bool {
        let before = self.before.as_ref().and_then(|it| it.permissions.as_ref());
        let requested = &self.plugin.manifest().requested;
        !before.is_some_and(|it| it.covers(requested)) && *requested != Permissions::default()
    }
}

/// Fetches a plugin and looks whether it can be had in this project: its name is free, as are those of its tools, and
/// it loads. With [`Existing::Replaced`], whatever has its place is no hindrance.
pub async fn find_candidate(
    app: &App,
    source: &Source,
    name: Option<&str>,
    existing: Existing,
) -> anyhow::Result<Candidate> {
    if let Some(name) = name {
        check_name(name)?;
    }
    let Package { content, name: found, resolved } =
        fetch(source, &app.project, &app.environment).await?;
    let given = name.map(str::to_owned);
    let (app, source) = (app.clone(), source.to_string());
    let find = move || {
        let generation = app.generation();
        let lock = lock(&app)?;
        let first = match &given {
            Some(name) => name.clone(),
            None => own_name(&found)?,
        };
        let plugin = plugin::load(&content.unit(&first), &generation.host)
            .map_err(|errors| refused(&errors))?;
        let name = plugin.manifest().name.clone();
        if given.is_some_and(|given| given != name) {
            bail!("the plugin says itself that its name is `{name}`: leave out `--name`");
        }
        let file = content.path(&name);
        let before = lock.find(&name);
        let existing = match existing {
            Existing::Replaced(_) => Existing::Replaced(before.cloned()),
            Existing::None if before.is_some() => bail!(
                "`{name}` is there already: `kitfox plugins update {name}` fetches its source again, `--force` \
                 replaces it"
            ),
            Existing::None if std::fs::symlink_metadata(app.project.join(&file)).is_ok() => bail!(
                "{file} is there already, and is one of the project's own: remove it first, or replace it with \
                 `--force`"
            ),
            Existing::None => Existing::None,
        };
        let time = now();
        let added = before.map_or(time, |it| it.added);
        let sha256 = content.digest();
        let pin = Pin { file, source, resolved, sha256, added, updated: time };
        examine(&app, name, content, pin, existing)
    };
    tokio::task::spawn_blocking(find).await?
}

/// Fetches a plugin's source again. None: the project has what is there.
pub async fn find_update(app: &App, name: &str, pin: &Pin) -> anyhow::Result<Option<Candidate>> {
    let source = Source::parse(&pin.source)?;
    let Package { content, name: _, resolved } =
        fetch(&source, &app.project, &app.environment).await?;
    let sha256 = content.digest();
    if sha256 == pin.sha256 && app.files().digest(&pin.file) == Some(sha256) {
        return Ok(None);
    }
    let file = content.path(name);
    if file != pin.file {
        bail!(
            "`{source}` gives {file} now, and it was {}: remove it with `kitfox plugins remove {name}`, then add it \
             again",
            pin.file
        );
    }
    let existing = Existing::Replaced(Some(pin.clone()));
    let (app, name) = (app.clone(), name.to_owned());
    let pin = Pin { resolved, sha256, updated: now(), ..pin.clone() };
    let find = move || examine(&app, name, content, pin, existing).map(Some);
    tokio::task::spawn_blocking(find).await?
}

/// Loads the project as it would be. It blocks.
fn examine(
    app: &App,
    name: String,
    content: Content,
    pin: Pin,
    existing: Existing,
) -> anyhow::Result<Candidate> {
    let mut files = app.files();
    let present = files.digest(&pin.file);
    let mut lock = PluginLock::clone(&*lock(app)?);
    lock.hold(&name, pin.clone());
    files.take_out(&pin.file);
    for (path, content) in content.files(&name) {
        files.put(&path, content).map_err(|err| refused(&[err]))?;
    }
    files.put(LOCK_FILE, lock.to_toml().into_bytes().into()).map_err(|err| refused(&[err]))?;

    let generation = app.rehearse(&files).map_err(|errors| refused(&errors))?;
    let plugin = generation.plugins.values().find(|it| it.manifest().path == pin.file);
    let waiting = plugin.map(|it| it.manifest().unapproved_error());
    let own = generation.errors.iter().filter(|err| {
        let below = err.file.strip_prefix(pin.file.as_str());
        below.is_some_and(|it| it.is_empty() || it.starts_with('/'))
            && Some(*err) != waiting.as_ref()
    });
    let own: Vec<_> = own.cloned().collect();
    let plugin = match plugin {
        Some(plugin) if own.is_empty() => plugin.clone(),
        Some(_) | None => return Err(refused(&own)),
    };
    if plugin.manifest().name != name {
        bail!("it calls itself `{}` now: add it under that name", plugin.manifest().name);
    }
    let denied = match &content {
        Content::Component(bytes) => {
            let inspection =
                plugin::inspect(&pin.file, &name, bytes).map_err(|err| refused(&[err]))?;
            let denied = inspection.imports.into_iter().filter(|(_, offered)| !offered);
            denied.map(|(import, _)| import).collect()
        }
        Content::Script(_) | Content::Pack(_) => Vec::new(),
    };
    let before = match &existing {
        Existing::Replaced(Some(before)) => {
            let current = app.generation();
            let current = current.plugins.get(&name).filter(|it| it.manifest().path == pin.file);
            Some(Before {
                sha256: before.sha256,
                is_changed: present.is_some_and(|it| it != before.sha256),
                permissions: current.map(|it| it.manifest().requested.clone()),
            })
        }
        Existing::Replaced(None) | Existing::None => None,
    };
    Ok(Candidate { name, content, pin, existing, plugin, denied, before })
}

fn lock(app: &App) -> anyhow::Result<Arc<PluginLock>> {
    let generation = app.generation();
    let wrong = generation.errors.iter().find(|err| err.file == LOCK_FILE);
    match (&generation.lock, wrong) {
        (Some(lock), None) => Ok(lock.clone()),
        (_, Some(err)) => Err(anyhow!("{err}")),
        (None, None) => Err(anyhow!("plugins.lock cannot be read")),
    }
}

/// The name for a plugin of which only what others call it is known.
fn own_name(found: &str) -> anyhow::Result<String> {
    let last = found.rsplit(['/', '\\']).next().unwrap_or_default().to_lowercase();
    let allowed = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || "-_".contains(it);
    let name: String = last.chars().map(|it| if allowed(it) { it } else { '-' }).take(63).collect();
    let name = name.trim_matches(['-', '_']);
    if name.is_empty() {
        bail!("nothing says what the plugin is called: name it with `--name NAME`");
    }
    Ok(name.to_owned())
}

fn refused(errors: &[LoadError]) -> anyhow::Error {
    let errors: Vec<_> = errors.iter().map(|err| format!("\n  {err}")).collect();
    anyhow!("it does not load in this project, so it is not taken:{}", errors.concat())
}

#[cfg(test)]
mod tests {
    use super::own_name;

    #[test]
    fn a_name_from_elsewhere_becomes_a_plain_one() {
        for (found, name) in [
            ("weather", "weather"),
            ("Weather Report", "weather-report"),
            ("../../etc/passwd", "passwd"),
            ("..\\..\\boot", "boot"),
            ("/etc/cron.d/x", "x"),
            ("-rf", "rf"),
            ("a\u{202e}b\0c\x1b[2J", "a-b-c--2j"),
            (&"x".repeat(300), &"x".repeat(63)),
        ] {
            assert_eq!(own_name(found).unwrap(), name);
        }
        for nothing in ["", "..", "/", "\u{202e}", "---"] {
            assert!(own_name(nothing).is_err(), "{nothing:?}");
        }
    }
}
