use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow, bail};
use uuid::Uuid;

use crate::{
    distribution::Content,
    plugin::{LOCK_FILE, Pin, PluginLock},
};

/// What may stand where a plugin goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Existing {
    /// Nothing, in the folder and in plugins.lock.
    None,
    /// Whatever is there, as long as plugins.lock says this about it.
    Replaced(Option<Pin>),
}

/// What is left of a plugin that is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    Nothing,
    /// It becomes one of the project's own.
    File,
}

/// Puts a plugin into the project and into plugins.lock. Whoever else does so at the same time waits; where it fails,
/// all is as it was. It blocks.
pub fn install(
    project: &Path,
    name: &str,
    content: &Content,
    pin: &Pin,
    existing: &Existing,
) -> anyhow::Result<()> {
    let _guard = guard(project)?;
    let (text, mut lock) = read_lock(project)?;
    let folder = plugins_folder(project)?;
    let target = folder.join(pin.file.trim_start_matches("plugins/"));
    let is_there = fs::symlink_metadata(&target).is_ok();
    match existing {
        Existing::None if is_there || lock.find(name).is_some() => {
            bail!("{} is there already: `--force` replaces it", pin.file)
        }
        Existing::Replaced(before) if lock.find(name) != before.as_ref() => {
            bail!("`{name}` was changed in plugins.lock meanwhile: look at it, and try again")
        }
        Existing::None | Existing::Replaced(_) => (),
    }
    let staged = Staged::write(&folder, content)
        .with_context(|| format!("cannot write into {}", folder.display()))?;
    lock.hold(name, pin.clone());
    // First the lock, so that at no time a plugin runs that is not held to its content.
    replace_file(project, LOCK_FILE, lock.to_toml().as_bytes())?;
    if let Err(err) = staged.put(&target) {
        restore_lock(project, text.as_deref());
        return Err(anyhow!(err).context(format!("cannot write {}", pin.file)));
    }
    Ok(())
}

/// Takes a plugin out of plugins.lock, and out of the project unless it is kept. It blocks.
pub fn remove(project: &Path, name: &str, pin: &Pin, kept: Kept) -> anyhow::Result<()> {
    let _guard = guard(project)?;
    let (_, mut lock) = read_lock(project)?;
    if lock.find(name) != Some(pin) {
        bail!("`{name}` was changed in plugins.lock meanwhile: look at it, and try again");
    }
    if kept == Kept::Nothing {
        // First the file: what is not held to its content any more must not run.
        let target = plugins_folder(project)?.join(pin.file.trim_start_matches("plugins/"));
        delete(&target).with_context(|| format!("cannot remove {}", pin.file))?;
    }
    lock.release(name);
    if lock.is_empty() {
        return fs::remove_file(project.join(LOCK_FILE)).context("cannot remove plugins.lock");
    }
    replace_file(project, LOCK_FILE, lock.to_toml().as_bytes())
}

/// Held by one process at a time, until it is dropped.
fn guard(project: &Path) -> anyhow::Result<File> {
    // Where folders can be opened, no file is needed that nobody else has a use for.
    let file = if cfg!(unix) {
        File::open(project)
    } else {
        File::create(project.join(".plugins.lock.guard"))
    };
    let file = file.and_then(|file| file.lock().map(|()| file));
    file.with_context(|| format!("cannot lock the project's folder {}", project.display()))
}

