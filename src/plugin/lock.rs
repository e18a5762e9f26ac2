use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    load_error::LoadError,
    plugin::{
        ContentDigest,
        declaration::{Wrong, check_name},
        toml_file::{Entry, TomlFile, entries},
    },
};

/// plugins.lock: the plugins that came from elsewhere, each held to its content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PluginLock {
    by_name: BTreeMap<String, Pin>,
}

/// What one plugin is held to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pin {
    /// Its path in the project, which its name determines but for the ending.
    pub file: String,
    /// Where it comes from, as it was given.
    pub source: String,
    /// The one version that the source led to, where it can lead to several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved: Option<String>,
    pub sha256: ContentDigest,
    pub added: Timestamp,
    pub updated: Timestamp,
}

/// The file's name, in the project's folder.
pub const LOCK_FILE: &str = "plugins.lock";

const HEADER: &str = "\
# The plugins that came from elsewhere. One whose content has another digest than here is not loaded.
# `kitfox plugins add`, `update` and `remove` write this file.
";

const KEYS: &[&str] = &["file", "source", "resolved", "sha256", "added", "updated"];

const REMEDY: &str =
    "mend it, or bring back its last version: without it no plugin is loaded at a start";

impl PluginLock {
    /// Parses the text of plugins.lock.
    pub fn parse(text: &str) -> Result<Self, Vec<LoadError>> {
        Self::read(text).map_err(|mut errors| {
            for err in &mut errors {
                err.remedy.get_or_insert_with(|| REMEDY.to_owned());
            }
            errors
        })
    }

    fn read(text: &str) -> Result<Self, Vec<LoadError>> {
        let (mut reader, table) = TomlFile::parse(LOCK_FILE, text)?;
        let mut lock = Self::default();
        for entry in entries(&table) {
            if let Err(Wrong { message, remedy }) = check_name(entry.0) {
                reader.refuse(entry.1, message, Some(remedy));
            } else if let Some(pin) = read_pin(&mut reader, &entry) {
                lock.by_name.insert(entry.0.to_owned(), pin);
            }
        }
        reader.finish()?;
        Ok(lock)
    }

    pub fn find(&self, name: &str) -> Option<&Pin> {
        self.by_name.get(name)
    }

    /// What holds the plugin whose file or folder this is.
    pub fn find_path(&self, path: &str) -> Option<(&str, &Pin)> {
        self.iter().find(|(_, pin)| pin.file == path)
    }

    /// All, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Pin)> {
        self.by_name.iter().map(|(name, pin)| (name.as_str(), pin))
    }

    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Replaces what the plugin `name` is held to.
    pub fn hold(&mut self, name: &str, pin: Pin) {
        self.by_name.insert(name.to_owned(), pin);
    }

    /// From now on the plugin `name` is one of the project's own.
    pub fn release(&mut self, name: &str) {
        self.by_name.remove(name);
    }

    /// The text of plugins.lock.
    pub fn to_toml(&self) -> String {
        let tables = toml::to_string(&self.by_name).expect("texts are TOML");
        format!("{HEADER}\n{tables}")
    }
}

impl Pin {
    /// Why a plugin with another content is not loaded.
    pub fn refuse(&self, name: &str, found: ContentDigest) -> LoadError {
        let message =
            format!("{CHANGED} (sha256 {}…, not {}…)", found.short(), self.sha256.short());
        LoadError::new(&self.file, message).remedy(format!(
            "`kitfox plugins update {name}` fetches it again; if the change is yours, `kitfox plugins remove \
             {name} --keep-file` makes the file one of the project's own"
        ))
    }

    /// Why a plugin is not there.
    pub fn missing(&self, name: &str) -> LoadError {
        LoadError::new(&self.file, "plugins.lock names this plugin, and it is not there").remedy(format!(
            "`kitfox plugins update {name}` fetches it, `kitfox plugins remove {name}` forgets it"
        ))
    }
}

const CHANGED: &str = "its content is not what plugins.lock holds it to";

/// Whether it is [`Pin::refuse`]'s, so that the same file may be loaded once the lock is another.
pub fn is_changed(err: &LoadError) -> bool {
    err.message.starts_with(CHANGED)
}

fn read_pin(reader: &mut TomlFile<'_>, entry: &Entry<'_, '_>) -> Option<Pin> {
    let (name, place, value, span) = entry;
    let Some(table) = value.as_table() else {
        reader.refuse_kind(span.clone(), name, "a table", value);
        return None;
    };
    let mut texts: BTreeMap<&str, String> = BTreeMap::new();
    let (mut sha256, mut times) = (None, BTreeMap::new());
    for entry in entries(table) {
        let (key, _, _, span) = &entry;
        if !KEYS.contains(key) {
            reader.refuse_key(entry.1.clone(), key, KEYS);
            continue;
        }
        let text = reader.text(&entry)?;
        let checked = match *key {
            "file" => check_file(name, &text),
            "sha256" => text.parse().map(|it| sha256 = Some(it)),
            "added" | "updated" => text
                .parse::<Timestamp>()
                .map(|it| _ = times.insert(*key, it))
                .map_err(|_| format!("`{key}` is no time, as `2026-01-31T12:00:00Z`")),
            _ => Ok(()),
        };
        if let Err(message) = checked {
            reader.refuse(span.clone(), message, None);
            return None;
        }
        texts.insert(key, text);
    }
    for key in KEYS.iter().filter(|it| **it != "resolved") {
        if !texts.contains_key(key) {
            reader.refuse(place.clone(), format!("`{name}` lacks `{key}`"), None);
            return None;
        }
    }
    Some(Pin {
        file: texts.remove("file")?,
        source: texts.remove("source")?,
        resolved: texts.remove("resolved"),
        sha256: sha256?,
        added: times.remove("added")?,
        updated: times.remove("updated")?,
    })
}

