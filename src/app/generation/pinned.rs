//! Plugins from elsewhere are loaded as plugins.lock has them, or not at all.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    app::files::ProjectFiles,
    load_error::LoadError,
    plugin::{LOCK_FILE, PluginLock},
};

use super::{Generation, Part};

/// What plugins are held to: the last good plugins.lock where the one of now cannot be read. None where there was none
/// before: which plugins it held cannot be told, and what may be held must not run as anything else.
pub fn load_lock(
    files: &ProjectFiles,
    previous: Option<&Generation>,
    parts: &mut BTreeMap<String, Part>,
) -> Option<Arc<PluginLock>> {
    let last_good = || previous.and_then(|it| it.lock.clone());
    let Some(file) = files.files.get(LOCK_FILE) else {
        // What is left out is not absent, and its error is there already.
        let is_left_out = files.errors.iter().any(|err| err.file == LOCK_FILE);
        return if is_left_out { last_good() } else { Some(Arc::default()) };
    };
    let before = previous.and_then(|it| it.parts.get(LOCK_FILE));
    if let Some(part) = before.filter(|part| part.tried == file.hash) {
        parts.insert(LOCK_FILE.to_owned(), part.clone());
        return last_good();
    }
    let text = files.text(LOCK_FILE).unwrap_or_else(|| Ok(Arc::from("")));
    let (lock, in_force, errors) =
        match text.map_err(|err| vec![err]).and_then(|text| PluginLock::parse(&text)) {
            Ok(lock) => (Some(Arc::new(lock)), Some(file.hash), Vec::new()),
            Err(errors) => (last_good(), before.and_then(|part| part.in_force), errors),
        };
    parts.insert(LOCK_FILE.to_owned(), Part { tried: file.hash, in_force, plugin: None, errors });
    lock
}

/// Why the plugin at `path` is not loaded as it is now, if plugins.lock holds it to something else.
pub fn refuse_changed(files: &ProjectFiles, lock: &PluginLock, path: &str) -> Option<LoadError> {
    let (name, pin) = lock.find_path(path)?;
    let found = files.digest(path)?;
    (found != pin.sha256).then(|| pin.refuse(name, found))
}

/// What plugins.lock names and the project lacks.
pub fn missing(files: &ProjectFiles, lock: &PluginLock) -> Vec<LoadError> {
    let mut missing = Vec::new();
    for (name, pin) in lock.iter() {
        // That it is left out was said.
        if files.digest(&pin.file).is_none() && !files.errors.iter().any(|err| err.file == pin.file)
        {
            missing.push(pin.missing(name));
        }
    }
    missing
}