fn read_lock(project: &Path) -> anyhow::Result<(Option<String>, PluginLock)> {
    let bytes = match fs::read(project.join(LOCK_FILE)) {
        Ok(bytes) => bytes,
        Err(err) if err.kind() == io::ErrorKind::NotFound => {
            return Ok((None, PluginLock::default()));
        }
        Err(err) => return Err(err).context("cannot read plugins.lock"),
    };
    let text = String::from_utf8(bytes).context("plugins.lock is not UTF-8")?;
    let lock = PluginLock::parse(&text).map_err(|errors| {
        anyhow!(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })?;
    Ok((Some(text), lock))
}

/// The folder plugins/, made where it is not there. Fails where it leads out of the project.
fn plugins_folder(project: &Path) -> anyhow::Result<PathBuf> {
    let folder = project.join("plugins");
    fs::create_dir_all(&folder).context("cannot make plugins/")?;
    let (root, folder) = (project.canonicalize()?, folder.canonicalize()?);
    if !folder.starts_with(&root) {
        bail!("plugins/ is a link out of the project: nothing is written there");
    }
    Ok(folder)
}

/// A file or a folder beside its place, as no reader looks at it; gone when it is not put there.
struct Staged(PathBuf);

impl Staged {
    fn write(folder: &Path, content: &Content) -> io::Result<Self> {
        let staged = Self(folder.join(draft()));
        match content {
            Content::Script(bytes) | Content::Component(bytes) => write_new(&staged.0, bytes)?,
            Content::Pack(files) => {
                fs::create_dir(&staged.0)?;
                for (path, bytes) in files {
                    let path = staged.0.join(path);
                    if let Some(folder) = path.parent() {
                        fs::create_dir_all(folder)?;
                    }
                    write_new(&path, bytes)?;
                }
            }
        }
        Ok(staged)
    }

    /// Takes the place of whatever is at `target`, which stays where this fails.
    fn put(self, target: &Path) -> io::Result<()> {
        let is_folder = |path: &Path| fs::symlink_metadata(path).is_ok_and(|it| it.is_dir());
        // One folder cannot take the place of another at once.
        if !is_folder(target) && !is_folder(&self.0) {
            return fs::rename(&self.0, target);
        }
        let old = Self(target.with_file_name(draft()));
        match fs::rename(target, &old.0) {
            Ok(()) => (),
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                return fs::rename(&self.0, target);
            }
            Err(err) => return Err(err),
        }
        fs::rename(&self.0, target).or_else(|err| fs::rename(&old.0, target).and(Err(err)))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // What is there no more was put in its place.
        let _ = delete(&self.0);
    }
}