/// What is written and removed by its path is a plugin's own: nothing else can be named.
fn check_file(name: &str, file: &str) -> Result<(), String> {
    let paths = ["", ".rhai", ".wasm"].map(|ending| format!("plugins/{name}{ending}"));
    if paths.iter().any(|it| it == file) {
        return Ok(());
    }
    let [pack, script, component] = paths;
    Err(format!("the file of `{name}` can be `{script}`, `{component}` or the folder `{pack}`"))
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn pin() -> Pin {
        Pin {
            file: "plugins/weather.wasm".to_owned(),
            source: "oci://registry.test/ada/weather:1".to_owned(),
            resolved: Some("registry.test/ada/weather@sha256:00".to_owned()),
            sha256: ContentDigest::of(b"weather"),
            added: "2026-01-31T12:00:00Z".parse().unwrap(),
            updated: "2026-02-01T12:00:00.5Z".parse().unwrap(),
        }
    }

    fn errors(text: &str) -> String {
        let errors = PluginLock::parse(text).unwrap_err();
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_plugins_are_held_to_can_be_read_in_review_and_read_back() {
        let mut lock = PluginLock::default();
        lock.hold("weather", pin());
        lock.hold("cats", Pin { file: "plugins/cats".to_owned(), resolved: None, ..pin() });
        let text = lock.to_toml();
        assert_snapshot!(text, @r#"
        # The plugins that came from elsewhere. One whose content has another digest than here is not loaded.
        # `kitfox plugins add`, `update` and `remove` write this file.

        [cats]
        file = "plugins/cats"
        source = "oci://registry.test/ada/weather:1"
        sha256 = "e5e72beb4e3c6926d3dc9e3e2ef7833ba50cd919c2460a782b244fd071e920de"
        added = "2026-01-31T12:00:00Z"
        updated = "2026-02-01T12:00:00.5Z"

        [weather]
        file = "plugins/weather.wasm"
        source = "oci://registry.test/ada/weather:1"
        resolved = "registry.test/ada/weather@sha256:00"
        sha256 = "e5e72beb4e3c6926d3dc9e3e2ef7833ba50cd919c2460a782b244fd071e920de"
        added = "2026-01-31T12:00:00Z"
        updated = "2026-02-01T12:00:00.5Z"
        "#);
        assert_eq!(PluginLock::parse(&text).unwrap(), lock);
        assert_eq!(lock.find_path("plugins/cats").unwrap().0, "cats");
        lock.release("cats");
        assert_eq!(lock.find("cats"), None);
        assert_eq!(PluginLock::parse("").unwrap(), PluginLock::default());
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        let mut lock = PluginLock::default();
        lock.hold("weather", pin());
        let good = lock.to_toml();
        assert_snapshot!(errors(&good.replace("sha256 = \"", "sha256 = \"x")), @"plugins.lock:8:10: `xe5e72beb4e3c6926d3dc9e3e2ef7833ba50cd919c2460a782b244fd071e920de` is no SHA-256: it has 64 digits of 0-9 and a-f (mend it, or bring back its last version: without it no plugin is loaded at a start)");
        assert_snapshot!(errors(&good.replace("added", "addet")), @"
        plugins.lock:4:2: `weather` lacks `added` (mend it, or bring back its last version: without it no plugin is loaded at a start)
        plugins.lock:9:1: unknown key `addet` (did you mean `added`?)
        ");
        assert_snapshot!(errors(&good.replace("2026-01", "yesterday")), @"plugins.lock:9:9: `added` is no time, as `2026-01-31T12:00:00Z` (mend it, or bring back its last version: without it no plugin is loaded at a start)");
        assert_snapshot!(errors(&good.replace("source = ", "<<<<<<< HEAD\nsource = ")), @"
        plugins.lock:6:1: invalid unquoted key, expected letters, numbers, `-`, `_` (mend it, or bring back its last version: without it no plugin is loaded at a start)
        plugins.lock:6:9: key with no value, expected `=` (mend it, or bring back its last version: without it no plugin is loaded at a start)
        ");
        assert_snapshot!(errors("[weather]\nsource = 'x'"), @"plugins.lock:1:2: `weather` lacks `file` (mend it, or bring back its last version: without it no plugin is loaded at a start)");
        assert_snapshot!(errors("['../up']\n"), @"plugins.lock:1:2: `../up` cannot be a plugin's name (a name has 1 to 63 of the characters a-z, 0-9, `_` and `-`, and begins with a letter or digit)");
        assert_snapshot!(errors("weather = 1\n"), @"plugins.lock:1:11: `weather` must be a table, not an integer (mend it, or bring back its last version: without it no plugin is loaded at a start)");
    }

    #[test]
    fn it_can_name_no_file_but_the_plugins_own() {
        for file in [
            "kitfox.toml",
            "plugins",
            "plugins/",
            "plugins/other.wasm",
            "plugins/weather.widget",
            "plugins/weather/../../x",
            "../weather.wasm",
            "/etc/passwd",
            "",
        ] {
            let mut lock = PluginLock::default();
            lock.hold("weather", Pin { file: file.to_owned(), ..pin() });
            assert!(PluginLock::parse(&lock.to_toml()).is_err(), "{file}");
        }
    }
}