/// A name that readers of the project pass over.
fn draft() -> String {
    format!(".{}.new", Uuid::new_v4().simple())
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A reader sees the old text or the new one, whatever happens meanwhile.
fn replace_file(project: &Path, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let staged = Staged(project.join(draft()));
    write_new(&staged.0, bytes)
        .and_then(|()| fs::rename(&staged.0, project.join(name)))
        .with_context(|| format!("cannot write {name}"))
}

fn restore_lock(project: &Path, text: Option<&str>) {
    let restored = match text {
        Some(text) => replace_file(project, LOCK_FILE, text.as_bytes()),
        None => fs::remove_file(project.join(LOCK_FILE)).map_err(anyhow::Error::from),
    };
    if let Err(err) = restored {
        tracing::error!("plugins.lock names a plugin that is not there: {err:#}");
    }
}

/// Links are removed and not followed. What is not there is as it should be.
fn delete(path: &Path) -> io::Result<()> {
    let result = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(err) => Err(err),
    };
    result.or_else(|err| if err.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(err) })
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use super::*;
    use crate::plugin::ContentDigest;

    fn script(text: &str) -> Content {
        Content::Script(text.as_bytes().into())
    }

    fn pin(name: &str, content: &Content) -> Pin {
        Pin {
            file: content.path(name),
            source: "https://a.test/x".to_owned(),
            resolved: None,
            sha256: content.digest(),
            added: "2026-01-31T12:00:00Z".parse().unwrap(),
            updated: "2026-01-31T12:00:00Z".parse().unwrap(),
        }
    }

    fn add(project: &Path, name: &str, content: &Content) -> anyhow::Result<()> {
        install(project, name, content, &pin(name, content), &Existing::None)
    }

    fn text(project: &Path, path: &str) -> Option<String> {
        fs::read(project.join(path)).ok().map(|it| String::from_utf8(it).unwrap())
    }

    /// All names below, drafts included.
    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(|it| it.unwrap().file_name());
        let mut names: Vec<_> = entries.map(|it| it.to_str().unwrap().to_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_put_in_at_one_time_is_all_there() {
        let project = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for number in 0..16 {
                let project = project.path();
                scope.spawn(move || add(project, &format!("p{number}"), &script("1")).unwrap());
            }
        });
        assert_eq!(read_lock(project.path()).unwrap().1.iter().count(), 16);
        assert_eq!(names(&project.path().join("plugins")).len(), 16);
        assert_eq!(names(project.path()), ["plugins", "plugins.lock"]);
    }

    #[test]
    fn one_of_two_that_want_one_place_has_it() {
        let project = tempfile::tempdir().unwrap();
        let added = std::thread::scope(|scope| {
            let threads = [1, 2, 3, 4].map(|number| {
                let project = project.path();
                scope.spawn(move || add(project, "one", &script(&number.to_string())).is_ok())
            });
            threads.into_iter().map(|it| it.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(added.iter().filter(|it| **it).count(), 1);
        let (_, lock) = read_lock(project.path()).unwrap();
        let found = text(project.path(), "plugins/one.rhai").unwrap();
        assert_eq!(lock.find("one").unwrap().sha256, ContentDigest::of(found.as_bytes()));
    }

    #[test]
    fn a_pack_takes_the_place_of_another_whole() {
        let project = tempfile::tempdir().unwrap();
        let pack = |files: &[(&str, &str)]| {
            let files = files
                .iter()
                .map(|(path, text)| ((*path).to_owned(), Arc::<[u8]>::from(text.as_bytes())));
            Content::Pack(files.collect::<BTreeMap<_, _>>())
        };
        let first = pack(&[("a.rhai", "1"), ("data/old.json", "1")]);
        add(project.path(), "cats", &first).unwrap();
        let second = pack(&[("a.rhai", "2"), ("data/new.json", "2")]);
        let existing = Existing::Replaced(Some(pin("cats", &first)));
        install(project.path(), "cats", &second, &pin("cats", &second), &existing).unwrap();
        assert_eq!(text(project.path(), "plugins/cats/a.rhai").unwrap(), "2");
        assert_eq!(names(&project.path().join("plugins/cats/data")), ["new.json"]);
        assert_eq!(names(&project.path().join("plugins")), ["cats"]);
        remove(project.path(), "cats", &pin("cats", &second), Kept::Nothing).unwrap();
        assert_eq!(names(project.path()), ["plugins"]);
        assert_eq!(names(&project.path().join("plugins")), [""; 0]);
    }

    #[test]
    fn what_fails_changes_nothing() {
        let project = tempfile::tempdir().unwrap();
        add(project.path(), "one", &script("1")).unwrap();
        let lock = text(project.path(), LOCK_FILE);
        // Somebody else was faster.
        let stale = Existing::Replaced(None);
        let content = script("2");
        let replaced = install(project.path(), "one", &content, &pin("one", &content), &stale);
        assert!(replaced.unwrap_err().to_string().contains("meanwhile"));
        assert!(remove(project.path(), "one", &pin("one", &content), Kept::Nothing).is_err());
        // A file of the project's own.
        fs::write(project.path().join("plugins/own.rhai"), "own").unwrap();
        assert!(add(project.path(), "own", &script("2")).is_err());
        assert_eq!(text(project.path(), "plugins/own.rhai").unwrap(), "own");
        // A lock that cannot be read is not written over.
        fs::write(project.path().join(LOCK_FILE), "<<<<<<< HEAD\n").unwrap();
        assert!(add(project.path(), "two", &script("2")).is_err());
        assert_eq!(text(project.path(), LOCK_FILE).unwrap(), "<<<<<<< HEAD\n");
        fs::write(project.path().join(LOCK_FILE), lock.unwrap()).unwrap();
        assert_eq!(text(project.path(), "plugins/one.rhai").unwrap(), "1");
        assert_eq!(names(&project.path().join("plugins")), ["one.rhai", "own.rhai"]);
    }

    #[cfg(unix)]
    #[test]
    fn nothing_is_written_through_links() {
        let (project, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let plugins = project.path().join("plugins");
        std::os::unix::fs::symlink(outside.path(), &plugins).unwrap();
        assert!(add(project.path(), "one", &script("1")).is_err());
        assert_eq!(names(outside.path()), [""; 0]);
        fs::remove_file(&plugins).unwrap();
        fs::create_dir(&plugins).unwrap();

        let target = outside.path().join("precious");
        fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, plugins.join("one.rhai")).unwrap();
        let content = script("1");
        let existing = Existing::Replaced(None);
        install(project.path(), "one", &content, &pin("one", &content), &existing).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"precious");
        assert_eq!(text(project.path(), "plugins/one.rhai").unwrap(), "1");
        fs::remove_file(plugins.join("one.rhai")).unwrap();
        std::os::unix::fs::symlink(outside.path(), plugins.join("one.rhai")).unwrap();
        remove(project.path(), "one", &pin("one", &content), Kept::Nothing).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"precious");
        assert_eq!(names(&plugins), [""; 0]);
    }
}
